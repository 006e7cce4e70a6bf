"""`check`: a gate for continuous integration."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy

from .._errors import SemanticBackpropError, SetupError
from .._graph.record.snapshots import describe
from .._reports.bill import bill_of_check
from .._reports.check.baseline import Baseline
from .._reports.check.check import BLAMED, CHECKS
from .._reports.check.written import junit_of_error, markdown_of_error
from .._terminal import logger
from .._values.same import digest
from .given import agree_to, examples_of, model_of, optimizer_of, program_of, say, say_record, text_of


def check(arguments: argparse.Namespace) -> int:
    """Find out whether the program got worse than a baseline: exit status 0 no, 1 yes, 2 could not be told."""
    try:
        return _checked(arguments)
    except BaseException as error:
        # Also what ends the process: an outcome of an earlier build must not stand there for this one.
        why = str(error) if isinstance(error, SemanticBackpropError) else describe(error)
        try:
            _write(arguments, junit_of_error(why), markdown_of_error(why))
        except SetupError as unwritten:
            logger.warning("%s", unwritten)
        raise


def _checked(arguments: argparse.Namespace) -> int:
    for path in (arguments.junit, arguments.markdown, arguments.baseline):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise SetupError(f"{path!r} cannot be written: its folder is not there; make it first")
    before = None if arguments.write_baseline else Baseline.load(arguments.baseline)
    program, optimizer = program_of(arguments), optimizer_of(arguments)
    examples, marked = examples_of(arguments.examples, arguments.inputs)
    must = _must(arguments, examples, marked)
    blamed = 0 if before is None or arguments.no_blame else min(BLAMED, len(examples))
    with model_of(arguments, program):
        optimizer.settings.check(program, examples=examples)
        bill = bill_of_check(optimizer.settings, program, len(examples), blamed, CHECKS if blamed else 0)
        if before is None:
            agree_to(arguments, bill)
            made = optimizer.baseline(program, examples, must=must)
            made.save(arguments.baseline)
            say(f"{made}\nwritten to {arguments.baseline}")
            return 0
        agree_to(arguments, bill)
        how = {"level": arguments.level, "tolerance": arguments.tolerance, "blame": not arguments.no_blame}
        found = optimizer.check(program, examples, before, must=must, **how)
    say_record(arguments, found)
    _write(arguments, found.junit(), found.markdown())
    return found.status


def _must(
    arguments: argparse.Namespace, examples: list[dspy.Example], marked: list[bool]
) -> Callable[[dspy.Example], bool] | None:
    """Whether an example must not regress: marked in its line, or named in the file of ids."""
    wanted = {id(example) for example, mark in zip(examples, marked, strict=True) if mark}
    if arguments.must is not None:
        known: dict[str, list[int]] = {}
        for example in examples:
            for name in {str(example.get(arguments.id_field, "")), digest(example)[:16]} - {""}:
                known.setdefault(name, []).append(id(example))
        for name in filter(None, map(str.strip, text_of(arguments.must).splitlines())):
            if name not in known:
                raise SetupError(f"{arguments.must} names {name!r}, which is the {arguments.id_field} of no example")
            wanted.update(known[name])
    return (lambda example: id(example) in wanted) if wanted else None


def _write(arguments: argparse.Namespace, junit: str, markdown: str) -> None:
    for path, text in ((arguments.junit, junit), (arguments.markdown, markdown)):
        if path is not None:
            try:
                Path(path).write_text(text, encoding="utf-8")
            except OSError as error:
                raise SetupError(f"{path!r} cannot be written: {error.strerror}") from error


def add_check(command: Any) -> None:
    """The options of `check`, besides those that all commands with a metric take."""
    command.add_argument("--baseline", required=True, metavar="FILE", help="what was scored before")
    command.add_argument("--write-baseline", action="store_true", help="score the program and write that file instead")
    command.add_argument("--must", metavar="FILE", help="ids of examples that must not regress, one on each line")
    command.add_argument("--id-field", default="id", metavar="NAME", help="the field that holds an example's id")
    command.add_argument("--level", type=float, default=0.05, metavar="P", help="a loss less likely is a regression")
    command.add_argument("--tolerance", type=float, default=0.0, metavar="X", help="what such an example may lose")
    command.add_argument("--no-blame", action="store_true", help="do not ask which predictor a regression comes from")
    command.add_argument("--junit", metavar="FILE", help="write the outcome as JUnit's XML")
    command.add_argument("--markdown", metavar="FILE", help="write the outcome as Markdown")
