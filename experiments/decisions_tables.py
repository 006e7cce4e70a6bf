"""The figures of the page about decisions, from the study's record, as Markdown.

python experiments/decisions_tables.py experiments/results/decisions-simulated.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

LEVEL = 2.0
"""Points up to which a mean counts as level with the highest."""
Runs = Mapping[int, Mapping[str, float]]
"""The runs of one cell, by seed: before, after and gain in percentage points, and calls."""


@dataclass(frozen=True)
class Study:
    """The runs of a record.

    Args:
        runs: World, size, cap and optimizer -> its runs.
    """

    worlds: tuple[str, ...]
    sizes: tuple[int, ...]
    caps: tuple[int, ...]
    optimizers: tuple[str, ...]
    runs: Mapping[tuple[str, int, int, str], Runs]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Study:
        """The runs of the record that `decisions.py` wrote."""
        runs: dict[tuple[str, int, int, str], dict[int, dict[str, float]]] = defaultdict(dict)
        for row in (dict(zip(record["columns"], one, strict=True)) for one in record["rows"]):
            before, after = 100 * row["before"], 100 * row["after"]
            one = {"before": before, "after": after, "gain": after - before, "calls": row["calls"]}
            runs[row["world"], row["size"], row["cap"], row["optimizer"]][row["seed"]] = one
        told = {name: tuple(record["settings"][name]) for name in ("worlds", "sizes", "caps", "optimizers")}
        return cls(**told, runs=runs)

    def cells(self) -> Iterator[tuple[str, int, int]]:
        """World, size and cap of every cell."""
        return product(self.worlds, self.sizes, self.caps)

    def all_of(self, name: str, optimizer: str, cap: int | None = None) -> list[float]:
        """A figure of all runs of an optimizer, at one cap or at all."""
        cells = [one for one in self.cells() if cap in (None, one[2])]
        return [run[name] for cell in cells for run in self.runs[(*cell, optimizer)].values()]

    def lead(self, other: str, cap: int) -> tuple[float, float]:
        """How much more the first optimizer gains than another one, and the standard error over worlds and seeds."""
        paired: dict[tuple[str, int], list[float]] = defaultdict(list)
        for world, size in product(self.worlds, self.sizes):
            mine, others = (self.runs[world, size, cap, name] for name in (self.optimizers[0], other))
            for seed in mine.keys() & others.keys():
                paired[world, seed].append(mine[seed]["gain"] - others[seed]["gain"])
        return _mean([fmean(one) for one in paired.values()])

    def behind(self) -> list[tuple[tuple[str, int, int], str, tuple[float, float]]]:
        """The cells in which the first optimizer is not first: the cell, who is, by how much with standard error."""
        found = []
        for cell in self.cells():
            means = {name: fmean(_after(self.runs[(*cell, name)])) for name in self.optimizers}
            best = max(means, key=lambda name: round(means[name], 1))
            if round(means[best], 1) > round(means[self.optimizers[0]], 1):
                mine, others = (self.runs[(*cell, name)] for name in (self.optimizers[0], best))
                lead = [others[seed]["after"] - mine[seed]["after"] for seed in mine.keys() & others.keys()]
                found.append((cell, best, _mean(lead)))
        return found


def summary(study: Study) -> list[str]:
    """The table of all worlds and sizes together."""
    names = study.optimizers

    def row(title: str, figures: list[str]) -> str:
        return f"| {title} | {' | '.join(figures)} |"

    lines = [row("over all worlds and sizes", [f"`{name}`" for name in names]), "|---" * (len(names) + 1) + "|"]
    for cap in study.caps:
        lines.append(
            row(f"mean gain, {cap} calls", [f"{fmean(study.all_of('gain', name, cap)):+.1f}" for name in names])
        )
    lines.append(row("truly worse", [_share([one < -1e-6 for one in study.all_of("gain", name)]) for name in names]))
    for cap in study.caps:
        kept = [_share([abs(one) < 1e-9 for one in study.all_of("gain", name, cap)]) for name in names]
        lines.append(row(f"start returned, {cap} calls", kept))
    for cap in study.caps:
        lines.append(row(f"calls, of {cap}", [f"{fmean(study.all_of('calls', name, cap)):.0f}" for name in names]))
    return lines


def leads(study: Study) -> list[str]:
    """How much more the first optimizer gains than each other one, at each cap, with the standard error."""
    lines = [f"| `{study.optimizers[0]}` ahead of | {' | '.join(f'{cap} calls' for cap in study.caps)} |"]
    lines.append("|---" * (len(study.caps) + 1) + "|")
    for name in study.optimizers[1:]:
        figures = (study.lead(name, cap) for cap in study.caps)
        lines.append(f"| `{name}` | {' | '.join(f'{mean:+.1f} ({error:.1f})' for mean, error in figures)} |")
    return lines


def behind(study: Study) -> list[str]:
    """The cells in which another optimizer is ahead of the first by more than is level."""
    lines = ["| world | examples | calls | behind | by | standard error |", "|---" * 6 + "|"]
    for (world, size, cap), best, (lead, error) in study.behind():
        if lead > LEVEL:
            lines.append(f"| {world} | {size} | {cap} | `{best}` | {lead:.1f} | {error:.1f} |")
    return lines


def scores(study: Study, size: int) -> list[str]:
    """The table of one size: the true score of what each optimizer returned, with standard error; bold the highest."""
    lines = [f"| world | cap | start | {' | '.join(f'`{name}`' for name in study.optimizers)} |"]
    lines.append("|---" * (len(study.optimizers) + 3) + "|")
    for world, cap in product(study.worlds, study.caps):
        found = [_mean(_after(study.runs[world, size, cap, name])) for name in study.optimizers]
        best = max(round(mean, 1) for mean, _ in found)
        cells = [f"{_bold(mean, best)} ({error:.1f})" for mean, error in found]
        start = fmean(one["before"] for one in study.runs[world, size, cap, study.optimizers[0]].values())
        lines.append(f"| {world} | {cap} | {start:.1f} | {' | '.join(cells)} |")
    return lines


def parts(study: Study) -> list[list[str]]:
    """Every table of the page."""
    return [summary(study), leads(study), behind(study), *(scores(study, size) for size in study.sizes)]


def _after(runs: Runs) -> list[float]:
    return [run["after"] for run in runs.values()]


def _mean(values: list[float]) -> tuple[float, float]:
    return fmean(values), stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _bold(mean: float, best: float) -> str:
    return f"**{mean:.1f}**" if round(mean, 1) == best else f"{mean:.1f}"


def _share(flags: list[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}"


def main() -> None:
    """Print the tables of a record."""
    study = Study.of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print("\n\n".join("\n".join(lines) for lines in parts(study)))
    cells, others = len(list(study.cells())), study.behind()
    level = sum(lead <= LEVEL for _, _, (lead, _) in others)
    print(f"\nfirst in {cells - len(others)} of {cells}, within {LEVEL:g} points in {level} more")


if __name__ == "__main__":
    main()
