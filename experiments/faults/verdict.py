"""What a method says of a fault, and whether that is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dspy_semantic_backprop import Spent

METHODS = ("semantic", "unpooled", "isolated", "shuffled", "judge", "judges", "judges_pooled", "last", "uniform")
AT_ONCE = 16
"""How many questions are open at the same time."""

Shares = dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """What a method says of a fault.

    Args:
        shares: Predictor -> blame; the larger, the more it is suspected.
        spent: What finding that out cost, the executions themselves left out.
        said: The answers that it rests on, as JSON values, one for each failure; empty where none are kept.
    """

    shares: Shares
    spent: Spent = field(default_factory=Spent)
    said: Sequence[Any] = ()


def mean(shares: Sequence[Mapping[str, float]], names: Sequence[str]) -> Shares:
    """Name -> its mean share; 0 where it has none."""
    return {name: sum(one.get(name, 0.0) for one in shares) / max(1, len(shares)) for name in names}


def success(shares: Mapping[str, float], guilty: str, most: int) -> float:
    """Whether the guilty predictor is among the `most` suspected ones; ties count by their chance, 0 to 1."""
    mine = shares[guilty]
    above = sum(share > mine + 1e-9 for share in shares.values())
    level = sum(abs(share - mine) <= 1e-9 for share in shares.values())
    return min(1.0, max(0.0, (most - above) / level))
