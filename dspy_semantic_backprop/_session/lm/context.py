"""What the requests to a language model are for: said once, and carried by DSPy's context to every one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy

from ..._errors import Abandoned
from ..budget import Bound, Purpose
from ..journal import Answered
from ..ledger import Ledger
from .client import HISTORY, is_metered, metered
from .prices import bound_of
from .usage import Outside


class AnswerCache(Protocol):
    """A store of earlier answers, such as `GradientCache`."""

    def get(self, key: str, /) -> Mapping[str, str] | None:
        """The answer under a key; None where there is none."""
        ...

    def put(self, key: str, fields: Mapping[str, str], /) -> None:
        """Keep an answer."""
        ...


class AnswerMemory(Protocol):
    """What an execution was answered, and what it need not ask again, such as `ReusedAnswers`."""

    def recall(self, question: str, /) -> Answered | None:
        """The answer that a question has already; None where it has to be asked."""
        ...

    def keep(self, question: str, answered: Answered, /) -> None:
        """Keep an answer."""
        ...


@dataclass
class LMContext:
    """What every request to a language model that is made inside of `for_purpose` knows.

    Args:
        purpose: What it is for.
        where: Which part of the run it belongs to, such as "gate 3, example 7": a resumed run finds its answers by it.
        turn: Bounds how many of our own calls run at once.
        rollout: Tells repetitions of the same work apart; 0 for the first.
        failures: The provider's failures that outlived all retries, in the order they happened.
        tally: What happened, by name, how often ("asked", "missing", "cache hit"); see `backward.ask`.
        cache: Earlier answers of the same purpose, which cost nothing; None for none.
        name_of: A predictor object of the program -> its name; "" for one that it does not know.
        over: Whether nobody waits for the work any more: then it must not cost anything.
        ledger: Where its calls are booked; None outside of any run.
        memory: What the execution was answered and need not ask again; None where nobody keeps that.
        tickets: Of calls to language models that could not be replaced by a metered copy, by DSPy's call id.
    """

    purpose: Purpose
    where: str = ""
    turn: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)
    rollout: int = 0
    failures: list[Exception] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    cache: AnswerCache | None = None
    name_of: Callable[[Any], str] = lambda predictor: ""
    over: bool = False
    ledger: Ledger | None = None
    memory: AnswerMemory | None = None
    tickets: dict[str, int] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> LMContext:
        return self


@contextmanager
def for_purpose(  # noqa: PLR0913 - keyword-only parts of one record
    purpose: Purpose,
    ledger: Ledger,
    *,
    lm: Any = None,
    where: str = "",
    turn: AbstractAsyncContextManager[Any] | None = None,
    rollout: int = 0,
    tally: Counter[str] | None = None,
    cache: AnswerCache | None = None,
    name_of: Callable[[Any], str] | None = None,
    memory: AnswerMemory | None = None,
) -> Iterator[LMContext]:
    """Meter every request to a language model that is made inside, and book it under a purpose.

    Args:
        purpose: What the requests are for.
        ledger: Where to book.
        lm: The default language model inside; None keeps the one that DSPy is configured with.
        where: Which part of the run it is, for its journal.
        turn: Bounds how many calls of `ask` run at once.
        rollout: Tells repetitions of the same work apart, so that a cache does not answer them alike.
        tally: Where what happens inside is counted by name; None counts for this context alone.
        cache: Earlier answers of the same purpose, which cost nothing.
        name_of: Names the program's predictors, so that what they cost is booked under their names.
        memory: What the work was answered and need not ask again.

    Yields:
        The context, which collects the provider's failures.
    """
    default = lm if lm is not None else dspy.settings.lm
    here = LMContext(purpose, where, turn if turn is not None else nullcontext(), rollout, cache=cache)
    here.tally = tally if tally is not None else here.tally
    here.ledger = ledger
    here.memory = memory
    here.name_of = name_of if name_of is not None else here.name_of
    tracker = Outside(ledger, purpose, dspy.settings.usage_tracker)
    with dspy.context(
        semantic_lm_context=here,
        usage_tracker=tracker,
        lm=metered(default, ledger) if isinstance(default, dspy.BaseLM) else default,
        trace=[],
        # The histories of language models and modules would otherwise grow to ten thousand calls each.
        max_history_size=min(dspy.settings.max_history_size, HISTORY),
    ):
        yield here


def lm_context() -> LMContext:
    """The context that this request belongs to; outside of any, one that nobody looks at."""
    return dspy.settings.get("semantic_lm_context") or LMContext(Purpose.FORWARD)


@contextmanager
def for_predictor(name: str) -> Iterator[None]:
    """Book what is asked inside under a predictor: the one whose output is judged or instruction rewritten."""
    with dspy.context(semantic_predictor=name):
        yield


class OutsideCalls:
    """Books calls to language models that the program keeps where we cannot replace them: a hook for a recorder.

    Such a model, in a closure or a global, retries by itself: room is kept for all its retries.
    """

    def lm_begins(self, lm: Any, call_id: str) -> None:
        """Let a call through.

        Args:
            lm: The language model that is about to be called; a metered one books itself.
            call_id: DSPy's id of the call.

        Raises:
            BudgetSpent: If it does not fit into the budget.
            Abandoned: If nobody waits for the work any more.
        """
        here = lm_context()
        if here.ledger is None or is_metered(lm):
            return
        if here.over:
            raise Abandoned("nobody waits for this example any more")
        one = bound_of(lm, here.ledger.budget, "", {})
        tries = 1 + (getattr(lm, "num_retries", 0) or 0)
        bound = Bound(one.calls * tries, one.tokens * tries, one.usd * tries)
        here.tickets[call_id] = here.ledger.enter_now((here.purpose, ""), bound)

    def lm_ends(self, call_id: str) -> None:
        """The call has ended; what it cost was booked when the client reported it."""
        here = lm_context()
        ticket = here.tickets.pop(call_id, None)
        if here.ledger is not None and ticket is not None:
            here.ledger.leave(ticket)
