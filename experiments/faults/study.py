"""Faults of one shape, one after the other: run, collect failures, ask every method, compare with the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import dspy

from dspy_semantic_backprop.testing import SimulatedServer

from .cases import faults
from .methods import Execution, Proved, executed, told, verdicts
from .model import Model
from .report import Hit, Result
from .shapes import metric
from .verdict import Verdict, success

LARGE = 150
"""The most calls that the failed executions of one fault have together, from five executions on."""


class Broken(Protocol):
    """One fault, in the simulated world or with a real model."""

    @property
    def shape(self) -> str:
        """The name of the program's shape."""
        ...

    @property
    def predictor(self) -> str:
        """The guilty predictor."""
        ...

    @property
    def kind(self) -> str:
        """How it is broken."""
        ...

    @property
    def joint(self) -> bool:
        """Whether that can be seen only where outputs are judged together."""
        ...

    @property
    def seed(self) -> int:
        """Of the choices that methods make."""
        ...

    def program(self, *, broken: bool = True) -> dspy.Module:
        """The program, broken or not."""
        ...

    def examples(self, count: int) -> list[dspy.Example]:
        """Examples with inputs and labels."""
        ...


@dataclass(frozen=True)
class Settings:
    """How much to do.

    Args:
        faults: Faults of each shape.
        failures: The most failed executions that a fault is judged by; of large programs fewer, see `LARGE`.
        noises: Shares of the reader's judgements that flip, 0 to 1 each.
        seed: Of everything.
        checked: Executions of the unbroken program for each fault, at least one. Where one of them is wrong, its
            example tells nothing of the fault and is left out.
        real: Ask the judge once only, and keep what is said: questions are dear, and answers are to be read.
    """

    faults: int = 30
    failures: int = 15
    noises: tuple[float, ...] = (0.0, 0.1, 0.3)
    seed: int = 0
    checked: int = 2
    real: bool = False


def simulated(shape: str, settings: Settings) -> tuple[list[Result], int]:
    """Break programs of one shape in the simulated world.

    Returns:
        A result for each fault that made an answer wrong, and how many faults made none wrong.
    """
    with ExitStack() as stack:
        worker = stack.enter_context(SimulatedServer(Model(settings.seed)))
        readers = {
            noise: stack.enter_context(SimulatedServer(Model(settings.seed, noise))).lm(cache=False)
            for noise in settings.noises
        }
        with dspy.context(lm=worker.lm(cache=False)):
            return asyncio.run(study(faults(shape, settings.seed), metric, readers, settings))


async def study(
    broken: Iterable[Broken], metric: Callable[..., Any], readers: Mapping[float, Any], settings: Settings
) -> tuple[list[Result], int]:
    """Judge faults until there are enough.

    Args:
        broken: The faults.
        metric: Grades an answer.
        readers: Noise -> the language model that reads.
        settings: How much to do.

    Returns:
        As `simulated`.
    """
    results: list[Result] = []
    proved: Proved = {}
    for tried, fault in enumerate(broken):
        if len(results) == settings.faults:
            return results, tried - len(results)
        result = await judged(fault, metric, readers, settings, proved)
        results += [result] if result.hits else []
    raise AssertionError("faults end")


async def judged(
    fault: Broken, metric: Callable[..., Any], readers: Mapping[float, Any], settings: Settings, proved: Proved
) -> Result:
    """One fault, with no hits where it makes no answer wrong."""
    sound = fault.program(broken=False)
    right = await executed(sound, fault.examples(settings.checked), metric, proved)
    most = min(settings.failures, max(5, LARGE // max(1, *(len(outcome.graph) for outcome in right))))
    outcomes = await _failing(fault, metric, max(most, settings.checked), proved)
    spoilt = [outcome.example for outcome in right if outcome.score < 1]
    failed = [outcome for outcome in outcomes if outcome.score < 1 and outcome.example not in spoilt][:most]
    names = [name for name, _ in sound.named_predictors()]
    hits: dict[tuple[str, float], Hit] = {}
    said: dict[str, Any] = {"executions": [told(outcome) for outcome in failed]} if settings.real else {}
    for noise, lm in readers.items() if failed else ():
        for method, found in (await verdicts(failed, names, lm, fault.seed, equal=not settings.real)).items():
            hits[method, noise] = _hit(found, fault.predictor)
            if settings.real and found.said:
                said[method] = found.said
    return Result(
        shape=fault.shape,
        predictor=fault.predictor,
        kind=fault.kind,
        joint=fault.joint,
        failed=len(failed),
        tried=len(outcomes),
        right=sum(outcome.score == 1 for outcome in right),
        checked=len(right),
        hits=hits,
        said=said,
    )


async def _failing(fault: Broken, metric: Callable[..., Any], batch: int, proved: Proved) -> list[Execution]:
    """Executions of the broken program until `batch` of them failed, at most three times as many."""
    program = fault.program()
    examples = fault.examples(3 * batch)
    outcomes: list[Execution] = []
    for start in range(0, len(examples), batch):
        outcomes += await executed(program, examples[start : start + batch], metric, proved)
        failed = sum(outcome.score < 1 for outcome in outcomes)
        if failed >= batch or not failed:
            break
    return outcomes


def _hit(found: Verdict, guilty: str) -> Hit:
    top1, top2 = (success(found.shares, guilty, most) for most in (1, 2))
    # A question that two methods share is answered from the client's cache for the second: it counts for both.
    return Hit(top1, top2, found.spent.calls + found.spent.cached, found.spent.tokens, found.shares)
