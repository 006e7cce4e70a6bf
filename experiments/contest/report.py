"""Rows of single runs -> curves, areas under them, differences between optimizers with tests, a table and a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

OURS = "semantic"


def interval(values: Sequence[float]) -> list[float]:
    """The 95 % t interval of a mean; of one value, that value twice.

    Args:
        values: At least one.
    """
    from scipy import stats

    middle = math.fsum(values) / len(values)
    if len(values) < 2:
        return [middle, middle]
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return [middle - half, middle + half]


def curves(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds for each program, optimizer and cap, with t intervals of the held-out score."""
    made = []
    for program, optimizer, cap in _distinct(rows, "program", "optimizer", "cap"):
        some = [row for row in rows if (row["program"], row["optimizer"], row["cap"]) == (program, optimizer, cap)]
        held_out = [row["heldout"] for row in some]
        made.append(
            {
                "program": program,
                "optimizer": optimizer,
                "cap": cap,
                "seeds": len(some),
                "calls": round(math.fsum(row["calls"] for row in some) / len(some), 1),
                "tokens": round(math.fsum(row["tokens"] for row in some) / len(some)),
                "heldout": round(math.fsum(held_out) / len(some), 4),
                "interval": [round(bound, 4) for bound in interval(held_out)],
            }
        )
    return made


def areas(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The area under held-out score against tokens, for each program, optimizer and seed.

    A run's score counts from the tokens that it spent, and until a larger run has a better use for more: the score
    that a user has who spends so many tokens. The area is taken up to the most tokens that any optimizer spent on
    that program and seed, and divided by them: a mean score, between 0 and 1.
    """
    made = []
    for program, seed in _distinct(rows, "program", "seed"):
        here = [row for row in rows if (row["program"], row["seed"]) == (program, seed)]
        most = max(row["tokens"] for row in here)
        for (optimizer,) in _distinct(here, "optimizer"):
            mine = sorted((row for row in here if row["optimizer"] == optimizer), key=lambda row: row["cap"])
            points = [(0, mine[0]["heldout_before"]), *((row["tokens"], row["heldout"]) for row in mine)]
            ends = [*(tokens for tokens, _ in points[1:]), most]
            area = sum(score * max(0, end - begin) for (begin, score), end in zip(points, ends, strict=True))
            made.append(
                {
                    "program": program,
                    "optimizer": optimizer,
                    "seed": seed,
                    "area": round(area / most, 4) if most else points[0][1],
                    "final": mine[-1]["heldout"],
                }
            )
    return made


def standings(areas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each optimizer on each program and on all: mean area and final score, with intervals and mean ranks (1: best)."""
    from scipy.stats import rankdata

    ranks: dict[tuple[str, int, str], dict[str, float]] = {}
    for program, seed in _distinct(areas, "program", "seed"):
        here = [one for one in areas if (one["program"], one["seed"]) == (program, seed)]
        for what in ("area", "final"):
            placed = rankdata([-one[what] for one in here])
            for one, rank in zip(here, placed, strict=True):
                ranks.setdefault((program, seed, one["optimizer"]), {})[what] = float(rank)
    made = []
    for program in [*dict.fromkeys(one["program"] for one in areas), "all"]:
        for (optimizer,) in _distinct(areas, "optimizer"):
            some = [one for one in areas if one["optimizer"] == optimizer and program in (one["program"], "all")]
            if not some:
                continue
            line: dict[str, Any] = {"program": program, "optimizer": optimizer, "n": len(some)}
            for what in ("area", "final"):
                values = [one[what] for one in some]
                placed = [ranks[one["program"], one["seed"], optimizer][what] for one in some]
                line[what] = round(math.fsum(values) / len(some), 4)
                line[f"{what}_interval"] = [round(bound, 4) for bound in interval(values)]
                line[f"{what}_rank"] = round(math.fsum(placed) / len(some), 2)
            made.append(line)
    return made


def differences(areas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours minus each other, paired by program and seed: mean, t interval, and the Wilcoxon signed-rank test."""
    from scipy.stats import wilcoxon

    by = {(one["program"], one["seed"], one["optimizer"]): one for one in areas}
    made = []
    for program in [*dict.fromkeys(one["program"] for one in areas), "all"]:
        for (peer,) in _distinct(areas, "optimizer"):
            pairs = [
                (by[key[0], key[1], OURS], one)
                for key, one in by.items()
                if key[2] == peer != OURS and program in (key[0], "all") and (key[0], key[1], OURS) in by
            ]
            for what in ("area", "final") if pairs else ():
                found = [round(ours[what] - theirs[what], 4) for ours, theirs in pairs]
                tested: Any = wilcoxon(found) if any(found) else None
                made.append(
                    {
                        "program": program,
                        "peer": peer,
                        "what": what,
                        "n": len(found),
                        "mean": round(math.fsum(found) / len(found), 4),
                        "interval": [round(bound, 4) for bound in interval(found)],
                        "better": sum(one > 0 for one in found),
                        "worse": sum(one < 0 for one in found),
                        "p": float(tested.pvalue) if tested else 1.0,
                    }
                )
    return made


def _distinct(rows: Iterable[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def table(record: dict[str, Any]) -> str:
    """The curves, the standings and the tests as text."""
    lines = [f"{'':8}{'':10}" + "  held out at a share of the cap (calls spent)"]
    for program, optimizer in _distinct(record["curves"], "program", "optimizer"):
        mine = [one for one in record["curves"] if (one["program"], one["optimizer"]) == (program, optimizer)]
        cells = "".join(f"{one['heldout']:8.3f} ({one['calls']:5.0f})" for one in mine)
        (place,) = [one for one in record["standings"] if (one["program"], one["optimizer"]) == (program, optimizer)]
        lines.append(f"{program:8}{optimizer:10}{cells}   area {place['area']:.3f}, rank {place['area_rank']:.1f}")
    for one in record["differences"]:
        if one["program"] == "all":
            low, high = one["interval"]
            lines.append(
                f"{OURS} - {one['peer']}, {one['what']}: {one['mean']:+.3f} [{low:+.3f}, {high:+.3f}], "
                f"better on {one['better']} and worse on {one['worse']} of {one['n']}, p = {one['p']:.2g}"
            )
    return "\n".join(lines)


def plot(record: dict[str, Any], path: Path, title: str) -> None:
    """Draw held-out score against tokens: a panel for each program, a line for each optimizer with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    programs = [program for (program,) in _distinct(record["curves"], "program")]
    optimizers = [optimizer for (optimizer,) in _distinct(record["curves"], "optimizer")]
    figure, panels = pyplot.subplots(1, len(programs), figsize=(4.2 * len(programs), 3.8), sharey=True, squeeze=False)
    for panel, program in zip(panels[0], programs, strict=True):
        starts = [row["heldout_before"] for row in record["rows"] if row["program"] == program]
        panel.axhline(math.fsum(starts) / len(starts), color="0.6", linewidth=0.8, linestyle=":", label="as it came")
        for at, optimizer in enumerate(optimizers):
            mine = [
                one
                for one in record["curves"]
                # What ended without a call has no place on a logarithmic axis.
                if (one["program"], one["optimizer"]) == (program, optimizer) and one["tokens"]
            ]
            tokens = [one["tokens"] for one in mine]
            style: dict[str, Any] = {"color": f"C{at}", "linewidth": 2.4 if optimizer == OURS else 1.3}
            panel.plot(tokens, [one["heldout"] for one in mine], marker="o", markersize=4, label=optimizer, **style)
            low, high = ([max(0.0, min(1.0, one["interval"][side])) for one in mine] for side in (0, 1))
            panel.fill_between(tokens, low, high, color=f"C{at}", alpha=0.1, linewidth=0)
        panel.set(title=program, xlabel="tokens spent, thousands", xscale="log", ylim=(0, 1.03))
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(lambda tokens, _: f"{tokens / 1000:g}")
        panel.xaxis.set_minor_locator(ticker.NullLocator())
    panels[0, 0].set_ylabel("held-out score")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.suptitle(title, fontsize=11)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.legend(handles, labels, ncols=len(labels), loc="lower center", frameon=False)
    figure.savefig(path, dpi=100)
