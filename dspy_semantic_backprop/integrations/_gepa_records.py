"""Which example a record of GEPA's is about, and what the record alone teaches.

GEPA hands a proposer texts of one call: its inputs, its outputs, the feedback. The example is named nowhere. GEPA's
metric however is called with both, so what it was called with last names the example of every record without doubt.
Without that, an example is known only where its inputs stand in the record as they are, and in no other example's.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from .._backward.gradient import Direction, Message, TextGradient
from .._graph.record.snapshots import declaration
from .._graph.trace import OUTPUT, Call
from .._propose.lessons import Lesson

_REMEMBERED = 1000
"""The most sightings that are kept; an update looks only for those of its own minibatch."""


@dataclass(frozen=True)
class Record:
    """One entry of GEPA's reflective dataset.

    Args:
        row: `Inputs`, `Generated Outputs` (a text where the answer could not be read) and `Feedback`.
    """

    predictor: str
    row: Mapping[str, Any]

    @property
    def inputs(self) -> dict[str, str]:
        """The call's inputs as texts."""
        return _texts(self.row.get("Inputs"))

    @property
    def outputs(self) -> dict[str, str]:
        """The call's outputs as texts; empty where the answer could not be read."""
        return _texts(self.row.get("Generated Outputs"))

    def lesson(self, signature: Any, example_id: int) -> Lesson:
        """What the record teaches by itself: the call and the feedback, and no gradient.

        Args:
            signature: The predictor's.
            example_id: A number that no other example of the update has.
        """
        declared = declaration(signature)
        unread = None if self.outputs else str(self.row.get("Generated Outputs"))
        call = Call(
            id=f"{self.predictor}[0]",
            index=0,
            predictor=self.predictor,
            inputs=self.inputs,
            outputs=self.outputs,
            error=unread,
            **declared,
        )
        told = f"(this is the feedback on the execution; what it means for this step is not known) {self.feedback}"
        gradient = TextGradient((Message(OUTPUT, call.id, "", Direction(told, through=(OUTPUT,))),))
        return Lesson(example_id, call, gradient, math.nan)

    @property
    def feedback(self) -> str:
        """What GEPA says of the call."""
        return str(self.row.get("Feedback") or "none")


class Witness:
    """Finds the examples behind records."""

    def __init__(self, trainset: Sequence[dspy.Example]) -> None:
        self.trainset = list(trainset)
        self._inputs = [frozenset(_texts(dict(example.inputs())).values()) for example in trainset]
        self._seen: deque[tuple[Record, dspy.Example]] = deque(maxlen=_REMEMBERED)

    def saw(self, example: dspy.Example, predictor: str, inputs: Mapping[str, Any], outputs: Any) -> None:
        """Note a call that GEPA's metric was asked about, and its example."""
        row = {"Inputs": dict(inputs), "Generated Outputs": dict(outputs.items())}
        self._seen.append((Record(predictor, row), example))

    def example_of(self, record: Record) -> dspy.Example | None:
        """The example that a record is about; None where that is not known."""
        for at, (seen, example) in enumerate(self._seen):
            if _same(seen, record):
                # The same call on two examples gives two records, in the order of the sightings.
                del self._seen[at]
                return example
        return self._by_inputs(record)

    def draw(self, count: int, rng: random.Random) -> list[dspy.Example]:
        """At most so many examples at random."""
        return rng.sample(self.trainset, min(count, len(self.trainset)))

    def _by_inputs(self, record: Record) -> dspy.Example | None:
        texts = set(record.inputs.values())
        shown = [len(inputs & texts) for inputs in self._inputs]
        most = max(shown, default=0)
        best = [at for at, count in enumerate(shown) if count == most]
        if not most or len({self._inputs[at] for at in best}) > 1:
            return None
        return self.trainset[best[0]]


def _same(seen: Record, record: Record) -> bool:
    # GEPA shows a `dspy.History` under another name.
    inputs, shown = seen.inputs, record.inputs
    alike = all(shown[name] == text for name, text in inputs.items() if name in shown)
    return seen.predictor == record.predictor and alike and seen.outputs == record.outputs


def _texts(values: Any) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()} if isinstance(values, Mapping) else {}
