"""Reads the command line, runs a command, and turns whatever ends it into one sentence and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn, get_args

from .._errors import SemanticBackpropError, Stop
from .._logs.read import LogFormat
from .._reports.diagnose.logs import WINDOW
from .._secrets.errors import hide
from .._secrets.known import cleaned
from .._session.projection import Auto
from .._terminal import spelled, wrapped
from .checking import add_check
from .commands import COMMANDS, INTERRUPTED
from .given import importing_from_here

NAME = "dspy-semantic-backprop"
_ABOUT = """\
Semantic backpropagation for DSPy programs: which predictor misled the program, and better instructions.

A program and a metric are given as module:attribute, examples as a file with one JSON object on each line.
Keys of language models are taken from the environment only."""
_STATUSES = "Exit status: 0 done; 1 `check` found a regression; 2 not done, and why in one sentence; 130 after Ctrl-C."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot write a character is no reason to lose what was paid for.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    arguments = parser().parse_args(argv)
    try:
        with importing_from_here():
            return COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except SemanticBackpropError as error:
        return _failed(str(error))
    except SystemExit as error:
        # A program that exits with 0 has passed nothing.
        return _failed(f"the program, its module or its metric ended the process (exit status {error.code})")
    except (Exception, Stop) as error:  # noqa: BLE001 - Python's own status, 1, would say that a check found a regression
        hide(error)
        # The source lines of a traceback, and what cannot be changed, may tell a secret all the same.
        print(spelled(cleaned(traceback.format_exc())), file=sys.stderr)
        return _failed("this is a fault of the package or of what it was given; the traceback stands above")


def _failed(why: str, status: int = 2) -> int:
    said = f"{NAME}: {spelled(why)}"
    if sys.stderr is not None and sys.stderr.isatty():
        said = "\n".join(line for one in said.split("\n") for line in wrapped(one, "", len(one), indent=0))
    print(said, file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    whole = _Parser(NAME, description=_ABOUT, epilog=_STATUSES, formatter_class=_Plain)
    whole.add_argument("--version", action="version", version=version(NAME))
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add in _ARGUMENTS.items():
        about = (COMMANDS[name].__doc__ or "").partition("\n")[0]
        add(commands.add_parser(name, help=about, description=about, formatter_class=_Plain))
    return whole


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # The one of argparse repeats escape sequences of what it was given.
        self.print_usage(sys.stderr)
        raise SystemExit(_failed(message))


class _Plain(argparse.ArgumentDefaultsHelpFormatter):
    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        # Two dozen options in brackets hide the four that are needed; all are listed below.
        super().add_usage(usage, [one for one in actions if one.required or one.dest == "help"], (), prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(_Plain, self)._fill_text(one, width, indent) for one in text.split("\n\n"))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def _program(command: Any, examples: str = "JSON lines, an example each") -> None:
    command.add_argument("program", metavar="MODULE:PROGRAM", help="a dspy.Module, or what makes one without arguments")
    command.add_argument("examples", metavar="EXAMPLES", help=examples)
    command.add_argument("--inputs", required=True, metavar="NAMES", help="the fields that are inputs, by commas")
    command.add_argument("--load", metavar="FILE", help="a saved program, loaded into this one")
    command.add_argument("--model", metavar="NAME", help="as dspy.LM takes it; by default what the module configured")


def _settings(command: Any) -> None:
    command.add_argument("--metric", required=True, metavar="MODULE:METRIC", help="metric(example, prediction, ...)")
    command.add_argument("--gradient-model", metavar="NAME", help="writes gradients and instructions")
    command.add_argument("--group", metavar="NAME", help="the field by which examples belong together")
    command.add_argument("--failure-score", type=float, metavar="X", help="the score where the program fails; else 0")
    command.add_argument(
        "--where",
        metavar="WHERE",
        help="threads, processes, a number of these, a Dask scheduler's address, or ray",
    )
    _bounds(command)


def _bounds(command: Any) -> None:
    command.add_argument("--threads", type=int, metavar="N", help="how many programs, or questions, at once")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of all random choices")
    command.add_argument("--max-calls", type=int, metavar="N", help="the most requests to language models")
    command.add_argument("--max-tokens", type=int, metavar="N", help="the most tokens, sent and received")
    command.add_argument("--max-usd", type=float, metavar="X", help="the most US dollars")
    command.add_argument("--max-seconds", type=float, metavar="X", help="the most wall time, in seconds")
    command.add_argument(
        "--price", action="append", metavar="MODEL=X,Y", help="US dollars for a million tokens sent, received"
    )
    command.add_argument("--json", action="store_true", help="print the record as JSON")


def _paid(command: Any) -> None:
    command.add_argument("--yes", action="store_true", help="go on without asking; needed where there is no terminal")


def _graph(command: Any) -> None:
    _program(command)
    command.add_argument("--example", type=int, default=0, metavar="N", help="which example, from 0")
    command.add_argument("--first", type=int, metavar="N", help="the first N examples, as one graph of predictors")
    command.add_argument("--format", choices=("text", "json", "mermaid", "dot"), default="text", help="of the graph")


def _explain(command: Any) -> None:
    _program(command)
    _settings(command)
    command.add_argument("--example", type=int, default=0, metavar="N", help="which example, from 0")


def _diagnose(command: Any) -> None:
    _program(command)
    _settings(command)
    _paid(command)
    command.add_argument("--checks", type=int, default=8, metavar="N", help="how much of the blame is checked")


def _diagnose_logs(command: Any) -> None:
    command.add_argument("logs", metavar="LOGS", help="a file of logs of failed executions, or a folder of such")
    command.add_argument(
        "--format",
        required=True,
        choices=get_args(LogFormat),
        metavar="FORMAT",
        help=f"what the files hold: {', '.join(get_args(LogFormat))}",
    )
    command.add_argument("--model", required=True, metavar="NAME", help="reads the logs; as dspy.LM takes it")
    command.add_argument("--window", type=int, default=WINDOW, metavar="N", help="earlier turns that a turn has read")
    command.add_argument("--program", metavar="MODULE:PROGRAM", help="the program that spans are named by")
    command.set_defaults(load=None)
    _bounds(command)
    _paid(command)


def _preflight(command: Any) -> None:
    _trained(command)
    command.add_argument("--repeats", type=int, default=3, metavar="N", help="how often the program is run")
    command.add_argument("--candidates", type=int, default=3, metavar="N", help="cheap candidates to try, 0 to 3")
    command.add_argument("--sample", type=int, default=24, metavar="N", help="on how many examples each is tried")


def _trained(command: Any) -> None:
    _program(command, "examples to learn from, as JSON lines")
    _settings(command)
    _paid(command)
    command.add_argument("--val", metavar="FILE", help="examples to decide on; by default those to learn from")
    command.add_argument(
        "--steps", type=int, metavar="N", help="how many steps; else what --auto says, or the budget, or 8"
    )
    command.add_argument("--auto", choices=get_args(Auto), help="4, 10 or 24 steps, and a budget for them")
    command.add_argument("--method", metavar="PRESET", help="a preset by name, such as proven")


def _compile(command: Any) -> None:
    _trained(command)
    command.add_argument("--output", required=True, metavar="FILE", help="where the program is saved, .json or .pkl")
    command.add_argument("--log-dir", metavar="FOLDER", help="a log, from which the same command goes on")


def _check(command: Any) -> None:
    _program(command)
    _settings(command)
    _paid(command)
    add_check(command)


def _report(command: Any) -> None:
    command.add_argument("log", metavar="LOGDIR", help="the log of a run, also of one that was stopped or goes on")
    command.add_argument("--output", default="report.html", metavar="FILE", help="the page")


def _compare(command: Any) -> None:
    command.add_argument("first", metavar="A", help="the log of a run, or a saved program")
    command.add_argument("second", metavar="B", help="likewise")
    command.add_argument("--output", metavar="FILE", help="write a page of HTML, too")
    command.add_argument("--json", action="store_true", help="print the record as JSON")


def _runs(command: Any) -> None:
    command.add_argument("folder", metavar="FOLDER", help="a log, or a folder with logs in it")
    command.add_argument("--json", action="store_true", help="print the records as JSON")


_ARGUMENTS = {
    "graph": _graph,
    "explain": _explain,
    "diagnose": _diagnose,
    "diagnose-logs": _diagnose_logs,
    "preflight": _preflight,
    "compile": _compile,
    "check": _check,
    "report": _report,
    "compare": _compare,
    "runs": _runs,
}
