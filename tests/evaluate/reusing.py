"""What tests of reuse and reruns share: programs, models, evaluations beside each other, and a recorded execution.

The one file of these tests that looks inside of the package.
"""

from __future__ import annotations

import itertools
import random
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import dspy

from dspy_semantic_backprop import Limits
from dspy_semantic_backprop._concurrency import run_sync
from dspy_semantic_backprop._errors import ModelUnavailable as ModelUnavailable
from dspy_semantic_backprop._evaluate.candidate import clone, read, write
from dspy_semantic_backprop._evaluate.evaluate import Evaluator
from dspy_semantic_backprop._evaluate.metric import adapt
from dspy_semantic_backprop._evaluate.outcome import Failed as Failed
from dspy_semantic_backprop._evaluate.outcome import Scored
from dspy_semantic_backprop._evaluate.places import Places
from dspy_semantic_backprop._evaluate.rerun import Rerun, rerun
from dspy_semantic_backprop._evaluate.reuse import Reuse
from dspy_semantic_backprop._graph.evidence.combine import prove, suggest
from dspy_semantic_backprop._graph.evidence.replay.replays import Replays
from dspy_semantic_backprop._graph.record.names import Names
from dspy_semantic_backprop._graph.record.recorder import capture
from dspy_semantic_backprop._session.budget import Purpose
from dspy_semantic_backprop._session.ledger import Ledger
from dspy_semantic_backprop._session.lm import install
from dspy_semantic_backprop._values.same import alike

SLICES: WeakKeyDictionary[dspy.Module, Any] = WeakKeyDictionary()
"""What the code of a program says: read once, as in a run, for all evaluations of its copies."""
QUESTION = dspy.Example(question="What follows from this statement?").with_inputs("question")


def echo(prompt):
    """An answer that tells what was asked: the instruction, the field and the inputs."""
    told = zlib.crc32(prompt.instruction.encode())
    return {name: f"{name} {zlib.crc32(repr((told, name, prompt.inputs)).encode()):010d}" for name in prompt.names}


def graded(example, prediction, trace=None):
    """Any change of what is returned changes the score."""
    return (zlib.crc32(repr(sorted(prediction.items())).encode()) % 1000) / 1000


def edit(program, edited):
    candidate = read(program)
    return candidate.revised({name: f"{candidate.instructions[name]}\nBe precise." for name in edited})


def evaluated(program, edited=(), *, record: Any = None, example=QUESTION, ledger=None) -> Any:
    """The outcome of a program with some predictors edited; with a record, only what the edit can reach is asked."""
    twin = write(edit(program, edited), clone(program), {})
    ledger = ledger if ledger is not None else Ledger()
    install(twin, ledger)
    evaluator = Evaluator(
        metric=adapt(graded),
        ledger=ledger,
        limiter=anyio.CapacityLimiter(4),
        limits=Limits(missing=1.0),
        slices=SLICES.setdefault(program, {}),
    )
    reuse = None if record is None else Reuse({0: record}, frozenset(edited))
    with Places(ledger, 1).row([0], Purpose.FORWARD) as row:
        return run_sync(evaluator(twin, [example], ids=[0], row=row, reuse=reuse))[0]


def view(outcome: Scored) -> Any:
    """What an outcome holds, its clock aside; calls that ran at the same time have no names of their own."""
    told = {
        call.id: repr((call.predictor, sorted(call.inputs.items()), sorted(call.outputs.items()), call.further))
        for call in outcome.graph
    }
    ends = {**told, "output": "output"}
    edges = sorted(
        (ends[edge.source.call], edge.source.field, ends[edge.target.call], str(edge.target.field), edge.known_by)
        for edge in outcome.graph.edges
    )
    calls = sorted((told[call.id], str(call.error), sorted(call.usage.items())) for call in outcome.graph)
    asked = {told[call]: len(answers) for call, answers in outcome.trace.answers.items()}
    return calls, edges, dict(outcome.graph.output), outcome.score, outcome.feedback, outcome.graph.error, asked


def downstream(outcome: Scored, edited) -> int:
    own = [call.id for call in outcome.graph if call.predictor in edited]
    return len({*own, *(call for one in own for call in outcome.graph.descendants(one))})


def compared(program, edited, server, *, example=QUESTION, incumbent=None) -> tuple[int, int]:
    """Requests in full and with reuse; both have the same outcome."""
    incumbent = incumbent if incumbent is not None else evaluated(program, example=example)
    before = server.requests
    full = evaluated(program, edited, example=example)
    between = server.requests
    ledger = Ledger()
    part = evaluated(program, edited, record=incumbent, example=example, ledger=ledger)
    asked, saved = server.requests - between, ledger.total.reused
    assert alike(view(full), view(part))
    assert not part.strayed
    assert ledger.total.calls == asked <= between - before == asked + saved
    return between - before, asked


class Network(dspy.Module):
    """Each node reads the question and the outputs of some earlier nodes; the last one answers."""

    def __init__(self, reads, way="plain"):
        super().__init__()
        self.reads, self.way = reads, way
        fields = (", ".join(["question", *(f"from_{at}" for at in read)]) for read in reads)
        self.nodes = [dspy.Predict(f"{names} -> out") for names in fields]

    def forward(self, question):
        known: list[str] = []
        for at, (node, sources) in enumerate(zip(self.nodes, self.reads, strict=True)):
            inputs: Any = {"question": question, **{f"from_{one}": known[one] for one in sources}}
            if self.way == "thread" and at % 2:
                with ThreadPoolExecutor(1) as pool:
                    known.append(
                        pool.submit(copy_context().run, lambda node=node, given=inputs: node(**given)).result().out
                    )
            else:
                known.append(node(**inputs).out)
        return dspy.Prediction(answer=known[-1])


class Twice(dspy.Module):
    """Asks one predictor the very same question several times."""

    def __init__(self, times=2):
        super().__init__()
        self.times = times
        self.guess = dspy.Predict("question -> hint")
        self.final = dspy.Predict("hints: list[str] -> answer")
        self.check = dspy.Predict("question, answer -> verdict")

    def forward(self, question):
        hints = [self.guess(question=question).hint for _ in range(self.times)]
        answer = self.final(hints=hints).answer
        return dspy.Prediction(answer=answer, verdict=self.check(question=question, answer=answer).verdict)


def dice():
    """Another answer to every request; whoever checks is always content with one word."""
    throws = itertools.count()

    def answer(prompt):
        return {
            name: f"throw number {next(throws)}" if name != "answer" else "always the same" for name in prompt.names
        }

    return answer


class Dated(Network):
    """Stamps what it asks: no execution repeats another one."""

    def forward(self, question):
        return super().forward(question=f"{question} ({time.perf_counter_ns()})")


class Drawn(dspy.Module):
    """Chooses who is asked by chance, between steps that repeat themselves."""

    def __init__(self):
        super().__init__()
        self.plan = dspy.Predict("question -> plan")
        self.left, self.right = dspy.Predict("plan -> way"), dspy.Predict("plan -> way")
        self.note = dspy.Predict("question -> note")
        self.final = dspy.Predict("way, note -> answer")

    def forward(self, question):
        plan = self.plan(question=question).plan
        way = (self.left if DRAW.random() < 0.5 else self.right)(plan=plan).way
        return self.final(way=way, note=self.note(question=question).note)


DRAW = random.Random(3)


class Recorded:
    """One recorded execution, its proved graph, and how to run it again."""

    def __init__(self, program, inputs, server, **how):
        self.server, self.how = server, how
        self.program = clone(program)
        run_sync(self._record(program, inputs))
        self.before = server.requests

    async def _record(self, program, inputs):
        limiter = anyio.CapacityLimiter(1)
        install(program, Ledger())
        self.returned, self.error, self.trace = await capture(program, inputs, names=Names(program), limiter=limiter)
        self.graph = await prove(suggest(self.trace), self.trace, Replays(self.program, inputs), "auto")

    def again(self, changes, *, caps=None, **how) -> Rerun:
        self.ledger = Ledger(caps or {})
        return run_sync(rerun(self.program, self.trace, changes, ledger=self.ledger, **self.how, **how))

    @property
    def asked(self):
        return self.server.requests - self.before
