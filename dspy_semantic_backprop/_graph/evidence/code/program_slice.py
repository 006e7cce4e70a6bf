"""A program's slice: for every place where it calls predictors, which outputs its inputs may be made of.

The program's code is run abstractly, once for all executions that call predictors at the same places: no value
is computed, both branches of every condition are taken, and every variable carries the outputs that it may
have been made of (program slicing, Weiser 1981, by abstract interpretation).

Why not a trace of the lines that ran: hooks for that slow the program down and take the place of the user's
debugger or coverage tool; and what did not run decides too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...record.program_code import own
from ...trace import Position
from . import expressions, functions, statements
from .functions import definition
from .labels import ITEM, WHOLE, Label, Site, Value, everything
from .state import BoundFunction, Machine, State, TooMuch, Use, contents


@dataclass(frozen=True)
class ProgramSlice:
    """What the code of a program says about its data flow: of the calls at each site, and of each returned field.

    `returned` holds under `WHOLE` the labels of all fields that are not named; `loops` are the positions of loops,
    comprehensions and calls that call back; `predictors` names who may be called at a site, nobody where that is not
    known.
    """

    uses: Mapping[Site, Use]
    returned: Mapping[str, frozenset[Label]]
    loops: frozenset[Position]
    predictors: Mapping[Site, frozenset[str]]

    def site(self, chain: Sequence[Position]) -> Site | None:
        """The site that a call was made at: the one whose end is most like the call's own way."""
        found = [(_common(site, chain), site) for site in self.uses if chain and site[-1] == chain[-1]]
        return max(found, default=(0, None), key=lambda pair: (pair[0], -len(pair[1] or ())))[1]


def _common(site: Site, chain: Sequence[Position]) -> int:
    length = 0
    while length < min(len(site), len(chain)) and site[-1 - length] == chain[-1 - length]:
        length += 1
    return length


def program_slice(
    program: Any, observed: Iterable[Position], names_of: Callable[[Iterable[Any]], frozenset[str]]
) -> ProgramSlice | None:
    """Run a program's code abstractly, without calling anything of it.

    `observed` are the innermost positions at which predictors were seen to be called; `names_of` finds the predictors
    among objects and in them. None where the source of its `forward` cannot be had, or there is too much of it.
    """
    function = functions.entry(program)
    if function is None or not own(function.__code__) or definition(function) is None:
        return None
    machine = Machine(frozenset(observed), expressions.evaluate, statements.execute, functions.invoke)
    state = State()
    try:
        value = functions.invoke(
            machine, BoundFunction(function, Value(objects=(program,)), type(program)), [], {}, (), state
        )
    except (TooMuch, RecursionError):
        return None
    predictors = {site: names_of(use.objects) for site, use in machine.uses.items()}
    return ProgramSlice(machine.uses, _returned(value, state), frozenset(machine.loops), predictors)


def _returned(value: Value, state: State) -> dict[str, frozenset[Label]]:
    named = {name: contents(part, state) for name, part in value.parts.items() if name != ITEM}
    loose = value.labels | (everything(value.parts[ITEM]) if ITEM in value.parts else frozenset())
    kept = contents(Value(objects=value.objects), state)
    why = frozenset(one for one in value.labels if one.how == "choice")
    return {**{name: labels | why for name, labels in named.items()}, WHOLE: loose | kept}
