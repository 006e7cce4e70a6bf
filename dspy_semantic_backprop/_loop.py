"""Semantic gradient descent (arXiv 2412.03624, section 4), on one screen.

Evaluate the program; send the metric's feedback back through the graphs of some wrong examples, those very
executions; rewrite instructions from what every call was told; keep a rewrite that the gate accepts. Then, once,
decide whether what was found may be returned.
"""

from __future__ import annotations

from ._backward.sweep import sweep
from ._decide.consider import Fate
from ._errors import BudgetSpent, Ending
from ._propose.lessons import Learned
from ._run import Run
from ._session.events import GradientsReady, Projected, RunStarted
from ._session.session import logger


async def optimise(run: Run) -> tuple[Ending, str]:
    """Make the steps of a run, and its decision at the end.

    Returns:
        Why it ended, and the same in full, with its numbers.
    """
    learn, decide, steps = len(run.trainset), len(run.split.decide), run.settings.most_steps
    run.session.publish(RunStarted(tuple(run.start.instructions), learn, decide, steps))
    run.session.publish(Projected(run.projection))
    logger.info("%s", run.projection)
    run.warn_of_sizes()
    try:
        ending = await descend(run)
        reason = ending.value
    except BudgetSpent as stop:
        ending, reason = Ending.BUDGET, str(stop)
        run.take_unfinished()
    run.final = await run.last.decide(run.incumbent)
    return ending, reason


async def descend(run: Run) -> Ending:
    """The steps.

    Raises:
        BudgetSpent: If the budget does not last for all of them.
    """
    await run.look_at_the_start()
    for step in range(run.settings.most_steps):
        run.check_time()
        method = run.settings.method
        parent = method.choose_parent(run.standing(), run.rng)
        chosen = await run.to_learn_from(parent)
        if not chosen:
            return Ending.PERFECT
        learned = await learn(run, step, chosen, parent)
        names = method.choose_predictors(learned.predictors, step, run.rng, learned.blame) if learned.lessons else []
        proposals = await run.rewriter.proposals(names, learned.lessons, parent, method.proposals)
        decision = await run.selection.consider(step, proposals, parent)
        if decision.fate is Fate.ACCEPTED:
            run.accept(decision.candidate, parent)
        run.record(step, learned, decision)
        if decision.fate is Fate.ACCEPTED and await run.nothing_to_gain():
            return Ending.PERFECT
    return Ending.STEPS


async def learn(run: Run, step: int, chosen: list, parent) -> Learned:
    """Send the feedback of some outcomes of a program back through their graphs."""
    method, proved = run.settings.method, await run.student.prove(chosen, parent)
    swept, sweeps = await sweep(run.session, proved, method, seed=run.settings.seed, where=f"step {step}")
    learned = Learned(parent, swept, sweeps)
    run.session.publish(GradientsReady(step, learned.gradients))
    return learned
