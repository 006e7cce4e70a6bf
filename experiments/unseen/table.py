"""What came of the runs, as the tables of the page; all from the record."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
TITLES = {
    "semantic": "`semantic` (default)",
    "one_step": "`presets.one_step()`",
    "published": "`presets.published()`",
    "gepa": "`dspy.GEPA`, round robin",
    "gepa_all": "`dspy.GEPA`, all components",
    "gepa_all_small": "`dspy.GEPA`, all components, 6 to decide on",
    "simba": "`dspy.SIMBA`",
    "miprov2": "`dspy.MIPROv2`",
    "copro": "`dspy.COPRO`",
}
LATER = "told"
OURS = ("semantic", "one_step", "published")


def tables(rows: list[Row]) -> list[str]:
    """The lines of all tables: gains, differences from the default, what was promised; the world added later apart."""
    fixed = [row for row in rows if row["world"] != LATER]
    later = [row for row in rows if row["world"] == LATER]
    lines = [*gains(fixed), "", *differences(fixed), "", *promises(fixed)]
    return [*lines, "", *gains(later), "", *differences(later)] if later else lines


def cells(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """The worlds and caps of the rows."""
    return list(
        dict.fromkeys((row["world"], row["cap"]) for row in sorted(rows, key=lambda one: (one["cap"], one["world"])))
    )


def gains(rows: list[Row]) -> list[str]:
    """Mean true gain in points of 100, with its standard error; in how many runs the program became worse."""
    columns = cells(rows)
    lines = [
        _line("optimizer", *(f"{world}, {cap}" for world, cap in columns), "worse", "requests"),
        "|---|" + "---|" * (len(columns) + 2),
    ]
    for name, title in TITLES.items():
        mine = [row for row in rows if row["optimizer"] == name]
        if mine:
            shown = [
                _with_error([100 * gain(row) for row in mine if (row["world"], row["cap"]) == cell]) for cell in columns
            ]
            worse = sum(gain(row) < -0.001 for row in mine)
            used = statistics.fmean(row["calls"] / row["cap"] for row in mine)
            lines.append(_line(title, *shown, f"{worse} of {len(mine)}", f"{100 * used:.0f} %"))
    return lines


def differences(rows: list[Row]) -> list[str]:
    """The default's true gain less each other's, paired by seed, in points of 100 with its standard error."""
    columns = cells(rows)
    lines = [
        _line("default less", *(f"{world}, {cap}" for world, cap in columns), "all"),
        "|---|" + "---|" * (len(columns) + 1),
    ]
    default = {_key(row): gain(row) for row in rows if row["optimizer"] == "semantic"}
    for name, title in TITLES.items():
        mine = [row for row in rows if row["optimizer"] == name != "semantic" and _key(row) in default]
        if mine:
            less = {_key(row): 100 * (default[_key(row)] - gain(row)) for row in mine}
            shown = [_with_error([one for key, one in less.items() if key[:2] == cell]) for cell in columns]
            lines.append(_line(title, *shown, _with_error(list(less.values()))))
    return lines


def promises(rows: list[Row]) -> list[str]:
    """What ours said at the end, beside the truth."""
    lines = [
        _line(
            "method",
            "runs",
            "changed",
            "range holds the truth",
            "said less true",
            "proven",
            "proven, yet worse",
            "changed, yet worse",
        ),
        "|---|" + "---|" * 7,
    ]
    for name in OURS:
        mine = [row for row in rows if row["optimizer"] == name]
        changed = [row for row in mine if row["changed"]]
        final = [row for row in changed if row["final"] and row["final"]["interval"]]
        proven = [row for row in changed if row["final"] and row["final"]["proven"]]
        if mine:
            held = _held(final)
            bias = _with_error([100 * (row["final"]["gain"] - gain(row)) for row in final])
            worse = [str(sum(gain(row) < -0.001 for row in some)) for some in (proven, changed)]
            lines.append(_line(TITLES[name], len(mine), len(changed), held, bias, len(proven), *worse))
    return lines


def gain(row: Row) -> float:
    """The true gain of a run, 0 to 1."""
    return row["after"] - row["before"]


def _held(rows: list[Row]) -> str:
    if not rows:
        return "says none"
    above = sum(gain(row) > row["final"]["interval"][1] for row in rows)
    below = sum(gain(row) < row["final"]["interval"][0] for row in rows)
    return f"{len(rows) - above - below} of {len(rows)} ({above} above, {below} below)"


def _key(row: Row) -> tuple[str, int, int]:
    return row["world"], row["cap"], row["seed"]


def _with_error(values: list[float]) -> str:
    if not values:
        return ""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):+.1f} ± {error:.1f}"


def _line(*shown: object) -> str:
    return "| " + " | ".join(map(str, shown)) + " |"
