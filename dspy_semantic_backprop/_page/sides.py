"""One of two runs that are compared: its instructions, its scores by what an example holds, and what it spent."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._errors import SetupError
from .._session.budget import Spent
from .log import read_log


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Args:
        name: What it is called.
        instructions: Predictor's name -> instruction, in the program that came back; empty where none did yet.
        scores: Example -> the score of that program, in metric points; an example is known by what it holds.
        shown: Example -> its inputs, what was expected, and what that program answered, as far as it is known.
        spent: What the run spent; None where that is not known.
        why: Why there are no scores, in words; "" where there are.
    """

    name: str
    instructions: Mapping[str, str]
    scores: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spent: Spent | None = None
    why: str = ""


def side_of_file(source: str | os.PathLike[str]) -> Side:
    """A run by its log, or a program by what `program.save("....json")` wrote: that has instructions only."""
    path = Path(source)
    if path.is_dir():
        return side_of_run(path.name, read_log(path)[0])
    try:
        state = json.loads(path.read_text("utf-8"))
        saved = {name: one["signature"]["instructions"] for name, one in state.items() if name != "metadata"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SetupError(f"{str(path)!r} is no log's folder, and no program that was saved as JSON: {error}") from error
    return Side(path.name, saved, why=f"{path.name} is a saved program, which keeps no scores")


def side_of_run(name: str, state: Mapping[str, Any]) -> Side:
    """A run by what `Result.to_dict()` gives."""
    before, after = state["instructions"]["before"], state["instructions"]["after"]
    spent = sum((Spent(**one) for one in state["spent"].values()), Spent())
    returned = next((one for one in state["candidates"] if {**before, **one["instructions"]} == after), None)
    if returned is None:
        return Side(name, after, spent=spent, why=f"{name} holds no scores: {state['reason']}")
    scores: dict[str, float] = {}
    shown: dict[str, Mapping[str, Any]] = {}
    known = {number: score for number, score in returned["scores"].items() if score is not None}
    for key, example in _keyed(state):
        if (number := str(example["example"])) in known:
            scores[key] = known[number]
            answer = example["answers"].get(str(returned["number"]))
            shown[key] = {"inputs": example["inputs"], "expected": example["expected"], "answer": answer}
    why = "" if scores else f"{name} was evaluated on no example that it kept"
    return Side(name, after, scores, shown, spent, why)


def _keyed(state: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The examples that were decided on, by what they hold; one that stands twice has two keys."""
    seen: Counter[str] = Counter()
    keyed = []
    for example in state["examples"]:
        if not example["learned"]:
            text = json.dumps([example["inputs"], example["expected"]], sort_keys=True)
            seen[text] += 1
            keyed.append((f"{text} {seen[text]}", example))
    return keyed
