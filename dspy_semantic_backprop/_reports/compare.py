"""Two runs side by side: what their instructions say, how they score on the examples that both saw, what they cost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .._decide.comparison import Comparison, Pair
from .._decide.records import Paired, paired
from .._page.page import save
from .._page.sides import Side, side_of_file, side_of_run
from .._result import AROUND, Result, word_diff
from .._session.budget import Spent
from .._terminal import clean, counted, displayed, printable, spelled, wrapped
from .._values.text import jsonable

_EDIT, _REASON = 8, 4
"""On a screen: lines of one edit, and of a sentence."""


@dataclass(frozen=True)
class SharedExample:
    """An example that the two programs of a comparison score differently.

    Args:
        scores: Each program's score, in metric points.
        inputs: Field -> its text.
        expected: Field of the labels -> its text.
        answers: What each program did, as JSON values; None where that was not kept.
    """

    scores: tuple[float, float]
    inputs: Mapping[str, str]
    expected: Mapping[str, str]
    answers: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]


@displayed
@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side: the programs that came back from them.

    Args:
        names: What the two are called.
        instructions: Predictor's name -> its instruction in each; None where one does not have it.
        scores: The second program against the first on the examples that both runs decided on; None where there are
            none.
        unpaired: Why there are no scores, in words; "" where there are.
        differing: The examples that they score differently, the largest differences first.
        spent: What each run spent; None where that is not known.
    """

    names: tuple[str, str]
    instructions: Mapping[str, tuple[str | None, str | None]]
    scores: Paired | None = None
    unpaired: str = ""
    differing: tuple[SharedExample, ...] = field(default=(), repr=False)
    spent: tuple[Spent | None, Spent | None] = (None, None)

    @property
    def changed(self) -> tuple[str, ...]:
        """The predictors whose instructions differ."""
        return tuple(name for name, (one, other) in self.instructions.items() if one != other)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values, under the names of its fields."""
        return {
            "names": list(self.names),
            "instructions": {name: list(both) for name, both in self.instructions.items()},
            "scores": None if self.scores is None else self.scores.to_dict(),
            "unpaired": self.unpaired,
            "differing": [jsonable(asdict(one)) for one in self.differing],
            "spent": [None if one is None else asdict(one) for one in self.spent],
        }

    @printable
    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        first, second = map(clean, self.names)
        if self.scores is None:
            yield from wrapped(f"Scores: not paired: {clean(self.unpaired)}", "", _REASON, indent=0)
        else:
            one = self.scores
            said = f"Score {one.before:.4g} ({first}) -> {one.after:.4g} ({second}) on {one.examples} shared examples"
            yield from wrapped(said, "", _REASON, indent=0)
            yield from wrapped(f"Gain {one}", "", _REASON, indent=0)
        for name, spent in zip((first, second), self.spent, strict=True):
            usd = f", ${spent.usd:.4g}" if spent and spent.usd else ""
            known = f"{counted(spent.calls, 'call')}, {spent.tokens_told}{usd}" if spent else "not known"
            yield from wrapped(f"Spent, {name}: {known}", "", _REASON, indent=0)
        yield f"{len(self.changed)} of {len(self.instructions)} instructions differ"
        for name in self.changed:
            old, new = self.instructions[name]
            yield from wrapped(clean(name), "", 2, indent=2)
            yield from wrapped(spelled(word_diff(old or "", new or "", AROUND)), "", _EDIT)


def compare(
    a: Result | str | os.PathLike[str], b: Result | str | os.PathLike[str], path: str | os.PathLike[str] | None = None
) -> RunComparison:
    """Compare the programs that came back from two runs.

    Scores are paired on the examples that both runs decided on, known by what they hold. Each run chose its program on
    its own examples, so that both means flatter.

    Args:
        a: The result of a run, its `log_dir`, or the JSON file of a saved program, which has instructions only.
        b: The other one, likewise.
        path: A file of HTML to write; one that is there is replaced. None writes none.

    Raises:
        JournalError: If a folder holds no log, or one that cannot be read.
        SetupError: If a file is no saved program, or the page cannot be written.
    """
    one, other = _side(a, "the first run"), _side(b, "the second run")
    if one.name == other.name:
        one, other = replace(one, name=str(a)), replace(other, name=str(b))
    names = dict.fromkeys([*one.instructions, *other.instructions])
    shared = [key for key in one.scores if key in other.scores]
    found = RunComparison(
        names=(one.name, other.name),
        instructions={name: (one.instructions.get(name), other.instructions.get(name)) for name in names},
        scores=_paired(one, other, shared),
        unpaired=one.why or other.why or ("" if shared else "they have no example in common"),
        differing=_differing(one, other, shared),
        spent=(one.spent, other.spent),
    )
    if path is not None:
        save(path, f"{one.name} and {other.name}", {"kind": "comparison", **found.to_dict()})
    return found


def _side(source: Result | str | os.PathLike[str], name: str) -> Side:
    return side_of_run(name, source.to_dict()) if isinstance(source, Result) else side_of_file(source)


def _paired(one: Side, other: Side, shared: list[str]) -> Paired | None:
    pairs = tuple(Pair(at, one.scores[key], other.scores[key]) for at, key in enumerate(shared))
    return paired(Comparison(pairs)) if pairs else None


def _differing(one: Side, other: Side, shared: list[str]) -> tuple[SharedExample, ...]:
    apart = [key for key in shared if one.scores[key] != other.scores[key]]
    return tuple(
        SharedExample(
            scores=(one.scores[key], other.scores[key]),
            inputs=one.shown[key]["inputs"],
            expected=one.shown[key]["expected"],
            answers=(one.shown[key]["answer"], other.shown[key]["answer"]),
        )
        for key in sorted(apart, key=lambda key: -abs(one.scores[key] - other.scores[key]))
    )
