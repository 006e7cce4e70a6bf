"""What the guide to the command line shows still happens: each command's first line, last line and exit status."""

from __future__ import annotations

import re

from tests.cli.transcript import PAGE, folder, run, told

_VARIES = re.compile(r"\d+(\.\d+)? (s|minutes)\b|\d{4}-\d\d-\d\d( \d\d:\d\d)?")


def ends(output: str) -> tuple[str, str]:
    lines = _VARIES.sub("", output).splitlines()
    return lines[0], lines[-1]


def test_the_commands_of_the_page_end_as_it_says(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    shown = told(text)
    with folder(text, tmp_path):
        for before, now in zip(shown, run([one.command for one in shown]), strict=True):
            assert ends(now.output) == ends(before.output), now.command
        assert (tmp_path / "report.html").stat().st_size > 10_000
    names = [one.command.split()[1] for one in shown]
    wanted = iter(names)
    assert all(name in wanted for name in ("graph", "preflight", "compile", "report", "check")), "in this order"
