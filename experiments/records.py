"""The JSON record that every study ends with, and its summary in words."""

from __future__ import annotations

import datetime
import json
import math
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspy_semantic_backprop import Spent

if TYPE_CHECKING:
    from harness import Config

    from dspy_semantic_backprop.testing import SimulatedServer


def commit() -> str:
    """The version of the code, as a short commit; empty outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def origin() -> dict[str, Any]:
    """What every record says of where it comes from: date, version of the code, command, versions of the packages."""
    packages = ("dspy-semantic-backprop", "dspy", "litellm", "gepa", "numpy", "scipy")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": " ".join(["python", *sys.argv]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def record(
    study: str, results: list[dict[str, Any]], config: Config, server: SimulatedServer | None, seconds: float
) -> dict[str, Any]:
    """The JSON record of a study.

    Scores are means over all questions of all tasks (a task weighs as much as it has questions), in metric
    points from 0 to 1, with 95 % Wilson intervals. `spent.calls` is what a proxy in front of the models
    counts; `served` is what the simulated server counted.
    """
    spent = sum((Spent(**amount) for result in results for amount in result["spent"].values()), Spent())
    groups = {result["group"]: None for result in results if result["group"]}
    train = sum(result["train"]["n"] for result in results)
    weighted = {
        when: sum(result["train"][when] * result["train"]["n"] for result in results) / train
        for when in ("before", "after")
    }
    return {
        "study": study,
        **origin(),
        "settings": asdict(config),
        "seed": config.seed,
        "simulated": server is not None,
        "score": {
            "train": {**weighted, "n": train},
            "heldout": pooled(results),
            "groups": {group: pooled([one for one in results if one["group"] == group]) for group in groups},
        },
        "steps": [step for result in results for step in result["steps"]],
        "spent": {
            "calls": spent.calls,
            "tokens": spent.tokens,
            "usd": spent.usd if not spent.unpriced else None,
            "seconds": round(seconds, 3),
            "cached": spent.cached,
        },
        "served": server.requests if server is not None else None,
        "instructions": {
            when: {
                name if len(results) == 1 else f"{result['name']}/{name}": text
                for result in results
                for name, text in result["instructions"][when].items()
            }
            for when in ("before", "after")
        },
        "tasks": [{key: value for key, value in result.items() if key != "steps"} for result in results],
    }


def pooled(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The held-out scores of some tasks together, as published and without regard to format."""
    scores = {when: [score for one in results for score in one["heldout"][when]] for when in ("before", "after")}
    sizes = [len(one["heldout"]["after"]) for one in results]
    lenient = {
        when: math.fsum(one["lenient"][when] * size for one, size in zip(results, sizes, strict=True) if size)
        / max(1, sum(sizes))
        for when in scores
    }
    return {
        **{when: average(some) for when, some in scores.items()},
        "n": len(scores["after"]),
        "tasks": len(results),
        **{f"interval_{when}": interval(some) for when, some in scores.items()},
        "lenient": lenient,
    }


def averages(held: dict[str, Any]) -> str:
    """Pooled scores in a line."""
    lenient = held["lenient"]
    return (
        f"held out {held['before']:.3f} -> {held['after']:.3f} as published, {lenient['before']:.3f} -> "
        f"{lenient['after']:.3f} format aside; {held['n']} questions of {held['tasks']} task(s)"
    )


def append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows as JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none where it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def average(scores: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return math.fsum(scores) / len(scores) if scores else math.nan


def interval(scores: Sequence[float]) -> list[float]:
    """The 95 % Wilson interval of a share of right answers; empty without any."""
    from scipy.stats import binomtest

    if not scores:
        return []
    found = binomtest(round(math.fsum(scores)), len(scores)).proportion_ci(method="wilson")
    return [float(found.low), float(found.high)]


def summary(result: dict[str, Any], note: str) -> str:
    """One task in two lines."""
    before, after = result["heldout"]["before"], result["heldout"]["after"]
    low, high = interval(after) or [math.nan, math.nan]
    accepted = sum(step["verdict"] == "accepted" for step in result["steps"])
    return (
        f"{result['name']}: train {result['train']['before']:.3f} -> {result['train']['after']:.3f}, "
        f"{accepted} of {len(result['steps'])} steps accepted a proposal\n"
        f"  {note}held out {average(before):.3f} -> {average(after):.3f} [{low:.3f}, {high:.3f}]; "
        f"format aside {result['lenient']['before']:.3f} -> {result['lenient']['after']:.3f}"
    )


def save(study: str, written: dict[str, Any], config: Config) -> Path:
    """Write the record under a name that tells the study, the seed and the moment."""
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    moment = datetime.datetime.now().strftime("%Y%m%dT%H%M%S%f")
    kind = "simulated" if written["simulated"] else "real"
    path = directory / f"{study}-{kind}-seed{config.seed}-{config.exp_num}-{moment}.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
