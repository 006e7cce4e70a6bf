"""The documentation is built as a site, without a warning, and read in a browser, which asks nobody else."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import re
import shutil
import sys
import threading
from typing import Literal

import pytest

import dspy_semantic_backprop
from tests.docs.pages import PAGES, README, ROOT

SITE = ROOT / "docs" / "site"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


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


@pytest.fixture(scope="module")
def visit(site):
    """Opens the site at some width in some scheme; what the page complains of or asks of others is in `said`."""
    if BROWSER is None:
        pytest.skip("THE SITE WAS NOT OPENED IN A BROWSER: chromium is not installed")
    from playwright.sync_api import sync_playwright

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(site))) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))

        def open_page(place: str, width: int = 1280, scheme: Literal["light", "dark"] = "light"):
            page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: said.extend([request.url] * (not request.url.startswith(home))))
            page.on("response", lambda one: said.extend([f"{one.status} {one.url}"] * (one.status >= 400)))
            page.goto(home + place)
            return page, said

        yield open_page
        browser.close()
        server.shutdown()


def test_the_search_leads_to_the_page_of_what_was_looked_for(visit):
    page, said = visit("index.html")
    # The key is heard once the page's scripts and the search's index are there.
    page.wait_for_load_state("networkidle")
    page.keyboard.press("/")
    page.keyboard.type("preflight")
    found = page.locator("a[href^='http'][href*='guides/preflight.html']").first
    found.wait_for(state="visible")
    found.click()
    page.wait_for_url("**/guides/preflight.html*")
    assert "worth it" in page.inner_text("h1")
    assert not said


def test_the_reference_shows_what_the_docstring_says(visit):
    page, said = visit("reference/optimizer.html")
    assert page.locator("h2").first.inner_text().startswith("SemanticGradientDescent")
    sentence = str(dspy_semantic_backprop.SemanticGradientDescent.__doc__).strip().split("\n\n")[0]
    plain = " ".join(page.inner_text("article").split())
    assert " ".join(sentence.replace("`", "").split()) in plain
    assert not said


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_fits_a_screen_and_follows_its_light(visit, width):
    brightness = []
    for scheme in ("light", "dark"):
        page, said = visit("results/decisions.html", width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        brightness.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert not said
    assert brightness[0] != brightness[1]
