"""Every Python block of the README and the documentation runs, on a simulated model in place of a paid one."""

from __future__ import annotations

import ast
import re

import dspy
import pytest

from experiments.simulated import SimulatedModel
from tests.docs.pages import PAGES, QUICKSTART, ROOT, Block, blocks, name_of

PUBLIC = {
    "dspy_semantic_backprop",
    *(f"dspy_semantic_backprop.{name}" for name in ("integrations", "presets", "programs", "testing")),
}
BLOCKS = [block for page in PAGES for block in blocks(page)]
ELSEWHERE = ROOT / "docs" / "guides" / "gepa.md"
"""Run by `tests/integrations/test_together.py`, which also looks at what comes out."""
WITH_CODE = [page for page in PAGES if blocks(page) and page != ELSEWHERE]
SECONDS = re.compile(r"\d+(\.\d+)? s\b")


@pytest.fixture
def paid(monkeypatch, tmp_path):
    """A simulated model where `dspy.LM("openai/...")` looks for the real one, and a folder to write into."""
    with SimulatedModel(seed=0).serve() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "simulated")
        monkeypatch.setenv("OPENAI_API_BASE", server.url)
        monkeypatch.chdir(tmp_path)
        yield server


def defined_in_the_quickstart() -> dict[str, object]:
    """What the pages say that they take from the quickstart: a program, a metric and examples."""
    names: dict[str, object] = {"dspy": dspy}
    (code,) = [block.code for block in blocks(QUICKSTART) if "class TwoHints" in block.code]
    exec(code, names)
    return names


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_blocks_of_a_page_run_in_order(page, paid, capsys):
    dspy.configure(lm=paid.lm(cache=False))
    names = {} if page == QUICKSTART else defined_in_the_quickstart()
    try:
        for block in blocks(page):
            if block.runs:
                exec(compile("\n" * block.line + block.code, name_of(page), "exec"), names)
    finally:
        if page == QUICKSTART:
            names["server"].stop()  # type: ignore[attr-defined]
    printed = SECONDS.sub("", capsys.readouterr().out)
    for shown in blocks(page, "text"):
        assert SECONDS.sub("", shown.code).strip() in printed, shown.place


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.runs], ids=lambda block: block.place)
def test_what_a_block_that_is_not_run_imports_is_there(block):
    imports: list[ast.stmt] = [
        one for one in ast.parse(block.code).body if isinstance(one, ast.Import | ast.ImportFrom)
    ]
    exec(compile(ast.Module(imports, []), block.place, "exec"), {})


def imported(block: Block) -> set[str]:
    """The modules that a block imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_no_block_imports_what_is_private(block):
    ours = {name for name in imported(block) if name.split(".")[0] == "dspy_semantic_backprop"}
    assert ours <= PUBLIC
