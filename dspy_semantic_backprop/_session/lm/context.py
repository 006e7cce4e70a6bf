"""What requests to a language model are for: said once, and carried by DSPy's context to every one of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy

from ..._errors import Stop
from ..budget import Purpose
from ..journal import Answered
from ..ledger import Ledger


class _AnswerCache(Protocol):
    """A store of earlier answers by key, such as `GradientCache`."""

    def get(self, key: str, /) -> Mapping[str, str] | None: ...

    def put(self, key: str, fields: Mapping[str, str], /) -> None: ...


class _AnswerMemory(Protocol):
    """What an execution was answered, and what it need not ask again, such as `ReusedAnswers`."""

    def recall(self, question: str, /) -> Answered | None: ...

    def keep(self, question: str, answered: Answered, /) -> None: ...


@dataclass
class LMContext:
    """What every request to a language model that is made inside of `for_purpose` knows.

    Args:
        purpose: What it is for.
        ledger: Where it is booked; None outside of any run.
        where: Which part of the run it belongs to, such as "gate 3, example 7": a resumed run finds its answers by it.
        turn: Bounds how many of our own calls run at once.
        rollout: Tells repetitions of the same work apart; 0 for the first.
        failures: What the provider would not answer after all retries, in the order it happened, but for what an
            adapter asked once more in another way and was answered.
        tally: What happened, by name, how often ("asked", "missing", "cache hit"); see `_backward/ask.py`.
        cache: Earlier answers of the same purpose, which cost nothing; None for none.
        name_of: A predictor object of the program -> its name; "" for one that it does not know.
        over: Whether nobody waits for the work any more: then it must not cost anything.
        memory: What the execution was answered and need not ask again; None where nobody keeps that.
        stops: What has to end the run, from whichever thread: a program may lose what ends a thread.
        tickets: Of calls to language models that could not be replaced by a metered copy, by DSPy's call id.
    """

    purpose: Purpose
    ledger: Ledger | None = None
    where: str = ""
    turn: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)
    rollout: int = 0
    failures: list[Exception] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    cache: _AnswerCache | None = None
    name_of: Callable[[Any], str] = lambda predictor: ""
    over: bool = False
    memory: _AnswerMemory | None = None
    tickets: dict[str, int] = field(default_factory=dict)
    stops: list[Stop] = field(default_factory=list)
    _askers: list[Any] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def unanswered(self, error: Exception, callers: Any) -> None:
        """Note a failure of the call that DSPy's list of callers is of."""
        with self._lock:
            self.failures.append(error)
            self._askers.append(callers)

    def answered(self, callers: Any) -> None:
        """Forget what the same call of a predictor was not answered before: an adapter asks in several ways."""
        if not self.failures or not callers or not isinstance(callers[-1], dspy.Predict):
            return
        # DSPy makes a list for every call of a module: the very same list is the very same call.
        with self._lock:
            kept = [pair for pair in zip(self.failures, self._askers, strict=True) if pair[1] is not callers]
            self.failures[:] = [error for error, _ in kept]
            self._askers[:] = [asker for _, asker in kept]

    def __deepcopy__(self, memo: dict[int, Any]) -> LMContext:
        return self


def lm_context() -> LMContext:
    """The context that this request belongs to; outside of any, one that nobody looks at."""
    return dspy.settings.get("semantic_lm_context") or LMContext(Purpose.FORWARD)


@contextmanager
def for_predictor(name: str) -> Iterator[None]:
    """Book what is asked inside under a predictor: the one whose output is judged or instruction rewritten."""
    with dspy.context(semantic_predictor=name):
        yield
