"""Edits that no language model is told: said after the first execution, with the reason, and not paid for again."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, presets
from tests.scripted import careful, questions, right, served


class Chain(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hint = dspy.Predict("question -> hint")
        self.final = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> Any:
        return self.final(question=question, hint=self.hint(question=question).hint)


class Desk(Chain):
    """Its tool closes over the program that it was made in."""

    def __init__(self) -> None:
        super().__init__()

        def ask(question: str) -> str:
            """Ask for a hint."""
            return self.hint(question=question).hint

        self.tool = dspy.Tool(ask)

    def forward(self, question: str) -> Any:
        return self.final(question=question, hint=self.tool(question=question))


class Stubborn(Chain):
    def forward(self, question: str) -> Any:
        signature: Any = self.hint.signature
        self.hint.signature = signature.with_instructions("Always this.")
        return super().forward(question)


class Passing(Chain):
    def forward(self, question: str) -> Any:
        hint = self.hint(question=question, signature=dspy.make_signature("question -> hint", "My own."))
        return self.final(question=question, hint=hint.hint)


def borrowed() -> dspy.Module:
    program = Chain()
    program.forward = lambda question: Chain.forward(program, question)  # pyright: ignore[reportAttributeAccessIssue]
    return program


class Deaf(dspy.ChatAdapter):
    """An adapter that tells every task in the same words."""

    def format_task_description(self, signature: Any) -> str:
        return super().format_task_description(signature.with_instructions("Fill in the fields."))


def result_of(program: dspy.Module, method: Any, **context: Any) -> Any:
    with served(careful) as server, dspy.context(**context):
        optimizer = SemanticGradientDescent(right, steps=4, method=method, subscribers=())
        better: Any = optimizer.compile(program, trainset=questions(8))
        assert better.detailed_results.total.calls == server.requests
    return better.detailed_results


METHODS = {"published": presets.published(), "default": presets.semantic()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Desk, "it is called as part of another program"),
        (Stubborn, "the program sets its instruction itself"),
        (Passing, "its calls are given a signature of their own"),
    ],
)
def test_one_predictor_out_of_reach_is_named_and_edited_no_further(make, why, method):
    result = result_of(make(), METHODS[method])
    (told,) = [one for one in result.warnings if "is in no prompt" in one]
    assert told.startswith("the edited instruction of hint is in no prompt") and why in told
    assert [("hint" in step.changed) for step in result.steps].count(True) == 1
    assert result.score_after == result.score_before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("make", "context"), [(borrowed, {}), (Chain, {"adapter": Deaf()})])
def test_a_run_that_reaches_no_prompt_ends_after_one_execution_of_each_proposal(make, context, method):
    result = result_of(make(), METHODS[method], **context)
    assert result.ending.name == "UNREACHED" and len(result.steps) == 1
    assert len([one for one in result.warnings if "is in no prompt" in one]) == 2
    started = result.spent["forward"].calls
    plain = result_of(Chain(), METHODS[method]).spent["forward"].calls
    assert started <= plain and result.spent["gate"].calls <= 2 * 2 * METHODS[method].search.proposals


class Formal(dspy.ChatAdapter):
    """An adapter that tells every task in words of its own."""

    def format_task_description(self, signature: Any) -> str:
        words = signature.instructions.replace("careful", "careful and exact").replace("Given", "You hold")
        return super().format_task_description(signature.with_instructions(words))


ADAPTERS = [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), Formal()]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_is_told_is_not_said_to_be_out_of_reach(adapter):
    class Several(Chain):
        """Copies its predictors while it runs, hands them on, and adds to an instruction."""

        def __init__(self):
            super().__init__()
            self.refined = dspy.Refine(module=self.final, N=2, reward_fn=lambda args, pred: 1.0, threshold=0.5)

        def forward(self, question):
            signature: Any = self.hint.signature
            self.hint.signature = signature.with_instructions(f"{signature.instructions}\nIt is Monday.")
            hint = self.hint(question=question).hint
            self.hint.signature = signature
            return self.refined(question=question, hint=hint)

    result = result_of(Several(), presets.published(), adapter=adapter)
    assert result.score_after == 1 and not [one for one in result.warnings if "no prompt" in one]


def test_calls_that_are_told_in_part_are_named():
    class Half(Desk):
        def forward(self, question):
            self.tool(question=question)
            return Chain.forward(self, question)

    result = result_of(Half(), presets.published())
    assert [one for one in result.warnings if one.startswith("some calls of hint are not told its edited instruction")]


class Cached(Chain):
    """Keeps its answers by question, over all runs and copies of it."""

    kept: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        type(self).kept = {}

    def forward(self, question: str) -> Any:
        if question not in self.kept:
            self.kept[question] = super().forward(question)
        return self.kept[question]


@pytest.mark.parametrize("method", METHODS)
def test_a_program_that_answers_from_a_cache_of_its_own_ends_with_a_word(method):
    result = result_of(Cached(), METHODS[method])
    assert result.score_after == 0.0
    assert sum("answers from what it kept" in words for words in result.warnings) == 1
    assert result.total.calls < 60


class Remembering(dspy.Module):
    """Gives each question those that were asked before it."""

    def __init__(self) -> None:
        super().__init__()
        self.final = dspy.Predict("earlier: dspy.History, question -> answer")
        self.past, self.count, self.latest = dspy.History(messages=[]), 0, ""

    def forward(self, question: str) -> Any:
        self.count, self.latest = self.count + 1, question
        answer = self.final(earlier=self.past, question=question)
        self.past.messages.append({"question": question, "answer": answer.answer})
        return answer


class Forgetting(Remembering):
    def forward(self, question: str) -> Any:
        self.past = dspy.History(messages=[])
        return super().forward(question)


@pytest.mark.parametrize(("kind", "named"), [(Remembering, ["`past`"]), (Forgetting, [])])
def test_what_one_example_leaves_for_the_next_is_named(kind, named):
    with served(careful):
        optimizer = SemanticGradientDescent(right, steps=1, subscribers=(), num_threads=1)
        result: Any = optimizer.compile(kind(), trainset=questions(4)).detailed_results
    told = [one for one in result.warnings if "from one execution for the next" in one]
    assert [one.partition("(")[2].partition(")")[0] for one in told] == named


class LookingUp(dspy.Module):
    """Reads what stands under the words that it was told to look for."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("question -> query")
        self.read = dspy.Predict("passage -> answer")

    def forward(self, question: str) -> Any:
        entries = {"upper drawer": "a sloppy passage on statements"}
        return self.read(passage=entries.get(self.plan(question=question).query, "No entry found."))


def looked_up(prompt: Any) -> dict[str, Any]:
    if "query" not in prompt.names:
        return careful(prompt)
    number = int(prompt.inputs["question"].split()[-1].strip("?"))
    return {"query": "upper drawer" if number % 2 else "lower shelf"}


@pytest.mark.parametrize("seed", range(4))
def test_a_look_up_that_finds_nothing_hides_no_edge_of_those_that_find_something(seed):
    with served(looked_up):
        optimizer = SemanticGradientDescent(right, steps=2, seed=seed, subscribers=())
        result: Any = optimizer.compile(LookingUp(), trainset=questions(8)).detailed_results
    assert "plan.query -> read.passage" in str(result.graph)
