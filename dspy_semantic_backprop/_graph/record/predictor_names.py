"""The names of a program's predictors, also for copies of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from .program_code import constants

UNNAMED = "?"


class Names:
    """Finds the name that `named_predictors()` gives to a predictor, also for deep copies of it.

    Args:
        program: The program that runs.
    """

    def __init__(self, program: dspy.Module) -> None:
        named = _all_named(program)
        self._by_id = {id(predictor): name for name, predictor in named.items()}
        self._alive = list(named.values())
        self.all = tuple(named)
        self.constants = constants(program)
        by_stage: dict[str, list[str]] = {}
        for name, predictor in named.items():
            by_stage.setdefault(getattr(predictor, "stage", ""), []).append(name)
        # Copies keep their stage; a list that the user built by copying one predictor shares it.
        self._by_stage = {stage: names[0] for stage, names in by_stage.items() if len(names) == 1}

    def of(self, predictor: Any) -> str:
        """The predictor's name; "?" for one that the program does not list."""
        known = self._by_id.get(id(predictor))
        return known or self._by_stage.get(getattr(predictor, "stage", ""), UNNAMED)

    def of_copy(self, parts: Mapping[int, Any]) -> Names:
        """The names for a copy of the program.

        Args:
            parts: Id of a part of the program -> its copy, as `copy.deepcopy` leaves them in its memo.
        """
        twin = object.__new__(Names)
        vars(twin).update(vars(self))
        twin._alive = [parts.get(id(predictor), predictor) for predictor in self._alive]
        twin._by_id = {id(parts.get(key)): name for key, name in self._by_id.items() if key in parts}
        return twin


def _all_named(program: dspy.Module) -> dict[str, Any]:
    named: dict[str, Any] = dict(program.named_predictors())
    seen = {id(predictor) for predictor in named.values()}
    for path, predictor in program.named_sub_modules(dspy.Predict):
        # Predictors of frozen sub-modules and of nested containers are no parameters, but they are called.
        if id(predictor) not in seen:
            named[path.removeprefix("self.")] = predictor
    return named
