"""GSM8K: grade school word problems, 7,473 to train on and 1,319 to test (Cobbe et al., arXiv 2110.14168).

Splits as in arXiv 2412.03624: 128 of train, the whole test.
Fields of an example: `question` (input) and `answer`, what follows #### in the published solution, with its
thousands commas ("1,080"): compare by `number_match`, for plain digits could not reach 100 %.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dspy

from . import DataError, Split, draw_train, hub_rows, json_lines

__all__ = ["REPOSITORY", "load"]

REPOSITORY = "openai/gsm8k"

_MARK = "####"


def load(*, folder: str | Path | None = None, train: int = 128, seed: int = 0) -> Split:
    """Load the data set.

    Arguments:
        folder: the data folder, with `gsm8k/train.jsonl` and `gsm8k/test.jsonl` in it; None reads
            `openai/gsm8k`, configuration main, from the hub (untried without a network: see `hub_rows`).
        train: the number of training examples, drawn from train; all when there are fewer.
        seed: decides which examples are trained on.

    Raises:
        DataError: for a missing or broken file, or an unreadable hub.
    """
    pool, held_out = (_examples(folder, name) for name in ("train", "test"))
    return draw_train(pool, held_out, train, seed, "question")


def _examples(folder: str | Path | None, name: str) -> list[dspy.Example]:
    if folder is None:
        rows = hub_rows(REPOSITORY, name, name="main")
        return [_example(f"{REPOSITORY}, {name}, row {i}", row) for i, row in enumerate(rows, 1)]
    path = Path(folder) / "gsm8k" / f"{name}.jsonl"
    way_out = "fetch the published file, or pass folder=None to read the hub"
    return [_example(where, row) for where, row in json_lines(path, way_out)]


def _example(where: str, row: Any) -> dspy.Example:
    fields = (row.get("question"), row.get("answer")) if isinstance(row, dict) else (None, None)
    question, solution = fields
    if not isinstance(question, str) or not isinstance(solution, str) or not question.strip():
        raise DataError(f'{where}: "question" and "answer" must both be filled text, but it is {str(row)[:200]}')
    _, mark, answer = solution.rpartition(_MARK)
    if not mark or not answer.strip():
        raise DataError(f"{where}: no answer after {_MARK} in the solution {solution[-200:]!r}")
    return dspy.Example(question=question, answer=answer.strip()).with_inputs("question")
