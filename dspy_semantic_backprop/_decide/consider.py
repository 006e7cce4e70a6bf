"""What becomes of proposals: every refusal has a name, and those before the evaluation cost nothing."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._evaluate.candidate import Candidate, changed
from .._propose.duplicates import near_duplicate
from .._propose.screen import Screen
from .comparison import Comparison
from .credit import Credit, credits, earning
from .gate import Gate, Verdict
from .pool import Pool
from .race import Raced, race


class Fate(enum.Enum):
    """What became of a proposal; the values are what logs and reports say.

    | proposal                                  | evaluated | fate     |
    |-------------------------------------------|-----------|----------|
    | no usable text for any predictor          | no        | EMPTY    |
    | every instruction as it was               | no        | SAME     |
    | evaluated earlier in this run             | no        | SEEN     |
    | the gate says no                          | yes       | REJECTED |
    | the gate says yes                         | yes       | ACCEPTED |
    """

    EMPTY = "no usable instruction was proposed"
    SAME = "the proposal changes nothing"
    SEEN = "the same proposal was evaluated before"
    REJECTED = "the proposal is not better"
    ACCEPTED = "the proposal is better"


@dataclass(frozen=True)
class Decision:
    """The proposals of a step and what became of them.

    Args:
        fate: What became of the best of them.
        candidate: The best of them; the program that they were made from where nothing was evaluated.
        changed: The predictors that it changes.
        refused: Predictor -> why a text proposed for it was not used.
        comparison: It and the program it was made from; empty where nothing was evaluated.
        credit: What each of its edits contributed; empty where there is one, or it was not found out.
        raced: Everything that was evaluated on the way.
    """

    fate: Fate
    candidate: Candidate
    changed: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    comparison: Comparison = field(default_factory=lambda: Comparison(()))
    credit: tuple[Credit, ...] = ()
    raced: tuple[Raced, ...] = ()


class Selection:
    """Considers proposals, and remembers what it has tried.

    Args:
        screen: What a text must pass before it costs anything.
        gate: Compares a candidate with the program it was made from.
        pool: The candidates of the run.
        ids: The examples to decide on, in the order of their evaluation.
    """

    def __init__(self, screen: Screen, gate: Gate, pool: Pool, ids: Sequence[int]) -> None:
        self.screen = screen
        self.gate = gate
        self.pool = pool
        self.ids = ids
        self._earned: dict[str, str] = {}
        self._racing: tuple[Candidate, list[Candidate]] | None = None

    async def consider(self, step: int, proposals: Sequence[Mapping[str, str]], parent: Candidate) -> Decision:
        """Decide on the proposals of a step.

        Args:
            step: The step of the run.
            proposals: For each, predictor's name -> proposed text, without its protected part.
            parent: The program that they were made from.

        Returns:
            The decision.
        """
        refused: dict[str, str] = {}
        entrants: list[Candidate] = []
        fates: list[Fate] = []
        for texts in proposals:
            usable, fate = self._usable(texts, parent, refused)
            candidate = parent.revised(usable)
            differs = changed(parent, candidate)
            if usable:
                fate = Fate.SAME if not differs else Fate.SEEN if self._seen(candidate, differs) else Fate.REJECTED
            fates.append(fate)
            if fate is Fate.REJECTED:
                entrants.append(candidate)
                self.pool.add(candidate, parent, step)
        entrants += self._recombined(parent, step)
        if not entrants:
            fate = max(fates, key=list(Fate).index, default=Fate.EMPTY)
            return Decision(fate, parent, refused=refused)
        return await self._raced(step, entrants, parent, refused)

    def unfinished(self) -> Candidate | None:
        """The best candidate of a race that was broken off, if the gate accepts it by what is known; None otherwise."""
        if self._racing is None:
            return None
        parent, entrants = self._racing
        known = [Raced(one, Verdict.MORE, self.pool.compare(parent, one, self.ids)) for one in entrants]
        best = self._best(known, parent)
        accepted = self.gate(best.comparison, 0) is Verdict.ACCEPT and self._worth_its_length(best, parent)
        return best.candidate if accepted else None

    async def _raced(
        self, step: int, entrants: Sequence[Candidate], parent: Candidate, refused: Mapping[str, str]
    ) -> Decision:
        self._racing = parent, list(entrants)
        raced = await race(self.pool, parent, entrants, self.ids, self.gate)
        best = self._best(raced, parent)
        found = await credits(self.pool, parent, best.candidate, best.comparison, step)
        part = earning(best.candidate, parent, found)
        if part is not None and (part not in self.pool or self.pool[part].origin == "credit"):
            self.pool.add(part, parent, step, "credit")
            raced += await race(self.pool, parent, [part], self.ids, self.gate)
            # Of two that are as good, the one with fewer edits, which comes first.
            best = self._best([raced[-1], best], parent)
        self._racing = None
        accepted = best.verdict is Verdict.ACCEPT and self._worth_its_length(best, parent)
        self._remember(best, parent, found, accepted)
        return Decision(
            Fate.ACCEPTED if accepted else Fate.REJECTED,
            best.candidate,
            changed(parent, best.candidate),
            refused,
            best.comparison,
            found,
            tuple(raced),
        )

    def _remember(self, best: Raced, parent: Candidate, found: Sequence[Credit], accepted: bool) -> None:
        edits = {name: best.candidate.instructions[name] for name in changed(parent, best.candidate)}
        earned = {one.predictor for one in found if one.earned > 0}
        for name, text in edits.items():
            if accepted:
                self._earned.pop(name, None)
                self.screen.accepted(name)
            elif name in earned:
                # What earned something in bad company is tried again beside what is accepted later.
                self._earned[name] = text
            else:
                self.screen.rejected(name, text)

    def _worth(self, one: Raced, parent: Candidate) -> float:
        """The gain of a candidate, less what it loses for having grown; metric points."""
        edits = changed(parent, one.candidate)
        return one.comparison.gain - self.screen.penalty(parent, one.candidate, edits)

    def _worth_its_length(self, one: Raced, parent: Candidate) -> bool:
        return self._worth(one, parent) > 0 or not self.screen.restraint.length_penalty

    def _best(self, raced: Sequence[Raced], parent: Candidate) -> Raced:
        return max(raced, key=lambda one: (one.verdict is Verdict.ACCEPT, self._worth(one, parent)))

    def _seen(self, candidate: Candidate, edits: Sequence[str]) -> bool:
        """Whether this candidate was evaluated before, or one that says the same."""
        if candidate in self.pool:
            return True
        for entry in self.pool:
            others = changed(candidate, entry.candidate)
            if set(others) <= set(edits) and all(
                near_duplicate(candidate.instructions[name], [entry.candidate.instructions[name]]) for name in others
            ):
                return True
        return False

    def _recombined(self, parent: Candidate, step: int) -> list[Candidate]:
        """The program to beat with all edits that earned something before and were not accepted then."""
        candidate = parent.revised(self._earned)
        if not self._earned or candidate in self.pool or not changed(parent, candidate):
            return []
        self.pool.add(candidate, parent, step, "recombined")
        return [candidate]

    def _usable(
        self, texts: Mapping[str, str], parent: Candidate, refused: dict[str, str]
    ) -> tuple[dict[str, str], Fate]:
        """The instructions that pass the screen, and what becomes of the proposal if none does."""
        usable: dict[str, str] = {}
        fate = Fate.EMPTY
        for name, text in texts.items():
            screened = self.screen(name, text, parent)
            if screened.refusal:
                refused[name] = screened.refusal
                fate = Fate.SEEN if screened.known else fate
                self.screen.refused(name)
            else:
                usable[name] = self.screen.parameters.whole(name, screened.text)
        return usable, fate
