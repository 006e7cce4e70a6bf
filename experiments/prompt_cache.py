"""How much of a run's requests a provider's prompt cache would have seen before, on the paper's three pipelines.

    python experiments/prompt_cache.py --results_dir experiments/results

Providers bill the beginning of a request at a fraction where an earlier request began alike, from 1,024 tokens on in
blocks of 128 (OpenAI's rule; others have the like). Here every request of a compile is held against all earlier ones
of the run: what share of its characters begins alike, and how many of its tokens would be billed at the lower price.
The language model is simulated; nothing but the wording of the requests is measured.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import logging
import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from contest.programs import PROGRAMS, Program, sets
from litellm import encode
from rapidfuzz.distance import Prefix
from records import origin
from simulated import SimulatedModel

from dspy_semantic_backprop import Budget, SemanticGradientDescent, presets
from dspy_semantic_backprop.programs import LiarProgram

FIRST, BLOCK = 1024, 128
"""From how many tokens on a beginning is cached, and in blocks of how many."""
PRICES = (0.5, 0.1)
"""What a cached token costs, as a share of a new one: two prices that are common."""


PIPELINES: dict[str, Program] = {
    "bbh": PROGRAMS["bbh"],
    "gsm8k": PROGRAMS["gsm8k"],
    "liar": replace(PROGRAMS["liar"], made=partial(LiarProgram, narrow=True)),
}
METHODS = {"semantic": presets.semantic, "published": presets.published}
_READER = re.compile(r"\[\[ ## reader_instruction ## \]\]\n(.*?)\n\n\[\[ ## ", re.DOTALL)


def measure(pipeline: Program, method: str, seed: int, calls: int) -> dict[str, Any]:
    """One compile.

    Args:
        pipeline: Program, metric and examples.
        method: One of `METHODS`; the published one asks most questions.
        seed: Of the run, the examples and the simulated model.
        calls: The most requests.

    Returns:
        What was asked and how much of it began alike; shares from 0 to 1, counts in tokens.
    """
    examples = sets(pipeline, (24, 24, 1), seed)
    with SimulatedModel(seed).serve() as server, dspy.context(lm=server.lm(cache=False)):
        optimizer = SemanticGradientDescent(
            pipeline.metric, method=METHODS[method](), budget=Budget(calls=calls), seed=seed
        )
        optimizer.compile(pipeline.made(), trainset=examples.train, valset=examples.val)
        requests = ["\n".join(str(one["content"]) for one in served.messages) for served in server.log]
    questions: dict[str, list[str]] = defaultdict(list)
    for text in requests:
        # What the reader was told stands in every backward question, and in no other request.
        for told in _READER.findall(text)[:1]:
            questions[told].append(text)
    alike = [share for texts in questions.values() for share in _alike(texts)]
    tokens, cached = 0, 0
    for size, known in _cached(encode(text=request) for request in requests):
        tokens, cached = tokens + size, cached + known
    return {
        "pipeline": pipeline.name,
        "method": method,
        "seed": seed,
        "requests": len(requests),
        "questions": sum(map(len, questions.values())),
        "alike": round(statistics.median(alike), 3) if alike else None,
        "tokens": tokens,
        "cached": cached,
        "billed": [round((tokens - cached * (1 - price)) / tokens, 3) for price in PRICES],
    }


def _alike(texts: Iterable[str]) -> Iterator[float]:
    """Of each text but the first, the share that begins as an earlier one does."""
    earlier: list[str] = []
    for text in texts:
        at = bisect.bisect(earlier, text)
        # In sorted order the text that shares the longest beginning is a neighbour.
        near = [Prefix.similarity(text, other) for other in earlier[max(0, at - 1) : at + 1]]
        if near:
            yield max(near) / len(text)
        earlier.insert(at, text)


def _cached(requests: Iterable[list[int]]) -> Iterator[tuple[int, int]]:
    """Of each request the tokens, and those that an earlier one began with."""
    seen: set[int] = set()
    for request in requests:
        ends = range(FIRST, len(request) + 1, BLOCK)
        keys = [hash(tuple(request[:end])) for end in ends]
        yield len(request), max((end for end, key in zip(ends, keys, strict=True) if key in seen), default=0)
        seen.update(keys)


def main() -> None:
    """Measure, print a table, write the record."""
    parser = argparse.ArgumentParser("prompt_cache", description="What a provider's prompt cache would bill.")
    parser.add_argument("--pipelines", nargs="+", choices=list(PIPELINES), default=list(PIPELINES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=470, help="the most requests of a run")
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--name", default="prompt-cache-simulated", help="of the record")
    config = parser.parse_args()
    logging.disable(logging.WARNING)
    runs = itertools.product(config.pipelines, METHODS, range(config.seeds))
    rows = [measure(PIPELINES[name], method, seed, config.calls) for name, method, seed in runs]
    print("pipeline  method     questions  begin alike  tokens  billed at half, a tenth of the price")
    for row in rows:
        half, tenth = row["billed"]
        alike = "-" if row["alike"] is None else f"{row['alike']:.0%}"
        head = f"{row['pipeline']:8}  {row['method']:9}  {row['questions']:9}  {alike:>11}"
        print(f"{head}  {row['tokens']:6}  {half:.0%}, {tenth:.0%}")
    record = {
        "study": "prompt_cache",
        **origin(),
        "settings": vars(config),
        "simulated": True,
        "rows": rows,
    }
    path = Path(config.results_dir) / f"{config.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
