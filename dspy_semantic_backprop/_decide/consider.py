"""What becomes of proposals: every refusal has a name, and those before the evaluation cost nothing."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._evaluate.candidate import Candidate, changed
from .._propose.screen import Screen, near_duplicate
from .comparison import Comparison
from .pool import Pool


class Fate(enum.Enum):
    """What became of a proposal; the values are what logs and reports say.

    | proposal                                  | evaluated | fate     |
    |-------------------------------------------|-----------|----------|
    | no usable text for any predictor          | no        | EMPTY    |
    | every instruction as it was               | no        | SAME     |
    | evaluated earlier in this run             | no        | SEEN     |
    | the gate says no                          | yes       | REJECTED |
    | the gate says yes                         | yes       | ACCEPTED |
    """

    EMPTY = "no usable instruction was proposed"
    SAME = "the proposal changes nothing"
    SEEN = "the same proposal was evaluated before"
    REJECTED = "the proposal is not better"
    ACCEPTED = "the proposal is better"


@dataclass(frozen=True)
class Decision:
    """The proposals of a step and what became of them.

    The candidate is the best of them, or the program that they were made from where nothing was evaluated, and then the
    comparison is empty. `refused`: predictor -> why; `gains`: predictor -> its edit's, expected, in metric points;
    `learned`: the same comparison on the examples to learn from, where the search decides by these, too.
    """

    fate: Fate
    candidate: Candidate
    changed: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    comparison: Comparison = field(default_factory=lambda: Comparison(()))
    gains: Mapping[str, float] = field(default_factory=dict)
    evaluated: tuple[Candidate, ...] = ()
    learned: Comparison = field(default_factory=lambda: Comparison(()))


@dataclass(frozen=True)
class Considered:
    """The proposals of a step before any is evaluated: candidate -> a proposal's number, and the best others' fate."""

    candidates: Mapping[Candidate, int]
    fate: Fate
    refused: Mapping[str, str]


def consider(
    step: int, proposals: Sequence[Mapping[str, str]], parent: Candidate, pool: Pool, screen: Screen
) -> Considered:
    """Make candidates of proposals (predictor's name -> text), and take those into the pool that are worth running."""
    refused: dict[str, str] = {}
    candidates: dict[Candidate, int] = {}
    fates = [Fate.EMPTY]
    for number, texts in enumerate(proposals):
        usable, fate = _usable(texts, parent, screen, refused)
        candidate = parent.revised(usable)
        edits = changed(parent, candidate)
        if usable:
            fate = Fate.SAME if not edits else Fate.SEEN if _seen(candidate, edits, pool) else Fate.REJECTED
        fates.append(fate)
        if fate is Fate.REJECTED:
            candidates[candidate] = number
            pool.add(candidate, parent, step)
    return Considered(candidates, max(fates, key=list(Fate).index), refused)


def _seen(candidate: Candidate, edits: Sequence[str], pool: Pool) -> bool:
    """Whether this candidate was evaluated before, or one that says the same."""
    if candidate in pool:
        return True
    for entry in pool:
        others = changed(candidate, entry.candidate)
        if set(others) <= set(edits) and all(
            near_duplicate(candidate.instructions[name], [entry.candidate.instructions[name]]) for name in others
        ):
            return True
    return False


def _usable(
    texts: Mapping[str, str], parent: Candidate, screen: Screen, refused: dict[str, str]
) -> tuple[dict[str, str], Fate]:
    """The instructions that pass the screen, and what becomes of the proposal if none does."""
    usable: dict[str, str] = {}
    fate = Fate.EMPTY
    for name, text in texts.items():
        screened = screen(name, text, parent)
        if screened.refusal:
            refused[name] = screened.refusal
            fate = Fate.SEEN if screened.known else fate
            screen.refused(name)
        else:
            usable[name] = screen.parameters.whole(name, screened.text)
    return usable, fate
