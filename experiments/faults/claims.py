"""The language of the simulated world: statements about how many there are of something, and what follows.

"apples 3", "apples is 3" and "apples + pears is 7" are statements. Everything that the simulated models know
of a text is the statements in it; everything that they conclude follows from adding and subtracting them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

THINGS: tuple[str, ...] = tuple(
    [
        "apples",
        "pears",
        "plums",
        "figs",
        "dates",
        "limes",
        "olives",
        "onions",
        "leeks",
        "beans",
        "hammers",
        "saws",
        "nails",
        "bolts",
        "files",
        "drills",
        "planes",
        "clamps",
        "spoons",
        "forks",
        "knives",
        "plates",
        "cups",
        "bowls",
        "pots",
        "crates",
        "barrels",
        "sacks",
        "jars",
        "boxes",
        "ropes",
        "lamps",
        "chairs",
        "tables",
        "stools",
        "shelves",
    ]
)
ORDER = "order"

_NAME = "(?:" + "|".join((*THINGS, ORDER)) + ")"
_CLAIM = re.compile(rf"\b({_NAME}(?: \+ {_NAME})*) (?:is )?(-?\d+)\b")
_SUM = re.compile(rf"\b{_NAME}(?: \+ {_NAME})*\b")

Sum = tuple[str, ...]
"""The things that are added up; one thing alone is a sum too."""
Claim = tuple[Sum, int]


def claims(text: str) -> list[Claim]:
    """The statements of a text, in its order."""
    return [(tuple(match[1].split(" + ")), int(match[2])) for match in _CLAIM.finditer(text)]


def sums(text: str) -> list[Sum]:
    """The sums that a text names, in its order, with or without a number."""
    return [tuple(match[0].split(" + ")) for match in _SUM.finditer(text)]


def say(made: Iterable[tuple[Sum, int | None]]) -> str:
    """Statements as text; None for a number that is not known."""
    return "; ".join(f"{' + '.join(left)} is {'not known' if number is None else number}" for left, number in made)


class System:
    """What follows from statements: equations, each thing an unknown.

    Args:
        known: The statements, which later ones must not contradict.
    """

    def __init__(self, known: Iterable[Claim] = ()) -> None:
        self._pivots: dict[str, tuple[dict[str, Fraction], Fraction]] = {}
        self.consistent = True
        for claim in known:
            self.consistent &= self.add(claim)

    def add(self, claim: Claim) -> bool:
        """Take a statement in; False, and nothing changes, where it contradicts the others."""
        row, number = self._reduced(_row(claim[0]), Fraction(claim[1]))
        if not row:
            return number == 0
        thing = min(row)
        factor = row[thing]
        row, number = {name: value / factor for name, value in row.items()}, number / factor
        for other, (theirs, their_number) in list(self._pivots.items()):
            if thing in theirs:
                self._pivots[other] = _minus(theirs, their_number, row, number, theirs[thing])
        self._pivots[thing] = (row, number)
        return True

    def number(self, wanted: Sum) -> int | None:
        """How many there are of a sum; None where that does not follow."""
        row, number = self._reduced(_row(wanted), Fraction(0))
        return None if row or number.denominator != 1 else int(-number)

    def open(self, wanted: Sum) -> Sum:
        """The things of a sum whose own number does not follow."""
        return tuple(thing for thing in wanted if self.number((thing,)) is None)

    def _reduced(self, row: dict[str, Fraction], number: Fraction) -> tuple[dict[str, Fraction], Fraction]:
        for thing in list(row):
            if thing in row and thing in self._pivots:
                row, number = _minus(row, number, *self._pivots[thing], row[thing])
        return row, number


def follows(wanted: Sequence[Claim], known: Iterable[Claim]) -> bool:
    """Whether statements follow from others that do not contradict each other."""
    system = System(known)
    return system.consistent and all(system.number(left) == number for left, number in wanted)


def _row(wanted: Sum) -> dict[str, Fraction]:
    row: dict[str, Fraction] = {}
    for thing in wanted:
        row[thing] = row.get(thing, Fraction(0)) + 1
    return row


def _minus(
    row: dict[str, Fraction], number: Fraction, other: dict[str, Fraction], their_number: Fraction, times: Fraction
) -> tuple[dict[str, Fraction], Fraction]:
    left = dict(row)
    for thing, value in other.items():
        left[thing] = left.get(thing, Fraction(0)) - times * value
    return {thing: value for thing, value in left.items() if value}, number - times * their_number
