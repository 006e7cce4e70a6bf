"""The commands: each calls one public function and prints what it returns."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy

from .._checks import check_number
from .._errors import Ending, ProgramError, SemanticBackpropError, SetupError
from .._graph.tracing import program_graph, trace
from .._logs.read import read_logs
from .._reports.bill import bill_of_compile, bill_of_diagnose, bill_of_preflight
from .._reports.compare import compare
from .._reports.diagnose.logs import diagnose_logs, project_logs
from .._reports.preflight.candidates import LOOKED_AT
from .._reports.report import report
from .._reports.runs import logged_run, runs_in
from .checking import check
from .given import (
    agree_to,
    as_json,
    budget_of,
    examples_of,
    lm_of,
    model_of,
    optimizer_of,
    program_of,
    say,
    say_record,
)

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def graph(arguments: argparse.Namespace) -> int:
    """Run the program on one example, or on the first few, and print which call fed which."""
    program = program_of(arguments)
    examples, _ = examples_of(arguments.examples, arguments.inputs)
    with model_of(arguments, program):
        if arguments.first is None:
            found: Any = trace(program, _one(examples, arguments.example))
        else:
            check_number("--first", arguments.first, 1)
            found = program_graph(program, examples[: arguments.first])
    drawn = {"text": str, "json": as_json, "mermaid": lambda one: one.to_mermaid(), "dot": lambda one: one.to_dot()}
    say(drawn[arguments.format](found))
    if getattr(found, "error", None) is not None:
        raise ProgramError(f"the program failed on this example: {found.error}")
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """Run the program on one example, and print what every call was told."""
    program = program_of(arguments)
    examples, _ = examples_of(arguments.examples, arguments.inputs)
    optimizer = optimizer_of(arguments, subscribers=())
    with model_of(arguments, program):
        return say_record(arguments, optimizer.explain(program, _one(examples, arguments.example)))


def diagnose(arguments: argparse.Namespace) -> int:
    """Evaluate the program, and print which predictors its failures come from."""
    program = program_of(arguments)
    examples, _ = examples_of(arguments.examples, arguments.inputs)
    optimizer = optimizer_of(arguments)
    with model_of(arguments, program):
        optimizer.settings.check(program, devset=examples)
        check_number("--checks", arguments.checks, 0)
        agree_to(arguments, bill_of_diagnose(optimizer.settings, program, len(examples), arguments.checks))
        return say_record(arguments, optimizer.diagnose(program, examples, checks=arguments.checks))


def diagnosed_logs(arguments: argparse.Namespace) -> int:
    """Print which agents, and which turns, failed executions come from that are known from their logs only."""
    program = program_of(arguments) if arguments.program else None
    logs, how = read_logs(arguments.logs, arguments.format, program), {"window": arguments.window}
    agree_to(arguments, project_logs(logs, **how))
    how |= {"num_threads": arguments.threads, "seed": arguments.seed, "budget": budget_of(arguments)}
    shown = () if arguments.json else None
    return say_record(arguments, diagnose_logs(logs, gradient_lm=lm_of(arguments.model), subscribers=shown, **how))


def preflight(arguments: argparse.Namespace) -> int:
    """Find out whether compiling is worth it, and print it."""
    program, optimizer = program_of(arguments), optimizer_of(arguments)
    train, val = _sets(arguments)
    with model_of(arguments, program):
        optimizer.settings.check(program, trainset=train, valset=val)
        how = {"repeats": arguments.repeats, "candidates": arguments.candidates, "sample": arguments.sample}
        size = len(train if val is None else val)
        tried = (1 + arguments.candidates) * min(arguments.sample, size) + LOOKED_AT
        agree_to(arguments, bill_of_preflight(optimizer.settings, program, size, arguments.repeats, tried))
        return say_record(arguments, optimizer.preflight(program, train, val, **how))


def compiled(arguments: argparse.Namespace) -> int:
    """Optimise the program, save it, and print what changed."""
    _check_output(arguments.output)
    program, optimizer = program_of(arguments), optimizer_of(arguments)
    train, val = _sets(arguments)
    with model_of(arguments, program):
        optimizer.settings.check(program, trainset=train, valset=val)
        known = _known(arguments.log_dir)
        agree_to(arguments, bill_of_compile(optimizer.settings, program, train, val), known)
        try:
            better: Any = optimizer.compile(program, trainset=train, valset=val)
        except SemanticBackpropError as error:
            if error.best is not None and error.best.detailed_results.changed:
                _save(arguments, error.best)
            raise
    _save(arguments, better)
    return INTERRUPTED if better.detailed_results.ending is Ending.INTERRUPTED else 0


def runs(arguments: argparse.Namespace) -> int:
    """List the runs whose logs are in a folder."""
    found = runs_in(arguments.folder)
    if arguments.json:
        say(json.dumps([one.to_dict() for one in found], indent=2))
    else:
        say("\n".join(map(str, found)) or f"no log of a run is in {arguments.folder}")
    return 0


def reported(arguments: argparse.Namespace) -> int:
    """Write the report of a run, one page of HTML, from its log."""
    say(f"written to {report(arguments.log, arguments.output)}")
    return 0


def compared(arguments: argparse.Namespace) -> int:
    """Print two runs side by side: scores on shared examples, costs, instructions."""
    return say_record(arguments, compare(arguments.first, arguments.second, arguments.output))


def _save(arguments: argparse.Namespace, better: Any) -> None:
    say_record(arguments, better.detailed_results)
    try:
        better.save(arguments.output)
    except Exception as error:
        raise SetupError(f"{arguments.output} cannot be written: {error}; the instructions stand above") from error
    if not arguments.json:
        say(f"saved to {arguments.output}")


def _known(folder: str | None) -> str:
    """What of a run is paid for already, in words."""
    found = logged_run(folder) if folder is not None else None
    return f"{found.spent.calls:,} calls of it are paid for, in {folder}" if found and found.spent.calls else ""


def _sets(arguments: argparse.Namespace) -> tuple[list[dspy.Example], list[dspy.Example] | None]:
    train, _ = examples_of(arguments.examples, arguments.inputs)
    return train, None if arguments.val is None else examples_of(arguments.val, arguments.inputs)[0]


def _one(examples: list[dspy.Example], number: int) -> dspy.Example:
    if not 0 <= number < len(examples):
        raise SetupError(f"--example {number}: there are {len(examples)} examples, counted from 0")
    return examples[number]


def _check_output(path: str) -> None:
    """Find out before anything is spent whether a program can be saved there."""
    if Path(path).suffix not in (".json", ".pkl"):
        raise SetupError(f"--output {path!r} must end in .json or .pkl")
    folder = Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise SetupError(f"--output {path!r}: {folder} is no folder that can be written to; make it first")


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "graph": graph,
    "explain": explain,
    "diagnose": diagnose,
    "diagnose-logs": diagnosed_logs,
    "preflight": preflight,
    "compile": compiled,
    "check": check,
    "report": reported,
    "compare": compared,
    "runs": runs,
}
