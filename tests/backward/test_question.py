"""The semantic question: what it shows, what it makes of bad answers, and what it costs."""

from __future__ import annotations

import asyncio
import graphlib
from typing import Any

import pytest

from dspy_semantic_backprop import (
    OUTPUT,
    Call,
    ComputationGraph,
    Direction,
    Edge,
    End,
    GradientCache,
    Message,
    Semantic,
    TextGradient,
    bounded,
    estimate_tokens,
    join,
)
from tests.backward.graphs import FEEDBACK, chain, data, hint, honest, key_of, reply, star, swept
from tests.scripted import served


class Looking:
    """Keeps every prompt, and answers by a rule."""

    def __init__(self, rule: Any = honest) -> None:
        self.rule = rule
        self.prompts: list[Any] = []

    def __call__(self, prompt: Any) -> Any:
        self.prompts.append(prompt)
        return self.rule(prompt)


def own_status(gradient: TextGradient) -> str | None:
    return gradient.own.status if gradient.own is not None else None


def test_a_sweep_asks_once_for_each_group_and_a_leaf_asks_nothing():
    for graph, groups in ((star(["one", "two", "three"]), 1), (chain(20), 19), (star([]), 0)):
        with served(honest) as server:
            _, tally = swept(graph)
            assert server.requests == groups == tally["asked"]


def test_a_warm_cache_makes_a_sweep_free_in_this_run_and_in_the_next(tmp_path):
    graph = star(["one", "two", "three"])
    with served(honest) as server:
        for answers in (GradientCache(tmp_path), GradientCache(tmp_path)):
            for _ in range(2):
                gradients, tally = swept(graph, answers=answers)
        assert server.requests == 1
    assert tally == {"cache hit": 1, "directions": 4, "unchanged": 1} and (answers.hits, answers.misses) == (2, 0)
    assert all(gradients[f"hint_{at}[0]"] for at in range(3))


def test_what_every_message_tells_of_its_origin():
    with served(honest):
        gradients, _ = swept(chain(40), collect=join)
    near, far = gradients["step[38]"].messages[0], gradients["step[0]"].messages[0]
    assert near.value.through == ("step[39]", OUTPUT) and near.value.example_id == 7
    assert len(far.value.through) == 16
    assert far.value.through[0] == "step[1]" and far.value.through[-2:] == ("...", OUTPUT)
    own = gradients["step[39]"].own
    assert own is not None and own.status == "none" and gradients["step[0]"].own is None


def test_severity_and_a_quotation_that_stands_there():
    def evident(prompt: Any) -> dict[str, Any]:
        answers = honest(prompt)
        for name in prompt.names:
            if name.startswith("quote_"):
                answers[name] = '"two  pears"' if "pears" in prompt.inputs[f"output_{key_of(name)}"] else "made up"
            elif name.startswith("severity_"):
                answers[name] = "It is Minor."
        return answers

    with served(evident):
        gradients, tally = swept(star(["I see two pears here", "and one apple"]))
    first, second = (gradients[f"hint_{at}[0]"].messages[0].value for at in range(2))
    assert (first.severity, first.quote) == ("minor", "two  pears")
    assert second.quote == "" and tally["false quote"] == 1
    assert gradients["hint_0[0]"].severity == "minor"


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("There are two pears on the table here.", "echo"),
        ("The output should be: there are two pears on the table here", "echo"),
        ("The output `turn_6: two pears` should be `turn_6: two pears`.", "echo"),
        ("I'm sorry, but I cannot help with that.", "refused"),
        ("...", None),
    ],
)
def test_what_is_no_gradient_is_asked_for_once_more_and_then_missing(said, counted):
    def lazy(prompt: Any) -> dict[str, Any]:
        return {name: said if name.startswith("change_") else "" for name in prompt.names}

    with served(Looking(lazy)) as server:
        gradients, tally = swept(star(["There are two pears on the table here."]))
        assert server.requests == 2
    value = gradients["hint_0[0]"].messages[0].value
    assert (value.status, value.change, value.severity) == ("missing", "", "none")
    assert not gradients["hint_0[0]"] and own_status(gradients["final[0]"]) == "missing"
    assert tally["asked again"] == 1 and tally["missing"] == 2
    assert counted is None or tally[counted] >= 2


@pytest.mark.parametrize("said", [FEEDBACK, "It should be said that the expected answer is 12"])
def test_what_was_wanted_said_again_is_passed_on_to_each_output_that_is_told_so(said):
    def terse(prompt: Any) -> dict[str, Any]:
        texts = [prompt.inputs.get(f"output_{key_of(name)}") for name in prompt.names]
        told = dict(zip(prompt.names, texts, strict=True))
        return {name: "no change" if shown in (None, "two leeks") else said for name, shown in told.items()}

    with served(terse) as server:
        gradients, tally = swept(star(["one pear", "two leeks", "three figs"]))
        assert server.requests == 1
    statuses = [gradients[f"hint_{at}[0]"].messages[0].value.status for at in range(3)]
    assert statuses == ["change", "none", "change"] and str(gradients["hint_2[0]"]) == said
    assert (tally["restated"], tally["echo"], tally["missing"]) == (2, 0, 0)


def test_what_was_wanted_reaches_the_first_of_a_long_chain_in_the_words_of_the_feedback():
    def terse(prompt: Any) -> dict[str, Any]:
        return {name: prompt.inputs["wanted_change"] if "change_" in name else "" for name in prompt.names}

    with served(terse):
        gradients, tally = swept(chain(5))
    assert str(gradients["step[0]"]) == FEEDBACK and tally["restated"] == tally["directions"] == 8


def test_a_new_number_or_word_is_no_echo():
    def correcting(prompt: Any) -> dict[str, Any]:
        return {name: "There are three pears on the table here." for name in prompt.names}

    with served(correcting) as server:
        gradients, _ = swept(star(["There are two pears on the table here."]))
    assert str(gradients["hint_0[0]"]) == "There are three pears on the table here."
    assert server.requests == 2  # the instruction was told the same, and was asked for again


def test_only_the_members_without_an_answer_are_asked_for_again_beside_the_whole_group():
    def forgetful(prompt: Any) -> Any:
        kept = {name: text for name, text in honest(prompt).items() if name.startswith(("change_", "diagnosis"))}
        changes = [name for name in kept if name.startswith("change_")]
        return kept if len(changes) < 3 else reply(**{name: kept[name] for name in changes[1:]})

    looking = Looking(forgetful)
    with served(looking):
        gradients, tally = swept(star(["one", "two"]))
    assert [gradients[f"hint_{at}[0]"].messages[0].value.status for at in range(2)] == ["change", "change"]
    assert [len([name for name in prompt.names if "change_" in name]) for prompt in looking.prompts] == [3, 1]
    assert [len([name for name in prompt.inputs if "output_" in name]) for prompt in looking.prompts] == [2, 2]
    assert (tally["asked"], tally["asked again"], tally["missing"]) == (1, 1, 0)


def test_a_message_that_repeats_the_neighbours_counts_for_the_first_only_unless_the_outputs_are_alike():
    def parrot(prompt: Any) -> dict[str, Any]:
        return {name: "Say exactly how many vegetables there are." for name in prompt.names}

    with served(parrot):
        different, tally = swept(star(["one pear", "two leeks"]))
        alike, _ = swept(star(["one pear", "one pear"]))
    statuses = [different[f"hint_{at}[0]"].messages[0].value.status for at in range(2)]
    assert statuses == ["change", "missing"] and tally["echo"]
    assert [alike[f"hint_{at}[0]"].messages[0].value.status for at in range(2)] == ["change", "change"]


def test_what_a_reply_calls_by_the_questions_names_is_called_by_the_programs():
    def answer(prompt: Any) -> dict[str, Any]:
        return {
            name: f"The output_{name.partition('_')[2]} and `{name}` miss the wanted_change." for name in prompt.names
        }

    with served(answer):
        gradients, _ = swept(star(["one pear", "two leeks"]))
    said = [gradients[f"hint_{at}[0]"].messages[0].value.change for at in range(2)]
    assert said == [f"The hint of hint_{at} and the hint of hint_{at} miss the wanted change." for at in range(2)]


@pytest.mark.parametrize(
    "nonsense", ["", "What a lovely day.", "{]", "[[ ## ## ]]", "\u202e\x00", "I cannot help with that."]
)
def test_nonsense_and_refusals_end_in_missing_and_are_counted(nonsense):
    with served(lambda prompt: nonsense) as server:
        gradients, tally = swept(star(["one", "two"]))
    assert server.requests <= 4
    assert [gradients[f"hint_{at}[0]"].messages[0].value.status for at in range(2)] == ["missing", "missing"]
    assert tally["missing"] == 3 and tally["unreadable"] == 2
    assert bool(tally["refused"]) == nonsense.startswith("I cannot")


def test_an_answer_in_json_is_read_without_another_request():
    def in_json(prompt: Any) -> str:
        import json

        return f"Here you are:\n```json\n{json.dumps(honest(prompt))}\n```"

    with served(in_json) as server:
        gradients, _ = swept(star(["one", "two"]))
        assert server.requests == 1
    assert gradients["hint_0[0]"] and gradients["hint_1[0]"]


def test_a_call_that_produced_nothing_is_evidence_with_its_error_and_can_be_told():
    failed = hint(0, "", outputs={}, error="AdapterParseError: no hint in the reply")
    good = hint(1, "two")
    final = Call("final[0]", "final", 0, "Solve.", {"h0": None, "h1": "two"}, {}, error="ValueError: no", started=99)
    edges = (data("hint_0[0]", "hint", "final[0]", "h0"), data("hint_1[0]", "hint", "final[0]", "h1"))
    graph = ComputationGraph((failed, good, final), (*edges, data("final[0]", "answer", OUTPUT, "answer")))
    looking = Looking()
    with served(looking):
        gradients, _ = swept(graph)
    shown = looking.prompts[0].inputs
    assert any("AdapterParseError: no hint" in text for name, text in shown.items() if name.startswith("output_"))
    assert "ValueError: no" in shown["reader_output"]
    assert gradients["hint_0[0]"] and gradients["hint_1[0]"]


def test_what_arrived_is_shown_where_code_of_the_program_changed_it():
    parts = {"question": "q", "number": "12", "both": "one; TWO"}
    final = Call("final[0]", "final", 0, "Solve.", parts, {"answer": "7"}, started=99)
    edges = (
        data("hint_0[0]", "hint", "final[0]", "number", "replay"),
        data("hint_0[0]", "hint", "final[0]", "both", "replay"),
        data("hint_1[0]", "hint", "final[0]", "both", "replay"),
        Edge(End("hint_2[0]", None), End("final[0]", None), "control", "replay", 1.0),
    )
    hints = (hint(0, "I count 12 of them"), hint(1, "two"), hint(2, "go on"))
    graph = ComputationGraph((*hints, final), (*edges, data("final[0]", "answer", OUTPUT, "answer")))
    looking = Looking()
    with served(looking):
        gradients, _ = swept(graph)
    (prompt,) = looking.prompts
    assert [text for name, text in prompt.inputs.items() if name.startswith("read_as_")] == ["number: 12"]
    assert prompt.inputs["reader_inputs"] == "question: q\nboth: one; TWO"
    assert any("hint: go on" in text for name, text in prompt.inputs.items() if name.startswith("output_"))
    assert gradients["hint_2[0]"].messages[0].field == ""


def test_a_group_too_large_for_one_question_is_split_and_says_so():
    with served(Looking()) as server:
        gradients, tally = swept(
            star([f"hint number {at} " + "words " * 300 for at in range(12)]), Semantic(budget=2_000)
        )
        assert server.requests == tally["split"] > 2
    assert {gradients[f"hint_{at}[0]"].messages[0].value.questions for at in range(12)} == {tally["split"]}
    assert own_status(gradients["final[0]"]) == "none"


def test_a_text_that_is_too_long_is_shown_by_its_two_ends():
    looking = Looking()
    with served(looking):
        gradients, tally = swept(star(["begin " + "filling " * 150_000 + "end", "short"]))
    shown = max((text for name, text in looking.prompts[0].inputs.items() if name.startswith("output_")), key=len)
    assert shown.startswith("begin") and shown.endswith("end") and "characters are left out here" in shown
    assert estimate_tokens(shown) < 4_100 and tally["left out"] == 1 and gradients["hint_0[0]"]


def talkative(size: int) -> Any:
    """Answers with so many words more than it was told, as models do that are asked for no length."""

    def rule(prompt: Any) -> dict[str, Any]:
        if "summary" in prompt.names:
            return {"summary": " ".join(f"This is sentence {at} of the summary." for at in range(size))}
        told = prompt.inputs["wanted_change"]
        answers = honest(prompt)
        return {name: f"{told} Also {text}" if "It lacks" in text else text for name, text in answers.items()}

    return rule


@pytest.mark.parametrize("size", [3, 500])
def test_a_gradient_is_as_long_at_depth_20_as_at_depth_2(size):
    cap = 64
    with served(talkative(size)) as server:
        gradients, tally = swept(chain(20), collect=bounded(cap))
        assert server.requests == 19 + tally["summarised"]
    lengths = [estimate_tokens(str(gradients[f"step[{20 - depth}]"])) for depth in range(1, 21)]
    assert all(0 < length <= cap for length in lengths)
    assert tally["summarised"] and bool(tally["cut"]) == (size == 500)
    assert all(str(gradients[f"step[{at}]"]).endswith(".") for at in range(20))


def test_without_a_bound_the_same_gradient_grows():
    with served(talkative(3)):
        gradients, _ = swept(chain(20), collect=join)
    assert estimate_tokens(str(gradients["step[0]"])) > 2 * estimate_tokens(str(gradients["step[15]"]))


def test_feedback_is_passed_on_whole_however_long():
    long = "The expected answer is this. " * 60
    with served(Looking()) as server:
        gradient = asyncio.run(collected(16, long))
        assert server.requests == 0
    assert str(gradient) == long


async def collected(cap: int, feedback: str) -> TextGradient:
    return await bounded(cap)(hint(0, "x"), [Message(OUTPUT, "hint_0[0]", "hint", Direction(feedback))])


def test_a_graph_with_a_cycle_is_an_error_and_never_a_hang():
    calls = (hint(0, "a"), hint(1, "b"))
    edges = (data("hint_0[0]", "hint", "hint_1[0]", "question"), data("hint_1[0]", "hint", "hint_0[0]", "question"))
    graph = ComputationGraph(calls, (*edges, data("hint_1[0]", "hint", OUTPUT, "answer")))
    with served(honest) as server:
        with pytest.raises(graphlib.CycleError, match="cycle"):
            swept(graph)
        assert server.requests == 0


def test_calls_that_nobody_read_are_told_nothing_and_cost_nothing():
    graph = star(["one"])
    alone = ComputationGraph((*graph.calls, hint(8, "unread")), graph.edges)
    with served(honest) as server:
        gradients, _ = swept(alone)
        assert server.requests == 1
    assert not gradients["hint_8[0]"] and gradients["hint_8[0]"].messages == ()
