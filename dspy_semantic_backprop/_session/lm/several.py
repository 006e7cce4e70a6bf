"""Language models that send other requests than the one that they were asked: by callbacks, retries of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dspy

from ..budget import Account, Bound
from ..ledger import Ledger


def sends_itself(lm: Any) -> bool:
    """Whether it is DSPy's own client, with DSPy's own engines: what is asked inside of it is asked by callbacks."""
    own = type(lm).forward is dspy.LM.forward and type(lm).aforward is dspy.LM.aforward
    return own and isinstance(getattr(lm, "_engine_spec", ""), str)


def asked_again(
    ledger: Ledger, account: Account, bound: Bound, lease: int, passed_on: Callable[[], bool]
) -> Callable[[], None]:
    """What is to be done before each request that is sent for a leased one: further ones need a place of their own.

    Args:
        bound: The most that the leased one can cost; each further one counts as so much.
        passed_on: Whether another language model was asked instead, whose requests are counted by themselves.
    """
    numbers = itertools.count(1)

    def sends() -> None:
        if next(numbers) > bound.calls and not passed_on():
            ledger.keep_for_good(lease)
            one = replace(bound, calls=1)
            ledger.settle(ledger.lease_now(account, one), account, one.lost)

    return sends
