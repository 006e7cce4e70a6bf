"""What happens in a run, as frozen records that subscribers are shown and cannot change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .projection import Projection


@dataclass(frozen=True)
class RunStarted:
    """A run begins.

    Args:
        predictors: The predictors that may be rewritten.
        train: How many training examples there are.
        gate: How many examples proposals are decided on.
        steps: How many steps are made at most; None: as many as the budget lasts.
        instructions: Predictor's name -> the instruction that it starts with.
        separate: Whether the two are different sets of examples.
    """

    predictors: tuple[str, ...]
    train: int
    gate: int
    steps: int | None
    instructions: Mapping[str, str] = field(default_factory=dict, repr=False)
    separate: bool = True


@dataclass(frozen=True)
class Resumed:
    """A run goes on from its log; told before anything else, and no part of the log.

    Args:
        answers: How many answers of language models are known from there.
    """

    answers: int


@dataclass(frozen=True)
class Projected:
    """What the run is going to cost, told before it starts and again once one evaluation was measured.

    Args:
        projection: The costs.
    """

    projection: Projection


@dataclass(frozen=True)
class EvaluationStarted:
    """A program is about to be evaluated.

    Args:
        what: Which set: train or gate.
        examples: On how many examples.
    """

    what: str
    examples: int


@dataclass(frozen=True)
class ExampleDone:
    """One example has an outcome.

    Args:
        example_id: Its position in its set.
        score: In metric points; None where it is missing.
    """

    example_id: int
    score: float | None


@dataclass(frozen=True)
class EvaluationDone:
    """A program was evaluated.

    Args:
        what: Which set: train or gate.
        score: The mean score, in metric points.
        missing: How many examples the provider left unanswered.
    """

    what: str
    score: float
    missing: int


@dataclass(frozen=True)
class Working:
    """Work goes on that is no evaluation; told to subscribers, and no part of the log.

    Args:
        what: Which: "backward passes", or "checks of the blame".
        done: How many pieces of it are done.
        pieces: How many there are.
    """

    what: str
    done: int
    pieces: int


@dataclass(frozen=True)
class BatchWaiting:
    """A batch at the provider is waited for; told to subscribers, and no part of the log.

    Args:
        batch: The provider's name for it.
        status: What the provider says of it, such as "in_progress".
        done: How many requests in it the provider is done with.
        requests: How many there are that are waited for.
        seconds: How long it was waited for, in seconds.
    """

    batch: str
    status: str
    done: int
    requests: int
    seconds: float


@dataclass(frozen=True)
class GraphKnown:
    """The program as it was given was run on the first examples.

    Args:
        graph: What `ProgramGraph.to_dict()` gives.
    """

    graph: Mapping[str, Any]


@dataclass(frozen=True)
class GradientsReady:
    """The backward passes of a step are done.

    Args:
        step: The step, from 0.
        gradients: For each chosen example: its id, and call id -> gradient as text.
    """

    step: int
    gradients: Sequence[tuple[int, Mapping[str, str]]]


@dataclass(frozen=True)
class StepDone:
    """A step has been decided.

    Args:
        step: The step, from 0.
        record: What `StepRecord.to_dict()` gives.
    """

    step: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class RunDone:
    """A run has ended; the last event.

    Args:
        ending: The name of its `Ending`, in small letters.
        reason: Why, in words.
        result: What `Result.to_dict()` gives.
    """

    ending: str
    reason: str
    result: Mapping[str, Any] = field(default_factory=dict, repr=False)


Event = (
    RunStarted
    | Resumed
    | Projected
    | EvaluationStarted
    | ExampleDone
    | EvaluationDone
    | Working
    | BatchWaiting
    | GraphKnown
    | GradientsReady
    | StepDone
    | RunDone
)
Subscriber = Callable[[Event], None]
