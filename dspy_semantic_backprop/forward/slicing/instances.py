"""Which recorded calls the labels of a program's slice stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..graph import End
from ..trace import Call
from .machine import Use, within
from .program_slice import ProgramSlice
from .sites import Position
from .values import ALL, MANY, WHOLE, How, Label, Site

_SINGLE = frozenset({"Predict", "ChainOfThought"})


@dataclass(frozen=True)
class Suggestion:
    """An output that the code says may have reached a place, and how."""

    source: End
    how: How


@dataclass
class Instances:
    """The calls of one execution by site, in the order in which they ended.

    Args:
        slice: The program's slice.
        ways: Call id -> the positions of its frames, outermost first.
        predictors: Site -> the names of the predictors that may be called there.
    """

    slice: ProgramSlice
    ways: Mapping[str, tuple[Position, ...]]
    predictors: Mapping[Site, frozenset[str]]
    ended: list[Call] = field(default_factory=list)
    at: dict[Site, list[int]] = field(default_factory=dict)
    sites: dict[str, Site | None] = field(default_factory=dict)

    def end(self, call: Call) -> None:
        """Take in a call that has ended."""
        site = self.site(call)
        if site is not None:
            self.at.setdefault(site, []).append(len(self.ended))
        self.ended.append(call)

    def site(self, call: Call) -> Site | None:
        """The site that a call was made at; None where that cannot be told."""
        if call.id not in self.sites:
            way = self.ways.get(call.id, ())
            site = self.slice.site(way)
            if site is not None and self.predictors[site] and call.predictor not in self.predictors[site]:
                site = None
            named = [one for one, names in self.predictors.items() if call.predictor in names] if site is None else []
            self.sites[call.id] = site if site is not None else named[0] if len(named) == 1 else None
        return self.sites[call.id]

    def use(self, call: Call) -> Use | None:
        """What the code says of the calls at a call's site."""
        site = self.site(call)
        return self.slice.uses[site] if site is not None else None

    def ends(self, labels: Iterable[Label]) -> Iterator[list[Suggestion]]:
        """The outputs that labels stand for, at this moment.

        Args:
            labels: Of one value.

        Yields:
            For each label the outputs; none where the record has no such call.
        """
        for label in labels:
            found = [End(call.id, name) for call in self._calls(label) for name in _fields(call, label.field)]
            yield [Suggestion(end, label.how) for end in dict.fromkeys(found)]

    def _calls(self, label: Label) -> list[Call]:
        places = self.at.get(label.site, [])
        wanted = [at for at in places if _fields(self.ended[at], label.field)]
        if not wanted:
            return []
        if label.back in (MANY, ALL):
            found = self._of_loop(wanted, label.loop)
            return [self.ended[at] for at in (found if label.back == ALL else found[:-1])]
        last = self.ended[wanted[-1]]
        if last.concurrent:
            return [self.ended[at] for at in wanted]
        if self._composite(label.site):
            return [self.ended[at] for at in self._run(wanted)]
        return [self.ended[wanted[-1 - label.back]]] if label.back < len(wanted) else []

    def _composite(self, site: Site) -> bool:
        objects = self.slice.uses[site].objects
        return bool(objects) and not any(type(one).__name__ in _SINGLE for one in objects)

    def _run(self, places: list[int]) -> list[int]:
        """The last of some calls and those before it with no call of another site between."""
        way = self.ways.get(self.ended[places[-1]].id)
        taken = set(places)
        at, found = places[-1], []
        while at >= 0 and self.ways.get(self.ended[at].id) == way:
            found += [at] if at in taken else []
            at -= 1
        return found[::-1]

    def _of_loop(self, places: list[int], loop: Position | None) -> list[int]:
        """The last of some calls and those before it that the same run of a loop made."""
        if loop is None:
            return places
        taken = set(places)
        at, found = places[-1], []
        while at >= 0 and self._inside(self.ended[at], loop):
            found += [at] if at in taken else []
            at -= 1
        return found[::-1]

    def _inside(self, call: Call, loop: Position) -> bool:
        way = self.ways.get(call.id, ())
        return not way or any(within(one, loop) for one in way)


def _fields(call: Call, name: str) -> list[str]:
    if name == WHOLE:
        return list(call.outputs)
    return [name] if name in call.outputs else []
