"""What belongs together: said once, checked before anything is spent, and kept together."""

from __future__ import annotations

import dspy
import pytest

from dspy_semantic_backprop import SemanticGradientDescent, SetupError
from dspy_semantic_backprop._decide.split import split

EXAMPLES = [dspy.Example(question=f"q{at}", answer="a", page=at // 4).with_inputs("question") for at in range(48)]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("document", "it has no such field"),
        (lambda example: example.document, "failed"),
        (lambda example: [example.page], "unhashable"),
        (3, "group must name a field"),
    ],
)
def test_a_group_that_is_none_is_refused_before_anything_is_spent(group, message):
    lm = dspy.LM("none/none")
    with dspy.context(lm=lm), pytest.raises(SetupError, match=message):
        optimizer = SemanticGradientDescent(lambda example, prediction: 1.0, steps=1, group=group, subscribers=())
        optimizer.compile(dspy.Predict("question -> answer"), trainset=EXAMPLES)
    assert not lm.history


def test_no_group_is_torn_apart():
    for seed in range(5):
        found = split(EXAMPLES, None, lambda examples: examples // 3, seed, 100, "page")
        assert len(found.fresh) == 16 and len(found.decide) == 32
        assert not {at // 4 for at in found.fresh} & {at // 4 for at in found.decide}


def test_groups_in_both_sets_are_told_and_never_fresh():
    found = split(EXAMPLES[:4], EXAMPLES[1:], lambda examples: 40, 0, 100, lambda example: example.page)
    assert any("stand in the trainset and in the valset" in warning for warning in found.warnings)
    assert not any(at < 3 for at in found.fresh)
