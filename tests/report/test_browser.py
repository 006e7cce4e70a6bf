"""The report as a person meets it: in a browser, which must run nothing of what models wrote, and fetch nothing."""

from __future__ import annotations

import shutil

import pytest

from dspy_semantic_backprop import compare

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


@pytest.fixture(scope="module")
def opened(browser, ran, tmp_path_factory):
    """Opens a page at some width, in some scheme, and sees what it logs and asks for."""
    file = ran.report(tmp_path_factory.mktemp("page") / "run.html")

    def open_page(path=file, width=1280, scheme="light"):
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("h1")
        return page, said

    return open_page


def test_it_leads_with_the_claim_and_shows_the_change_word_by_word(opened):
    page, _ = opened()
    assert "more than luck" in page.inner_text("header.lead")
    assert "2 of 2" in page.inner_text("header.lead")
    card = page.locator(".card", has=page.locator("h3", has_text="judge"))
    assert [text.strip() for text in card.locator("ins").all_inner_texts()] == ["Of", "Be careful."]
    assert card.locator("del").all_inner_texts() == ["Given"]
    assert card.locator("ins").first.is_visible()


def test_one_change_is_taken_back_alone(opened, ran):
    page, _ = opened()
    card = page.locator(".card", has=page.locator("h3", has_text="judge"))
    card.locator(".back button").first.click()
    assert card.locator(".text ins").all_inner_texts() == ["Given"]
    card.get_by_role("button", name="After").click()
    assert card.locator(".text").inner_text() == ran.instructions_after["judge"]


def test_a_predictor_that_is_chosen_shows_what_it_was_told_and_where(opened):
    page, _ = opened()
    page.locator("[data-node=judge]").click()
    assert "The expected answer is" in page.inner_text(".panel")
    page.locator("[data-node=draft]").focus()
    page.keyboard.press("Enter")
    assert "the draft of draft should be careful" in page.inner_text(".panel")
    page.locator(".panel summary").first.click()
    page.wait_for_selector(".panel .field")
    assert "What follows from statement" in page.inner_text(".panel")


def test_what_models_wrote_is_text_and_what_hides_is_seen(opened):
    page, said = opened()
    page.locator("[data-node=draft]").click()
    for _ in range(3):  # what was folded into what was folded
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        page.wait_for_timeout(20)
    panel = page.inner_text(".panel")
    assert "</script><script>window.struck=1</script><img" in panel
    assert "**bold**" in panel
    assert "U+202E" in panel and "\u202e" not in panel
    assert page.evaluate("window.struck") is None
    assert page.locator("img").count() == 0
    (asked,) = said
    assert asked.startswith("file:"), "nothing was logged, and nothing but the file itself was asked for"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_either_scheme(opened, scheme):
    page, _ = opened(width=390, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(10, 10, 10)"
    assert dark == (scheme == "dark")


def test_a_comparison_opens(opened, ran, tmp_path):
    compare(ran, ran.log_dir, tmp_path / "both.html")
    page, said = opened(tmp_path / "both.html")
    assert "All instructions are the same." in page.inner_text("#instructions")
    assert len(said) == 1
