"""The names of a program's predictors, also for copies of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from ..evidence.code.program_slice import ProgramCode, program_slice
from ..evidence.code.sites import Position
from ..evidence.replay.copying.replica import constants

UNNAMED = "?"

Codes = dict[frozenset[Position], ProgramCode | None]
"""Where predictors are called -> what the program's code says of such executions."""


class Names:
    """Finds the name that `named_predictors()` gives to a predictor, also for deep copies of it.

    Args:
        program: The program that runs.
        codes: What was found out of the code of other copies of it, which is not found out again; None for nothing.
    """

    def __init__(self, program: dspy.Module, codes: Codes | None = None) -> None:
        named = _all_named(program)
        self._by_id = {id(predictor): name for name, predictor in named.items()}
        self._alive = list(named.values())
        self.all = tuple(named)
        self.constants = constants(program)
        self._program = program
        self._codes: Codes = codes if codes is not None else {}
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

    def code(self, observed: frozenset[Position]) -> ProgramCode | None:
        """What the program's code says about executions that call predictors at these places.

        Args:
            observed: The innermost positions of the calls.

        Returns:
            The slice and the names of what is called; None where there is no source to read.
        """
        if observed not in self._codes:
            found = program_slice(self._program, observed)
            predictors = {} if found is None else {site: self._called(use.objects) for site, use in found.uses.items()}
            self._codes[observed] = None if found is None else ProgramCode(found, predictors)
        return self._codes[observed]

    def _called(self, objects: tuple[Any, ...]) -> frozenset[str]:
        modules = [one for one in objects if isinstance(one, dspy.Module)]
        inner = [predictor for one in modules for _, predictor in one.named_sub_modules(dspy.Predict)]
        return frozenset({*map(self.of, inner)} - {UNNAMED})


def _all_named(program: dspy.Module) -> dict[str, Any]:
    named: dict[str, Any] = dict(program.named_predictors())
    seen = {id(predictor) for predictor in named.values()}
    for path, predictor in program.named_sub_modules(dspy.Predict):
        # Predictors of frozen sub-modules and of nested containers are no parameters, but they are called.
        if id(predictor) not in seen:
            named[path.removeprefix("self.")] = predictor
    return named
