"""What a run gives back besides the program: every step, what it spent, and why it ended."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import regex
from rapidfuzz.distance import LCSseq

from ._decide.claim import FEW
from ._decide.examples import ExampleRecord
from ._decide.records import CandidateRecord, Final, StepRecord
from ._errors import Ending
from ._graph.program_graph import ProgramGraph
from ._json import from_json
from ._page.run_page import save_run
from ._secrets.known import unsaid
from ._session.budget import Spent
from ._terminal import clean, counted, displayed, printable, shown, spelled, warned, wrapped
from ._values.text import jsonable

AROUND = 12
"""On a screen: unchanged words beside a change."""
_EDIT, _REASON, _WARNINGS = 8, 6, 4
"""On a screen: lines of one edit, lines of the decision, how many warnings."""


@shown
@displayed
@dataclass(frozen=True)
class Result:
    """The result of a run, attached to the compiled program as `detailed_results`.

    Args:
        ending: Why the run ended.
        score_before: The starting program's mean score, in metric points, on those of the examples to decide on that
            the returned program was run on, too; NaN where there are none.
        score_after: The returned program's on the same examples. As the best of several tries it flatters; see `final`.
        instructions_before: Predictor's name -> instruction, at the start.
        instructions_after: Predictor's name -> instruction, in the returned program.
        steps: Every step.
        spent: By purpose: forward, gate, metric, backward, propose, final.
        seconds: Wall time, in seconds, that of earlier processes of the run included.
        seed: The seed of the run's random choices.
        method: The name of the method.
        notes: What happened in the backward passes, by name, how often; see `backward.ask`.
        reason: The ending in full, with its numbers: which budget, which error; the ending's own words otherwise.
        by_predictor: What was spent, by predictor; "" for what was for none.
        metric_calls: How often the metric was called.
        log_dir: Where the log is; None for none.
        final: The decision at the end; None where the run ended before it could be made.
        candidates: Every candidate of the run.
        warnings: What could not be established, or is wrong with the data, in words.
        program: The class of the program.
        graph: The program's graph, by executions of the start; None where there were none.
        examples: The examples, with what candidates answered where that differs in score.
    """

    ending: Ending
    score_before: float
    score_after: float
    instructions_before: Mapping[str, str]
    instructions_after: Mapping[str, str]
    steps: tuple[StepRecord, ...]
    spent: Mapping[str, Spent]
    seconds: float
    seed: int
    method: str = "semantic"
    notes: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    by_predictor: Mapping[str, Spent] = field(default_factory=dict)
    metric_calls: int = 0
    log_dir: str | None = None
    final: Final | None = None
    candidates: tuple[CandidateRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    program: str = ""
    graph: ProgramGraph | None = field(default=None, repr=False)
    examples: tuple[ExampleRecord, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, program: Any) -> Result:
        """The result of the run that made a program, its `detailed_results`, with its type.

        Why beside the attribute: type checkers know the program as the student's own class, which has none.

        Args:
            program: What `compile` gave back.

        Raises:
            TypeError: If it was not made by a run.
        """
        found = getattr(program, "detailed_results", None)
        if not isinstance(found, cls):
            raise TypeError(f"{type(program).__name__} was not made by SemanticGradientDescent: it has no result")
        return found

    @property
    def usd_per_point(self) -> float | None:
        """US dollars for each metric point gained; None where nothing was gained or priced.

        On the fresh examples where there are any, else on those that the loop decided on.
        """
        fresh = self.final.gain if self.final is not None and self.final.returned else None
        gained = fresh if fresh is not None else self.score_after - self.score_before
        return self.total.usd / gained if gained > 0 and self.total.usd else None

    @property
    def total(self) -> Spent:
        """Everything that was spent."""
        return sum(self.spent.values(), Spent())

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values, without secrets."""
        return unsaid(self._told())

    def _told(self) -> dict[str, Any]:
        return {
            "ending": self.ending.value,
            "reason": self.reason,
            "score": {
                "before": _number(self.score_before),
                "after": _number(self.score_after),
                "examples": len(self._both[0].keys() & self._both[1].keys()),
            },
            "instructions": {"before": dict(self.instructions_before), "after": dict(self.instructions_after)},
            "steps": [step.to_dict() for step in self.steps],
            "spent": {purpose: asdict(spent) for purpose, spent in self.spent.items()},
            "spent_by_predictor": {predictor: asdict(spent) for predictor, spent in self.by_predictor.items()},
            "metric_calls": self.metric_calls,
            "usd_per_point": self.usd_per_point,
            "seconds": self.seconds,
            "seed": self.seed,
            "method": self.method,
            "notes": dict(self.notes),
            "log_dir": self.log_dir,
            "final": None if self.final is None else self.final.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "warnings": list(self.warnings),
            "program": self.program,
            "graph": None if self.graph is None else self.graph.to_dict(),
            "examples": [jsonable(asdict(example)) for example in self.examples],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Result:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If a part is missing.
            ValueError: If a part is of another kind.
        """
        rest = dict(state)
        del rest["usd_per_point"]
        score, instructions = rest.pop("score"), rest.pop("instructions")
        for when in ("before", "after"):
            rest[f"score_{when}"] = math.nan if score[when] is None else score[when]
            rest[f"instructions_{when}"] = instructions[when]
        rest["by_predictor"] = rest.pop("spent_by_predictor")
        rest["steps"] = [
            {**step, "gradients": [(one["example"], one["calls"]) for one in step["gradients"]]}
            for step in rest["steps"]
        ]
        return from_json(cls, rest)

    @property
    def changed(self) -> tuple[str, ...]:
        """The predictors whose instruction the run changed."""
        before, after = self.instructions_before, self.instructions_after
        return tuple(name for name in after if after[name] != before.get(name))

    @printable
    def diff(self) -> str:
        """What the run changed: every edited instruction whole, `[-taken out-]` and `{+put in+}` word by word."""
        return "\n\n".join(f"{clean(name)}\n{self._edit(name)}" for name in self.changed)

    def table(self) -> list[dict[str, Any]]:
        """The candidates of the run as rows, for `pandas.DataFrame` and the like.

        Returns:
            One row for each: its number, parent and step; the predictors that it changes; on how many examples it was
            evaluated, and how many of these the start was evaluated on too; on the latter its mean score, the start's
            and the difference, in metric points (None where there are none); whether it is what the run returned.
        """
        return [self._row(candidate) for candidate in self.candidates]

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the run as one file of HTML that needs nothing else and reaches nothing.

        Args:
            path: The file; one that is there is replaced.

        Returns:
            The file's path.

        Raises:
            SetupError: If the file cannot be written.
        """
        return save_run(path, self.to_dict())

    def _row(self, candidate: CandidateRecord) -> dict[str, Any]:
        start = self.candidates[0].scores
        both = [number for number in candidate.scores if number in start]
        before = sum(start[number] for number in both) / len(both) if both else None
        after = sum(candidate.scores[number] for number in both) / len(both) if both else None
        return {
            "candidate": candidate.number,
            "parent": candidate.parent,
            "step": candidate.step,
            "changed": tuple(candidate.instructions),
            "examples": len(candidate.scores),
            "shared": len(both),
            "score": after,
            "start_score": before,
            "gain": after - before if after is not None and before is not None else None,
            "returned": self._returned(candidate),
        }

    def _returned(self, candidate: CandidateRecord) -> bool:
        return {**self.instructions_before, **candidate.instructions} == dict(self.instructions_after)

    def _edit(self, name: str, around: int | None = None) -> str:
        return word_diff(self.instructions_before.get(name, ""), self.instructions_after[name], around)

    @printable
    def __str__(self) -> str:
        return "\n".join(self._lines())

    @property
    def _decided(self) -> str:
        if self.final is not None:
            return self.final.reason
        tried, budget = len(self.candidates) > 1, self.ending is Ending.BUDGET
        if self.ending in (Ending.INTERRUPTED, Ending.JOURNAL, Ending.FAILED) or (budget and not tried):
            return "the run ended before it could decide"
        if not tried:
            return "none; nothing else than the start was evaluated, which is returned"
        if self.changed:
            return "none; what was accepted is returned"
        if not any(step.verdict == "accepted" for step in self.steps):
            return "none; no proposal was accepted, and the start is returned"
        return "none; nothing that was tried is expected to be better than the start, which is returned"

    @property
    def _both(self) -> tuple[Mapping[int, float], Mapping[int, float]]:
        """The scores of the start, and those of the returned program, on the examples to decide on."""
        returned = (one.scores for one in self.candidates if self._returned(one))
        return self.candidates[0].scores if self.candidates else {}, next(returned, {})

    @property
    def _scores(self) -> str:
        """How the start and the returned program score, on the same examples only."""
        start, returned = self._both
        shared, all_of_them = len(start.keys() & returned.keys()), max(len(start), len(returned))
        if not math.isfinite(self.score_before) or not math.isfinite(self.score_after):
            alone = [_alone(*one) for one in (("the start", start), ("the returned program", returned)) if one[1]]
            apart = f" of both programs ({', '.join(alone)}: not comparable)" if alone else ""
            return f"No example to decide on has a score{apart}"
        on = f"on {counted(shared, 'example')} to decide on"
        said = f"Score {self.score_before:.4g} -> {self.score_after:.4g} {on}"
        if not self.changed:
            said = f"The start, which is returned, scores {self.score_before:.4g} {on}"
        elif shared < max(all_of_them, self.final.planned if self.final is not None else 0):
            said += ", all that both ran on"
        return said + self._missing

    @property
    def _missing(self) -> str:
        """How many calls would run the start and the best program on all; where few ran on both, a warning says so."""
        final = self.final
        if final is None or not final.missing_calls or len(self._compared) < FEW:
            return ""
        ran = "both" if self.changed else "it and the best program found"
        return f"; about {counted(final.missing_calls, 'more call')} would run {ran} on all {final.planned}"

    @property
    def _compared(self) -> set[int]:
        """The examples to decide on that the start and the best program found ran on."""
        found = [one.scores for one in self.candidates if self.final and one.number == self.final.candidate]
        return self.candidates[0].scores.keys() & found[0].keys() if found else set()

    def _lines(self) -> Iterator[str]:
        yield from wrapped(f"Decision: {clean(self._decided)}", "", _REASON, indent=0)
        yield from wrapped(self._scores, "", 4, indent=0)
        accepted = sum(step.verdict == "accepted" for step in self.steps)
        changed = f"Changed {len(self.changed)} of {len(self.instructions_after)} instructions"
        made = f"; {accepted} of {counted(len(self.steps), 'step')} accepted a proposal" if self.steps else ""
        made += ", the decision at the end did" if self.changed and not accepted else ""
        yield from wrapped(changed + made, "", 2, indent=0)
        for name in self.changed:
            yield from wrapped(clean(name), "", 2, indent=2)
            yield from wrapped(spelled(self._edit(name, AROUND)), "", _EDIT)
        total = self.total
        spent = f"Spent {counted(total.calls, 'call')}, {total.tokens_told}{_dollars(total)}, {self.seconds:.1f} s"
        yield from wrapped(spent, "", 2, indent=0)
        yield from wrapped(f"Ended: {clean(self.reason or self.ending.value)}", "", _REASON, indent=0)
        yield from warned(self.warnings, _WARNINGS)


_UNSPACED = r"\p{lb=ID}\p{lb=CJ}\p{lb=SA}"
_WORD = regex.compile(rf"(?V1)\s*(?:[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+)|\s+\Z")
"""A word, or a character of a script without spaces, with the space before it."""
_MOST_PAIRS = 400_000_000
"""Texts with more pairs of words are not compared word by word: it would take over 50 MB."""


def word_diff(before: str, after: str, around: int | None = None) -> str:
    """A text with what became of it, in whole words: `[-taken out-]`, `{+put in+}`, and so many words around them."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) * len(new) > _MOST_PAIRS:
        return _changed(before, after)
    bare = ([one.strip() for one in text] for text in (old, new))
    parts, at, new_at = [], 0, 0
    for block in LCSseq.editops(*bare).as_matching_blocks():
        parts.append(_changed("".join(old[at : block.a]), "".join(new[new_at : block.b])))
        at, new_at = block.a + block.size, block.b + block.size
        kept = [_spaced(*pair) for pair in zip(old[block.a : at], new[block.b : new_at], strict=True)]
        parts.append("".join(kept if around is None else _beside(kept, around, not block.b, new_at == len(new))))
    return "".join(parts)


def _changed(gone: str, come: str) -> str:
    # A space that stands before both is no part of the change.
    lead = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1] and pair[0].isspace(), zip(gone, come, strict=False))
    )
    shared, gone, come = gone[:lead], gone[lead:], come[lead:]
    return shared + (f"[-{gone}-]" if gone else "") + (f"{{+{come}+}}" if come else "")


def _spaced(old: str, new: str) -> str:
    """A word that stayed, whose space may have changed."""
    word = new.lstrip()
    spaces = old[: len(old) - len(old.lstrip())], new[: len(new) - len(word)]
    return new if old == new else _changed(*spaces) + word


def _beside(kept: list[str], around: int, first: bool, last: bool) -> list[str]:
    """Unchanged words, far from any change left out."""
    head, tail = 0 if first else around, 0 if last else around
    if len(kept) <= head + tail + 1 or (first and last):
        return kept
    return [*kept[:head], " ..." if head else "...", *kept[len(kept) - tail :]]


def _dollars(spent: Spent) -> str:
    return f", ${spent.usd:.4g}" if spent.usd else ""


def _alone(name: str, scores: Mapping[int, float]) -> str:
    mean = math.fsum(scores.values()) / len(scores)
    return f"{name} scores {mean:.4g} on {counted(len(scores), 'example')}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
