"""Semantic gradient descent before, after and among DSPy's other optimizers, as the documentation shows it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, any_example, presets
from tests.integrations.test_gepa import asked
from tests.optimizer.test_compile import Chain, Fan
from tests.scripted import careful, questions, right, served

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "gepa.md"


def with_demos(program: Any) -> Any:
    """A program as BootstrapFewShot compiles it, with one bootstrapped and one labelled demonstration."""
    bootstrap = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=1, max_labeled_demos=2)
    return bootstrap.compile(program, trainset=questions(4))


def demos_of(program: Any) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(demo) for demo in one.demos] for name, one in program.named_predictors()}


@pytest.mark.parametrize("strategy", ["p", "b -> p", "p -> b", "p -> r -> p", "r -> p"])
@pytest.mark.parametrize("held_out", [3, 0])
def test_better_together_takes_it_at_any_place_of_a_strategy(strategy, held_out):
    with served(careful):
        program: Any = Fan()
        program.set_lm(dspy.settings.lm)
        few: Any = {"max_bootstrapped_demos": 1, "max_labeled_demos": 1}
        together: Any = dspy.BetterTogether(
            right,
            p=SemanticGradientDescent(right, steps=2, probe="never", subscribers=()),
            b=dspy.BootstrapFewShot(metric=lambda *_: True, **few),
            r=dspy.BootstrapFewShotWithRandomSearch(metric=right, num_candidate_programs=1, num_threads=2, **few),
        )
        valset = questions(held_out) or None
        best = together.compile(program, trainset=questions(6), valset=valset, strategy=strategy)
    assert not best.flag_compilation_error_occurred
    assert all("careful" in one.signature.instructions and one.lm is not None for one in best.predictors())
    scores = {one["strategy"]: one["score"] for one in best.candidate_programs}
    assert len(scores) == 1 + len(strategy.split(" -> "))
    assert not held_out or (scores[""], scores[strategy]) == (0.0, 100.0)


def test_a_bootstrapped_program_is_optimised_and_keeps_its_demonstrations():
    with served(careful):
        shown = with_demos(Fan())
        before = demos_of(shown)
        better: Any = SemanticGradientDescent(right, steps=2, subscribers=()).compile(shown, trainset=questions(4))
    assert any(before.values()) and demos_of(better) == before == demos_of(shown)
    assert better.detailed_results.score_after == 1.0
    assert all("careful" in one.signature.instructions for one in better.predictors())
    assert not any("careful" in one.signature.instructions for one in shown.predictors())


def test_the_question_about_a_call_shows_the_demonstrations_that_its_prompt_held():
    program: Any = Chain()
    labelled = dspy.Example(question="only labelled", answer="never shown to the draft")
    program.draft.demos = [dspy.Example(augmented=True, question="old", draft="misleading draft"), labelled]
    program.judge.demos = [{"draft": "given draft", "answer": "wrong lesson"}]
    with served(careful) as server:
        explanation = SemanticGradientDescent(right, subscribers=()).explain(program, questions(1)[0])
        prompts = asked(server, "wanted_change")
    # The first call reads no other one: it is asked about because of its demonstrations.
    assert [call.demos for call in explanation.outcome.graph] == [
        ({"question": "old", "draft": "misleading draft"},),
        ({"draft": "given draft", "answer": "wrong lesson"},),
    ]
    (judge,) = [text for text in prompts if "wrong lesson" in text]
    (draft,) = [text for text in prompts if "misleading draft" in text]
    assert len(prompts) == 2 and "Demonstration 1" in judge
    assert "never shown" not in draft and "augmented" not in draft and "[[ ## output_" not in draft


def test_a_gradient_that_blames_a_demonstration_reaches_the_proposal():
    def rule(prompt):
        if "reader_demonstrations" not in prompt.inputs:
            return careful(prompt)
        (own,) = [name for name in prompt.names if name.startswith("change_") and not _about_output(name, prompt)]
        blamed = "In reader_demonstrations number 1 teaches sloppy work; say against it: be careful."
        return careful(prompt) | {own: blamed, own.replace("change_", "severity_"): "major"}

    program: Any = Chain()
    program.draft.demos = [dspy.Example(question="old", draft="sloppy draft")]
    with served(rule) as server:
        optimizer = SemanticGradientDescent(right, steps=1, subscribers=())
        optimizer.compile(program, trainset=questions(2))
        told, *_ = [text for text in asked(server, "current_instruction") if "\ndraft: reads" in text]
    assert "How the instruction should have been different:" in told
    assert "In the demonstrations number 1 teaches sloppy work" in told
    assert "shows 1 demonstration" in told


def _about_output(name: str, prompt: Any) -> bool:
    return name.replace("change_", "output_") in prompt.inputs


def test_without_demonstrations_no_question_mentions_any():
    method = presets.Method(choose_examples=any_example(2))
    with served(careful) as server:
        SemanticGradientDescent(right, steps=1, method=method, subscribers=()).compile(Chain(), trainset=questions(2))
        assert asked(server, "wanted_change")
        assert not any("demonstration" in str(record.messages) for record in server.log)


def test_demonstrations_survive_the_graphs_json_form():
    program: Any = Chain()
    program.draft.demos = [dspy.Example(question="old", draft="d")]
    with served(careful):
        graph = SemanticGradientDescent(right, subscribers=()).explain(program, questions(1)[0]).outcome.graph
    again = type(graph).from_dict(graph.to_dict())
    assert again["draft[0]"].demos == ({"question": "old", "draft": "d"},)
    assert again.to_dict() == graph.to_dict()


def test_a_compiled_part_of_a_larger_program_stays_frozen_and_is_named(caplog):
    class Larger(dspy.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.final = dspy.Predict("text -> answer")

        def forward(self, question):
            return self.final(text=self.inner(question=question).answer)

    with served(careful), caplog.at_level(logging.WARNING, logger="dspy_semantic_backprop"):
        inner = with_demos(Chain())
        before = demos_of(inner)
        better: Any = SemanticGradientDescent(right, steps=1, subscribers=()).compile(
            Larger(inner), trainset=questions(2)
        )
        assert [record.getMessage() for record in caplog.records if "inner was compiled" in record.getMessage()]
    assert "careful" not in better.inner.draft.signature.instructions
    assert demos_of(better.inner) == before


def test_the_snippets_of_the_guide_run():
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 3
    examples = questions(7)
    with served(careful) as server:
        for snippet in code:
            names: dict[str, Any] = {
                "dspy": dspy,
                "program": Fan(),
                "metric": right,
                "trainset": examples[:4],
                "valset": examples[4:],
                "gradient_lm": server.lm(cache=False),
            }
            exec(
                compile("from dspy_semantic_backprop import SemanticGradientDescent\n" + snippet, GUIDE.name, "exec"),
                names,
            )
            best = names.get("better") or names["best"]
            assert all("careful" in one.signature.instructions for one in best.predictors())
