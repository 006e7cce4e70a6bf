"""How many tokens each call of a predictor took, for the graph; what a run pays for is counted in `usage`.

DSPy reports the usage of every answer that did not come from its cache to the usage tracker of its context,
while the call that asked is under way: so which call that is stands in a context variable of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from dspy.utils.usage_tracker import UsageTracker

CURRENT: ContextVar[tuple[str, Any] | None] = ContextVar("semantic_call", default=None)
"""The predictor call under way here: its provisional id and the predictor."""


class CallUsage(UsageTracker):
    """Adds up tokens by call, and passes everything on to the tracker that was there before.

    Args:
        parent: The user's own tracker, if any.
        keep: Whether to keep the totals too, as DSPy's own tracker does.
    """

    def __init__(self, parent: UsageTracker | None, *, keep: bool) -> None:
        super().__init__()
        self.parent = parent
        self.keep = keep and parent is None
        self.tokens: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        if parent is not None:
            # A `dspy.track_usage` inside of the program writes here when it ends.
            self.usage_data = parent.usage_data

    def __deepcopy__(self, memo: dict[int, Any]) -> CallUsage:
        return self

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        """Add the usage of one answer to that of the call under way."""
        entry = dict(usage_entry or {})
        call = CURRENT.get()
        if call is not None and entry:
            prompt = entry.get("prompt_tokens") or entry.get("input_tokens") or 0
            completion = entry.get("completion_tokens") or entry.get("output_tokens") or 0
            with self._lock:
                mine = self.tokens.setdefault(call[0], {"prompt_tokens": 0, "completion_tokens": 0})
                mine["prompt_tokens"] += int(prompt)
                mine["completion_tokens"] += int(completion)
        if self.parent is not None:
            self.parent.add_usage(lm, entry)
        elif self.keep:
            with self._lock:
                super().add_usage(lm, entry)
