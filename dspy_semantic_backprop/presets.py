"""Named compositions of the optimizer's parts. A preset is a `Method`.

    SemanticGradientDescent(metric, method=presets.isolated())
    SemanticGradientDescent(metric, method=replace(presets.semantic(), gate=accept_always))


| published switch              | our expression                                            |
|-------------------------------|-----------------------------------------------------------|
| `--include_grad`              | `backward=Semantic(...)`; without it `no_gradient()`      |
| `--target`                    | `Semantic(directions=True)`; without it `directions=False` |
| `--no_include_sibling`        | `Semantic(siblings=False)`                                |
| `--use_bad_samples`           | `choose_examples=wrong(n)`; without it `any_example(n)`   |
| `--errors_per_gradient N`     | `wrong(N)`, `any_example(N)`                              |
| `--gradients_per_error N`     | `wrong(n, sweeps=N)`, `any_example(n, sweeps=N)`          |
| `--full_update`               | `choose_predictors=every`; without it `coin_flips`        |
| `--opt_keys A,B`              | `choose_predictors=only("A", "B")`                        |
| `--no-include_final`          | `choose_predictors=without("final")`                      |
| `--opt_via_feedback`          | `propose=Proposer(via_analysis=True)`                     |
| `--short_prompt`              | `propose=Proposer(short=True)`                            |
| `--no_select`                 | `gate=accept_always`; without it `strictly_better`        |
| (nothing else)                | `commit=None`: what the gate accepts is returned          |
| `--n_iters N`                 | `SemanticGradientDescent(steps=N)`                        |
| `--max_threads N`, `--seed N` | `SemanticGradientDescent(num_threads=N, seed=N)`          |

The other published switches say what is run, not how it is optimised, and belong to the scripts:
`--across_layers`, `--base_model`, `--opt_model`, `--temperature`, `--batch_size` (how many training
examples), `--bbh_cat`, `--category`, `--exp_num`, `--results_dir`, `--use_wandb`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ._backward.collect import bounded, drop, join
from ._backward.deliver import Deliver, the_answers_only, to_another, to_its_own
from ._backward.gradient import Backward, Collect, Direction, TextGradient
from ._backward.semantic import Semantic
from ._backward.silent import silent
from ._decide.commit import Commit
from ._decide.gate import Gate, confident, strictly_better
from ._propose.choose import ChooseExamples, ChooseParent, ChoosePredictors, coin_flips, every, incumbent, wrong
from ._propose.choose import blamed as blamed_predictors
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
            `without(...)`, `blamed()`.
        propose: How lessons become an instruction: `Proposer()`.
        gate: Whether a proposal replaces the program that it was made from: `confident`, `strict`, `Confident(error)`,
            `strictly_better`, `accept_always`.
        commit: Whether the run may return what it found: `Commit(error)`; None returns whatever the gate accepted.
        restraint: What an edit must respect: its size, protected texts, constraints in words, quotations of examples.
        choose_parent: Which program a step improves: `incumbent`, `pareto`.
        proposals: How many proposals a step makes from one backward pass and races against each other.
        downstream: Whether an edit is evaluated only where it can reach: calls upstream of all edits, and beside them,
            are then answered from the run of the program that was edited.
        name: What reports call the method.
    """

    backward: Backward[TextGradient, Direction] = field(default_factory=Semantic)
    collect: Collect[Direction, TextGradient] = field(default_factory=bounded)
    deliver: Deliver = to_its_own
    choose_examples: ChooseExamples = field(default_factory=lambda: wrong(4))
    choose_predictors: ChoosePredictors = every
    propose: Propose = field(default_factory=Proposer)
    gate: Gate = confident
    commit: Commit | None = field(default_factory=Commit)
    restraint: Restraint = field(default_factory=lambda: Restraint(words=WORDS))
    choose_parent: ChooseParent = incumbent
    proposals: int = 1
    downstream: bool = True
    name: str = "semantic"


def semantic() -> Method:
    """Four wrong examples a step, every predictor; explored with a mild gate, returned only if all evidence says so."""
    return Method()


def published() -> Method:
    """Semantic gradient descent as published: every program is run in full, and what scores more at all is kept."""
    return replace(
        semantic(),
        choose_examples=wrong(2),
        gate=strictly_better,
        commit=None,
        restraint=Restraint(leaks="allow"),
        downstream=False,
        name="published",
    )


def isolated() -> Method:
    """Semantic gradient descent with TextGrad's backward function: every output judged alone, blind to its siblings."""
    return replace(semantic(), backward=Semantic(siblings=False), name="isolated")


def no_gradient() -> Method:
    """The no-gradient ablation: proposals see inputs and outputs only."""
    return replace(semantic(), backward=silent, collect=drop, name="no_gradient")


def shuffled() -> Method:
    """The shuffled-gradient ablation: every predictor is given the gradients of another one of the same example."""
    return replace(semantic(), deliver=to_another, name="shuffled")


def one_step() -> Method:
    """A placebo: one call rewrites a predictor from its instruction, some failing calls and the expected answers.

    Nothing is sent back through a graph; everything else is as in `semantic()`.
    """
    return replace(
        semantic(),
        backward=silent,
        collect=join,
        deliver=the_answers_only,
        name="one_step",
    )


def comments() -> Method:
    """Comments on every output instead of directions of change (published without `--target`)."""
    return replace(semantic(), backward=Semantic(directions=False), name="comments")


def via_analysis() -> Method:
    """The rewrite in two questions: first what is wrong, then the new instruction (`--opt_via_feedback`)."""
    return replace(semantic(), propose=Proposer(via_analysis=True), name="via_analysis")


def random_subset() -> Method:
    """Each predictor is rewritten with probability one half (published without `--full_update`)."""
    return replace(semantic(), choose_predictors=coin_flips, name="random_subset")


def blamed(share: float = 0.2) -> Method:
    """Only the predictors that carry the blame for a step's failures are rewritten.

    Args:
        share: The least share of the blame, 0 to 1, that makes a predictor one to rewrite.
    """
    return replace(semantic(), choose_predictors=blamed_predictors(share), name="blamed")


PLACEBOS: dict[str, Callable[[], Method]] = {
    "isolated": isolated,
    "shuffled": shuffled,
    "no_gradient": no_gradient,
    "one_step": one_step,
}
"""What a method must be better than if its graph and its gradients are worth anything."""
