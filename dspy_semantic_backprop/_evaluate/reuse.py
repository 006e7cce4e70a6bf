"""An edit is evaluated only where it can reach: what lies upstream is answered as the incumbent was answered.

What is given again is a language model's answer to the very same question: the same predictor, model and settings, and
the same prompt to the letter. The graph only says which calls are *not* to be answered so: those of edited predictors
and what they reached. The program, its adapter and its tools run as ever, so that its values, its trace and its graph
are those of a full run. Why that is right also where a graph misses edges, and where not: see docs/design/decisions.md.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from .._graph.record.names import is_unnamed
from .._graph.record.recording import CURRENT
from .._session.journal import Answered
from .outcome import Scored


@dataclass(frozen=True)
class Reuse:
    """What an evaluation may answer from an earlier one.

    Args:
        records: Example id -> the incumbent's outcome on that very example; one without is run in full.
        edited: The predictors that the candidate tells something else than the incumbent does.
    """

    records: Mapping[int, Scored] = field(repr=False)
    edited: frozenset[str]

    def memory(self, example_id: int) -> ReusedAnswers:
        """What an execution on an example may be answered without asking."""
        record = self.records.get(example_id)
        return ReusedAnswers() if record is None else ReusedAnswers(record, self.edited)


class ReusedAnswers:
    """What one execution was asked and answered, and which answers of an earlier one it may be given. Thread-safe.

    Attributes:
        strayed: Whether the program did not repeat itself: a predictor asked something else than in the record
            or more often, before any edited predictor had answered. From then on everything is asked.
    """

    def __init__(self, record: Scored | None = None, edited: frozenset[str] = frozenset()) -> None:
        self.strayed = False
        self._edited = edited
        self._lock = threading.Lock()
        self._expected: Counter[str] = Counter()
        self._left: dict[str, deque[Answered]] = {}
        self._compared = record is not None
        if record is not None:
            reached = _reached(record, edited)
            for call in record.trace.calls:
                for question, answered in record.trace.answers.get(call.id, ()):
                    self._expected[question] += 1
                    if call.id not in reached:
                        self._left.setdefault(question, deque()).append(answered)

    def __getstate__(self) -> dict[str, Any]:
        # What DSPy's history showed of an answer is of no use in another process.
        left = {key: deque(Answered(one.outputs, one.usage) for one in all_) for key, all_ in self._left.items()}
        return {**vars(self), "_left": left, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def recall(self, question: str) -> Answered | None:
        """The earlier answer to a question of the call that is under way here; None where it has to be asked."""
        recording, call = _under_way()
        # Whoever listens to a stream wants to hear one.
        if not self._compared or call is None or dspy.settings.send_stream is not None:
            return None
        with self._lock:
            self._expected[question] -= 1
            if self._expected[question] < 0:
                asking = recording.calls[call]["predictor"]
                edited = asking in self._edited or is_unnamed(asking)
                self.strayed |= not edited and not self._touched(recording)
            left = self._left.get(question)
            found = left.popleft() if left and not self.strayed else None
        return found if found is None else replace(found, outputs=copy.deepcopy(found.outputs))

    def keep(self, question: str, answered: Answered) -> None:
        """Note what the call that is under way here was answered."""
        recording, call = _under_way()
        if call is None:
            return
        try:
            answered = replace(answered, outputs=copy.deepcopy(answered.outputs))
        except Exception:  # noqa: BLE001 - what cannot be copied cannot be given again: it will be asked
            return
        with recording.lock:
            recording.answers.setdefault(call, []).append((question, answered))

    def _touched(self, recording: Any) -> bool:
        """Whether anything in this execution may be due to the edit; a predictor without a name may be edited."""
        ended = [call["predictor"] for call in list(recording.calls.values()) if "ended" in call]
        return any(is_unnamed(name) or name in self._edited for name in ended)


def _under_way() -> tuple[Any, str | None]:
    """The record that grows here, and the provisional id of its call that is under way; None outside of any."""
    recording, current = dspy.settings.get("semantic_recording"), CURRENT.get()
    known = recording is not None and current is not None and current[0] in recording.calls
    return recording, current[0] if current is not None and known else None


def _reached(record: Scored, edited: frozenset[str]) -> set[str]:
    """The calls of edited predictors and all that the graph shows behind them, guesses included."""
    graph = record.graph
    own = [call.id for call in graph if call.predictor in edited]
    return {*own, *(call for one in own for call in graph.descendants(one))}
