"""The parts of a step, each of which can be replaced: `presets` composes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._backward.collect import Deliver, bounded, to_its_own
from ._backward.gradient import Backward, Collect, Direction, TextGradient
from ._backward.semantic import Semantic
from ._decide.pooled import Pooled
from ._decide.search import Search
from ._propose.choose import ChooseExamples, ChoosePredictors, all_or_blamed, wrong
from ._propose.propose import Propose, Proposer
from ._propose.restraint import Restraint

WORDS = 200
"""So many words the first edits of an instruction may add, remove or replace."""


@dataclass(frozen=True)
class Method:
    """The parts that a step of gradient descent is put together from; each can be replaced by your own.

    Args:
        backward: How a reader's gradient becomes messages: `Semantic()`, `silent`.
        collect: How the messages to a call become its gradient: `bounded()`, `join`, `drop`.
        deliver: Whose gradient a call is given: `to_its_own`, `to_another`.
        choose_examples: Which outcomes a step learns from: `wrong(n)`, `any_example(n)`.
        choose_predictors: Which predictors a step rewrites: `every`, `one_by_one`, `coin_flips`, `only(...)`,
            `without(...)`, `blamed()`, `all_or_blamed()`.
        propose: How lessons become an instruction: `Proposer()`.
        search: Whom a step improves, what is evaluated on what, what is returned: `Pooled()`, `Gated(gate, commit)`.
        restraint: What an edit must respect: its size, protected texts, constraints in words, quotations of examples.
        downstream: Whether an edit is evaluated only where it can reach: calls upstream of all edits, and beside them,
            are then answered from the run of the program that was edited.
        name: What reports call the method.
    """

    backward: Backward[TextGradient, Direction] = field(default_factory=Semantic)
    collect: Collect[Direction, TextGradient] = field(default_factory=bounded)
    deliver: Deliver = to_its_own
    choose_examples: ChooseExamples = field(default_factory=lambda: wrong(2))
    choose_predictors: ChoosePredictors = field(default_factory=all_or_blamed)
    propose: Propose = field(default_factory=Proposer)
    search: Search = field(default_factory=Pooled)
    restraint: Restraint = field(default_factory=lambda: Restraint(words=WORDS))
    downstream: bool = True
    name: str = "semantic"
