"""BigCodeBench: 1,140 tasks to program, each with its tests (Zhuo et al., arXiv 2406.15877).

Splits as in the published code of arXiv 2412.03624: the first 50 to train on, the rest to test; no seed.
Fields of an example: `question` (input, the task in words) and `answer`, the published solution, which its tests take;
`task_id`, `test`, `entry_point`, for whoever executes answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dspy

from . import DataError, Split, hub_rows, json_lines

__all__ = ["REPOSITORY", "VERSION", "load"]

REPOSITORY, VERSION = "bigcode/bigcodebench", "v0.1.4"
_TEXTS = ("task_id", "instruct_prompt", "canonical_solution", "code_prompt", "test", "entry_point")


def load(*, folder: str | Path | None = None, train: int = 50) -> Split:
    """Load the data set.

    Arguments:
        folder: the data folder, with `bcb/bigcodebench.jsonl` in it, a line for each row of the data set; None reads
            `bigcode/bigcodebench` from the hub (untried without a network: see `hub_rows`).
        train: the number of training examples, the first ones; at most half.

    Raises:
        DataError: for a missing or broken file, too few tasks, or an unreadable hub.
    """
    examples = _from_hub() if folder is None else _from_file(Path(folder) / "bcb" / "bigcodebench.jsonl")
    if train < 0 or len(examples) < 2:
        raise DataError(f"train={train} of {len(examples)} task(s): give 0 or more, and a file with at least two tasks")
    first = min(train, len(examples) // 2)
    return Split(train=examples[:first], held_out=examples[first:])


def _from_hub() -> list[dspy.Example]:
    return [_example(f"{REPOSITORY}, row {i}", row) for i, row in enumerate(hub_rows(REPOSITORY, VERSION), 1)]


def _from_file(path: Path) -> list[dspy.Example]:
    way_out = "write the data set's rows there as JSON lines, or pass folder=None to read the hub"
    return [_example(where, row) for where, row in json_lines(path, way_out)]


def _example(where: str, row: Any) -> dspy.Example:
    given = row if isinstance(row, dict) else {}
    found: dict[str, str] = {name: given[name] for name in _TEXTS if isinstance(given.get(name), str)}
    if bad := [name for name in _TEXTS if not found.get(name, "").strip()]:
        raise DataError(f"{where}: {', '.join(bad)} must be filled text, but it is {str(row)[:200]}")
    return dspy.Example(
        question=found["instruct_prompt"],
        # The published solution is a body: with the head that the task gives it is a program.
        answer=found["code_prompt"] + found["canonical_solution"],
        **{name: found[name] for name in ("task_id", "test", "entry_point")},
    ).with_inputs("question")
