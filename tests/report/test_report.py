"""What the report of a run holds, from its result and from its log alone."""

import json
import re
from pathlib import Path

import pytest

from dspy_semantic_backprop import Compiled, Result, SemanticGradientDescent, compare, report
from tests.optimizer.test_compile import Chain
from tests.scripted import careful, questions, right, served


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Result:
    with served(careful):
        folder = tmp_path_factory.mktemp("log")
        better = SemanticGradientDescent(right, steps=2, subscribers=(), log_dir=folder).compile(
            Chain(), trainset=questions(12)
        )
    assert isinstance(better, Compiled)
    return better.detailed_results


def data_of(page: Path) -> dict:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(block)


def test_a_result_and_its_log_give_the_same_report(ran, tmp_path):
    one = data_of(ran.report(tmp_path / "one.html"))
    assert ran.log_dir
    other = data_of(report(ran.log_dir, tmp_path / "other.html"))
    assert one.pop("seconds") <= other.pop("seconds") + 60
    other.pop("seconds", None)
    assert one == other


def test_two_runs_are_compared_from_a_result_a_log_and_a_saved_program(ran, tmp_path):
    with served(careful):
        other = SemanticGradientDescent(right, steps=0, subscribers=()).compile(Chain(), trainset=questions(12))
    other.save(str(tmp_path / "start.json"))
    assert isinstance(other, Compiled)
    assert ran.log_dir
    found = compare(other.detailed_results, ran.log_dir, tmp_path / "both.html")
    assert found.scores is not None
    assert (found.scores.before, found.scores.after, found.scores.regressions) == (0.0, 1.0, 0)
    assert found.changed == ("draft", "judge")
    assert data_of(tmp_path / "both.html") | found.to_dict() == data_of(tmp_path / "both.html")
    saved = compare(ran, tmp_path / "start.json")
    assert saved.scores is None
    assert "keeps no scores" in str(saved)
    assert saved.changed == found.changed
