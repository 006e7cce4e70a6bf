"""Which examples a run learns from, which it decides on, and which it keeps for the end."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import SetupError
from .._graph.record.snapshots import describe
from .._session.budget import Budget
from .._values.same import digest

SHARE = 0.3
"""The most of a budget that is kept for the decision at the end."""
LEAST = 10
"""On fewer fresh examples than these nothing can be seen, and none are kept."""
SINGLE = "a single example: no edit can be shown to be better by chance less than half"
"""What is said of a set of one, unless it is said of all sets together that they are too small."""
_MARGIN = 1.25
Key = tuple[str, int]
"""An example: which set it is in, "decide" or "learn", and its position there."""
Group = str | Callable[[Any], Hashable]
"""What an example belongs to: a field of it, or a function of it."""


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
        twins: Position in the valset -> position in the trainset of the same example, which is run and graded once.
    """

    separate: bool
    learn: tuple[int, ...]
    decide: tuple[int, ...]
    fresh: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    twins: Mapping[int, int] = field(default_factory=dict)


def groups_of(group: Group | None, name: str, examples: Sequence[Any]) -> dict[int, Hashable]:
    """What each example of a set, by its position, belongs to; those that belong to nothing are left out."""
    found: dict[int, Hashable] = {}
    if group is None:
        return found
    for number, example in enumerate(examples):
        where = f"group={group!r} of {name}[{number}]"
        if isinstance(group, str) and group not in example:
            raise SetupError(f"{where}: it has no such field, only {', '.join(example.keys())}")
        try:
            label = example[group] if isinstance(group, str) else group(example)
            hash(label)
        except Exception as error:
            raise SetupError(f"{where} failed: {describe(error)}; name a field or return text") from error
        if label is not None:
            found[number] = label
    return found


def split(
    trainset: Sequence[Any],
    valset: Sequence[Any] | None,
    kept: Callable[[int], int],
    seed: int,
    most_fresh: float,
    group: Group | None = None,
) -> Split:
    """Decide which examples are for what; the same for the same arguments.

    An example that stands in the sets more than once is never fresh, and no group is torn apart. `kept` says how many
    of so many examples are kept for the decision at the end, where at most `most_fresh` can be paid for.
    """
    examples = trainset if valset is None else valset
    order = random.Random(f"{seed}/split").sample(range(len(examples)), len(examples))
    keys = [_key(example) for example in examples]
    often = Counter(keys) + (Counter() if valset is None else Counter({_key(one): 1 for one in trainset}))
    groups = groups_of(group, "trainset" if valset is None else "valset", examples)
    learned = set() if valset is None else set(groups_of(group, "trainset", trainset).values())
    single = {number for number in order if often[keys[number]] == 1 and groups.get(number) not in learned}
    fresh = _whole(order, groups, single, int(min(kept(len(examples)), most_fresh, len(single))))
    decide = tuple(number for number in order if number not in set(fresh))
    learn = decide if valset is None else tuple(range(len(trainset)))
    warnings = _warnings(trainset, valset, keys)
    both = learned.intersection(groups.values())
    if both:
        warnings.append(f"{len(both)} groups of examples stand in the trainset and in the valset: scores will flatter")
    twins = {} if valset is None else _twins(trainset, valset)
    return Split(valset is not None, learn, decide, fresh, tuple(warnings), twins)


def _whole(order: Sequence[int], groups: Mapping[int, Hashable], allowed: set[int], most: int) -> tuple[int, ...]:
    """The first of some examples in their order, at most so many, and none without the others of its group."""
    members: dict[Hashable, list[int]] = {}
    for number in order:
        members.setdefault((groups[number],) if number in groups else number, []).append(number)
    found: list[int] = []
    for together in members.values():
        if len(found) + len(together) <= most and allowed.issuperset(together):
            found += together
    return tuple(found)


def in_turn(split: Split, rng: random.Random) -> list[Key]:
    """All examples, those to decide on and those to learn from in turn: what is run to learn from counts, too."""
    decide = [("decide", number) for number in rng.sample(split.decide, len(split.decide))]
    if not split.separate:
        return decide
    learn = [("learn", number) for number in rng.sample(split.learn, len(split.learn))]
    return [key for pair in itertools.zip_longest(learn, decide) for key in pair if key is not None]


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
        found.append(f"the {name} has {SINGLE}")
    return found


def _twins(trainset: Sequence[Any], valset: Sequence[Any]) -> dict[int, int]:
    """Position in the valset -> that of the very same example, labels and all, in the trainset; each once."""
    whole = [[digest([sorted(one.inputs().keys()), dict(one)]) for one in examples] for examples in (trainset, valset)]
    first, second = ({key: at for at, key in reversed(list(enumerate(keys)))} for keys in whole)
    return {at: first[key] for key, at in second.items() if key in first}


def _key(example: Any) -> str:
    """What the program is given for an example; two with the same are one example."""
    return digest(dict(example.inputs()))
