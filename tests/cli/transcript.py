"""The transcript in the guide to the command line: its files and commands, run again in an empty folder.

    python -m tests.cli.transcript

writes what the commands print now into the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "command-line.md"
_FILE = re.compile(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"(^```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_STATUS = "echo $?"


class Told(NamedTuple):
    """A command of the page, and what it printed."""

    command: str
    output: str


def told(text: str) -> list[Told]:
    """The commands of a page with what stands under each."""
    return [Told(*one) for block in _CONSOLE.findall(text) for one in _COMMAND.findall(block[1])]


@contextmanager
def folder(text: str, path: Path) -> Iterator[None]:
    """A folder with the files of the page, as the working one; the modules in it are forgotten in the end."""
    before, modules = os.getcwd(), [name.removesuffix(".py") for name, _ in _FILE.findall(text)]
    for name, content in _FILE.findall(text):
        (path / name).write_text(content, encoding="utf-8")
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
        for module in modules:
            server = getattr(sys.modules.pop(module, None), "server", None)
            if server is not None:
                server.stop()


def run(commands: list[str]) -> Iterator[Told]:
    """Run commands in this process, and tell what each prints; `echo $?` tells the status of the one before."""
    status = 0
    for command in commands:
        printed = io.StringIO()
        if command == _STATUS:
            yield Told(command, f"{status}\n")
            continue
        words = shlex.split(command.replace("\\\n", " "))
        here = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
        with here[0], here[1], patch.object(sys, "argv", words):
            try:
                runpy.run_module("dspy_semantic_backprop", run_name="__main__")
            except SystemExit as stop:
                status = int(stop.code or 0)
        lines = [line for line in printed.getvalue().splitlines() if "dspy.clients" not in line]
        yield Told(command, "".join(f"{line}\n" for line in lines))


def main() -> None:
    """Write the page anew."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as path, folder(text, Path(path)):
        now = iter(list(run([one.command for one in told(text)])))

    def block(found: re.Match[str]) -> str:
        mine = (next(now) for _ in _COMMAND.findall(found[2]))
        return found[1] + "".join(f"$ {one.command}\n{one.output}" for one in mine) + found[3]

    PAGE.write_text(_CONSOLE.sub(block, text), encoding="utf-8")


if __name__ == "__main__":
    main()
