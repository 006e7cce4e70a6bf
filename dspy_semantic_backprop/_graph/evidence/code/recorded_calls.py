"""Which recorded calls the labels of a program's slice stand for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ...edges import End
from ...trace import Call, Position
from .labels import MANY, WHOLE, How, Label, Site
from .program_slice import ProgramSlice
from .state import Use, within

_SINGLE = frozenset({"Predict", "ChainOfThought"})


@dataclass(frozen=True)
class Suggestion:
    """An output that the code says may have reached a place, and how."""

    source: End
    how: How


@dataclass
class RecordedCalls:
    """The calls of one execution by site, in the order in which they ended.

    Args:
        slice: The program's slice.
        ways: Call id -> the positions of its frames, outermost first.
    """

    slice: ProgramSlice
    ways: Mapping[str, tuple[Position, ...]]
    ended: list[Call] = field(default_factory=list)
    at: dict[Site, list[int]] = field(default_factory=dict)
    sites: dict[str, Site | None] = field(default_factory=dict)
    units: dict[tuple[str, Position], Position | None] = field(default_factory=dict)

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
            site, predictors = self.slice.site(way), self.slice.predictors
            if site is None or (predictors[site] and call.predictor not in predictors[site]):
                named = [one for one, names in predictors.items() if call.predictor in names]
                site = named[0] if len(named) == 1 else None
            self.sites[call.id] = site
        return self.sites[call.id]

    def use(self, call: Call) -> Use | None:
        """What the code says of the calls at a call's site."""
        site = self.site(call)
        return self.slice.uses[site] if site is not None else None

    def ends(self, labels: Iterable[Label], reader: Call | None) -> Iterator[list[Suggestion]]:
        """The outputs that labels stand for, at this moment.

        Args:
            labels: Of one value.
            reader: The call that reads the value; None for the returned prediction.

        Yields:
            For each label the outputs; none where the record has no such call.
        """
        for label in labels:
            if label.until is not None and self._overwritten(label.until, reader):
                continue
            found = [End(call.id, name) for call in self._calls(label, reader) for name in _fields(call, label.field)]
            yield [Suggestion(end, label.how) for end in dict.fromkeys(found)]

    def _calls(self, label: Label, reader: Call | None) -> list[Call]:
        last = next(self._latest(label), None)
        if last is None:
            return []
        if label.loop is not None and (label.back or label.all):
            found = self._of_passages(label, last, reader)
        elif self.ended[last].concurrent:
            found = list(self._latest(label))
        else:
            found = self._run(label, last) if self._composite(label.site) else [last]
        return [self.ended[at] for at in sorted(found)]

    def _latest(self, label: Label) -> Iterator[int]:
        """The places of the calls of a label's site that have its field, the latest first."""
        return (at for at in reversed(self.at.get(label.site, [])) if _fields(self.ended[at], label.field))

    def _of_passages(self, label: Label, last: int, reader: Call | None) -> list[int]:
        """The calls that a label means: of this passage of its loop, the one before, or all before."""
        assert label.loop is not None
        within_loop = reader is not None and self._unit(reader, label.loop) is not None
        latest = len(self.ended) - 1 if within_loop else last
        passages = self._passages(label.loop, latest, reader if within_loop else None)
        this = next(passages) if within_loop and label.back else []
        meant = list(itertools.islice(passages, 1)) if label.back == 1 else list(passages)
        if within_loop and label.back and not meant and self._alike(this, label.loop):
            # One inner loop is the whole body: its passages cannot be told from those of the outer one.
            meant = [this]
        found = [at for passage in meant for at in passage if self._is_of(at, label)]
        return found if label.all or label.back == MANY else sorted(found)[-1:]

    def _is_of(self, at: int, label: Label) -> bool:
        return self.sites.get(self.ended[at].id) == label.site and bool(_fields(self.ended[at], label.field))

    def _passages(self, loop: Position, latest: int, reader: Call | None) -> Iterator[list[int]]:
        """The latest run of a loop, as the calls of each of its passages, the latest passage first.

        A passage is left where the next call stands earlier in the loop's body, or at the same place again.
        """
        passage: list[int] = []
        here = self._unit(reader, loop) if reader is not None else None
        for at in range(latest, -1, -1):
            unit = self._unit(self.ended[at], loop)
            if unit is None:
                break
            again = here is not None and (unit > here or (unit == here and unit not in self.slice.loops))
            if again and (passage or reader is not None):
                yield passage
                passage, reader = [], None
            passage.append(at)
            here = unit
        yield passage

    def _alike(self, places: list[int], loop: Position) -> bool:
        units = {self._unit(self.ended[at], loop) for at in places}
        return len(units) == 1 and units <= self.slice.loops

    def _unit(self, call: Call, loop: Position) -> Position | None:
        """The statement of a loop's body that made a call: an inner loop, or the call's own place."""
        key = (call.id, loop)
        if key not in self.units:
            way = self.ways.get(call.id) or self.site(call) or ()
            place = next((one for one in way if within(one, loop)), None)
            inner = [
                one
                for one in self.slice.loops
                if place is not None and one != loop and within(one, loop) and within(place, one)
            ]
            self.units[key] = min(inner, key=lambda one: (one[1:3], (-one[3], -one[4])), default=place)
        return self.units[key]

    def _overwritten(self, loop: Position, reader: Call | None) -> bool:
        """Whether a loop has made a whole passage since it began: what stood before it is gone."""
        if reader is not None and self._unit(reader, loop) is not None:
            passages = self._passages(loop, len(self.ended) - 1, reader)
            return len(list(itertools.islice(passages, 2))) > 1
        return any(self._unit(call, loop) is not None for call in reversed(self.ended))

    def _composite(self, site: Site) -> bool:
        objects = self.slice.uses[site].objects
        return bool(objects) and not any(type(one).__name__ in _SINGLE for one in objects)

    def _run(self, label: Label, last: int) -> list[int]:
        """A call and those before it with no call of another site between."""
        way = self.ways.get(self.ended[last].id)
        run = itertools.takewhile(lambda at: self.ways.get(self.ended[at].id) == way, range(last, -1, -1))
        return [at for at in run if self._is_of(at, label)]


def _fields(call: Call, name: str) -> list[str]:
    if name == WHOLE:
        return list(call.outputs)
    return [name] if name in call.outputs else []
