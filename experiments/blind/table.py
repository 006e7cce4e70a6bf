"""What came of the runs, as the tables of the page; all from the record."""

from __future__ import annotations

from typing import Any

from unseen.table import TITLES, differences, gain, gains, promises

POINT = 0.01
"""Of a hundred."""


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of all tables: gains, differences from the default, what was promised, who lost a point or more."""
    lines = [*gains(rows), "", *differences(rows), "", *promises(rows)]
    lost = {title: [row for row in rows if row["optimizer"] == name] for name, title in TITLES.items()}
    shown = [
        f"| {title} | {sum(gain(row) < -POINT for row in runs)} of {len(runs)} |"
        for title, runs in lost.items()
        if runs
    ]
    return [*lines, "", "| optimizer | lost more than a point |", "|---|---|", *shown]
