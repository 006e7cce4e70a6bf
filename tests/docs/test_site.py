"""The documentation is built as a site, without a warning."""

from __future__ import annotations

import importlib.util
import re
import sys

import pytest

import dspy_semantic_backprop
from tests.docs.pages import PAGES, README, ROOT

SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for needed in ("zensical", "mkdocstrings"):
        pytest.importorskip(needed, reason="pip install '.[docs]'")
    spec = importlib.util.spec_from_file_location("build_site", SITE / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.build(tmp_path_factory.mktemp("site"))


def test_every_page_is_in_the_navigation(site):
    named = set(re.findall(r'= "([\w/.-]+\.md)"', (SITE / "zensical.toml").read_text(encoding="utf-8")))
    for page in PAGES:
        place = page.relative_to(ROOT / "docs").as_posix() if page != README else "index.md"
        assert place in named, place
    for place in named:
        assert (site / place).with_suffix(".html").is_file(), place


def test_every_public_name_is_in_the_reference_once(site):
    shown = [
        name
        for page in sorted((site / "reference").glob("*.html"))
        for name in re.findall(r'id="([\w.]+)"', page.read_text())
    ]
    for name in set(dspy_semantic_backprop.__all__) - {"presets"}:
        assert shown.count(f"dspy_semantic_backprop.{name}") == 1, name


def test_links_between_pages_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', text), page.name
        for target in re.findall(r'<(?:a|img)[^>]+(?:href|src)="([^"#:]+)(?:#[^"]*)?"', text):
            if page.name != "404.html":
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_list_for_language_models_names_every_page(site):
    listed = re.findall(r"^- \[.+\]\((\S+)\): .", (site / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert "index.md" in listed and "guides/graph.md" in listed and len(listed) > 30
