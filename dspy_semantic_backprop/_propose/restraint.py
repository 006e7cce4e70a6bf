"""What an edit of an instruction must respect: its length, how much it changes, and what must stay word for word.

Small patches come first: an edit that adds, removes or replaces few words shows what it does, and keeps what works.
Where patches are refused again and again, larger ones are allowed, until the whole text may change.

Why no marks such as `<keep>...</keep>` inside an instruction: they would be sent to the task's model with every call,
or the user's program would have to be rewritten to hide them; and they would be lost with the first model that does not
copy them. A protected text is named beside the program, and found where it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .._errors import SetupError
from .._evaluate.candidate import Candidate, canonical

Leaks = Literal["clean", "refuse", "allow"]
"""What becomes of an edit that quotes examples: the quotations are left out, it is refused, or nothing."""

_DOUBLINGS = 20
"""So often doubled, any budget is larger than any instruction."""


@dataclass(frozen=True)
class Restraint:
    """What every edit must respect.

    Args:
        longest: The most characters of an instruction.
        words: The most words that one of the first edits may add, remove or replace; None allows whole rewrites.
        patience: After so many failures in a row of a predictor's edits, refused or rejected, `words` doubles.
        protect: Texts that must stay where they stand in an instruction: word for word, as often, in this order; for
            all predictors, or predictor's name -> texts. A text is found as whole words, with its white space as DSPy
            stores it.
        constraints: What else the proposing model is asked to respect, in plain language.
        length_penalty: What an instruction that grew loses, in metric points for each 1,000 characters.
        leaks: What becomes of an edit that quotes training examples.

    Raises:
        SetupError: If one of the values cannot be.
    """

    longest: int = 20_000
    words: int | None = None
    patience: int = 2
    protect: Sequence[str] | Mapping[str, Sequence[str]] = ()
    constraints: Sequence[str] = ()
    length_penalty: float = 0.0
    leaks: Leaks = "clean"

    def __post_init__(self) -> None:
        for name in ("longest", "words", "patience"):
            value = getattr(self, name)
            if value is None and name == "words":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SetupError(f"{name} must be a whole number of at least 1, not {value!r}")
        penalty = self.length_penalty
        if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty < math.inf:
            raise SetupError(f"length_penalty must be a number of metric points of at least 0, not {penalty!r}")
        if self.leaks not in get_args(Leaks):
            raise SetupError(f"leaks must be one of {', '.join(map(repr, get_args(Leaks)))}, not {self.leaks!r}")
        _check_texts("constraints", self.constraints)
        if isinstance(self.protect, Mapping):
            for predictor, texts in self.protect.items():
                _check_texts(f"protect[{predictor!r}]", texts)
        else:
            _check_texts("protect", self.protect)

    def check(self, start: Candidate) -> None:
        """Find out whether all that is protected is there, before anything is spent.

        Args:
            start: The instructions of the program.

        Raises:
            SetupError: If a protected text stands in no instruction, or a predictor is unknown.
        """
        if isinstance(self.protect, Mapping):
            unknown = [name for name in self.protect if name not in start.instructions]
            if unknown:
                known = ", ".join(start.instructions)
                raise SetupError(f"protect names {unknown[0]!r}, but the predictors are: {known}")
        names = list(self.protect) if isinstance(self.protect, Mapping) else list(start.instructions)
        standing = {name: self.spans(name, start.instructions[name]) for name in names}
        for name in names:
            for span in self._protected(name):
                where = [name] if isinstance(self.protect, Mapping) else names
                if not any({span.strip(), canonical(span)} & set(standing[one]) for one in where):
                    raise SetupError(
                        f"the protected text {span!r} does not stand in the instruction of {' or '.join(where)}:"
                        " copy it exactly as it is there"
                    )

    def budget(self, failures: int) -> int | None:
        """The most words that the next edit of a predictor may change.

        Args:
            failures: How many of its edits in a row were refused or rejected.

        Returns:
            The number of words; None if the whole text may change.
        """
        doublings = failures // self.patience
        return None if self.words is None or doublings >= _DOUBLINGS else self.words * 2**doublings

    def penalty(self, old: str, new: str) -> float:
        """What an instruction loses for having grown, in metric points."""
        return self.length_penalty * max(0, len(new) - len(old)) / 1000

    def spans(self, predictor: str, current: str) -> tuple[str, ...]:
        """The protected texts that stand in a predictor's instruction, each as often as it does, in order."""
        text = canonical(current)
        return _in_order(self._forms(predictor, text), text)

    def violation(self, new: str, current: str, predictor: str, *, failures: int = 0) -> str:
        """Why an edit is refused.

        Args:
            new: The proposed instruction, without what the program itself puts behind it.
            current: The instruction that it would replace, likewise.
            predictor: The predictor's name.
            failures: How many of the predictor's edits in a row were refused or rejected.

        Returns:
            The reason, in words that the proposing model can act on; "" if the edit respects everything.
        """
        if len(new) > self.longest:
            return f"it has {len(new)} characters, and at most {self.longest} are accepted: shorten it"
        wanted = self.spans(predictor, current)
        found = _in_order(set(wanted), canonical(new))
        if wanted != found:
            return _difference(wanted, found)
        budget = self.budget(failures)
        size = edit_size(current, new) if budget is not None else 0
        if budget is not None and size > budget:
            return (
                f"it adds, removes or replaces {size} words of the current instruction, and at most {budget} may be"
                " changed: keep the rest word for word"
            )
        return ""

    def told(self, current: str, predictor: str, *, failures: int = 0) -> str:
        """What the proposing model is told to respect.

        Args:
            current: The instruction to improve.
            predictor: The predictor's name.
            failures: How many of its edits in a row were refused or rejected.

        Returns:
            One line for each demand.
        """
        lines = [f"At most {self.longest} characters."]
        budget = self.budget(failures)
        if budget is not None:
            lines.append(
                f"Add, remove or replace at most {budget} words of the current instruction, and keep all others."
            )
        spans = self.spans(predictor, current)
        if spans:
            lines.append("Keep these texts word for word, as often as they are listed, in this order:")
            lines += [f"<<<{span}>>>" for span in spans]
        if self.leaks != "allow":
            lines.append("Do not quote the inputs or the answers of the examples.")
        return "\n".join([*lines, *self.constraints])

    def _protected(self, predictor: str) -> Sequence[str]:
        return self.protect.get(predictor, ()) if isinstance(self.protect, Mapping) else self.protect

    def _forms(self, predictor: str, text: str) -> set[str]:
        """The protected texts as they stand in an instruction: DSPy removes indentation."""
        return {span.strip() if _places(span.strip(), text) else canonical(span) for span in self._protected(predictor)}


def edit_size(old: str, new: str) -> int:
    """The fewest words that must be added, removed or replaced to make one text of another.

    White space makes no difference. This is the edit distance of the texts' words. Why not `difflib`: what it finds is
    not the fewest, and for long texts that repeat themselves it takes minutes.

    Args:
        old: The text before.
        new: The text after.

    Returns:
        The number of words.
    """
    before, after = old.split(), new.split()
    start = _common(before, after)
    before, after = before[start:], after[start:]
    end = _common(before[::-1], after[::-1])
    numbers: dict[str, int] = {}
    left, right = (
        np.array([numbers.setdefault(word, len(numbers)) for word in some[: len(some) - end]], np.int64)
        for some in (before, after)
    )
    at = np.arange(len(right) + 1)
    sizes = at
    for number, word in enumerate(left.tolist(), 1):
        kept = np.minimum(sizes[1:] + 1, sizes[:-1] + (right != word))
        # A word is added behind each place at the price of one more.
        sizes = np.minimum.accumulate(np.concatenate([[number], kept]) - at) + at
    return int(sizes[-1])


def _common(some: Sequence[str], others: Sequence[str]) -> int:
    """How many words two texts begin with in common."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(some), len(others)))


def _in_order(spans: Iterable[str], text: str) -> tuple[str, ...]:
    return tuple(span for _, span in sorted((place, span) for span in spans for place in _places(span, text)))


def _places(span: str, text: str) -> list[int]:
    """Where a text stands in another, not inside a longer word; also where it overlaps itself."""
    before = r"(?<!\w)" if re.match(r"\w", span) else ""
    behind = r"(?!\w)" if re.search(r"\w\Z", span) else ""
    return [match.start() for match in re.finditer(rf"{before}(?={re.escape(span)}{behind})", text)]


def _difference(wanted: Sequence[str], found: Sequence[str]) -> str:
    counts = {span: (found.count(span), wanted.count(span)) for span in dict.fromkeys(wanted)}
    wrong = [
        f"the protected text {span!r} stands there {_times(here)}, and must {_times(there)}, word for word"
        for span, (here, there) in counts.items()
        if here != there
    ]
    return "; ".join(wrong) or f"the protected texts must stand in this order: {', then '.join(map(repr, wanted))}"


def _times(number: int) -> str:
    return {0: "nowhere", 1: "once"}.get(number, f"{number} times")


def _check_texts(name: str, texts: object) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise SetupError(f"{name} must be a list of texts, not {texts!r}")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise SetupError(f"{name} must hold texts that are not empty, not {text!r}")
