"""Named compositions of the optimizer's parts. A preset is a `Method`.

    SemanticGradientDescent(metric, method=presets.isolated())
    SemanticGradientDescent(metric, method=replace(presets.semantic(), search=Gated(accept_always, commit=None)))


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
| `--no_select`                 | `Gated(accept_always)`; without it `strictly_better`      |
| (nothing else)                | `Gated(..., commit=None)`: what it accepts is returned    |
| `--n_iters N`                 | `SemanticGradientDescent(steps=N)`                        |
| `--max_threads N`, `--seed N` | `SemanticGradientDescent(num_threads=N, seed=N)`          |

The other published switches say what is run, not how it is optimised, and belong to the scripts:
`--across_layers`, `--base_model`, `--opt_model`, `--temperature`, `--batch_size` (how many training
examples), `--bbh_cat`, `--category`, `--exp_num`, `--results_dir`, `--use_wandb`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from ._backward.collect import drop, join, the_answers_only, to_another
from ._backward.semantic import Semantic
from ._backward.silent import silent
from ._decide.gate import strictly_better
from ._decide.gated import Gated
from ._method import Method
from ._propose.choose import all_or_blamed, blind, coin_flips, every, wrong
from ._propose.choose import blamed as blamed_predictors
from ._propose.propose import Proposer
from ._propose.restraint import Restraint
from ._spelling import NamingModule


def semantic() -> Method:
    """Two proposals a step, from two wrong examples each; what is expected to be best by all scores is returned."""
    return Method()


def proven() -> Method:
    """Four wrong examples a step, a mild gate; returned only if the gain is proven, fresh examples included."""
    return replace(semantic(), choose_examples=wrong(4), choose_predictors=every, search=Gated(), name="proven")


def published() -> Method:
    """Semantic gradient descent as published: every program is run in full, and what scores more at all is kept."""
    return replace(
        semantic(),
        choose_examples=wrong(2),
        choose_predictors=every,
        search=Gated(strictly_better, commit=None),
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

    Nothing is sent back through a graph, and nobody is to blame: of more than three predictors three that are drawn are
    rewritten, or all, as a coin falls. Everything else is as in `semantic()`.
    """
    return replace(
        semantic(),
        backward=silent,
        collect=join,
        deliver=the_answers_only,
        choose_predictors=blind(all_or_blamed()),
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

sys.modules[__name__].__class__ = NamingModule
