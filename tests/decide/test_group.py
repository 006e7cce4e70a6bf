"""What belongs together: said once, checked before anything is spent, and kept together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest

from dspy_semantic_backprop import JournalError, SemanticGradientDescent, SetupError, presets
from dspy_semantic_backprop._decide.split import split
from tests.scripted import careful, questions, right, served

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


@pytest.fixture
def server() -> Iterator[Any]:
    with served(careful) as server:
        yield server


def compiled(train: Any, val: Any, **settings: Any) -> Any:
    optimizer = SemanticGradientDescent(right, **{"steps": 1, "subscribers": (), **settings})
    better: Any = optimizer.compile(dspy.Predict("question -> answer"), trainset=train, valset=val)
    return better.detailed_results


def pages(first: int, last: int, size: int) -> list[dspy.Example]:
    """Examples of which so many in a row are from one page."""
    numbered = list(enumerate(questions(last)))[first:]
    return [dspy.Example(**one, page=at // size).with_inputs("question") for at, one in numbered]


def test_a_compile_keeps_whole_pages_for_the_end(server):
    val = pages(4, 44, 5)
    result = compiled(pages(0, 4, 4), val, group="page", method=presets.proven())
    decided = {val[number].page for candidate in result.candidates for number in candidate.scores}
    fresh = {example.page for example in val} - decided
    assert result.final.examples == sum(example.page in fresh for example in val) > 0


def test_another_grouping_is_another_run(server, tmp_path):
    train, val = pages(0, 1, 1), pages(1, 3, 2)
    compiled(train, val, group="page", log_dir=tmp_path)
    asked = len(server.log)
    compiled(train, val, group="page", log_dir=tmp_path)
    for other in (None, "question", lambda example: example.page // 2):
        with pytest.raises(JournalError, match="group"):
            compiled(train, val, group=other, log_dir=tmp_path)
    assert len(server.log) == asked > 0


@pytest.mark.parametrize("group", ["page", None])
def test_pages_that_were_learned_from_prove_nothing(group, server):
    result = compiled(pages(0, 2, 100), pages(2, 18, 100), group=group)
    assert result.final.returned == result.final.proven == (group is None)
    assert any("stand in the trainset and in the valset" in one for one in result.warnings) == (group is not None)
