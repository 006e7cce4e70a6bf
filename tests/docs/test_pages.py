"""Links lead somewhere, named files exist, and the README and the glossary stay short."""

from __future__ import annotations

import re

import pytest

import dspy_semantic_backprop
from tests.docs.pages import PAGES, README, ROOT, name_of, rows, text_of

DOCS = ROOT / "docs"
LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"(?:\b|\./)((?:experiments|tests|docs|notebooks|dspy_semantic_backprop)/[\w./-]*[\w/])")


def anchors(page) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_and_anchors_resolve(page):
    for target in LINK.findall(text_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", [page for page in LINKING if page.name != "CHANGELOG.md"], ids=name_of)
def test_files_that_a_page_names_exist(page):
    for path in NAMED.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", [page for page in PAGES if page != README], ids=name_of)
def test_every_page_can_be_reached_from_the_readme(page):
    reached, waiting = set(), [README]
    while waiting:
        at = waiting.pop()
        reached.add(at)
        targets = [(at.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text_of(at))]
        waiting += [file for file in targets if file.suffix == ".md" and file.exists() and file not in reached]
    assert page in reached


def test_where_a_line_lives():
    package = ROOT / dspy_semantic_backprop.__name__
    places = [re.match(r"\S+", row[1]) for row in rows(DOCS / "design" / "where.md")[2:]]
    files = [place[0] for place in places if place]
    assert len(files) == 12
    for file in files:
        assert (package / file).is_file(), file


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_glossary_is_short_and_names_everything_once():
    words = [row[0] for row in rows(DOCS / "design" / "words.md")[2:]]
    assert len(words) == len(set(words)) <= 30


def test_the_readme_holds_the_command_for_all_checks():
    (block,) = re.findall(r"<!-- tests -->\n```bash\n(python3 .+)\n```\n", README.read_text(encoding="utf-8"))
    assert block.endswith("-m tests")
