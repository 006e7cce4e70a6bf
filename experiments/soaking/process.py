"""One compile, to be run in a process of its own and killed at any moment."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
from data import SAMPLES, bbh

from dspy_semantic_backprop import Budget, Limits, SemanticGradientDescent
from dspy_semantic_backprop.programs import LayeredProgram, exact_match

TASK = "object_counting"


@dataclass(frozen=True)
class Spec:
    """What to compile, and how.

    Args:
        url: The model's address.
        model: Its name.
        log_dir: Where the log is; None for none.
        threads: How many examples run at once.
        examples: How many training examples.
        steps: How many steps.
        budget: Of the run.
        limits: Of the run.
        api_key: The key that the client sends.
        cap: The most tokens of one answer.
        retries: How often a transient failure is retried.
        failure_score: Of an execution in which the program itself failed.
        writer: Address and name of another model that writes gradients and instructions; None for the same.
        where: As of `SemanticGradientDescent`; a file in which a Dask scheduler says where it is.
    """

    url: str
    model: str
    log_dir: str | None = None
    threads: int = 4
    examples: int = 6
    steps: int = 3
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    api_key: str = "simulated"
    cap: int = 400
    retries: int = 8
    failure_score: float = 0.0
    writer: tuple[str, str] | None = None
    where: int | str | None = None


def lm(spec: Spec, url: str, model: str) -> dspy.LM:
    """The client of a model."""
    return dspy.LM(
        f"openai/{model}",
        api_base=url,
        api_key=spec.api_key,
        temperature=0.0,
        max_tokens=spec.cap,
        cache=False,
        num_retries=spec.retries,
    )


def compiled(
    spec: Spec, subscribers: tuple[Any, ...] = (), judged: Callable[[dspy.Prediction], None] | None = None
) -> dict[str, Any]:
    """Compile, and tell what came out.

    Args:
        spec: What to compile.
        subscribers: Shown every event.
        judged: Shown everything that the metric is given to judge.
    """

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> Any:
        if judged is not None:
            judged(prediction)
        return exact_match(example, prediction, trace)

    train = bbh.load(TASK, folder=SAMPLES, seed=0).train[: spec.examples]
    optimizer = SemanticGradientDescent(
        metric if judged is not None else exact_match,
        gradient_lm=lm(spec, *spec.writer) if spec.writer else None,
        steps=spec.steps,
        num_threads=spec.threads,
        budget=spec.budget,
        limits=spec.limits,
        failure_score=spec.failure_score,
        log_dir=spec.log_dir,
        subscribers=subscribers,
        where=_client(spec.where) if isinstance(spec.where, str) else spec.where,
    )
    started = time.monotonic()
    with dspy.context(lm=lm(spec, spec.url, spec.model)):
        better: Any = optimizer.compile(LayeredProgram(), trainset=train)
    result = better.detailed_results
    return {
        "instructions": dict(result.instructions_after),
        "scores": [result.to_dict()["score"][when] for when in ("before", "after")],
        "steps": [(step.verdict, step.before, step.after, step.missing) for step in result.steps],
        "ending": result.ending.name,
        "reason": result.reason,
        "warnings": list(result.warnings),
        "spent": asdict(result.total),
        "metric_calls": result.metric_calls,
        "seconds": time.monotonic() - started,
    }


def _client(file: str) -> Any:
    from distributed import Client

    return Client(scheduler_file=file)


def run(spec: Spec, path: str) -> None:
    """Compile and write what came out to a file; the whole life of a child process."""
    logging.disable(logging.WARNING)
    outcome = compiled(spec)
    part = Path(f"{path}.part")
    part.write_text(json.dumps(outcome), encoding="utf-8")
    part.rename(path)
