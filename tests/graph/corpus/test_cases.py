"""The corpus itself: every program runs, and every true edge names things that exist."""

import functools
import re
from collections import Counter
from typing import Any

import dspy

from . import CASES, FINAL, OTHERS, UNSEEN, record, run
from .lm import Asked

EVERY = CASES + UNSEEN + FINAL + OTHERS
_CALL = re.compile(r"(?P<name>.+)\[(?P<index>\d+)\]\Z")


@functools.cache
def _runs(name: str) -> tuple[dspy.Module, tuple[dspy.Prediction, list[Asked]], tuple[dspy.Prediction, list[Asked]]]:
    """A program after its first run, what came of it, and what came of a run of a copy made before."""
    case = next(one for one in EVERY if one.name == name)
    program = case.build()
    copied = program.deepcopy()
    return program, record(case, program), record(case, copied)


def _fields(returned: Any) -> dict[str, Any]:
    """What a program returned as field -> value; what is no prediction stands under "output", as in a graph."""
    return returned.toDict() if isinstance(returned, dspy.Prediction) else {"output": returned}


def _find(end: str, asked: list[Asked]) -> Asked:
    match = _CALL.match(end)
    assert match, f"not a call: {end}"
    name, index = match["name"], int(match["index"])
    found = [one for one in asked if one.name == name and one.index == index]
    assert found, f"no such call: {end}; there are {sorted({f'{a.name}[{a.index}]' for a in asked})}"
    return found[0]


def _check_source(end: str, asked: list[Asked]) -> None:
    owner, _, field = end.rpartition(".")
    assert field in _find(owner, asked).signature.output_fields, f"no such output field: {end}"


def _check_target(end: str, asked: list[Asked], returned: list[str]) -> None:
    if _CALL.match(end):
        _find(end, asked)
    elif "[" in end:
        owner, _, field = end.rpartition(".")
        one = _find(owner, asked)
        assert field in [*one.signature.input_fields, "hint_"], f"no such input field: {end}"
        assert field in one.inputs or field == "history", f"input field never filled: {end}"
    else:
        assert end in returned, f"no such field of the prediction: {end}"


# Each is one test for all programs, which are then run once, in one worker.
def test_edges_name_things_that_exist() -> None:
    for case in EVERY:
        _, (prediction, asked), _ = _runs(case.name)
        returned = list(_fields(prediction))
        for source, target in case.data | case.output | case.control | case.allowed:
            _check_source(source, asked)
            _check_target(target, asked, returned)
        assert all("." in target and "[" in target for _, target in case.data), case.name
        assert all(target in returned for _, target in case.output), case.name
        assert all(_CALL.match(target) for _, target in case.control), case.name
        assert not case.allowed & (case.data | case.output | case.control), case.name


def test_copies_and_second_runs_answer_alike() -> None:
    for case in EVERY:
        _, (first, asked), (again, asked_again) = _runs(case.name)
        names = Counter((one.name, one.index) for one in asked)
        assert names == Counter((one.name, one.index) for one in asked_again), case.name
        assert _fields(first).keys() == _fields(again).keys(), case.name
        if case.pure:
            assert repr(_fields(first)) == repr(_fields(again)), case.name


def test_pure_programs_repeat_themselves() -> None:
    for case in EVERY:
        program, (first, _), _ = _runs(case.name)
        assert not case.pure or repr(_fields(first)) == repr(_fields(run(case, program))), case.name


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len(CASES) >= 56
    assert len({case.name for case in EVERY}) == len(EVERY)
    assert all(case.note.endswith(".") and case.style in {"sync", "async"} for case in EVERY)
    assert all(case.data or case.output for case in EVERY)
