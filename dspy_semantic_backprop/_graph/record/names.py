"""The names of predictors, also of copies of them, and of calls, also of those that ran at the same time.

Threads start when the operating system lets them, so the order of starts is chance wherever calls are
concurrent. Those of one predictor are named by where their inputs come from: by position in the list, or in
the text, that they were taken from; else by where in the program their threads or tasks were started.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dspy

from ..._values.text import printed
from ..trace import Call, Place
from .program_code import constants
from .threads import Tasks, ranked

_UNNAMED = "?"
_OF_DSPY = f"{_UNNAMED}dspy."
_DEFAULT = "Given the fields `"
"""How the instruction begins that DSPy makes of the fields."""
_SHOWN = 40
"""So much of an instruction stands in a name."""


def is_unnamed(name: str) -> bool:
    """Whether a name is made up for a predictor that its program does not list."""
    return name.startswith(_UNNAMED)


def is_of_dspy(name: str) -> bool:
    """Whether it is one of those that DSPy's own modules make, such as what `dspy.Refine` asks for advice."""
    return name.startswith(_OF_DSPY)


class Names:
    """Finds the name that `named_predictors()` gives to a predictor, also for deep copies of it."""

    def __init__(self, program: dspy.Module) -> None:
        # A program may hold a library of passages, all of which DSPy goes through.
        listed, modules = dict(program.named_predictors()), list(program.named_sub_modules())
        named = _all_named(listed, modules)
        self._by_id = {id(predictor): name for name, predictor in named.items()}
        self._alive = list(named.values())
        self.all = tuple(named)
        self.unlisted = _unlisted(program, named, listed, modules)
        self.constants = constants(program)
        self._instructions = {*(one for one in self.constants if isinstance(one, str)), *_instructions(modules)}
        by_stage: dict[str, list[str]] = {}
        for name, predictor in named.items():
            by_stage.setdefault(getattr(predictor, "stage", ""), []).append(name)
        # Copies keep their stage; a list that the user built by copying one predictor shares it.
        self._by_stage = {stage: names[0] for stage, names in by_stage.items() if len(names) == 1}

    def of(self, predictor: Any) -> str:
        """The predictor's name; for one that the program does not list "?", its fields, its instruction if fixed."""
        known = self._by_id.get(id(predictor)) or self._by_stage.get(getattr(predictor, "stage", ""))
        return known or _made_up(getattr(predictor, "signature", None), self._instructions)

    def owns(self, predictor: Any) -> bool:
        """Whether the program holds this very predictor."""
        return id(predictor) in self._by_id

    def of_copy(self, parts: Mapping[int, Any]) -> Names:
        """The names for a copy of the program; its parts stand by the id of the original."""
        twin = object.__new__(Names)
        vars(twin).update(vars(self))
        twin._by_id = {id(parts.get(key)): name for key, name in self._by_id.items() if key in parts}
        return twin


def _made_up(signature: Any, fixed: Container[str]) -> str:
    if getattr(signature, "__module__", "").startswith("dspy.predict."):
        return f"{_OF_DSPY}{signature.__name__}"
    # An instruction that is not in the code may be made of what other predictors wrote.
    instruction = getattr(signature, "instructions", "")
    sides = (getattr(signature, side, {}) for side in ("input_fields", "output_fields"))
    own = instruction in fixed and not instruction.startswith(_DEFAULT)
    told = f": {' '.join(instruction.split())[:_SHOWN]}" if own else ""
    return f"{_UNNAMED}({' -> '.join(', '.join(fields) for fields in sides)}{told})"


def _instructions(modules: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The instructions of the signatures and predictors in the globals beside a program's classes."""
    beside = {type(module).__module__ for _, module in modules} - {*sys.builtin_module_names}
    for name in sorted(name for name in beside if not name.startswith("dspy.")):
        for value in list(vars(sys.modules.get(name, sys)).values()):
            predictors: list[Any] = value.predictors() if isinstance(value, dspy.Module) else []
            kind: Any = value if isinstance(value, type) and issubclass(value, dspy.Signature) else None
            yield from (one.instructions for one in [kind, *(one.signature for one in predictors)] if one is not None)


def _unlisted(
    program: dspy.Module, named: Iterable[str], listed: Container[str], modules: Iterable[tuple[str, Any]]
) -> frozenset[str]:
    """The names in containers of containers, which DSPy does not list; frozen sub-modules are another matter."""
    inner = [(path.removeprefix("self."), module) for path, module in modules]
    frozen = tuple(path for path, one in inner if one is not program and getattr(one, "_compiled", False))
    return frozenset(name for name in named if name not in listed and not name.startswith(frozen))


def _all_named(listed: Mapping[str, Any], modules: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    named, seen = dict(listed), {id(predictor) for predictor in listed.values()}
    for path, module in modules:
        # Predictors of frozen sub-modules and of nested containers are no parameters, but they are called.
        if isinstance(module, dspy.Predict) and id(module) not in seen:
            named[path.removeprefix("self.")] = module
    return named


def _runs(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Calls in the order of the program's code, one after the other; those of other threads and tasks together."""
    placed = sorted(calls, key=lambda call: (call.place, call.started))
    for _, run in itertools.groupby(placed, key=lambda call: call.concurrent or call.id):
        yield list(run)


def name_calls(calls: Sequence[Call], known: Sequence[Any]) -> dict[str, Call]:
    """Provisional id -> the call with its final id and its index among its predictor's calls, by start.

    Inputs of calls may come from what is `known`: the program's inputs and constants.
    """
    counts: dict[str, int] = {}
    final: dict[str, Call] = {}
    pool: list[Any] = list(known)
    tasks: Tasks = {}
    for run in _runs(calls):
        places = {call.id: _counted(call.place, tasks) for call in run}
        for predictor in dict.fromkeys(call.predictor for call in run):
            twins = [call for call in run if call.predictor == predictor]
            for call in by_origin(twins, pool) if len(twins) > 1 else twins:
                index = counts.get(predictor, 0)
                counts[predictor] = index + 1
                final[call.id] = call.named(f"{predictor}[{index}]", index, places[call.id])
        run.sort(key=lambda call: (call.predictor, final[call.id].index))
        pool += [value for call in run for value in call.outputs.values()]
    return {call.id: final[call.id] for call in calls}


def _counted(place: Place, tasks: Tasks) -> Place:
    found: Place = ()
    for one in place:
        found = ranked((*found, one), tasks)
    return found


def arrange(calls: Sequence[Call], wave: Mapping[str, int], rank: Mapping[str, int]) -> list[Call]:
    """Calls in the order of the program's code; those of several threads by depth, predictor and index."""

    def key(call: Call) -> tuple[int, int, str, int]:
        return wave[call.id], rank.get(call.predictor, len(rank)), call.predictor, call.index

    return [call for run in _runs(calls) for call in sorted(run, key=key)]


def by_origin(calls: Sequence[Call], pool: Sequence[Any]) -> list[Call]:
    """Sort calls of one predictor in several threads or tasks by where their inputs come from.

    That is a place in a list or text of the pool: the program's inputs and constants and the outputs of earlier calls.
    Where none is found they are sorted by where in the program their threads were started, then by the text of their
    inputs.
    """
    places = [_positions(call.inputs, pool) for call in calls]
    if all(places) and len({tuple(place) for place in places}) == len(calls):
        return [call for _, _, call in sorted(zip(places, range(len(calls)), calls, strict=True), key=lambda x: x[:2])]
    return sorted(calls, key=lambda call: (call.place, _text(call.inputs), call.started))


def _positions(inputs: Mapping[str, Any], pool: Sequence[Any]) -> list[tuple[int, int]]:
    return [
        (number, at)
        for value in inputs.values()
        for number, source in enumerate(pool)
        if (at := _position(value, source)) is not None
    ]


def _position(value: Any, source: Any) -> int | None:
    if isinstance(source, (list, tuple)):
        return next((at for at, item in enumerate(source) if item is value or _same(item, value)), None)
    if isinstance(source, str) and isinstance(value, str) and 1 < len(value) < len(source):
        at = source.find(value)
        return at if at >= 0 else None
    return None


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and isinstance(one, (str, int, float, bool)) and one == other


def _text(inputs: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}={printed(value)}" for name, value in inputs.items())
