"""What an edit of an instruction must respect: its length, how much it changes, and what must stay word for word.

Small patches come first: an edit that adds, removes or replaces few words shows what it does, and keeps what works.
Where patches are refused again and again, larger ones are allowed, until the whole text may change.

A protected text is named beside the program, and found where it stands. Marks inside an instruction, such as
`<keep>...</keep>`, would be sent with every call, and be lost with the first model that does not copy them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rapidfuzz.distance import Levenshtein

from .._errors import SetupError
from .._evaluate.candidate import Candidate, canonical

Leaks = Literal["clean", "refuse", "allow"]
"""What becomes of an edit that quotes examples, after a second try: it is cut out, it is refused, or nothing."""

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

    @property
    def texts(self) -> Sequence[str]:
        """What the user says here in words."""
        protected = self.protect.values() if isinstance(self.protect, Mapping) else [self.protect]
        return [*self.constraints, *(text for texts in protected for text in texts)]

    def check(self, start: Candidate) -> None:
        """Raise `SetupError` if a protected text stands in no instruction, or a predictor is unknown."""
        if isinstance(self.protect, Mapping):
            unknown = [name for name in self.protect if name not in start.instructions]
            if unknown:
                known = ", ".join(start.instructions)
                raise SetupError(f"protect names {unknown[0]!r}, but the predictors are: {known}")
        names = list(self.protect) if isinstance(self.protect, Mapping) else list(start.instructions)
        for name in names:
            where = [name] if isinstance(self.protect, Mapping) else names
            standing = {span for one in where for span in self.spans(one, start.instructions[one])}
            for span in self._protected(name):
                if not standing & {span.strip(), canonical(span)}:
                    raise SetupError(
                        f"the protected text {span!r} does not stand in the instruction of {' or '.join(where)}:"
                        " copy it exactly as it is there"
                    )

    def budget(self, failures: int) -> int | None:
        """The most words that a predictor's next edit may change after so many failures; None if all of them may."""
        doublings = failures // self.patience
        return None if self.words is None or doublings >= _DOUBLINGS else self.words * 2**doublings

    def penalty(self, old: str, new: str) -> float:
        """What an instruction loses for having grown, in metric points."""
        return self.length_penalty * max(0, len(new) - len(old)) / 1000

    def spans(self, predictor: str, current: str) -> tuple[str, ...]:
        """The protected texts that stand in a predictor's instruction, each as often as it does, in order."""
        text = canonical(current)
        # DSPy removes indentation; a protected text may be given with it.
        protected = self._protected(predictor)
        return _in_order({one.strip() if _places(one.strip(), text) else canonical(one) for one in protected}, text)

    def violation(self, new: str, current: str, predictor: str, *, failures: int = 0) -> str:
        """Why an edit is refused, in words that the proposing model can act on; "" if it respects everything.

        Args:
            new: The proposed instruction, without what the program itself puts behind it.
        """
        if len(new) > self.longest:
            return f"it has {len(new)} characters, and at most {self.longest} are accepted: shorten it"
        wanted = self.spans(predictor, current)
        found = _in_order(set(wanted), canonical(new))
        if wanted != found:
            return _difference(wanted, found)
        budget = self.budget(failures)
        if budget is None or (size := edit_size(current, new)) <= budget:
            return ""
        return (
            f"it adds, removes or replaces {size} words of the current instruction, and at most {budget} may be"
            " changed: keep the rest word for word"
        )

    def told(self, current: str, predictor: str, *, failures: int = 0) -> str:
        """What the proposing model is told to respect, one line for each demand; the arguments are `violation`'s."""
        lines = [f"At most {self.longest} characters."]
        budget = self.budget(failures)
        if budget is not None:
            lines.append(f"Add, remove or replace at most {budget} words of the current instruction; keep all others.")
        spans = self.spans(predictor, current)
        if spans:
            lines.append("Keep these texts word for word, as often as they are listed, in this order:")
            lines += [f"<<<{span}>>>" for span in spans]
        if self.leaks != "allow":
            lines.append("Do not quote the inputs or the answers of the examples.")
        return "\n".join([*lines, *self.constraints])

    def _protected(self, predictor: str) -> Sequence[str]:
        return self.protect.get(predictor, ()) if isinstance(self.protect, Mapping) else self.protect


def edit_size(old: str, new: str) -> int:
    """The fewest words that must be added, removed or replaced to make one text of another, white space aside."""
    return Levenshtein.distance(old.split(), new.split())


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
