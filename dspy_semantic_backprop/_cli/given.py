"""What a command line names, as objects: program, metric, examples, language models, settings."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy

from .. import presets
from .._checks import check_program
from .._errors import SetupError
from .._graph.record.snapshots import describe
from .._optimizer import SemanticGradientDescent
from .._session.budget import Budget
from .._session.projection import Projection
from .._spelling import close, own_names
from .._terminal import counted, spelled, wrapped

MUST = "must_not_regress"
"""The field of a line that marks an example for `check`; it is no field of the example."""


@contextlib.contextmanager
def importing_from_here() -> Iterator[None]:
    """Inside, modules of the working directory can be imported, as with `python -m`, also by an installed script."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def named(path: str, what: str) -> Any:
    """What `module:attribute` names."""
    module, colon, attribute = path.partition(":")
    if not module or not colon or not attribute or module.endswith(".py"):
        example = f"{Path(module).stem or 'app'}:{attribute or what}"
        raise SetupError(f"{what} {path!r} must be given as module:attribute, such as {example}")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise SetupError(f"{what} {path!r}: the module {module} cannot be imported: {describe(error)}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = own_names(found) if isinstance(found, types.ModuleType) else ()
            raise SetupError(f"{what} {path!r}: {module} has no {attribute}; {close(name, known)}")
        found = getattr(found, name)
    return found


def program_of(arguments: argparse.Namespace) -> dspy.Module:
    """The program: an instance, or what a class or function gives without arguments; with what was saved loaded."""
    found: Any = named(arguments.program, "program")
    if not isinstance(found, dspy.Module) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise SetupError(
                f"program {arguments.program!r} cannot be made without arguments: {describe(error)}"
            ) from error
    check_program(found)
    if arguments.load is not None:
        # What the module holds may be used by others.
        found = found.deepcopy()
        try:
            found.load(arguments.load)
        except Exception as error:
            raise SetupError(
                f"{arguments.load} cannot be loaded into {arguments.program}: {describe(error)}"
            ) from error
    return found


def examples_of(path: str, inputs: str) -> tuple[list[dspy.Example], list[bool]]:
    """The examples of a file of JSON lines, and of each whether it is marked as one that must not regress.

    `inputs` are the names of the input fields, separated by commas.
    """
    names = [name.strip() for name in inputs.split(",") if name.strip()]
    if not names:
        raise SetupError("--inputs names no field; give the fields that the program takes, separated by commas")
    examples, marks = [], []
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            fields = _fields(f"line {number} of {path}", line)
            marks.append(bool(fields.pop(MUST, False)))
            for name in names:
                if name not in fields:
                    raise SetupError(f"line {number} of {path} has no field {name!r} (--inputs); {close(name, fields)}")
            examples.append(dspy.Example(fields).with_inputs(*names))
    if not examples:
        raise SetupError(f"{path} holds no examples; write one JSON object on each line")
    return examples, marks


def text_of(path: str) -> str:
    """What a text file holds."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _fields(where: str, line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{where} is no JSON: {error}; write one object on each line") from error
    if not isinstance(fields, dict):
        raise SetupError(f"{where} is no JSON object; write one object on each line")
    return fields


@contextlib.contextmanager
def model_of(arguments: argparse.Namespace, program: dspy.Module) -> Iterator[None]:
    """Inside, the language model that was named is DSPy's; without one, what the program's module configured stays."""
    with dspy.context(lm=lm_of(arguments.model)) if arguments.model else contextlib.nullcontext():
        if dspy.settings.lm is None and any(predictor.lm is None for predictor in program.predictors()):
            raise SetupError("no language model; add --model NAME, or call dspy.configure in the module of the program")
        yield


def lm_of(name: str | None) -> dspy.LM | None:
    """The language model of a name; None without one."""
    return dspy.LM(name) if name else None


def optimizer_of(arguments: argparse.Namespace, **settings: Any) -> SemanticGradientDescent:
    """The optimizer with the settings that were given."""
    given = vars(arguments)
    if arguments.json:
        # What is read by a program holds nothing but the record.
        settings["subscribers"] = ()
    names = ("steps", "auto", "log_dir", "group", "failure_score")
    settings |= {name: given[name] for name in names if given.get(name) is not None}
    settings["where"] = where_of(given.get("where"))
    if given.get("method") is not None:
        known = own_names(presets)
        if given["method"] not in known:
            meant = close(given["method"], known, "the presets are")
            raise SetupError(f"--method {given['method']}: there is no such preset; {meant}")
        settings["method"] = getattr(presets, given["method"])()
    return SemanticGradientDescent(
        named(arguments.metric, "metric"),
        gradient_lm=lm_of(arguments.gradient_model),
        num_threads=arguments.threads,
        seed=arguments.seed,
        budget=budget_of(arguments),
        **settings,
    )


def where_of(text: str | None) -> Any:
    """Where programs are run, as `where=` takes it; a cluster that was named is connected to."""
    if text is None or (text != "ray" and "://" not in text):
        return int(text) if text is not None and text.isdigit() else text
    try:
        if text == "ray":
            import ray

            ray.init(log_to_driver=False, logging_level="ERROR")
            return text
        from distributed import Client

        return Client(text)
    except ImportError as error:
        extra = "ray" if text == "ray" else "dask"
        raise SetupError(f"--where {text} needs an extra: pip install 'dspy-semantic-backprop[{extra}]'") from error
    except Exception as error:
        raise SetupError(f"--where {text}: the cluster cannot be reached: {describe(error)}") from error


def budget_of(arguments: argparse.Namespace) -> Budget | None:
    """The bounds that were given; None without any."""
    bounds = {name: getattr(arguments, f"max_{name}") for name in ("calls", "tokens", "usd", "seconds")}
    prices = dict(map(_price, arguments.price or ()))
    return Budget(**bounds, prices=prices) if any(bound is not None for bound in bounds.values()) else None


def _price(text: str) -> tuple[str, tuple[float, float]]:
    model, _, prices = text.rpartition("=")
    try:
        sent, received = map(float, prices.split(","))
    except ValueError:
        raise SetupError(f"--price {text!r} must be MODEL=SENT,RECEIVED in US dollars for a million tokens") from None
    return model, (sent, received)


def agree_to(arguments: argparse.Namespace, projection: Projection, known: str = "") -> None:
    """Tell what a command is going to cost, and what of it is paid for already (`known`), and ask whether to go on."""
    likely = projection.probable
    steps = f"{counted(projection.steps, 'step')}: " if projection.steps else ""
    # Logs are not run.
    runs = f"{counted(likely.executions, 'execution')} of the program"
    what = runs if projection.executions else f"{likely.tokens:,} tokens"
    text = f"{steps}about {likely.calls:,} language-model calls (at most {projection.calls:,}), {what}"
    bounds = {name: getattr(arguments, f"max_{name}") for name in ("calls", "tokens", "usd", "seconds")}
    given = ", ".join(f"{most:,g} {name}" for name, most in bounds.items() if most is not None)
    told = f"{text}; no more than {given}" if given else text
    _agree(f"{told}; {known}" if known else told, arguments.yes)


def _agree(projected: str, yes: bool) -> None:
    print("\n".join(wrapped(spelled(projected), "", 4, indent=0)), file=sys.stderr, flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise SetupError("nobody can be asked whether to go on, and nothing was spent; add --yes to go on unasked")
    try:
        print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise SetupError("not agreed to; nothing was spent")


def say_record(arguments: argparse.Namespace, found: Any) -> int:
    """Print a record, as JSON where that was asked for; returns the exit status of what went well."""
    say(as_json(found) if arguments.json else str(found))
    return 0


def as_json(found: Any) -> str:
    """A record as JSON."""
    return json.dumps(found.to_dict(), indent=2, default=str)


def say(text: str) -> None:
    """Print a text that a terminal can be given."""
    print(spelled(text), flush=True)
