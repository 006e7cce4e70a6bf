"""Two programs on the same examples, as a record that a report holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Paired:
    """What one program scored more than another on the same examples.

    Args:
        examples: On how many examples.
        before: The mean score of the program to beat, in metric points.
        after: The other one's.
        gain: The mean difference, in metric points.
        interval: Where the true gain lies with 90 % confidence, in metric points.
        p_value: How probable at least this gain is if the two are equally good, 0 to 1.
        fixes: On how many examples the other one is better.
        regressions: On how many it is worse.
    """

    examples: int
    before: float
    after: float
    gain: float
    interval: tuple[float, float]
    p_value: float
    fixes: int
    regressions: int

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "interval": list(self.interval)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Paired:
        """The inverse of `to_dict`.

        Raises:
            KeyError: If a part is missing.
            TypeError: If a part is unknown.
        """
        return cls(**{**state, "interval": tuple(state["interval"])})

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.gain:+.3f} ({low:+.3f} to {high:+.3f}), {self.fixes} better, {self.regressions} worse"
