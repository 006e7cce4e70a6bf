"""Faults of programs in words, run and judged by a real model, in pieces that resume.

Each fault is a line, appended when it is done; a known one is not run again. The record holds all lines, so that a
later session goes on where the file of lines is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dspy
from records import append, commit, origin, read

from dspy_semantic_backprop import ModelError

from .methods import Proved
from .report import Hit, Result
from .study import Settings, judged
from .words import TRIED, Case, cases, metric

KEY = ("shape", "predictor", "kind", "number")
STEP = 200
"""The most tokens of what one step of a program writes."""
PATIENCE = 3600
"""Seconds that a request may take: on a machine with other work, a small model takes minutes for one question."""


def how(config: argparse.Namespace) -> dict[str, Any]:
    """What a line depends on besides its fault."""
    return {
        "model": config.base_model,
        "reader": config.opt_model or config.base_model,
        "seed": config.seed,
        "failures": config.failures or 1,
        "max_tokens": config.max_tokens,
    }


def known(config: argparse.Namespace, lines: Path) -> list[dict[str, Any]]:
    """The lines that are there, of this model and these settings."""
    return [line for line in read(lines) if line["how"] == how(config)]


def studied(config: argparse.Namespace, shapes: Sequence[str], lines: Path) -> list[dict[str, Any]]:
    """Break programs in words until there are enough faults, or the time is over.

    Args:
        config: The command line.
        shapes: Names in `words.TASKS`.
        lines: Where each fault is written down.

    Returns:
        The lines, known and new.
    """
    key = os.environ.get("OPENAI_API_KEY", "none")
    where: dict[str, Any] = {"api_base": config.api_base, "api_key": key} if config.api_base else {}
    limits: dict[str, Any] = {"temperature": 0.0, "timeout": PATIENCE, **where}
    lm = dspy.LM(config.base_model, max_tokens=STEP, **limits)
    reader = dspy.LM(config.opt_model or config.base_model, max_tokens=config.max_tokens, **limits)
    try:
        with dspy.context(lm=lm):
            asyncio.run(_all(config, shapes, lines, reader))
    except ModelError as error:
        sys.exit(f"error: {error}\nThe faults that were done stand in {lines}; the same command goes on with them.")
    return known(config, lines)


async def _all(config: argparse.Namespace, shapes: Sequence[str], lines: Path, reader: dspy.LM) -> None:
    started, there, version = time.monotonic(), known(config, lines), commit()
    waiting = iter([case for case in cases(shapes, config.seed) if _key(vars(case)) not in map(_key, there)])
    faults = config.faults or (1 if config.smoke else 40)
    found = sum(bool(line["hits"]) for line in there)
    settings = Settings(failures=config.failures or 1, noises=(0.0,), seed=config.seed, checked=TRIED, real=True)
    proved: Proved = {}

    async def work() -> None:
        nonlocal found
        limit = 60 * config.minutes if config.minutes else math.inf
        while found < faults and time.monotonic() - started < limit and (case := next(waiting, None)) is not None:
            begun = time.monotonic()
            try:
                result = await judged(case, metric, {0.0: reader}, settings, proved)
                if min(result.checked, result.tried) < TRIED:
                    raise RuntimeError("some executions got no answer; is the server there?")
            except ModelError:
                raise
            except Exception as error:  # noqa: BLE001 - one fault that cannot be judged does not end the others
                print(f"{case}: {type(error).__name__}: {error}"[:500], file=sys.stderr)
                continue
            found += bool(result.hits)
            line = {**_line(case, result), "how": how(config), "commit": version, "date": origin()["date"]}
            append(lines, [{**line, "seconds": round(time.monotonic() - begun, 1)}])
            print(f"{found} faults of {faults}: {case}, {'judged' if result.hits else 'harmless'}", flush=True)

    await asyncio.gather(*(work() for _ in range(config.at_once)))


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in KEY)


def _line(case: Case, result: Result) -> dict[str, Any]:
    plain = {name: value for name, value in vars(result).items() if name not in ("hits", "said")}
    hits = {method: asdict(hit) for (method, _), hit in result.hits.items()}
    return {**plain, "number": case.number, "half": case.half, "hits": hits, "said": result.said}


def result_of(line: Mapping[str, Any]) -> Result:
    """The result that a line tells of."""
    hits = {(method, 0.0): Hit(**hit) for method, hit in line["hits"].items()}
    names = ("shape", "predictor", "kind", "joint", "failed", "tried", "right", "checked")
    return Result(**{name: line[name] for name in names}, hits=hits)


def unbroken(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Shape -> on how many of its examples the unbroken program was right; each half counts once, as first run."""
    halves: dict[tuple[str, int], Mapping[str, Any]] = {}
    for line in lines:
        halves.setdefault((line["shape"], line["half"]), line)
    found: dict[str, dict[str, int]] = {}
    for (shape, _), line in halves.items():
        sums = found.setdefault(shape, {"right": 0, "of": 0})
        sums["right"] += line["right"]
        sums["of"] += line["checked"]
    return found
