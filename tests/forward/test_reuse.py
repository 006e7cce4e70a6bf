"""An edit evaluated only where it can reach: the outcomes of a full evaluation, for the calls that lie downstream."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import warnings
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import anyio
import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import SemanticGradientDescent
from dspy_semantic_backprop.concurrency import run_sync
from dspy_semantic_backprop.forward.evaluate import Evaluator, Failed, Scored, scored
from dspy_semantic_backprop.forward.metric import adapt
from dspy_semantic_backprop.forward.replaying.same import alike
from dspy_semantic_backprop.forward.reuse import Reuse
from dspy_semantic_backprop.lm import install
from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram
from dspy_semantic_backprop.run.budget import Budget
from dspy_semantic_backprop.run.journal import Journal
from dspy_semantic_backprop.run.ledger import Ledger
from dspy_semantic_backprop.run.limits import Limits
from dspy_semantic_backprop.running import MOST_STRAYED, Run
from dspy_semantic_backprop.step.candidate import clone, read, write
from dspy_semantic_backprop.testing import Faults
from tests.programs import CASES, FINAL, UNSEEN, ScriptedLM, record
from tests.scripted import served

react: Any = dspy.ReAct
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
    twin = write(edit(program, edited), clone(program))
    ledger = ledger if ledger is not None else Ledger()
    install(twin, ledger)
    evaluator = Evaluator(
        metric=adapt(graded), ledger=ledger, limiter=anyio.CapacityLimiter(4), limits=Limits(missing=1.0)
    )
    reuse = None if record is None else Reuse({0: record}, frozenset(edited))
    return run_sync(evaluator(twin, [example], reuse=reuse))[0]


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


@settings(max_examples=25)
@given(st.data())
def test_in_straight_programs_exactly_the_edited_predictors_and_what_reads_them_are_asked(data):
    size = data.draw(st.integers(1, 6))
    reads = [
        data.draw(st.lists(st.integers(0, at - 1), unique=True, max_size=3) if at else st.just([]))
        for at in range(size)
    ]
    edited_nodes = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    program = Network(reads, data.draw(st.sampled_from(["plain", "thread"])))
    reached = set(edited_nodes)
    for at, sources in enumerate(reads):
        reached |= {at} if reached & set(sources) else set()
    with served(echo) as server:
        full, asked = compared(program, [f"nodes[{at}]" for at in edited_nodes], server)
    assert full == size
    assert asked == len(reached)


LAYERS, SPEAKER = LayeredProgram(layers=2, width=2), {"job_title": "judge", "state": "Ohio", "party": "none"}
CLAIM = dspy.Example(statement="Taxes fell.", source="a speech", **SPEAKER).with_inputs("statement", "source", *SPEAKER)


@pytest.mark.parametrize(
    ("program", "example", "edited", "asked"),
    [
        (LayeredProgram(), QUESTION, ["final"], 1),
        (LayeredProgram(), QUESTION, ["hidden[1]"], 2),
        (LAYERS, QUESTION, ["hidden[0]"], 4),
        (LAYERS, QUESTION, ["hidden[2]", "final"], 2),
        (LiarProgram(), CLAIM, ["hint_party"], 2),
        (LiarProgram(), CLAIM, ["final"], 1),
    ],
)
def test_the_papers_pipelines_which_ask_in_threads(program, example, edited, asked):
    with served(echo) as server:
        full, part = compared(program, edited, server, example=example)
    assert (full, part) == (len(program.predictors()), asked)


class Reworded(dspy.Module):
    """Waits for what it asks at the same time; has no `forward`."""

    def __init__(self):
        super().__init__()
        self.one, self.two = dspy.Predict("question -> hint"), dspy.ChainOfThought("question -> hint")
        self.final = dspy.Predict("one, two -> answer")

    async def aforward(self, question):
        one, two = await asyncio.gather(self.one.acall(question=question), self.two.acall(question=question))
        return await self.final.acall(one=one.hint, two=two.hint)


def test_a_program_that_is_only_awaited():
    with served(echo) as server:
        assert compared(Reworded(), ["two.predict"], server) == (3, 2)
        assert compared(Reworded(), ["one", "final"], server) == (3, 2)


def stateless(case):
    """The answers of a case as a function of predictor and inputs; edited predictors and other inputs change them."""
    table: dict[Any, Any] = {}
    first: dict[str, Any] = {}
    for one in record(case)[1]:
        table.setdefault((one.name, repr(sorted(one.inputs.items()))), one.outputs)
        first.setdefault(one.name, one.outputs)

    def answer(name: str, index: int, inputs: dict[str, Any]) -> dict[str, Any]:
        signature = dspy.settings.caller_modules[-1].signature
        outputs = table.get((name, repr(sorted(inputs.items()))))
        edited = "Be precise." in signature.instructions
        if outputs is not None and not edited:
            return outputs
        outputs = outputs or first.get(name) or dict.fromkeys(signature.output_fields, "something")
        mark = zlib.crc32(repr((sorted(inputs.items()), edited)).encode()) % 97
        free = {key for key, field in signature.output_fields.items() if field.annotation is str}
        return {
            key: f"{value} {mark}" if key in free and isinstance(value, str) else value
            for key, value in outputs.items()
        }

    return answer


# Random choices and clocks are no functions of the inputs; the other corpus programs are.
REPEATING = [one for one in CASES + UNSEEN + FINAL if one.name != "random-stamp"]


@pytest.mark.parametrize("case", REPEATING[::2], ids=lambda case: case.name)
def test_programs_of_every_kind_end_as_in_a_full_evaluation(case):
    rng = random.Random(case.name)
    program = case.build()
    example = dspy.Example(**case.inputs).with_inputs(*case.inputs)
    edited = rng.sample([name for name, _ in program.named_predictors()], 1)
    lm = ScriptedLM(program, stateless(case))
    with warnings.catch_warnings(), dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        warnings.simplefilter("ignore")
        incumbent = evaluated(program, example=example)
        before = len(lm.log)
        full = evaluated(program, edited, example=example)
        between = len(lm.log)
        ledger = Ledger()
        part = evaluated(program, edited, record=incumbent, example=example, ledger=ledger)
    asked = len(lm.log) - between
    assert alike(content(full), content(part))
    assert not part.strayed
    assert asked + ledger.total.reused == between - before
    assert asked >= downstream(part, edited)


def content(outcome: Scored) -> Any:
    """What an outcome comes to without the names and the edges of concurrent calls, which depend on the clock."""
    calls, edges, *rest, asked = view(outcome)
    threads = any(call.concurrent for call in outcome.graph)
    return [call for call, *_ in calls], None if threads else edges, rest, asked


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


def test_each_recorded_answer_is_given_once_and_in_order():
    with served(dice(), temperature=1.0) as server:
        program = Twice()
        incumbent = evaluated(program)
        again = evaluated(program, ["final"], record=incumbent)
        assert [call.outputs for call in again.graph][:2] == [call.outputs for call in incumbent.graph][:2]
        assert len({call.outputs["hint"] for call in again.graph if call.predictor == "guess"}) == 2
        program.times = 3
        before = server.requests
        more = evaluated(program, ["final"], record=incumbent)
    hints = [call.outputs["hint"] for call in more.graph if call.predictor == "guess"]
    assert hints[:2] == [call.outputs["hint"] for call in incumbent.graph if call.predictor == "guess"]
    assert len(set(hints)) == 3 and server.requests - before == 3
    assert more.strayed


def test_behind_the_edit_the_same_question_is_asked_again_since_its_answer_is_drawn_anew():
    with served(dice(), temperature=1.0) as server:
        incumbent = evaluated(Twice())
        before = server.requests
        again = evaluated(Twice(), ["final"], record=incumbent)
    assert again.graph["check[0]"].inputs == incumbent.graph["check[0]"].inputs
    assert again.graph["check[0]"].outputs != incumbent.graph["check[0]"].outputs
    assert server.requests - before == 2


class Rollouts(dspy.Module):
    def __init__(self):
        super().__init__()
        self.guess = dspy.Predict("question -> hint")
        self.final = dspy.Predict("hints: list[str] -> answer")
        self.numbers: tuple[int, ...] = (1, 2)

    def forward(self, question):
        hints = [
            self.guess(question=question, config={"rollout_id": at, "temperature": 1.0}).hint for at in self.numbers
        ]
        return self.final(hints=hints)


def test_another_rollout_another_model_and_other_demonstrations_are_other_questions():
    with served(dice()) as server:
        program = Rollouts()
        incumbent = evaluated(program)

        def asked():
            before = server.requests
            evaluated(program, ["final"], record=incumbent)
            return server.requests - before

        assert asked() == 1
        program.numbers = (2, 1)
        assert asked() == 1
        program.numbers = (1, 3)
        assert asked() == 2
        program.numbers = (1, 2)
        program.guess.demos = [dspy.Example(question="Is it?", hint="It is.")]
        assert asked() == 3
        program.guess.demos = []
        program.guess.lm = server.lm(temperature=0.5, cache=False)
        assert asked() == 3


def test_best_of_n_which_copies_its_module():
    def reward(inputs, prediction):
        return len(str(prediction.hint)) / 100

    class Best(dspy.Module):
        def __init__(self):
            super().__init__()
            self.best = dspy.BestOfN(dspy.Predict("question -> hint"), N=3, reward_fn=reward, threshold=2.0)
            self.final = dspy.Predict("hint -> answer")

        def forward(self, question):
            return self.final(hint=self.best(question=question).hint)

    with served(echo) as server:
        assert compared(Best(), ["final"], server) == (4, 1)
        assert compared(Best(), ["best.module"], server) == (4, 4)


def test_tools_run_as_ever_and_only_what_follows_the_edit_is_asked():
    looked: list[str] = []

    def look_up(name: str) -> str:
        """Look a name up."""
        looked.append(name)
        return f"a record of {name}"

    def steps(prompt):
        if "next_tool_name" not in prompt.names:
            return echo(prompt)
        done = "a record of" in str(prompt.inputs["trajectory"])
        call = {"next_tool_name": "finish", "next_tool_args": {}}
        call = call if done else {"next_tool_name": "look_up", "next_tool_args": {"name": "Ada"}}
        return {"next_thought": f"thinking, done: {done}", **call}

    class Agent(dspy.Module):
        def __init__(self):
            super().__init__()
            self.plan = dspy.Predict("question -> plan")
            self.agent = react("question, plan -> finding", tools=[look_up])
            self.final = dspy.Predict("finding -> answer")

        def forward(self, question):
            plan = self.plan(question=question).plan
            return self.final(finding=self.agent(question=question, plan=plan).finding)

    with served(steps) as server:
        assert compared(Agent(), ["final"], server) == (5, 1)
        assert looked == ["Ada"] * 3
        assert compared(Agent(), ["agent.react"], server) == (5, 4)
        assert compared(Agent(), ["agent.extract.predict"], server) == (5, 2)


class Typed(dspy.Module):
    def __init__(self):
        super().__init__()
        self.split = dspy.Predict("question -> parts: list[str], weights: dict[str, float], sure: bool")
        self.vote = dspy.Predict("parts: list[str] -> choice", n=3, temperature=1.0)
        self.final = dspy.Predict("choices: list[str], sure: bool -> answer")

    def forward(self, question):
        split = self.split(question=question)
        votes: Any = self.vote(parts=split.parts)
        return self.final(choices=[one["choice"] for one in votes.completions], sure=split.sure)


def typed(prompt):
    values = {"parts": ["one part", "another part"], "weights": {"one part": 0.5}, "sure": True}
    return {**echo(prompt), **{name: value for name, value in values.items() if name in prompt.names}}


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()], ids=lambda one: type(one).__name__
)
def test_typed_values_and_several_completions_come_back_as_they_were(adapter):
    with served(typed) as server, dspy.context(adapter=adapter):
        full, asked = compared(Typed(), ["final"], server)
    assert asked == 1 < full


def test_an_answer_that_no_adapter_can_read_comes_back_with_what_was_asked_because_of_it():
    def unreadable(prompt):
        return (
            "I would rather not say."
            if prompt.names == ["hint"] and "json" not in prompt.text.lower()
            else echo(prompt)
        )

    with served(unreadable) as server:
        program = Network([[], [0]])
        program.nodes[0] = dspy.Predict("question -> out, hint")
        compared(program, ["nodes[1]"], server)


def test_a_program_whose_incumbent_raised_half_way_is_evaluated_as_far():
    class Breaking(Network):
        def forward(self, question):
            returned = super().forward(question=question)
            raise ValueError(f"no number in {returned.answer}")

    with served(echo) as server:
        assert compared(Breaking([[], [0], [1]]), ["nodes[2]"], server) == (3, 1)


@pytest.mark.parametrize("cache", [False, True])
def test_with_and_without_the_cache(cache):
    with served(echo, cache=cache) as server:
        program = Network([[], [0], [1]])
        incumbent = evaluated(program)
        before = server.requests
        ledger = Ledger()
        part = evaluated(program, ["nodes[1]"], record=incumbent, ledger=ledger)
        assert server.requests - before == 2 and ledger.total.reused == 1 and ledger.total.cached == 0
        again = evaluated(program, ["nodes[1]"], record=incumbent, ledger=ledger)
    assert again.score == part.score
    assert ledger.by_predictor["nodes[0]"].reused == 2 and ledger.by_purpose["forward"].reused == 2


def test_an_outcome_that_reused_answers_can_be_reused_itself():
    with served(echo) as server:
        program = Network([[], [0], [0, 1], [2]])
        first = evaluated(program)
        second = evaluated(program, ["nodes[3]"], record=first)
        write(edit(program, ["nodes[3]"]), program)
        assert compared(program, ["nodes[2]"], server, incumbent=second) == (4, 2)


def test_edges_that_the_graph_misses_lead_to_no_answer_to_another_question():
    with served(echo):
        program = Network([[], [0], [1], [0, 2]])
        incumbent = evaluated(program)
        blind = replace(incumbent, graph=replace(incumbent.graph, edges=()))
        full, part = evaluated(program, ["nodes[1]"]), evaluated(program, ["nodes[1]"], record=blind)
    assert alike(view(full), view(part))


def test_language_models_outside_of_predictors_are_asked():
    class Raw(Network):
        def forward(self, question):
            text = dspy.settings.lm(f"Say something about {question}")[0]
            return super().forward(question=f"{question} {text}")

    with served(lambda prompt: echo(prompt) or "something") as server:
        full, asked = compared(Raw([[], [0]]), ["nodes[1]"], server)
    assert full - asked == 1


def test_a_program_that_counts_its_tokens_counts_the_same_and_only_what_was_sent_is_booked():
    class Frugal(Network):
        def forward(self, question):
            with dspy.track_usage() as tracker:
                answer = super().forward(question=question).answer
            (usage,) = tracker.get_total_tokens().values()
            return dspy.Prediction(answer=f"{answer}, for {usage['total_tokens']} tokens")

    with served(echo) as server:
        assert compared(Frugal([[], [0]]), ["nodes[1]"], server) == (2, 1)
        plain, ledger = Network([[], [0]]), Ledger()
        part = evaluated(plain, ["nodes[1]"], record=evaluated(plain), ledger=ledger)
        assert part.graph["nodes[0][0]"].usage["prompt_tokens"] > 0
    assert 0 < ledger.total.prompt_tokens == part.graph["nodes[1][0]"].usage["prompt_tokens"]


class Looking(Network):
    """Looks up in DSPy's histories what its language model said."""

    def forward(self, question):
        answer = super().forward(question=question).answer
        first, last = self.nodes[0].history[-1], dspy.settings.lm.history[-1]
        prompt = first["messages"][-1]["content"]
        return dspy.Prediction(answer=f"{answer} {first['outputs']} {first['usage']} {len(prompt)} {last['outputs']}")


def test_a_program_that_looks_into_dspys_history_sees_what_it_saw():
    with served(echo) as server:
        assert compared(Looking([[], [0]]), ["nodes[1]"], server) == (2, 1)
        with dspy.context(disable_history=True):
            ledger = Ledger()
            part = evaluated(Looking([[]]), record=evaluated(Network([[]])), ledger=ledger)
    assert ledger.total.reused == 1 and "IndexError" in part.trace.error


def test_settings_that_cannot_be_written_down_are_asked():
    endless: list[Any] = []
    endless.append(endless)

    class Odd(Network):
        def forward(self, question):
            self.nodes[0].config["metadata"] = endless
            return super().forward(question=question)

    lm = dspy.utils.DummyLM({"": {"out": "something"}})
    with dspy.context(lm=lm):
        program = Odd([[], [0]])
        incumbent = evaluated(program)
        ledger = Ledger()
        part = evaluated(program, ["nodes[1]"], record=incumbent, ledger=ledger)
    assert part.raised is None and ledger.total.reused == 0


class Dated(Network):
    """Stamps what it asks: no execution repeats another one."""

    def forward(self, question):
        return super().forward(question=f"{question} ({time.perf_counter_ns()})")


class Drawn(dspy.Module):
    """Chooses who is asked by chance, behind a step that repeats itself."""

    def __init__(self):
        super().__init__()
        self.plan = dspy.Predict("question -> plan")
        self.left, self.right = dspy.Predict("plan -> way"), dspy.Predict("plan -> way")
        self.final = dspy.Predict("way -> answer")

    def forward(self, question):
        plan = self.plan(question=question).plan
        way = (self.left if DRAW.random() < 0.5 else self.right)(plan=plan).way
        return self.final(way=way)


DRAW = random.Random(3)


def test_a_program_that_does_not_repeat_itself_is_noticed_and_every_answer_is_still_its_own():
    with served(echo) as server:
        dated = Dated([[], [], [0, 1]])
        incumbent = evaluated(dated)
        before = server.requests
        outcome = evaluated(dated, ["nodes[2]"], record=incumbent)
        assert outcome.strayed and server.requests - before == 3
        drawn = Drawn()
        seen = Counter()
        for _ in range(20):
            incumbent = evaluated(drawn)
            before = server.requests
            part = evaluated(drawn, ["final"], record=incumbent)
            way = [call.predictor for call in part.graph][1]
            other = way != [call.predictor for call in incumbent.graph][1]
            assert part.strayed == other
            assert server.requests - before == (2 if other else 1)
            seen[other] += 1
            DRAW.setstate(replayed(way))
            assert alike(view(evaluated(drawn, ["final"])), view(part))
    assert len(seen) == 2


def replayed(way) -> Any:
    """A state of the generator whose next throw goes a given way."""
    for seed in itertools.count():
        one = random.Random(seed)
        state = one.getstate()
        if (one.random() < 0.5) == (way == "left"):
            return state


def test_a_language_model_that_fails_is_asked_again_and_missing_records_are_run_in_full():
    with served(echo, faults=Faults(server_error=0.4)) as server:
        program = Network([[], [0], [1]])
        incumbent = evaluated(program)
        assert isinstance(incumbent, Scored)
        full, part = evaluated(program, ["nodes[2]"]), evaluated(program, ["nodes[2]"], record=incumbent)
        assert alike(view(full), view(part))
        server.faults = Faults(server_error=1.0)
        with dspy.context(lm=server.lm(num_retries=0, cache=False)):
            assert isinstance(evaluated(program, ["nodes[1]"], record=incumbent), Failed)


# In a run


def run_of(program, **settings) -> Run:
    journal = settings.pop("journal", None)
    return Run(SemanticGradientDescent(graded, subscribers=(), num_threads=2, **settings), program, journal=journal)


QUESTIONS = [dspy.Example(question=f"What follows from number {at}?").with_inputs("question") for at in range(5)]


async def two_evaluations(run: Run, edited, times=1):
    records = {
        one.example_id: one
        for one in await run.evaluate("gate", QUESTIONS, read(run.student))
        if isinstance(one, Scored)
    }
    candidate = edit(run.student, edited)
    return [
        await run.evaluate("gate", QUESTIONS, candidate, purpose="gate", reuse=Reuse(records, frozenset(edited)))
        for _ in range(times)
    ]


def test_a_run_stops_reusing_where_the_program_does_not_repeat_itself_and_says_so_once(caplog):
    with served(echo):
        run = run_of(Dated([[], [0]]))
        run_sync(two_evaluations(run, ["nodes[1]"], times=3))
        assert run.strayed == len(QUESTIONS) >= MOST_STRAYED
        assert run.ledger.by_purpose["gate"].reused == 0
    assert caplog.text.count("not deterministic") == 1
    assert run.warnings == [one for one in run.warnings if "not deterministic" in one]


def test_reused_answers_are_no_calls_to_the_budget_and_are_counted_by_predictor():
    with served(echo) as server:
        run = run_of(Network([[], [0], [1]]), budget=Budget(calls=3 * 5 + 5))
        (outcomes,) = run_sync(two_evaluations(run, ["nodes[2]"]))
        assert all(isinstance(one, Scored) for one in outcomes)
        assert server.requests == run.ledger.total.calls == 20
    assert run.ledger.by_purpose["gate"].reused == 10
    assert {name: one.reused for name, one in run.ledger.by_predictor.items() if name} == {
        "nodes[0]": 5,
        "nodes[1]": 5,
        "nodes[2]": 0,
    }


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 1.0])
def test_a_resumed_run_reuses_the_same_and_pays_for_nothing_twice(cut, tmp_path):
    def go():
        journal = Journal(tmp_path)
        try:
            run = run_of(Twice(), journal=journal)
            outcomes = run_sync(two_evaluations(run, ["final"], times=2))
            return run.ledger.total, [[(one.score, one.graph.output) for one in scored(some)] for some in outcomes]
        finally:
            journal.close()

    with served(dice(), temperature=1.0) as server:
        whole, first = go()
        log = tmp_path / "journal.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)
        kept = lines[: max(1, int(len(lines) * cut))]
        log.write_bytes(b"".join(kept))
        before = server.requests
        known = sum(b'"event":"answer"' in line for line in kept)
        resumed, second = go()
        assert server.requests - before == whole.calls - known
    assert resumed.reused == whole.reused == 20
    if cut == 1.0:
        assert second == first
