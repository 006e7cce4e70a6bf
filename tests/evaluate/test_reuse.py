"""An edit evaluated only where it can reach: the outcomes of a full evaluation, for the calls that lie downstream."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop.testing import Faults
from tests.evaluate.reusing import (
    DRAW,
    Dated,
    Drawn,
    Failed,
    Ledger,
    Network,
    Scored,
    Twice,
    alike,
    compared,
    dice,
    echo,
    edit,
    evaluated,
    view,
    write,
)
from tests.scripted import served


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
        write(edit(program, ["nodes[3]"]), program, {})
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
            assert server.requests - before == (3 if other else 1)
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
