"""What a proposed text must pass before it costs anything; each refusal says what to do instead.

A text is known that says the same as an earlier one in nearly the same words. Case, white space, punctuation, markdown,
filler and the order of sentences make no difference. Everything else does: a number, a "not", a comparison sign, an
exact text in quotation marks. In doubt two instructions differ: to evaluate one too many costs money, to miss a better
one costs the run.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._evaluate.candidate import Candidate
from .copied import said_in
from .injection import InjectionGuard, Unasked, origin, searched, stands
from .leaks import LeakGuard, fields
from .lessons import ADVICE, INSTRUCTION_HEADING, OUTPUT_HEADING
from .protected import Parameters
from .restraint import Restraint

_MARKUP = re.compile(r"^[ \t]*(?:[-*+\u2022>]|#+|\(?\d+[.)]|\(?[a-z][.)])[ \t]+|(\*\*|__)(?=\S)|(?<=\S)(\*\*|__)", re.M)
_LITERAL = re.compile(r"`+([^`\n]+)`+|\"([^\"\n]+)\"|\u201c([^\u201d\n]+)\u201d|(?<!\w)'([^'\n]+)'(?!\w)")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[\u3002\uff01\uff1f])")
_TOKEN = re.compile(
    r"\x00\d+\x00|(?:(?<![\w)])-)?\d+(?:[.,]\d+)*%?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*"
    r"|[+*/=<>\u2264\u2265\u2260\u00b1^|&~$\u20ac\u00a3{}\[\]\u2192_@#\\]+|(?<=\s)-(?=\s)|\(\w{1,2}\)"
)
_OPENERS = (
    r"(?:please|kindly|remember to|remember that|be sure to|be sure that|make sure to|make sure that|note that"
    r"|you should|you must|you need to|you have to|also|in addition|additionally|furthermore|moreover)\b,?\s*"
)
_OPENER = re.compile(rf"^\W*(?:{_OPENERS})+", re.IGNORECASE)
_FILLER = frozenset("a an the please just simply really quite kindly basically actually".split())  # noqa: SIM905

Gist = frozenset[tuple[tuple[str, ...], int]]


def gist(text: str) -> Gist:
    """What of an instruction makes it another one: its sentences without filler, and how often each stands there."""
    text = unicodedata.normalize("NFKC", text.replace("\r\n", "\n"))
    literals: list[str] = []

    def keep(match: re.Match[str]) -> str:
        said = next(part for part in match.groups() if part)
        if re.fullmatch(r"[a-z]+(?: [a-z]+)*[.,]?", said):
            return f" {said} "
        literals.append(" ".join(said.split()))
        return f" \x00{len(literals) - 1}\x00 "

    plain = _MARKUP.sub("", _LITERAL.sub(keep, text.replace("\x00", "")))
    said = [_words(_OPENER.sub("", sentence), literals) for sentence in _SENTENCE.split(plain)]
    return frozenset(Counter(words for words in said if words).items())


def near_duplicate(text: str, others: Iterable[str]) -> str | None:
    """The first of some instructions that says the same as another one; None if there is none."""
    mine = gist(text)
    return next((other for other in others if gist(other) == mine), None)


def _words(sentence: str, literals: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for token in _TOKEN.findall(sentence):
        if token[0] == "\x00":
            found.append(f"'{literals[int(token.strip(chr(0)))]}'")
        elif token.casefold() not in _FILLER:
            number = token.replace(",", "") if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?", token) else token
            found.append(number.casefold().replace("\u2019", "'"))
    return tuple(found)


_SHOWN = 80
_NAMED = 3
"""So many things that nobody asked for are named in a refusal."""


@dataclass(frozen=True)
class Screened:
    """A proposed text after the screen.

    Args:
        text: The text, without what it quoted of examples; as proposed where it is refused.
        refusal: Why it is not used, in words that a language model can act on; "" if it is.
        known: Whether that is because it was tried before.
        injected: Whether that is because it holds what nobody asked for.
        cut: What it quoted, in such words, where the text is used without the quotation.
    """

    text: str
    refusal: str = ""
    known: bool = False
    injected: bool = False
    cut: str = ""


@dataclass
class Screen:
    """Screens the texts that a run proposes, and remembers what helped nothing.

    Args:
        guard: Knows the examples; None lets quotations pass.
        injection: Knows the user's own texts; None lets everything pass that nobody asked for.
        examples: What each example is called, and the example.

    Attributes:
        places: Words that nobody asked for -> where they come from, as far as it was looked for.
        failed: Predictor -> the texts that were tried for it and helped nothing, oldest first.
        failures: Predictor -> how many of its edits in a row were refused or rejected.
    """

    parameters: Parameters
    restraint: Restraint = field(default_factory=Restraint)
    guard: LeakGuard | None = None
    injection: InjectionGuard | None = None
    examples: Sequence[tuple[str, Any]] = ()
    places: dict[str, str] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    _given_sentences: Counter[str] | None = None

    @classmethod
    def of(
        cls, parameters: Parameters, restraint: Restraint, sets: Mapping[str, Sequence[Any]], start: Candidate
    ) -> Screen:
        """The screen of a run that starts with some instructions; no example of some sets, by name, may be quoted.

        Raises:
            SetupError: If a text that is to be protected stands nowhere.
        """
        restraint.check(start)
        named = [(f"example {at} of the {name}", one) for name, some in sets.items() for at, one in enumerate(some)]
        guard = None if restraint.leaks == "allow" else LeakGuard([example for _, example in named], start)
        asked_for = InjectionGuard([*start.instructions.values(), *restraint.texts])
        return cls(parameters, restraint, guard, asked_for, named)

    def __call__(self, predictor: str, text: str, parent: Candidate, shown: Iterable[tuple[str, str]] = ()) -> Screened:
        """Screen a text for a predictor, without the part that DSPy writes, as an edit of a program.

        Args:
            shown: What its author was shown: where each text comes from, and the text.
        """
        if not text.strip():
            return Screened(text, "the proposal is empty")
        shown = list(shown)
        unasked = self._unasked(text, shown)
        if unasked:
            return Screened(text, self._injected(unasked, shown), injected=True)
        current = self.parameters.free(predictor, parent.instructions[predictor])
        for heading in (OUTPUT_HEADING, INSTRUCTION_HEADING):
            if heading in text and heading not in current:
                return Screened(text, f"it repeats the lessons ({_brief(heading)}); write rules made of them")
        if len(text) > self.restraint.longest:
            return Screened(text, self.restraint.violation(text, current, predictor))
        rest = self._without_leaks(text, current)
        if rest is None:
            return Screened(text, self._quotes(text, current))
        cut = self._quotes(text, current) if rest != text else ""
        text = rest
        if copied := self._copied(text):
            return Screened(text, self._injected(copied, shown), injected=True)
        violation = self.restraint.violation(text, current, predictor, failures=self.failures[predictor])
        if violation:
            return Screened(text, violation)
        twin = near_duplicate(text, self.failed.get(predictor, ()))
        if twin is not None:
            said = f"it says the same as a text that was tried and helped nothing: {_brief(twin)}"
            return Screened(text, said, known=True)
        return Screened(text, cut=cut)

    def refused(self, predictor: str) -> None:
        """Count a text that was not used."""
        self.failures[predictor] += 1

    def rejected(self, predictor: str, instruction: str) -> None:
        """Remember an instruction that was tried and helped nothing."""
        self.failures[predictor] += 1
        self.failed.setdefault(predictor, []).append(self.parameters.free(predictor, instruction))

    def accepted(self, predictor: str) -> None:
        """An edit of the predictor was accepted: the next one is its first again."""
        self.failures[predictor] = 0

    def told(self, predictor: str, parent: Candidate) -> str:
        """What the proposing model is told to respect."""
        current = self.parameters.free(predictor, parent.instructions[predictor])
        return self.restraint.told(current, predictor, failures=self.failures[predictor])

    def penalty(self, parent: Candidate, candidate: Candidate, edits: Sequence[str]) -> float:
        """What a candidate loses for having grown, in metric points."""
        return sum(self.restraint.penalty(parent.instructions[one], candidate.instructions[one]) for one in edits)

    def _without_leaks(self, text: str, current: str) -> str | None:
        """The text without what it quotes; None where nothing is left or nothing may be left out."""
        if self.guard is None or self.restraint.leaks == "allow" or not self.guard.leaks(text, current):
            return text
        if self.restraint.leaks == "refuse":
            return None
        return self.guard.cleaned(text, current) or None

    def _unasked(self, text: str, shown: Sequence[tuple[str, str]]) -> tuple[Unasked, ...]:
        """What nobody asked for; of orders that a user may give those that are repeated from data."""
        if self.injection is None:
            return ()
        suspected = self.injection.suspected(text)
        # What the metric asks for, and gradients made of it, is the user's own.
        said = [one for place, one in shown if not place.startswith(ADVICE)] if suspected else []
        said += self._given() if suspected else []
        found = (one for one in suspected if stands(one, said) or self._in_few_labels(one))
        return (*self.injection.unasked(text), *found)

    def _copied(self, text: str) -> tuple[Unasked, ...]:
        """Sentences that the inputs of some examples hold, but not those of most: what most ask for is the task."""
        if self.injection is None or self.restraint.leaks == "allow":
            return ()
        if self._given_sentences is None:
            each = (said_in(searched(text) for _, text in fields(one.inputs())) for _, one in self.examples)
            self._given_sentences = Counter(itertools.chain.from_iterable(each))
        held = self._given_sentences
        return tuple(one for one in self.injection.sentences(text) if 0 < 2 * held[one.key] <= len(self.examples))

    def _given(self) -> list[str]:
        """The texts of the inputs; one that most examples are given alike, such as a list of choices, is the user's."""
        times = Counter(text for _, example in self.examples for _, text in fields(example.inputs()))
        return [text for text, number in times.items() if number < 3 or 2 * number <= len(self.examples)]

    def _in_few_labels(self, suspected: Unasked) -> bool:
        """Whether labels hold the words, but not those of most examples: what most demand is the task itself.

        What no rule can read and two labels share may be the name of a class.
        """
        labels = [[text for _, text in fields(example.labels())] for _, example in self.examples]
        most = len(labels) if suspected.readable else 2
        return 0 < 2 * sum(stands(suspected, texts) for texts in labels) <= most

    def _injected(self, unasked: Sequence[Unasked], shown: Sequence[tuple[str, str]]) -> str:
        """What nobody asked for, and where it comes from."""
        found = []
        for one in unasked[:_NAMED]:
            if shown or one.key not in self.places:
                given = ((f"{name} ({place})", text) for name, each in self.examples for place, text in fields(each))
                place = origin(one, itertools.chain(given, shown))
                self.places[one.key] = f"it stands in {place}" if place else "the proposing model's own words"
            found.append(f"{one}: {self.places[one.key]}")
        said = "; ".join(found) + ("; and more" if len(unasked) > _NAMED else "")
        return f"it holds what no instruction of the program asked for, {said}; write an instruction without it"

    def _quotes(self, text: str, current: str) -> str:
        assert self.guard is not None
        leak = self.guard.leaks(text, current)[0]
        quoted = _brief(text[leak.span[0] : leak.span[1]])
        example = self.examples[leak.example_id][0] if self.examples else f"example {leak.example_id}"
        return f"it quotes {example} ({leak.field}): {quoted}; write rules that hold for any example"


def _brief(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")
