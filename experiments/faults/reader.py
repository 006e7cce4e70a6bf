"""The simulated model as a reader of one step: which of the outputs that the step read misled it?

What it sees, and all that it uses, is one `View`: the texts of a backward question. It is never told which
predictor was broken, never sees the instructions of the predecessors, and does not look for the words that
break an instruction: of the step's own instruction it uses only which input fields it says to read. It judges

1. an output alone: it says nothing at all, or it contradicts what the step was given besides or the wanted
   change;
2. the outputs together, where it sees them together: they contradict each other, and one of them alone can
   be taken out to mend that; or they leave open what the wanted result needs, since one only repeats what
   others say (of two that say the same, the one that stands out of the order of the things);
3. the step's own instruction: wrong where nothing misled the step, yet its result is not what was wanted.

A reader that is shown one output of several and finds it true cannot know whether a neighbour said the same:
it lets the output pass, and holds the step's instruction to be a minor cause, since it cannot tell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .claims import ORDER, Claim, Sum, System, claims, follows
from .worker import fields_named

_LINE = re.compile(r"^(\w+): (.*(?:\n(?!\w+: ).*)*)", re.MULTILINE)


@dataclass(frozen=True)
class View:
    """What a backward question shows.

    Args:
        instruction: The step's own instruction.
        given: What the step was given besides the outputs in question.
        produced: What the step produced.
        wanted: How that should have been different.
        members: Identifier -> the text of an output that the step read, in the order shown.
    """

    instruction: str
    given: str
    produced: str
    wanted: str
    members: Mapping[str, str]


@dataclass(frozen=True)
class Judgement:
    """What the reader found.

    Args:
        wrong: Identifier -> what the output should have stated.
        shared: Whether it cannot be told which of several causes it was: then each is a minor one.
        own: What the step's own instruction should have made it state; None where it is not at fault.
    """

    wrong: dict[str, list[Claim]] = field(default_factory=dict)
    shared: bool = False
    own: list[Claim] | None = None


def judge(view: View) -> Judgement:
    """Find out which outputs misled a step."""
    case = _Case(view)
    found = case.alone() or case.contradicting() or case.lacking()
    if found:
        return Judgement({key: case.should(key, found) for key in found}, shared=len(found) > 1 and case.torn)
    if not case.wanted or follows(case.wanted, claims(view.produced)):
        return Judgement()
    return Judgement(own=case.wanted, shared=case.partial)


class _Case:
    """One view, read."""

    def __init__(self, view: View) -> None:
        self.members = {key: claims(text) for key, text in view.members.items()}
        given = view.given
        for text in view.members.values():
            # A step's inputs may hold what a member said: that is no evidence for it.
            given = given.replace(text, "") if text else given
        self.given = claims(given)
        lines = {name: text for name, text in _LINE.findall(given)}
        named = fields_named(view.instruction)
        self.rule = bool(named)
        self.at_hand = [claim for name in named for claim in claims(lines.get(name, ""))]
        # A plural such as "notes" stands for two outputs or more.
        self.expected = sum(1 + name.endswith("s") for name in named if name not in lines)
        wish = _unanimous(claims(view.wanted))
        # A wish that contradicts what is given cannot be a right one: the reader then goes by what is given.
        self.wanted = wish if System([*self.given, *wish]).consistent else []
        self.trusted = [*self.given, *self.wanted]
        self.torn = False
        self.due: dict[str, list[str]] = {}
        self.order = {thing: at for at, thing in enumerate(dict.fromkeys(_things(self.trusted)))}

    @property
    def partial(self) -> bool:
        """Whether the step read more than is shown; a choice of path is no part of what it works with."""
        working = [key for key, stated in self.members.items() if set(_things(stated)) != {ORDER}]
        return len(working) < min(2, self.expected)

    def alone(self) -> list[str]:
        """The outputs that are wrong whatever the others say."""
        return [
            key for key, stated in self.members.items() if not stated or not System([*self.trusted, *stated]).consistent
        ]

    def contradicting(self) -> list[str]:
        """The outputs of which each, taken out alone, would end a contradiction among all of them."""
        if self._consistent_without(None):
            return []
        found = [key for key in self.members if self._consistent_without(key)]
        self.torn = True
        return found or list(self.members)

    def lacking(self) -> list[str]:
        """The outputs that should have said what the wanted result needs and nobody said."""
        missing = self._missing()
        if not self.rule or not missing or self.partial:
            return []
        if len(self.members) < 2:
            return list(self.members)
        idle = [key for key in self.members if self._adds_nothing(key)]
        self.torn = True
        if idle:
            return [key for key in idle if self._in_order(key, missing)] or idle
        for thing in missing:
            self.due.setdefault(self._nearest(thing), []).append(thing)
        return list(self.due)

    def should(self, key: str, wrong: list[str]) -> list[Claim]:
        """What a wrong output should have stated, as far as it can be worked out."""
        others = [claim for other, stated in self.members.items() if other not in wrong for claim in stated]
        known = System([*self.trusted, *others])
        stated = list(dict.fromkeys(left for left, _ in self.members[key]))
        missing = self._missing(without=key)
        if key in self.due:
            lefts = [
                tuple(sorted({*_things(self.members[key]), *self.due[key]}, key=lambda one: self.order.get(one, 0)))
            ]
        else:
            lefts = stated if not missing or set(missing) & set(_things(self.members[key])) else [missing]
        together = tuple(dict.fromkeys(_things(self.members[key])))
        for wishes in (lefts, [together]):
            said = [(left, number) for left in wishes if left and (number := known.number(left)) is not None]
            if said:
                return said
        return self.wanted

    def _consistent_without(self, left_out: str | None) -> bool:
        kept = [claim for key, stated in self.members.items() if key != left_out for claim in stated]
        return System([*self.trusted, *kept]).consistent

    def _missing(self, without: str | None = None) -> Sum:
        """The things of the wanted result that the outputs leave open."""
        stated = [claim for key, stated in self.members.items() if key != without for claim in stated]
        said = System([*self.at_hand, *stated])
        things = tuple(dict.fromkeys(_things(self.wanted)))
        if all(said.number(left) is not None for left, _ in self.wanted):
            return ()
        spoken_of = set(_things([*self.at_hand, *stated]))
        return tuple(thing for thing in things if thing not in spoken_of) or said.open(things)

    def _adds_nothing(self, key: str) -> bool:
        """Whether an output only repeats itself or others, or speaks of other things than the wanted result."""
        spoken = set(_things(self.members[key]))
        if spoken == {ORDER}:
            return False
        if not spoken & set(_things(self.wanted)):
            return True
        if len(set(self.members[key])) < len(self.members[key]):
            return True
        others = System(claim for other, stated in self.members.items() if other != key for claim in stated)
        return all(others.number(left) is not None for left, _ in self.members[key])

    def _nearest(self, missing: str) -> str:
        """The output that speaks of what comes last before a missing thing in the order, or first after it."""
        at = self.order.get(missing, 0)

        def distance(key: str) -> tuple[int, int]:
            places = [self.order[thing] - at for thing in _things(self.members[key]) if thing in self.order]
            before = [-place for place in places if place < 0]
            return (0, min(before)) if before else (1, min(places, default=len(self.order)))

        return min(self.members, key=distance)

    def _in_order(self, key: str, missing: Sum) -> bool:
        """Whether the things would come in the order in which they are known if this output spoke of those missing."""
        firsts = []
        for other, stated in self.members.items():
            spoken = missing if other == key else _things(stated)
            known = [self.order[thing] for thing in spoken if thing in self.order]
            firsts += known[:1]
        return all(first < second for first, second in itertools.pairwise(firsts))


def _things(stated: Iterable[Claim]) -> Sum:
    return tuple(thing for left, _ in stated for thing in left)


def _unanimous(wish: list[Claim]) -> list[Claim]:
    """Wishes without those that contradict earlier ones."""
    system = System()
    return [claim for claim in wish if system.add(claim)]
