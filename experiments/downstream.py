"""Language-model calls saved by evaluating an edit only where it can reach.

    python experiments/downstream.py

For each program: the incumbent is run on every example; then each predictor in turn, and all together, are taught what
the task needs, and the candidate is evaluated twice, in full and with the incumbent's answers upstream of the edit.
Both must give every example the same score, and so the gate the same decision. Calls are counted at the server.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import SAMPLES, bbh, gsm8k, liar
from records import origin
from simulated import SimulatedModel
from simulated.tasks import FORMS, TASKS, Skill, find

from dspy_semantic_backprop import (
    Comparison,
    Gated,
    SemanticGradientDescent,
    Verdict,
    any_example,
    confident,
    drop,
    presets,
    silent,
)
from dspy_semantic_backprop.integrations import Event, StepDone
from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram, exact_match, number_match, yes_no
from dspy_semantic_backprop.testing import SimulatedServer

TASK = "object_counting"
THREADS = 8


@dataclass(frozen=True)
class Pipeline:
    """A program and the task that its edits are evaluated on.

    Args:
        name: Its name in the table.
        program: The program.
        metric: Grades an answer.
        examples: The examples.
    """

    name: str
    program: dspy.Module
    metric: Callable[..., Any]
    examples: Sequence[dspy.Example]


@dataclass(frozen=True)
class Row:
    """One candidate evaluated both ways.

    Args:
        program: The pipeline's name.
        edited: The edited predictor, or "all".
        examples: On how many examples.
        before: The incumbent's mean score, in metric points.
        after: The candidate's.
        full: Calls of the full evaluation.
        downstream: Calls of the evaluation that asks only what the edit can reach.
        saved: The share of the calls that were saved, 0 to 1.
        same_scores: Whether every example got the same score.
        same_decision: Whether the gate decided alike.
    """

    program: str
    edited: str
    examples: int
    before: float
    after: float
    full: int
    downstream: int
    saved: float
    same_scores: bool
    same_decision: bool


def pipelines(count: int, seed: int) -> list[Pipeline]:
    """The paper's three pipelines and a chain of six nodes, on the questions that ship with the project."""
    counting = bbh.load(TASK, folder=SAMPLES, seed=seed).train[:count]
    problems = gsm8k.load(folder=SAMPLES, seed=seed).train[:count]
    claims = liar.load(folder=SAMPLES, seed=seed).train[:count]
    return [
        Pipeline("bbh", LayeredProgram(), exact_match, counting),
        Pipeline("gsm8k", LayeredProgram(), number_match, problems),
        Pipeline("liar", LiarProgram(narrow=True), yes_no, claims),
        Pipeline("chain of 6", LayeredProgram(layers=5, width=1), exact_match, counting),
    ]


def lesson(examples: Sequence[dspy.Example]) -> str:
    """What the simulated model has to be told for a task: its methods and the form of its answers."""
    skills: dict[Skill, None] = {}
    for example in examples:
        task, _ = find(" ".join(map(str, example.inputs().values()))) or (TASKS["statements"], None)
        skills |= dict.fromkeys((*task.skills, FORMS[task.kind]))
    return " ".join(skill.sentence for skill in skills)


def evaluated(
    pipeline: Pipeline, edits: Sequence[Sequence[str]], downstream: bool, server: SimulatedServer
) -> list[tuple[Comparison, int]]:
    """Every edit compared with the incumbent, each in a step of its own, and the requests that its evaluation took."""
    taught = lesson(pipeline.examples)
    found: list[tuple[Comparison, int]] = []
    before, judged = 0, []

    async def teach(subject: Any, /) -> str:
        nonlocal before
        before = server.requests
        judged.clear()
        # A run refuses a text that it has tried before, at whatever step.
        return f"{subject.instruction} {taught} Version {len(found)}."

    class Reject:
        """A gate that accepts nothing and notes what it is asked."""

        looks = (1.0,)

        def __call__(self, comparison: Comparison, left: int, /) -> Verdict:
            judged.append((comparison, server.requests - before))
            return Verdict.MORE if left else Verdict.REJECT

    def note(event: Event) -> None:
        if isinstance(event, StepDone):
            # What is evaluated after the proposal, to find out which of its edits helped, is no part of it.
            found.append(judged[0])

    method = replace(
        presets.published(),
        backward=silent,
        collect=drop,
        choose_examples=any_example(1),
        choose_predictors=lambda predictors, step, rng, blame: list(edits[step]),
        propose=teach,
        search=Gated(Reject(), commit=None),
        downstream=downstream,
    )
    optimizer = SemanticGradientDescent(
        pipeline.metric, steps=len(edits), method=method, num_threads=THREADS, subscribers=[note], probe="never"
    )
    optimizer.compile(pipeline.program, trainset=list(pipeline.examples))
    return found


def measure(pipeline: Pipeline, server: SimulatedServer) -> list[Row]:
    """Every edit of one predictor, and the edit of all, evaluated both ways."""
    names = [name for name, _ in pipeline.program.named_predictors()]
    edits = [*([name] for name in names), names]
    full, part = (evaluated(pipeline, edits, downstream, server) for downstream in (False, True))
    return [
        Row(
            program=pipeline.name,
            edited=title,
            examples=len(pairs),
            before=pairs.before,
            after=pairs.after,
            full=asked,
            downstream=rest,
            saved=round(1 - rest / asked, 3),
            same_scores=pairs == others,
            same_decision=confident(pairs, 0) is confident(others, 0),
        )
        for title, (pairs, asked), (others, rest) in zip([*names, "all"], full, part, strict=True)
    ]


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser("downstream", description="Calls saved by evaluating edits downstream only.")
    parser.add_argument("--examples", type=int, default=20, help="the most examples of each task")
    parser.add_argument("--seed", type=int, default=0, help="of the splits and the simulated model")
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="one example of each task")
    config = parser.parse_args()
    config.examples = 1 if config.smoke else config.examples
    logging.disable(logging.WARNING)
    rows: list[Row] = []
    print("simulated model: language-model calls of an evaluation")
    print(f"{'program':11} {'edited':15} {'before':>7} {'after':>7} {'full':>6} {'downstream':>11} {'saved':>6}  same")
    with SimulatedModel(config.seed).serve() as server, dspy.context(lm=server.lm(cache=False)):
        for pipeline in pipelines(config.examples, config.seed):
            for row in measure(pipeline, server):
                rows.append(row)
                same = "yes" if row.same_scores and row.same_decision else "NO"
                print(
                    f"{row.program:11} {row.edited:15} {row.before:7.3f} {row.after:7.3f} {row.full:6} "
                    f"{row.downstream:11} {row.saved:6.0%}  {same}",
                    flush=True,
                )
    full, rest = sum(row.full for row in rows), sum(row.downstream for row in rows)
    print(f"{'together':43} {full:6} {rest:11} {1 - rest / full:6.0%}")
    record = {
        "study": "downstream",
        **origin(),
        "settings": vars(config),
        "simulated": True,
        "seed": config.seed,
        "rows": [asdict(row) for row in rows],
    }
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"downstream-simulated-seed{config.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
