"""Data sets of the experiments: what the three loaders share.

    bbh.load(task, ...)   gsm8k.load(...)   liar.load(...)   -> Split(train=[...], held_out=[...])

Every loader reads either a folder on this machine, in the formats in which the data sets were published,

    <folder>/bbh/<task>.json   <folder>/gsm8k/{train,test}.jsonl   <folder>/liar/{train,valid}.tsv

or, without `folder`, the Hugging Face hub, through the optional package `datasets` (extra `experiments`).
`SAMPLES` is such a folder, with a few rows of some of them; it comes with the project.

Why the splits are made here, once, by seed: the paper's published code shuffles BBH anew at each load, so
that its training questions turn up in the test set. Here no question is ever on both sides.

Source of the splits: arXiv 2412.03624.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dspy

__all__ = [
    "PARQUET_REVISION",
    "SAMPLES",
    "DataError",
    "Split",
    "draw_train",
    "fingerprint",
    "hub_rows",
    "json_lines",
    "read_text",
    "split_one_file",
]

SAMPLES = Path(__file__).parent / "samples"

# The branch in which the hub keeps its own conversion of a data set to parquet files.
PARQUET_REVISION = "refs/convert/parquet"


class DataError(ValueError):
    """A data set cannot be read; the message names the file, the line and the way out."""


class Split(NamedTuple):
    """Examples to optimise on, and examples that the optimizer never sees."""

    train: list[dspy.Example]
    held_out: list[dspy.Example]


def fingerprint(examples: Iterable[dspy.Example]) -> str:
    """Identify a list of examples, to be noted beside a result.

    Arguments:
        examples: their fields must be JSON values; the order counts.

    Returns:
        The SHA-256 of their canonical JSON (sorted keys, no spaces, UTF-8), as 64 hexadecimal digits.

    Raises:
        TypeError: from json, when a field is no JSON value.
    """
    rows = [dict(example.items()) for example in examples]
    canonical = json.dumps(rows, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def split_one_file(examples: Sequence[dspy.Example], train: int, seed: int, question: str) -> Split:
    """Divide the examples of one file; equal questions stay on one side.

    Arguments:
        examples: all of them.
        train: how many to train on; at most half of the file is taken, so that a small sample still has
            something to test on.
        seed: decides which; the same file, `train` and `seed` give the same split.
        question: the field that must not be on both sides.

    Raises:
        DataError: when `train` is negative, or a split with both sides filled is not possible.
    """
    _require_train(train)
    groups = _by_question(examples, question)
    if len(groups) < 2:
        raise DataError(
            f"{len(examples)} example(s) with {len(groups)} different question(s) cannot be divided into "
            "training and held-out; give a file with at least two different questions"
        )
    random.Random(seed).shuffle(groups)
    return _fill(groups, min(train, len(examples) // 2))


def draw_train(
    pool: Sequence[dspy.Example], held_out: Sequence[dspy.Example], train: int, seed: int, question: str
) -> Split:
    """Draw the training examples of a data set that has a held-out file of its own.

    Arguments:
        pool: the examples to draw from; those whose question is in `held_out` are left aside.
        held_out: all of them are kept, in their order.
        train: how many to draw; all of the pool when it has fewer.
        seed, question: as for `split_one_file`.

    Raises:
        DataError: when `train` is negative.
    """
    _require_train(train)
    asked = {_key(example, question) for example in held_out}
    free = [example for example in pool if _key(example, question) not in asked]
    random.Random(seed).shuffle(free)
    return Split(train=free[:train], held_out=list(held_out))


def read_text(path: Path, way_out: str) -> str:
    """Read a UTF-8 file.

    Arguments:
        path: the file.
        way_out: what the user can do when it is not there; ends the error message.

    Raises:
        DataError: when the file is missing, cannot be read, is empty or is no UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {way_out}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: no UTF-8 text; fetch the published file again") from error
    if not text.strip():
        raise DataError(f"{path}: the file is empty; {way_out}")
    return text


def json_lines(path: Path, way_out: str) -> list[tuple[str, Any]]:
    """Read a file of JSON lines: of each that is not blank where it stands, for messages, and its value.

    Arguments and errors: as for `read_text`; a line that is no JSON is a DataError, too.
    """
    # Not splitlines(): JSON text may hold U+2028, which is a line break to Python alone.
    lines = enumerate(read_text(path, way_out).split("\n"), 1)
    return [(f"{path}, line {i}", _parsed(f"{path}, line {i}", line)) for i, line in lines if line.strip()]


def _parsed(where: str, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: no JSON ({error.msg}); fetch the published file again") from error


def hub_rows(repository: str, split: str, **how: Any) -> list[dict[str, Any]]:
    """Read one split from the Hugging Face hub; class labels come as their names.

    Honestly: this could not be tried where it was written, without a network. It is tested with a stand-in
    for `datasets` and follows the source of its version 5.2.

    Why the parquet branch, for `how`: `datasets` 4 and later refuse repositories with a loading script, as
    two of ours are. The files are named one by one (`data_files`), because in that branch a configuration
    is only a folder: asked by name, `datasets` would mix the folders of all configurations.

    Arguments:
        repository: its name on the hub, "owner/name".
        split: the split's name.
        how: further arguments of `datasets.load_dataset`: `name`, or `data_files` and `revision`.

    Raises:
        DataError: when the package `datasets` is missing, or the hub cannot be read.
    """
    way_out = "pass folder=... to read files on this machine (experiments.data.SAMPLES needs no network)"
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"reading {repository!r} from the hub needs the package datasets: "
            f"pip install 'dspy-semantic-backprop[experiments]'; or {way_out}"
        ) from error
    try:
        loaded = datasets.load_dataset(repository, split=split, **how)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"the hub's data set {repository!r} ({split}) cannot be read: {error}; {way_out}") from error
    return [_with_label_names(row, loaded.features) for row in loaded]


def _with_label_names(row: dict[str, Any], features: Any) -> dict[str, Any]:
    return {
        name: features[name].int2str(value) if hasattr(features[name], "int2str") else value
        for name, value in row.items()
    }


def _fill(groups: list[list[dspy.Example]], wanted: int) -> Split:
    split = Split(train=[], held_out=[])
    for group in groups:
        fits = len(split.train) + len(group) <= wanted
        (split.train if fits else split.held_out).extend(group)
    return split


def _by_question(examples: Sequence[dspy.Example], question: str) -> list[list[dspy.Example]]:
    groups: dict[str, list[dspy.Example]] = {}
    for example in examples:
        groups.setdefault(_key(example, question), []).append(example)
    return list(groups.values())


def _key(example: dspy.Example, question: str) -> str:
    return " ".join(str(example[question]).split())


def _require_train(train: int) -> None:
    if train < 0:
        raise DataError(f"train={train} asks for a negative number of training examples; pass 0 or more")
