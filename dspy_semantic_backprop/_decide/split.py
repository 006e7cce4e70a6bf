"""Which examples a run learns from, which it decides on, and which it keeps for the end."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._session.budget import Budget
from .._values.same import digest

SHARE = 0.3
"""The most of a budget that is kept for the decision at the end."""
LEAST = 10
"""On fewer fresh examples than these nothing can be seen, and none are kept."""
_MARGIN = 1.25


@dataclass(frozen=True)
class Split:
    """The examples of a run, by their positions in the sets that were given.

    Args:
        separate: Whether examples are learned from that nothing is decided on.
        learn: To learn from: positions in the trainset.
        decide: To decide on in the loop, in the order of their evaluation: positions in the valset, or in the trainset
            where there is no other.
        fresh: To decide on at the end: positions in the same set.
        warnings: What is wrong with the sets, in words.
    """

    separate: bool
    learn: tuple[int, ...]
    decide: tuple[int, ...]
    fresh: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def split(
    trainset: Sequence[Any], valset: Sequence[Any] | None, kept: Callable[[int], int], seed: int, most_fresh: float
) -> Split:
    """Decide which examples are for what.

    An example that stands in the sets more than once is never fresh.

    Args:
        trainset: The examples to learn from, `dspy.Example` each.
        valset: The examples to decide on; None decides on the trainset.
        kept: How many of so many examples are kept for the decision at the end.
        seed: Of the run.
        most_fresh: The most examples that can be paid for at the end.

    Returns:
        The split; the same for the same arguments.
    """
    examples = trainset if valset is None else valset
    order = random.Random(f"{seed}/split").sample(range(len(examples)), len(examples))
    keys = [_key(example) for example in examples]
    often = Counter(keys) + (Counter() if valset is None else Counter({_key(one): 1 for one in trainset}))
    single = [number for number in order if often[keys[number]] == 1]
    most = min(kept(len(examples)), most_fresh, len(single))
    fresh = tuple(single[: int(most)])
    decide = tuple(number for number in order if number not in set(fresh))
    learn = decide if valset is None else tuple(range(len(trainset)))
    return Split(valset is not None, learn, decide, fresh, tuple(_warnings(trainset, valset, keys)))


def affordable(budget: Budget | None, predictors: int) -> float:
    """How many fresh examples the budget has room for, if each predictor is called once; infinity without a budget."""
    if budget is None:
        return math.inf
    executions = [budget.calls / (predictors * _MARGIN)] if budget.calls else []
    executions += [budget.metric_calls] if budget.metric_calls else []
    most = SHARE * min(executions, default=math.inf) / 2
    return most if most >= LEAST else 0


def repeated_in(examples: Sequence[Any], others: Sequence[Any]) -> int:
    """How many examples have the inputs of one of the others."""
    known = {_key(one) for one in others}
    return sum(_key(one) in known for one in examples)


def _warnings(trainset: Sequence[Any], valset: Sequence[Any] | None, keys: Sequence[str]) -> list[str]:
    name = "trainset" if valset is None else "valset"
    found = []
    repeated = len(keys) - len(set(keys))
    if repeated:
        found.append(f"{repeated} of {len(keys)} examples of the {name} repeat another one and count twice")
    if valset is not None:
        train = {_key(example) for example in trainset}
        both = sum(key in train for key in keys)
        if both == len(keys):
            found.append("every example of the valset is in the trainset too: scores will flatter; pass other examples")
        elif both:
            found.append(f"{both} of {len(keys)} examples of the valset are in the trainset too: scores will flatter")
    if len(keys) == 1:
        found.append(f"the {name} has a single example: no edit can be shown to be better by chance less than half")
    return found


def _key(example: Any) -> str:
    """What the program is given for an example; two with the same are one example."""
    return digest(dict(example.inputs()))
