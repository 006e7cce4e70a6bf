"""What replays with one output changed showed together."""

from __future__ import annotations

from dataclasses import dataclass, field

Target = tuple[str, str]
"""A call, or "output", and one of its fields."""


@dataclass
class Seen:
    """What the replays with one output changed showed together.

    Args:
        met: The readers that were reached at all.
        reached: The readers that were reached in replays without made-up calls.
        moved: What moved for sure.
        remote: What moved only together with other calls -> for each such replay, the calls that may be why.
        gone: The calls that disappeared.
    """

    met: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    moved: set[Target] = field(default_factory=set)
    remote: dict[Target, list[frozenset[str]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    @property
    def news(self) -> int:
        """How much is known by now."""
        return len(self.moved) + len(self.remote) + len(self.gone)
