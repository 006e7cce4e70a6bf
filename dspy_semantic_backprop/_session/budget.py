"""What a run may spend, on what, and amounts of it: nothing here counts or waits, see `ledger.py`."""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import SetupError
from .._terminal import printable


@dataclass(frozen=True)
class Budget:
    """The most that a run may spend; None sets no bound.

    Args:
        calls: Requests to language models, retries included; answers from a cache are no requests.
        tokens: Tokens sent and received.
        usd: US dollars.
        metric_calls: Calls of the metric.
        seconds: Wall time, in seconds, over all processes of a run that was resumed.
        prices: Model's name -> US dollars for a million tokens, (sent, received), or (sent, received, read from the
            provider's prompt cache); for models that the client knows no price of, or another one.

    Raises:
        SetupError: If a bound is not a number above 0.
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    metric_calls: int | None = None
    seconds: float | None = None
    prices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("calls", "tokens", "metric_calls", "usd", "seconds"):
            value = getattr(self, name)
            whole = name not in ("usd", "seconds")
            if value is not None and not (_is_amount(value) and value > 0 and (isinstance(value, int) or not whole)):
                kind = "a whole number" if whole else "a finite number"
                raise SetupError(f"budget.{name} must be {kind} above 0, not {value!r}; None sets no bound")
        for model, price in self.prices.items():
            if not isinstance(price, (tuple, list)) or len(price) not in (2, 3) or not all(map(_is_amount, price)):
                raise SetupError(
                    f"budget.prices[{model!r}] must be (US dollars for a million tokens sent, for a million received) "
                    f"and, as a third, for a million read from the provider's prompt cache, not {price!r}"
                )


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


@dataclass(frozen=True)
class Spent:
    """An amount spent.

    Args:
        calls: Requests that reached a language model's server, failed and retried ones included;
            answers from a cache are no requests.
        prompt_tokens: Tokens sent, as the server counted them.
        completion_tokens: Tokens received, as the server counted them.
        usd: US dollars at the price that the client knows, or that the budget states.
        unpriced: Answered requests whose price is not known and which `usd` leaves out.
        cached: Answers that came from DSPy's cache and cost nothing.
        unsure_tokens: The most that requests without a readable answer may have cost: a connection that
            broke, a process that was killed. A budget counts them; `tokens` leaves them out.
        unsure_usd: The same in US dollars.
        reused: Requests that were not sent, since an earlier execution of the run had been answered them; they
            cost nothing and are in no other number.
        cache_read_tokens: Those of `prompt_tokens` that the provider had in its prompt cache; `usd` has them at the
            price that the client knows for them, a budget's bound at the full one.
        cache_write_tokens: Those that it put there, for which some providers take more.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    cached: int = 0
    unsure_tokens: int = 0
    unsure_usd: float = 0.0
    reused: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def tokens_told(self) -> str:
        """The tokens in words, with those that the provider read from its prompt cache."""
        read = f" ({self.cache_read_tokens:,} of them from the provider's cache)" if self.cache_read_tokens else ""
        return f"{self.tokens:,} tokens{read}"

    def __add__(self, other: Spent) -> Spent:
        return Spent(*map(operator.add, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Bound:
    """The most that one request can cost; its calls are those on the wire, one for each completion of `n`."""

    calls: int = 1
    tokens: int = 0
    usd: float = 0.0

    @property
    def lost(self) -> Spent:
        """What the request counts as when nobody knows what it cost."""
        return Spent(calls=self.calls, unsure_tokens=self.tokens, unsure_usd=self.usd)

    def __add__(self, other: Bound) -> Bound:
        return Bound(*map(operator.add, vars(self).values(), vars(other).values()))

    def or_more(self, other: Bound) -> Bound:
        """The larger one of each amount."""
        return Bound(*map(max, vars(self).values(), vars(other).values()))


WORDS = {"calls": "language-model calls", "metric_calls": "metric calls", "usd": "US dollars"}
"""What the amounts of a budget are called; the others as their names are."""


def spent_up(name: str, most: float, used: float, wanted: float, kept: float) -> str:
    """That a budget does not last for another request, with what was kept for the end."""
    rest = f", {kept:,.6g} kept for the decision at the end" if kept else ""
    rest += "" if name == "calls" else f"; the next request may cost {wanted:,.6g}"
    return f"the budget of {most:,.6g} {WORDS.get(name, name)} is spent: {used:,.6g} so far{rest}"


class Purpose(str, enum.Enum):
    """What a request to a language model is for; spending is told apart by it. Equal to its value, a string."""

    FORWARD = "forward"  # the program, run to learn from or measured at the start
    GATE = "gate"  # the program with a proposal's instructions, run to decide on it
    METRIC = "metric"  # the metric's own requests
    BACKWARD = "backward"  # gradients
    PROPOSE = "propose"  # new instructions
    FINAL = "final"  # the program at the end of a run, on examples that nothing was decided on
    CHECK = "check"  # diagnose: the program with some answers changed
    REDUCE = "reduce"  # diagnose: many lessons made few
    NOISE = "noise"  # preflight: the unchanged program, repeated
    HEADROOM = "headroom"  # preflight: an attempt to improve the program
    HELDOUT = "heldout"  # placebo: on held-out examples
    SUBSCRIBER = "subscriber"  # what subscribers ask

    @printable
    def __str__(self) -> str:
        return self.value


Account = tuple[Purpose, str]
"""The purpose of a request, and the predictor that it was for ("" for none)."""
