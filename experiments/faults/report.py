"""Results of single faults -> rows with intervals, tests, a table and a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .verdict import METHODS


@dataclass(frozen=True)
class Hit:
    """How a method did on one fault.

    Args:
        top1: Whether it suspects the guilty predictor most; of a tie the share, 0 to 1.
        top2: The same for the two that it suspects most.
        calls: Language-model calls that it took.
        tokens: Tokens sent and received.
        shares: Predictor -> blame.
    """

    top1: float
    top2: float
    calls: int
    tokens: int
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One fault, judged by every method at every level of noise.

    Args:
        shape: The program's shape.
        predictor: The guilty one.
        kind: How it was broken.
        joint: Whether that can be seen only where outputs are judged together.
        failed: The failed executions that were judged.
        tried: The executions.
        right: Of `checked` executions of the unbroken program, how many were right.
        checked: See `right`.
        hits: (method, noise) -> how it did; empty of a fault that made no answer wrong.
        said: What the failed executions and the methods said, as JSON values.
    """

    shape: str
    predictor: str
    kind: str
    joint: bool
    failed: int
    tried: int
    right: int
    checked: int
    hits: Mapping[tuple[str, float], Hit]
    said: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values; `top1` by noise and method."""
        plain = {name: value for name, value in vars(self).items() if name not in ("hits", "said")}
        top1: dict[str, dict[str, float]] = {}
        for (method, noise), hit in self.hits.items():
            top1.setdefault(f"{noise:g}", {})[method] = round(hit.top1, 4)
        return {**plain, "top1": top1}


def rows(results: Sequence[Result], shape: str | None = None) -> list[dict[str, Any]]:
    """One row for each method and noise; of one shape, or of all results under a name.

    Args:
        results: Results of one shape, or of several.
        shape: The name in the rows; None takes the first result's.
    """
    made = []
    there = {method for method, _ in results[0].hits}
    for method in (one for one in METHODS if one in there):
        for noise in sorted({noise for _, noise in results[0].hits}):
            hits = [result.hits[method, noise] for result in results]
            count = len(hits)
            top1 = math.fsum(hit.top1 for hit in hits) / count
            made.append(
                {
                    "method": method,
                    "shape": shape or results[0].shape,
                    "noise": noise,
                    "n": count,
                    "top1": round(top1, 4),
                    "top1_interval": [round(bound, 4) for bound in wilson(top1, count)],
                    "top2": round(math.fsum(hit.top2 for hit in hits) / count, 4),
                    "calls": round(sum(hit.calls for hit in hits) / count, 1),
                    "tokens": round(sum(hit.tokens for hit in hits) / count),
                }
            )
    return made


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson interval of a share; chances of less than one count as parts of a success."""
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low, high = ((middle + sign * half) / (1 + z * z / count) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def compared(results: Iterable[Result], first: str, second: str, noise: float) -> dict[str, Any]:
    """Two methods on the same faults: how often only one of them was right, and the exact sign test of that."""
    from scipy.stats import binomtest

    pairs = [(result.hits[first, noise].top1, result.hits[second, noise].top1) for result in results]
    better, worse = sum(one > other for one, other in pairs), sum(one < other for one, other in pairs)
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return {
        "methods": [first, second],
        "noise": noise,
        "n": len(pairs),
        "top1": [round(math.fsum(side) / max(1, len(pairs)), 4) for side in (*zip(*pairs, strict=True),)] or [0, 0],
        "only_first": better,
        "only_second": worse,
        "p": p,
    }


def _methods(made: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in made))


def table(made: Sequence[Mapping[str, Any]]) -> str:
    """Top-1 of every shape and method, one column for each method and noise."""
    noises = sorted({row["noise"] for row in made})
    by = {(row["shape"], row["method"], row["noise"]): row for row in made}
    shapes, methods = list(dict.fromkeys(row["shape"] for row in made)), _methods(made)
    head = f"{'top-1 at noise ' + ' / '.join(f'{noise:g}' for noise in noises):30}" + "".join(
        f"{method:>16}" for method in methods
    )
    lines = [head]
    for shape in shapes:
        cells = [" ".join(f"{by[shape, method, noise]['top1']:.2f}" for noise in noises) for method in methods]
        lines.append(f"{shape:30}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def plot(made: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw top-1 with its interval: shapes beside each other, a panel for each noise, a colour for each method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    noises = sorted({row["noise"] for row in made})
    shapes = list(dict.fromkeys(row["shape"] for row in made))
    methods = _methods(made)
    wide = 0.8 / len(methods)
    figure, panels = pyplot.subplots(len(noises), 1, figsize=(11, 1.2 + 2.2 * len(noises)), sharex=True, squeeze=False)
    for panel, noise in zip(panels[:, 0], noises, strict=True):
        for at, method in enumerate(methods):
            mine = [row for row in made if row["noise"] == noise and row["method"] == method]
            places = [shapes.index(row["shape"]) + (at - len(methods) / 2 + 0.5) * wide for row in mine]
            heights = [row["top1"] for row in mine]
            spread = [
                [max(0.0, row["top1"] - row["top1_interval"][0]) for row in mine],
                [max(0.0, row["top1_interval"][1] - row["top1"]) for row in mine],
            ]
            panel.bar(places, heights, wide, yerr=spread, label=method, error_kw={"elinewidth": 0.6})
        panel.set(ylabel=f"top-1, noise {noise:g}", ylim=(0, 1.05))
    panels[-1, 0].set_xticks(range(len(shapes)), shapes, rotation=25, ha="right")
    panels[0, 0].legend(ncols=len(methods), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
