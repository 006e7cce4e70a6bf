"""The end of a run: enough is kept to pay for it, fresh examples are evaluated, and one decision is made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from pydantic import NonNegativeFloat

from .._errors import BudgetSpent
from .._evaluate.candidate import Candidate, changed
from .._evaluate.outcome import scored
from .._evaluate.reuse import Reuse
from .._session.budget import Bound, Purpose, Spent
from .._session.journal import digest_of
from .commit import Commit, Evidence
from .comparison import Comparison
from .gate import Gate, looks_of
from .records import Final
from .search import Material
from .split import LEAST, SHARE

MARGIN = 1.25
"""How much more than was measured is kept: answers differ in length."""
BLOCK = 8
"""So many examples are evaluated at once: a budget that ends in between loses no more."""


@dataclass(frozen=True)
class _Taken:
    """What executions took."""

    calls: NonNegativeFloat
    tokens: NonNegativeFloat
    usd: NonNegativeFloat


class LastDecision:
    """Decides whether a gated run returns what it found; without a `commit` it decides nothing.

    The fresh examples are fewer where the budget turns out to be too small for them; their evaluation is going to take
    `seconds`.
    """

    def __init__(self, material: Material, gate: Gate, commit: Commit | None) -> None:
        self.student, self.pool, self.examples = material.student, material.pool, material.examples
        self.ids, self.fresh = material.split.decide, material.split.fresh
        self.downstream = material.downstream
        self.gate = gate
        self.commit = commit
        self.seconds = 0.0

    def reserve(self, executions: int, seconds: float) -> None:
        """Keep enough of the budget for the end; where that is too much of it, fewer fresh examples are used."""
        ledger, fresh = self.student.session.ledger, len(self.fresh)
        most, spent = ledger.budget, ledger.by_purpose.get(Purpose.FORWARD, Spent())
        if not executions or self.commit is None:
            return
        measured = self._measured(_Taken(spent.calls + spent.cached, spent.tokens, spent.usd))
        each = {name: amount * MARGIN / executions for name, amount in asdict(measured).items()} | {"metric_calls": 1}
        bounds = {name: getattr(most, name) for name in each if getattr(most, name) is not None}
        room = min((SHARE * bound / each[name] for name, bound in bounds.items() if each[name]), default=math.inf)
        if room < 2 * fresh:
            kept = int(room / 2) if room >= 2 * LEAST else 0
            self.student.session.warn(f"the budget has room for {kept} of {fresh} fresh examples at the end")
            self.fresh = self.fresh[:kept]
            fresh = kept
        # What the loop did not evaluate of the start and of what it found is evaluated, too.
        runs = int(min(2 * fresh + len(self.ids), room))
        need = {name: amount * runs for name, amount in each.items()}
        bound = Bound(math.ceil(need["calls"]), math.ceil(need["tokens"]), need["usd"])
        self.student.session.ledger.reserve(Purpose.FINAL, bound, runs)
        self.seconds = seconds * MARGIN * runs / executions

    def _measured(self, now: _Taken) -> _Taken:
        # A resumed run goes by what it measured at first, since it pays for nothing now.
        journal, key = self.student.session.journal, digest_of(["measured"])
        known = journal.take(key, _Taken) if journal else None
        if known is None:
            journal.keep("measured", key, asdict(now))
        return known if known is not None else now

    async def decide(self, incumbent: Candidate) -> Final | None:
        """Evaluate what is needed and decide about what the loop has found; None where there is nothing to decide."""
        if self.commit is None or incumbent == self.pool.start:
            return None
        fresh = None
        # The loop is over: what was kept is for whatever is needed now.
        self.student.session.ledger.reserve(None, Bound(0), 0)
        try:
            fresh = await self._fresh(incumbent) if self.fresh else None
            for one in (self.pool.start, incumbent):
                await self._complete(one)
        except BudgetSpent as stop:
            self.student.session.warn(f"the decision at the end rests on what was evaluated before: {stop}")
        return self.decided(incumbent, fresh)

    async def _complete(self, candidate: Candidate) -> None:
        for at in range(0, len(self.ids), BLOCK):
            await self.pool.outcomes(candidate, self.ids[at : at + BLOCK])

    async def _fresh(self, incumbent: Candidate) -> Comparison:
        ids = self.fresh
        examples = [self.examples[number] for number in ids]
        old = await self.student.evaluate("fresh", examples, self.pool.start, ids=ids, purpose=Purpose.FINAL)
        known = {outcome.example_id: outcome for outcome in scored(old)}
        reuse = Reuse(known, frozenset(changed(self.pool.start, incumbent)))
        downstream = self.downstream
        new = await self.student.evaluate(
            "fresh", examples, incumbent, ids=ids, purpose=Purpose.FINAL, reuse=reuse if downstream else None
        )
        return Comparison.of(old, new, self.pool.groups)

    def decided(self, incumbent: Candidate, fresh: Comparison | None = None) -> Final | None:
        """Decide by what is known, at no cost; None where there is nothing to decide."""
        if self.commit is None or incumbent == self.pool.start:
            return None
        evidence = self._evidence(incumbent, fresh)
        final = Final(
            returned=self.commit(evidence),
            proven=self.commit(evidence),
            p_value=evidence.p_value,
            error=self.commit.error,
            candidate=self.pool[incumbent].number,
            worst=(fresh or evidence.loop).worst(),
            tested=evidence.loop.tested,
        )
        if fresh is not None and len(fresh):
            final = replace(
                final,
                examples=len(fresh),
                before=fresh.before,
                after=fresh.after,
                gain=fresh.gain,
                interval=fresh.interval(),
                fixes=len(fresh.fixes),
                regressions=len(fresh.regressions),
            )
        return replace(final, reason=_reason(final, evidence.loop))

    def _evidence(self, incumbent: Candidate, fresh: Comparison | None) -> Evidence:
        pool, ids = self.pool, self.ids
        loop = pool.compare(pool.start, incumbent, ids)
        others = [entry.candidate for entry in pool if entry.candidate not in (pool.start, incumbent)]
        rivals = [pool.compare(pool.start, one, ids) for one in others]
        # Stopped half-way, the incumbent may owe its place to the moment.
        whole = all(number in pool[one].outcomes for one in (pool.start, incumbent) for number in ids)
        looks = 1 if whole else len(looks_of(self.gate, len(ids)))
        return Evidence(loop, rivals, looks, fresh)


def _reason(final: Final, loop: Comparison) -> str:
    sure = f"p = {final.p_value:.2g}, up to {final.error:g} is accepted; tested: {final.tested}"
    found = ""
    if final.interval is not None and final.gain is not None:
        low, high = final.interval
        found = (
            f"on {final.examples} fresh examples {final.before:.3g} -> {final.after:.3g}, "
            f"gain {final.gain:+.3g} (90 % sure: {low:+.3g} to {high:+.3g}); "
        )
    if final.returned:
        return f"{found}the gain is more than luck ({sure}){final.losses}"
    if final.gain is not None and final.gain < 0:
        return (
            f"{found}the fresh examples show a loss, the {len(loop)} of the loop, which were decided on, "
            f"{loop.gain:+.3g}: the fresh ones count; the program is returned as it was given"
        )
    return f"{found}what was found may be luck ({sure}); the program is returned as it was given"
