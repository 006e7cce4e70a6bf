"""The pages of the documentation, and what the tests read in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
"""The README and every page of the documentation."""
QUICKSTART = ROOT / "docs" / "quickstart.md"
NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: Its file.
        line: Where it begins.
        code: What it holds.
        runs: Whether it can run without a package that the tests do not have.
    """

    page: Path
    line: int
    code: str
    runs: bool

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str = "python") -> list[Block]:
    """The fenced blocks of one language, in order."""
    document = Document.parse(str(page), CodeBlockParser(language, evaluator=lambda example: None))
    return [
        Block(page, one.line, one.parsed, not NOT_RUN.search(document.text[: one.region.start]))
        for one in document.examples()
    ]


def text_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def rows(page: Path) -> list[tuple[str, ...]]:
    """The rows of all tables of a page, each as its cells without markup."""
    lines = [line for line in text_of(page).splitlines() if line.startswith("|")]
    return [tuple(cell.strip().replace("**", "").replace("`", "") for cell in line[1:-1].split("|")) for line in lines]
