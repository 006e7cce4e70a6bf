"""Semantic gradient descent (arXiv 2412.03624, section 4), on one screen.

Evaluate the program; send the metric's feedback back through the graphs of some wrong examples, those very
executions; rewrite instructions from what every call was told; evaluate the rewrites. Whom a step improves, on which
examples rewrites are run and what is returned in the end is the search's affair: `_decide/search.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ._backward.sweep import sweep, tell_blame
from ._concurrency import beside, gather
from ._decide.consider import Fate
from ._errors import BudgetSpent, Ending
from ._evaluate.candidate import Candidate
from ._evaluate.outcome import Scored
from ._propose.lessons import Learned
from ._propose.propose import PROPOSALS
from ._run import Run
from ._session.events import GradientsReady, Projected, RunStarted
from ._session.spans import span


async def optimise(run: Run) -> tuple[Ending, str]:
    """Make the steps of a run, and its decision at the end; returns why it ended, and the same in full."""
    start, sizes = run.start.instructions, (len(run.trainset), len(run.split.decide))
    steps = run.settings.known_steps
    run.session.publish(RunStarted(tuple(start), *sizes, steps, dict(start), run.split.separate))
    run.session.publish(Projected(run.projection))
    run.warn_of_sizes()
    try:
        ending = await descend(run)
        reason = ending.value
    except BudgetSpent as stop:
        ending, reason = Ending.BUDGET, str(stop)
    run.record_cut()
    run.final = await run.search.end()
    run.warn_of_the_end()
    return ending, reason


async def descend(run: Run) -> Ending:
    """Make the steps; a `BudgetSpent` where the budget does not last for all of them."""
    await run.look_at_the_start()
    taught = False
    for step in range(run.settings.most_steps):
        with span("step", step=step):
            parent, batches = await run.batches(step)
            if not batches:
                return Ending.PERFECT
            proved = await run.prove(batches, parent)
            learned, texts = await beside(teach(run, step, batches, parent, proved), run.search.ahead(parent))
            run.session.check_answers(PROPOSALS)
            decision = await run.consider(step, learned, list(zip(texts, batches, strict=True)))
            taught = taught or any(any(text.strip() for text in one.values()) for one in texts)
            if decision.fate is Fate.ACCEPTED and await run.search.finished():
                return Ending.PERFECT
            if run.student.reach.is_inert(tuple(parent.instructions)):
                return Ending.UNREACHED
            if run.search.stuck:
                return run.ended(Ending.STUCK, taught)
    return run.ended(Ending.STEPS, taught)


async def teach(
    run: Run, step: int, batches: Sequence[Sequence[Scored]], parent: Candidate, proved: Sequence[Scored]
) -> tuple[Learned, list[dict[str, str]]]:
    """What is learned of some outcomes of a program, and new texts from what was learned of each batch."""
    learned = await learn(run, step, proved, parent)
    return learned, await gather(functools.partial(propose, run, step, learned), batches)


async def learn(run: Run, step: int, proved: Sequence[Scored], parent: Candidate) -> Learned:
    """Send the feedback of some outcomes of a program back through their graphs."""
    method, seed = run.settings.method, run.settings.seed
    learned = Learned(parent, *await sweep(run.session, proved, method, seed=seed, where=f"step {step}"))
    tell_blame(learned.outcomes, learned.sweeps, learned.blames)
    run.session.publish(GradientsReady(step, learned.gradients))
    return learned


async def propose(run: Run, step: int, everything: Learned, batch: Sequence[Scored]) -> dict[str, str]:
    """New texts for the predictors that the method chooses, from what was learned of one batch."""
    learned = everything.only(batch)
    if not learned.lessons:
        return {}
    reachable = [name for name in learned.predictors if name not in run.student.reach.unreached]
    if not reachable:
        return {}
    names = run.settings.method.choose_predictors(reachable, step, run.rng, learned.blame)
    return await run.rewriter.rewrites(names, learned.lessons, learned.parent)
