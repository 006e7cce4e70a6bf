"""The benchmark of replays: its digest tells graphs apart and itself nothing new, its ratios are medians."""

from __future__ import annotations

import pytest
from probing import CORPUS, once, ratios


def test_a_program_has_the_same_edges_each_time_and_others_without_replays():
    case = CORPUS["module-batch"]
    found = [once(case, way) for way in ("bare", "never", "auto", "auto")]
    assert [one["edges"] for one in found[2:]] == [found[2]["edges"]] * 2
    assert found[0]["edges"] == "" != found[1]["edges"] != found[2]["edges"]
    assert all(one["seconds"] > 0 and one["cpu"] >= 0 for one in found)


def test_ratios_are_medians_over_programs_and_leave_out_what_was_not_measured():
    rows = [
        {unit: {"bare": 1.0, "never": 2.0, "auto": auto} for unit in ("seconds", "cpu")} for auto in (2.0, 6.0, 90.0)
    ]
    medians = {title: units["cpu"] for title, units in ratios(rows).items()}
    assert medians == {"never over bare": pytest.approx(2), "auto over never": pytest.approx(3)}
