"""Every committed record says where it comes from, and every page with results names its record and its command."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, text_of

RECORDS = sorted((ROOT / "experiments" / "results").glob("*.json"))
RESULTS = [page for page in PAGES if page.parent.name == "results" and page.name != "index.md"]
LINKED = re.compile(r"experiments/results/([\w.-]+\.json)")
ORIGIN = ("commit", "date", "command")

LACKING = {
    "bbh-real-seed0-0-20261124T012447820045": ("made before records named the commit; 20 minutes of a real model", 1),
    "blame-intervals-simulated-seed0": ("made before records named the commit; 12 minutes", 1),
    "fault_localization-simulated-seed0": ("made before records named the commit; 30 minutes", 1),
    "gate-simulated-seed0": ("of a default that is gone: it cannot be made again", 1),
    "latency-simulated-seed0": ("timings of a quiet machine, made before records had an origin", 3),
    "throughput-simulated": ("timings of a quiet machine, made before records named the commit", 1),
    "tracing-simulated": ("timings of a quiet machine, of an older recorder, made before records had an origin", 3),
}
"""Record -> why it is not made again, and how many of commit, date and command it lacks."""
WITHOUT_RECORD = {
    "docs/results/graph-corpus.md": "a test prints these figures",
    "docs/results/outside.md": "measured by others, who published no record",
}
UNNAMED = {"drawings-simulated": "of the drawings themselves"}
"""Records that no page names."""


def lacking(record: dict[str, Any]) -> int:
    # The soak's checks are made one by one, each with an origin of its own.
    parts = record["rows"] if record["study"] == "soak" else [record]
    return sum(not all(part.get(name) for part in parts) for name in ORIGIN)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_its_commit_its_date_and_its_command(path):
    expected = LACKING.get(path.stem, ("", 0))[1]
    assert lacking(json.loads(path.read_text(encoding="utf-8"))) == expected


def test_no_exception_outlives_its_record():
    assert LACKING.keys() | UNNAMED.keys() <= {path.stem for path in RECORDS}


@pytest.mark.parametrize("page", RESULTS, ids=name_of)
def test_a_page_with_results_links_a_record_and_says_the_command_that_made_it(page):
    text = page.read_text(encoding="utf-8")
    linked = set(LINKED.findall(text))
    assert bool(linked) != (name_of(page) in WITHOUT_RECORD)
    assert not linked or re.search(r"^    python experiments/\w+\.py", text, re.MULTILINE)
    assert all((ROOT / "experiments" / "results" / name).is_file() for name in linked)


def test_every_record_is_named_by_a_page():
    named = {name.removesuffix(".json") for page in PAGES for name in LINKED.findall(text_of(page))}
    assert {path.stem for path in RECORDS} - named == UNNAMED.keys()
