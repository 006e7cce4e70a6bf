"""The report as a person meets it: in a browser, which must run nothing of what models wrote, and fetch nothing."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any, NamedTuple

import pytest

from dspy_semantic_backprop import Result, SemanticGradientDescent, compare
from tests.optimizer.test_compile import Chain
from tests.report.conftest import TRAIN, hostile
from tests.scripted import right, served

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
QUIET += ("--disable-sync", "--no-first-run")

if BROWSER is None:
    pytest.skip("NO REPORT WAS OPENED IN A BROWSER: chromium is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def browser(ran):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield running
        running.close()


class Shown(NamedTuple):
    """A page, and whatever it has logged or asked for."""

    page: Any
    said: list[str]

    def fits(self, width: int, scheme: str) -> bool:
        """Whether it fits a window of that width, in the colours of that scheme."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        back = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(10, 10, 10)" if scheme == "dark" else "rgb(255, 255, 255)")
        return self.page.evaluate("document.documentElement.scrollWidth") == width

    def unfold(self) -> None:
        """Open what is folded, and what is folded in that."""
        for _ in range(3):
            self.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            self.page.wait_for_timeout(20)

    def is_inert(self) -> bool:
        """Whether nothing that a model wrote has acted, and nothing but the file itself was asked for."""
        (asked,) = self.said
        struck = self.page.evaluate("window.struck") is not None
        return asked.startswith("file:") and not struck and self.page.locator("img").count() == 0


def shown(browser, path) -> Shown:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("h1")
    return Shown(page, said)


@pytest.fixture(scope="module")
def report(browser, ran, tmp_path_factory):
    return shown(browser, ran.report(tmp_path_factory.mktemp("page") / "run.html"))


@pytest.fixture(scope="module")
def comparison(browser, ran, tmp_path_factory):
    with served(hostile):
        start = SemanticGradientDescent(right, steps=0, subscribers=()).compile(Chain(), trainset=TRAIN)
    path = tmp_path_factory.mktemp("page") / "both.html"
    compare(Result.of(start), ran.log_dir, path)
    return shown(browser, path)


def test_it_leads_with_the_claim_and_shows_the_change_word_by_word(report):
    page = report.page
    assert "more than luck" in page.inner_text("header.lead")
    assert "2 of 2" in page.inner_text("header.lead")
    card = page.locator(".card", has=page.locator("h3", has_text="judge"))
    assert [text.strip() for text in card.locator("ins").all_inner_texts()] == ["Of", "Be careful."]
    assert card.locator("del").all_inner_texts() == ["Given"]
    assert card.locator("ins").first.is_visible()


@pytest.mark.parametrize(
    ("ending", "verdict", "claim", "told"),
    [
        ("all steps were made", "rejected", "No proposal was accepted", "accepted, and the start is returned"),
        ("the budget is spent", "accepted", "Nothing that was tried is expected to be better", "better than the start"),
        ("the run was interrupted", "accepted", "before it could decide", "the run ended before it could decide"),
    ],
)
def test_a_run_that_returns_the_start_says_why(browser, ran, tmp_path, ending, verdict, claim, told):
    state = ran.to_dict()
    start = dict.fromkeys(("before", "after"), state["instructions"]["before"])
    steps = [{**step, "verdict": verdict} for step in state["steps"]]
    none = Result.from_dict({**state, "final": None, "instructions": start, "steps": steps, "ending": ending})
    page = shown(browser, none.report(tmp_path / "none.html")).page
    assert claim in page.inner_text("header.lead")
    assert told in " ".join(str(none).split())
    page.close()


def test_one_change_is_taken_back_alone(report, ran):
    card = report.page.locator(".card", has=report.page.locator("h3", has_text="judge"))
    card.locator(".back button").first.click()
    assert card.locator(".text ins").all_inner_texts() == ["Given"]
    card.get_by_role("button", name="After").click()
    assert card.locator(".text").inner_text() == ran.instructions_after["judge"]
    card.get_by_role("button", name="Changes").click()


def test_a_predictor_that_is_chosen_shows_what_it_was_told_and_where(report):
    page = report.page
    page.locator("[data-node=judge]").click()
    assert "The expected answer is" in page.inner_text(".panel")
    page.locator("[data-node=draft]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "the draft of draft should be careful" in page.inner_text(".panel")
    page.locator(".panel summary").first.click()
    page.wait_for_selector(".panel .field")
    assert "What follows from statement" in page.inner_text(".panel")


def test_what_models_wrote_is_text_and_what_hides_is_seen(report):
    report.page.locator("[data-node=draft]").click()
    report.unfold()
    panel = report.page.inner_text(".panel")
    assert "</script><script>window.struck=1</script><img" in panel
    assert "**bold**" in panel
    assert "U+202E" in panel and "\u202e" not in panel
    assert report.is_inert()


def test_a_comparison_shows_which_run_wrote_what_and_where_they_score_otherwise(comparison):
    page = comparison.page
    assert "scores more" in page.inner_text("header.lead")
    assert page.locator(".key del").inner_text() == "the first run"
    card = page.locator(".card", has=page.locator("h3", has_text="judge"))
    assert card.locator("ins").first.is_visible() and card.locator("del").all_inner_texts() == ["Given"]
    card.get_by_role("button", name="Side by side").click()
    assert card.locator(".sides .text").count() == 2
    card.get_by_role("button", name="Differences").click()
    comparison.unfold()
    examples = page.inner_text("#examples")
    assert "0 → 1" in examples and "sloppy answer" in examples and "careful answer" in examples
    assert "<img src=x onerror=" in examples and "U+202E" in examples and "\u202e" not in page.inner_text("body")
    assert comparison.is_inert()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_fit_a_phone_and_a_screen_in_either_scheme(report, comparison, width, scheme):
    assert report.fits(width, scheme)
    assert comparison.fits(width, scheme)


def test_no_line_of_a_graph_is_cut_and_what_is_chosen_is_in_sight(browser, ran, tmp_path):
    state = ran.to_dict()
    (node, *_), (given, *_) = state["graph"]["nodes"], state["graph"]["given"]
    names = [f"step_{number}" for number in range(12)]
    graph = {
        **state["graph"],
        "nodes": [{**node, "predictor": name} for name in names],
        "given": [{**given, "target": name} for name in names],
        "edges": [
            {**given, "source": one, "target": other} for one, other in zip(names, [*names[1:], None], strict=True)
        ],
    }
    steps = [{**step, "blame": {"step_0": 1.0}} for step in state["steps"]]
    page = shown(
        browser, Result.from_dict({**state, "graph": graph, "steps": steps}).report(tmp_path / "wide.html")
    ).page
    page.set_viewport_size({"width": 400, "height": 900})
    page.reload()
    cut = """() => {
        const drawing = document.querySelector(".picture svg"), { x, width } = drawing.viewBox.baseVal;
        const lines = [...drawing.querySelectorAll("path.edge")].map((one) => one.getBBox());
        return lines.filter((one) => one.x < x || one.x + one.width > x + width).length;
    }"""
    assert page.locator("path.edge").count() == 24 and page.evaluate(cut) == 0
    box = page.locator("[data-node=step_0][aria-pressed=true]").bounding_box()
    assert box["x"] > 0 and box["x"] + box["width"] < 400
    page.close()


def test_a_run_without_a_score_or_a_step_says_so_and_no_more(browser, ran, tmp_path):
    state = ran.to_dict()
    start = dict.fromkeys(("before", "after"), state["instructions"]["before"])
    candidates = [{**state["candidates"][0], "scores": {}}]
    none = {
        **state,
        "final": None,
        "instructions": start,
        "steps": [],
        "candidates": candidates,
        "ending": "the budget is spent",
    }
    page = shown(browser, Result.from_dict(none).report(tmp_path / "none.html")).page
    assert "no example was scored" in page.inner_text("header.lead")
    assert page.inner_text("#examples").endswith("Nothing to compare: no example was scored.")
    assert "No step was finished." in page.inner_text("#steps")
    assert "No finished step sent it a gradient." in page.inner_text("#graph")
    page.close()


def test_many_changed_predictors_are_counted_where_they_do_not_all_fit(browser, ran, tmp_path):
    state = ran.to_dict()
    names = [f"step_{number}" for number in range(40)]
    instructions = {"before": dict.fromkeys(names, "Answer."), "after": dict.fromkeys(names, "Answer well.")}
    page = shown(browser, Result.from_dict({**state, "instructions": instructions}).report(tmp_path / "many.html")).page
    facts = page.inner_text(".facts")
    assert "40 of 40" in facts and "step_5 and 34 more" in facts and "step_6" not in facts
    assert page.locator("#changes .card").count() == 40
    page.close()


@pytest.mark.parametrize("seconds", [0.02, 0.4, 100, 400, 7000, 100_000])
def test_no_two_lines_of_the_cost_curve_are_called_the_same(browser, ran, tmp_path, seconds):
    path = ran.report(tmp_path / "run.html")
    before, block, after = re.split(r'(?<=id="data">)(.*?)(?=</script>)', path.read_text("utf-8"), maxsplit=1)
    curve = [{"seconds": seconds * part, "calls": 25 * part, "tokens": 1400 * part, "usd": 0} for part in (0.5, 1)]
    path.write_text(before + json.dumps({**json.loads(block), "curve": curve}).replace("<", "\\u003c") + after, "utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script("""
        window.written = [];
        const pen = CanvasRenderingContext2D.prototype, { fillText, clearRect } = pen;
        pen.clearRect = function (...all) { written = []; clearRect.apply(this, all); };
        pen.fillText = function (...all) { written.push(all[0]); fillText.apply(this, all); };
    """)
    page.goto(path.as_uri())
    page.wait_for_function("window.written.length > 4")
    times = page.evaluate("written.filter((one) => /[a-z]$/.test(one))")
    amounts = page.evaluate("written.filter((one) => !/[a-z]$/.test(one))")
    assert 3 < len(times) == len(set(times)) and 2 < len(amounts) == len(set(amounts))
    assert "ends of steps" not in page.inner_text("#cost")
    page.close()


def test_a_line_that_was_added_to_a_text_from_right_to_left_has_its_own_direction(browser, ran, tmp_path):
    state = ran.to_dict()
    before = "اقرأ السؤال بعناية."
    instructions = {"before": {"judge": before}, "after": {"judge": f"{before}\nBe careful. كن حذرا."}}
    page = shown(browser, Result.from_dict({**state, "instructions": instructions}).report(tmp_path / "rtl.html")).page
    left = """(one) => {
        const text = one.firstChild, at = (from) => {
            const range = new Range();
            range.setStart(text, from);
            range.setEnd(text, from + 1);
            return range.getBoundingClientRect().left;
        };
        return [at(text.data.indexOf("B")), at(text.data.length - 1)];
    }"""
    first, stop = page.locator("ins").first.evaluate(left)
    assert first < stop, "the full stop stands at the end of the line"
    page.close()
