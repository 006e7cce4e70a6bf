"""What the report of a run holds, from its result and from its log alone."""

import json
import re
from pathlib import Path

import pytest

from dspy_semantic_backprop import Compiled, Result, SemanticGradientDescent, report
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
