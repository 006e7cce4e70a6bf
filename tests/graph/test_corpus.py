"""The tracer against programs whose true edges were written by hand; `pytest -s` prints the table."""

from __future__ import annotations

import gc
import multiprocessing
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import OUTPUT, ComputationGraph, trace
from tests.graph.corpus import CASES, FINAL, OTHERS, UNSEEN, USERS, Case, ScriptedLM

KINDS = ("data", "output", "control")
SETS = {
    "developed with": CASES,
    "written unseen, then developed with": UNSEEN,
    "written unseen, looked at last": FINAL,
    "of kinds that others write": OTHERS,
}
Least = dict[str, tuple[float, float]]
_UNSEEN: dict[str, Least] = {
    "auto": {"data": (0.98, 0.97), "output": (0.98, 0.97), "control": (0.95, 0.90)},
    "never": {"data": (0.90, 0.90), "output": (0.93, 0.87)},
}
LEAST: dict[str, dict[str, Least]] = {
    "developed with": {
        "auto": {"data": (0.99, 0.98), "output": (0.99, 0.98), "control": (0.95, 0.90)},
        "never": {"data": (0.95, 0.90), "output": (0.95, 0.90)},
    },
    "written unseen, then developed with": _UNSEEN,
    "written unseen, looked at last": _UNSEEN,
    "of kinds that others write": {
        "auto": {"data": (0.99, 0.98), "output": (0.99, 0.98), "control": (0.95, 0.95)},
        "never": {},
    },
}
"""Of each set, proved by replays or not, the least precision and recall of each kind of edge."""


def traced(case: Case, probe: str) -> tuple[dspy.Module, ComputationGraph]:
    program = case.build()
    with dspy.context(lm=ScriptedLM(program, case.answer)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program, trace(program, case.inputs, probe=probe)  # pyright: ignore[reportArgumentType]


def edges(program: dspy.Module, graph: ComputationGraph) -> dict[str, dict[tuple[str, str], str]]:
    """Kind -> (source, target) -> technique, in the notation of the corpus; guesses are no claims."""
    named = {name for name, _ in program.named_predictors()}
    ids: dict[str, str] = {}
    nameless = 0
    for call in sorted(graph.calls, key=lambda call: call.started):
        ids[call.id] = call.id if call.predictor in named else f"?[{nameless}]"
        nameless += call.predictor not in named
    found: dict[str, dict[tuple[str, str], str]] = {kind: {} for kind in KINDS}
    for edge in graph.edges:
        source = f"{ids[edge.source.call]}.{edge.source.field}"
        if edge.kind == "control" and edge.target.call != OUTPUT:
            found["control"][source, ids[edge.target.call]] = edge.known_by
        elif edge.kind == "data" and edge.target.call == OUTPUT:
            found["output"][source, str(edge.target.field)] = edge.known_by
        elif edge.kind == "data":
            found["data"][source, f"{ids[edge.target.call]}.{edge.target.field}"] = edge.known_by
    return found


def found_in(case: Case, probe: str) -> dict[str, dict[tuple[str, str], str]]:
    program, graph = traced(case, probe)
    calls = {call.id: call for call in graph}
    back = [e for e in graph.edges if e.target.call != OUTPUT and not calls[e.source.call].before(calls[e.target.call])]
    assert not back, f"edges of {case.name} that go back in time"
    return edges(program, graph)


def counts(probe: str, title: str) -> dict[str, Any]:
    """For each kind: right, false and missed edges over a set of programs, and right and false ones by technique."""
    total: dict[str, Any] = {kind: Counter() for kind in KINDS} | {"techniques": {}}
    for case in SETS[title]:
        found = found_in(case, probe)
        for kind in KINDS:
            truth, allowed = getattr(case, kind), case.allowed
            for pair, technique in found[kind].items():
                if pair in truth or pair not in allowed:
                    verdict = "right" if pair in truth else "false"
                    total[kind][verdict] += 1
                    total["techniques"].setdefault((kind, technique), Counter())[verdict] += 1
            total[kind]["missed"] += len(truth - set(found[kind]))
    return total


def precision(count: Counter[str]) -> float:
    return count["right"] / max(1, count["right"] + count["false"])


def recall(count: Counter[str]) -> float:
    return count["right"] / max(1, count["right"] + count["missed"])


def table(title: str, probe: str, found: dict[str, Any]) -> str:
    lines = [f"{len(SETS[title])} programs {title}, probe={probe!r}"]
    lines.append("kind     technique    right  false  missed  precision  recall")
    for (kind, technique), count in sorted(found["techniques"].items()):
        lines.append(f"{kind:8} {technique:11} {count['right']:6} {count['false']:6} {'':7} {precision(count):10.3f}")
    for kind in KINDS:
        count = found[kind]
        lines.append(
            f"{kind:8} {'':11} {count['right']:6} {count['false']:6} {count['missed']:7} "
            f"{precision(count):10.3f} {recall(count):7.3f}"
        )
    return "\n".join(lines)


def small() -> None:
    """What a small process does first, as `tests/conftest.py` does."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    gc.freeze()


@pytest.fixture(scope="module")
def beside():
    """A process that has imported little: hundreds of replays fork it, and what a fork takes grows with its memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), small) as pool:
        yield pool


# One test for each set: a worker that checks one kind of edge would trace all programs for it.
@pytest.mark.parametrize("probe", ["auto", "never"])
@pytest.mark.parametrize("title", SETS)
def test_edges_are_the_true_ones(title, probe, beside, capsys):
    found = beside.submit(counts, probe, title).result()
    with capsys.disabled():
        print(f"\n{table(title, probe, found)}")
    assert sum(found[kind]["right"] for kind in KINDS) > 4 * len(SETS[title])
    for kind, (least_precision, least_recall) in LEAST[title][probe].items():
        assert precision(found[kind]) >= least_precision
        assert recall(found[kind]) >= least_recall


def unlike_the_truth(case: Case) -> str:
    """What is wrong with the edges of a case, guesses and what is not proved included; "" where nothing is."""
    program, graph = traced(case, "auto")
    pairs = {(kind, pair) for kind, found in edges(program, graph).items() for pair in found}
    true = {(kind, pair) for kind in KINDS for pair in getattr(case, kind)}
    allowed = {(kind, pair) for kind in KINDS for pair in case.allowed}
    guessed = [str(edge) for edge in graph.edges if edge.kind == "inferred"]
    wrong = {"missed": true - pairs, "false": pairs - true - allowed, "guessed": guessed}
    return ", ".join(f"{what}: {them}" for what, them in wrong.items() if them)


@pytest.mark.parametrize("case", USERS, ids=lambda case: case.name)
def test_edges_of_users_programs_are_exactly_the_true_ones(case):
    assert not unlike_the_truth(case)


def test_replays_leave_the_users_program_as_it_was():
    for case in CASES[::9]:
        program = case.build()
        with dspy.context(lm=ScriptedLM(program, case.answer)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace(program, case.inputs, probe="never")
            once = repr({name: vars(module) for name, module in program.named_sub_modules()})
        again = case.build()
        with dspy.context(lm=ScriptedLM(again, case.answer)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace(again, case.inputs, probe="auto")
        assert len(repr({name: vars(m) for name, m in again.named_sub_modules()})) == len(once), case.name
