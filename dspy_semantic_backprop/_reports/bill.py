"""What a command is going to cost, from sizes alone, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dspy

from .._session.budget import Budget
from .._session.projection import Executions, Planned, Projection
from .._settings import Settings


def bill_of_compile(settings: Settings, program: dspy.Module, trainset: Sequence[Any], valset: Any) -> Projection:
    """What `compile` is going to take."""
    return _within(settings, settings.plan(program, trainset, valset)[1].projection())


def bill_of_diagnose(settings: Settings, program: dspy.Module, examples: int, checks: int) -> Projection:
    """What `diagnose` of so many examples with so many checks takes, if all of them fail."""
    return _within(settings, _planned(program, examples, swept=examples, asked=4 * checks))


def bill_of_preflight(settings: Settings, program: dspy.Module, examples: int, repeats: int, tried: int) -> Projection:
    """What `preflight` takes; `tried`: how many executions of cheap candidates and of the program beside them."""
    asked = 2 * len(program.predictors())
    return _within(settings, _planned(program, repeats * examples + tried, swept=4, asked=asked))


def bill_of_check(settings: Settings, program: dspy.Module, examples: int, blamed: int, checks: int) -> Projection:
    """What `check` takes: one execution of each example and, if so many get worse, the question who is to blame."""
    most, likely = _planned(program, examples, swept=blamed, asked=4 * checks), _planned(program, examples)
    return _within(settings, replace(most, likely=likely))


def _planned(program: dspy.Module, executions: int, swept: int = 0, asked: int = 0) -> Projection:
    runs = Executions(executions, executions, executions)
    return Planned(0, len(program.predictors()), runs, swept, (asked, asked)).projection()


def _within(settings: Settings, projection: Projection) -> Projection:
    return projection.within(settings.budget or Budget())
