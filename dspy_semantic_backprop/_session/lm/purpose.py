"""Work with a purpose: what it asks of language models is metered and booked under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import dspy

from ..._errors import Abandoned
from ..._secrets.known import learn_secrets
from ..budget import Bound, Purpose
from ..ledger import Ledger
from .client import HISTORY, is_metered, metered
from .context import LMContext, lm_context
from .doors import watched_doors
from .laid import laid_in
from .replies import readable_usage
from .unmetered import unmetered_seen
from .usage import Outside, RequestUsage, bound_of


@contextmanager
def for_purpose(purpose: Purpose, ledger: Ledger, *, lm: Any = None, **details: Any) -> Iterator[LMContext]:
    """Meter every request to a language model that is made inside, by default to `lm`, under a purpose."""
    default = lm if lm is not None else dspy.settings.lm
    here = LMContext(purpose, ledger, **details)
    with (
        watched_doors(),
        readable_usage(_under_way),
        unmetered_seen(),
        laid_in() if ledger.batches is not None else nullcontext(),
        dspy.context(
            semantic_lm_context=here,
            usage_tracker=Outside(ledger, purpose, dspy.settings.usage_tracker),
            lm=metered(default, ledger) if isinstance(default, dspy.BaseLM) else default,
            trace=[],
            # The histories of language models and modules would otherwise grow to ten thousand calls each.
            max_history_size=min(dspy.settings.max_history_size, HISTORY),
        ),
    ):
        yield here


def _under_way() -> bool:
    """Whether a metered request is."""
    return isinstance(dspy.settings.usage_tracker, RequestUsage)


class OutsideCalls:
    """Books calls to language models that the program keeps where we cannot replace them: a hook for a recorder.

    Such a model, in a closure or a global, retries by itself: room is kept for all its retries.
    """

    def lm_begins(self, lm: Any, call_id: str) -> None:
        """Let a call through, unless the language model is metered and books itself."""
        if is_metered(lm):
            return  # its secrets were learned when the copy was made
        learn_secrets(lm)
        here = lm_context()
        if here.ledger is None:
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


@contextmanager
def uncached(program: dspy.Module, ledger: Ledger) -> Iterator[None]:
    """Keep DSPy's cache from answering inside, for every language model of a run, at its own settings.

    The program, a copy with metered language models, stays uncached. Why no new `rollout_id`: docs/design/decisions.md.
    """
    for _, module in program.named_sub_modules():
        for value in vars(module).values():
            if isinstance(value, dspy.BaseLM) and is_metered(value):
                value.cache = False
    default = dspy.settings.lm
    if isinstance(default, dspy.BaseLM):
        default = metered(default, ledger)
        default.cache = False
    with dspy.context(lm=default):
        yield


def never_cached(lm: Any) -> Any:
    """A copy of a language model that DSPy's cache never answers for; anything else is given back as it is."""
    if not isinstance(lm, dspy.BaseLM):
        return lm
    twin = lm.copy()
    twin.cache = False
    twin.history = lm.history
    return twin
