"""What single requests to a language model cost, learned from DSPy's own usage tracking, for a run's ledger.

The tokens of each recorded call, as its graph shows them, are counted in `_graph/record/recording.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dspy
from dspy.utils.exceptions import LMConfigurationError, LMError
from dspy.utils.usage_tracker import UsageTracker

from ..budget import Bound, Purpose, Spent
from ..ledger import Ledger
from .failures import was_refused
from .prices import Price

ASKED = ("prompt", "messages", "request", "outputs")
"""What an entry of DSPy's history holds besides what an answer alone tells."""
_COUNTED = ("prompt_tokens", "completion_tokens")
_NEVER_SENT = (ConnectionRefusedError, LMConfigurationError)


class RequestUsage(UsageTracker):
    """Learns from DSPy whether one request was answered by a server or by the cache, and at what price."""

    def __init__(self, parent: Any, quiet: bool) -> None:
        super().__init__()
        self.parent = parent
        self.quiet = quiet
        self.entry: Any = None
        self.outputs: Any = None
        self.usage: list[dict[str, Any]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestUsage:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """Note an answer that a server gave."""
        # DSPy calls this for every answer that did not come from its cache, and only for those.
        self.usage.append(usage_entry or {})
        if self.parent is not None:
            self.parent.add_usage(lm, usage_entry)

    @property
    def tokens(self) -> dict[str, int]:
        """What the server counted: prompt_tokens and completion_tokens."""
        return {name: sum(int(usage.get(name) or 0) for usage in self.usage) for name in _COUNTED}

    @property
    def reported(self) -> dict[str, Any]:
        """All that the server counted, as DSPy was told; empty where the cache answered."""
        return dict(self.usage[0]) if len(self.usage) == 1 else self.tokens if self.usage else {}

    @property
    def shown(self) -> dict[str, Any] | None:
        """The entry that DSPy's history got, without what is known from the request; None where it got none."""
        if not isinstance(self.entry, dict):
            return None
        return {name: value for name, value in self.entry.items() if name not in ASKED}

    def spent(self, price: Price | None = None) -> Spent:
        """What the answered request cost, at a price; None takes the client's own."""
        if not self.usage:
            return Spent(cached=1)
        entry = self.entry if isinstance(self.entry, dict) else {}
        replies = entry.get("response")
        tokens = self.tokens
        cost = price.usd(*tokens.values()) if price is not None else entry.get("cost")
        return Spent(
            # DSPy's native engine sends one request for each completion that `n` asks for.
            calls=len(replies) if isinstance(replies, (tuple, list)) else 1,
            **tokens,
            usd=float(cost or 0.0),
            unpriced=int(cost is None),
        )

    def spent_in_vain(self, error: Exception, bound: Bound, price: Price | None = None) -> Spent:
        """What a request cost that ended in an error: at most its bound, since what a silent server did is unknown."""
        if self.usage:
            return self.spent(price)
        if not isinstance(error, LMError) or _was_never_sent(error):
            return Spent()
        if was_refused(error):
            return Spent(calls=1)
        return replace(bound, calls=1).lost


def _was_never_sent(error: BaseException | None) -> bool:
    known: set[int] = set()
    while error is not None and id(error) not in known:
        if isinstance(error, _NEVER_SENT) or "connection refused" in str(error).lower():
            return True
        known.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class Outside(UsageTracker):
    """Books the answered calls of language models that a program keeps where we cannot replace them."""

    def __init__(self, ledger: Ledger, purpose: Purpose, parent: Any) -> None:
        super().__init__()
        self.ledger = ledger
        self.purpose = purpose
        self.parent = parent

    def __deepcopy__(self, memo: dict[int, Any]) -> Outside:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """Book an answer that a server gave."""
        if isinstance(dspy.settings.usage_tracker, RequestUsage):
            return  # it came through a metered client, which books it itself, retries included
        tokens = {name: int((usage_entry or {}).get(name) or 0) for name in _COUNTED}
        self.ledger.book((self.purpose, ""), Spent(calls=1, **tokens, unpriced=1))
        if self.parent is not None:
            self.parent.add_usage(lm, usage_entry)
