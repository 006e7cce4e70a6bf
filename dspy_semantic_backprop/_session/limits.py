"""How long a run waits, and how much it does without."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .._errors import SetupError

LONGEST_REQUEST = 600.0
"""How long a request may take where nobody says: longer without an answer, ten minutes, is no answer."""


@dataclass(frozen=True)
class Limits:
    """How long a run waits for a request, an example and a metric, and how many examples it does without.

    Args:
        request: The longest that one request to a language model may take, in seconds; then it counts as a
            failure of the provider and is retried. Where it is not set, a longer `timeout` of the language model's
            own counts instead. None sets no limit, and saves a thread for each request under way.
        example: The longest that a program may take for one example, in seconds; then the example is missing,
            as after any failure of the provider, and is not run again. None sets no limit.
        metric: The longest that a metric may take for one example, in seconds; then the run ends with a
            `MetricError`. None sets no limit.
        missing: The largest share of examples that may be missing, 0 to 1, before a run gives up.

    Raises:
        SetupError: If a limit is not above 0, or the share not between 0 and 1.
    """

    request: float | None = LONGEST_REQUEST
    example: float | None = None
    metric: float | None = None
    missing: float = 0.2

    def __post_init__(self) -> None:
        for name in ("request", "example", "metric"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise SetupError(f"limits.{name} must be seconds above 0, not {value!r}; None sets no limit")
        if not (_is_number(self.missing) and 0 <= self.missing <= 1):
            raise SetupError(f"limits.missing must be a share from 0 to 1, not {self.missing!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
