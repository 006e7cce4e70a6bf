"""`check` as a build uses it: exit status, files, who is to blame; and what must neither pass nor count as worse."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import dspy
import pytest

from dspy_semantic_backprop import Baseline, SemanticGradientDescent, SetupError
from dspy_semantic_backprop.testing import Faults
from tests.cli.world import World
from tests.scripted import careful, questions, right, served

WITH = "train.jsonl --inputs question --metric app:metric --baseline base.json --yes"
FILES = "--junit out.xml --markdown out.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    world, before = World(tmp_path_factory.mktemp("build")), os.getcwd()
    os.chdir(world.folder)
    rows: list[dict[str, object]] = [{**dict(one), "id": f"case-{at}"} for at, one in enumerate(questions(8))]
    rows[3]["must_not_regress"] = True
    world.write("train.jsonl", rows)
    yield world
    os.chdir(before)
    world.close()


@pytest.fixture(scope="module")
def baseline(place):
    with served(careful):
        found = place.run_quietly(f"check app:careful {WITH} --write-baseline")
    assert found == 0
    return Baseline.load("base.json")


@pytest.fixture
def run(place, capsys):
    with served(careful):
        yield lambda command: place.run(capsys, command)


def test_a_baseline_says_what_was_scored(baseline):
    assert [one.score for one in baseline.scores] == [1.0] * 8
    assert [one.must for one in baseline.scores] == [at == 3 for at in range(8)]
    assert baseline.program == "Chain" and baseline.metric["name"] == "metric" and "simulated" in baseline.model


def test_what_nobody_foresaw_is_told_without_the_key_in_its_words(run, baseline):
    ended = run(f"check app:Odd {WITH} {FILES}")
    told = [ended.out, ended.err, *(Path(name).read_text(encoding="utf-8") for name in ("out.xml", "out.md"))]
    assert ended.status == 2 and "refused: [hidden]" in ended.err
    assert not [text for text in told if "cAnary7x" in text]


def test_the_same_program_passes(run, baseline):
    ended = run(f"check app:careful {WITH} {FILES}")
    assert ended.status == 0 and ended.out.startswith("PASSED: no regression was found")
    suite = ElementTree.parse("out.xml").getroot()
    assert suite.attrib["failures"] == suite.attrib["errors"] == "0"


def test_a_worse_program_fails_and_the_predictor_is_named(run, baseline, place):
    ended = run(f"check app:half {WITH} {FILES}")
    assert ended.status == 1
    assert ended.out.startswith("REGRESSED: 1 of 1 examples that must not regress got worse; the program lost 1")
    assert "To blame: judge, for 100 % of what got worse" in ended.out
    assert "Another instruction than the baseline's: judge." in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    suite = ElementTree.parse("out.xml").getroot()
    assert suite.attrib["failures"] == "2" and len(suite.findall("testcase/failure")) == 2
    assert "To blame: judge" in (place.folder / "out.md").read_text(encoding="utf-8")
    assert "To blame" not in run(f"check app:half {WITH} --no-blame").out


def test_one_must_decides_where_the_mean_cannot(run, baseline, place):
    told = run(f"check app:half {WITH} --level 0.001 --no-blame --json")
    assert told.status == 1 and json.loads(told.out)["broken"][0]["must"]


def test_ids_come_from_a_file_too(run, baseline, place):
    (place.folder / "must.txt").write_text("case-1\ncase-5\n", encoding="utf-8")
    (place.folder / "wrong.txt").write_text("case-99\n", encoding="utf-8")
    assert json.loads(run(f"check app:careful {WITH} --must must.txt --json").out)["musts"] == 3
    ended = run(f"check app:careful {WITH} --must wrong.txt")
    assert ended.status == 2 and "case-99" in ended.err


def test_an_outage_neither_passes_nor_is_a_regression(place, baseline, capsys):
    for faults in (Faults(server_error=1.0), Faults(auth=1.0), Faults(drop=0.5)):
        with served(careful, faults=faults, num_retries=0):
            ended = place.run(capsys, f"check app:careful {WITH} {FILES}")
        assert ended.status == 2
        assert ElementTree.parse("out.xml").getroot().attrib["errors"] == "1"
        assert "could not be told" in (place.folder / "out.md").read_text(encoding="utf-8")


REFUSED = {
    f"check app:careful {WITH.replace('base.json', 'no.json')}": "cannot be read (No such file or directory)",
    f"check app:careful {WITH.replace('base.json', 'train.jsonl')}": "is no baseline",
    f"check app:careful {WITH.replace('app:metric', 'app:other')}": "by another metric, metric, not other",
    f"check app:careful {WITH.replace('train', 'others')}": "none of the examples is in the baseline",
    f"check app:careful {WITH.replace('train', 'fewer')}": "that must not regress are not among the examples",
    f"check app:careful {WITH} --junit absent/out.xml": "make it first",
    f"check app:careful {WITH} --level 2": "level must be a number between 0 and 1",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_could_tell_nothing_is_refused(command, run, baseline, place):
    place.write("others.jsonl", [{"question": "another", "answer": "careful answer"}])
    place.write("fewer.jsonl", [{**dict(one), "id": f"case-{at}"} for at, one in enumerate(questions(3))])
    ended = run(command)
    assert ended.status == 2 and REFUSED[command] in ended.err.splitlines()[-1]


# From Python, as in a test of one's own


def constant(score: float):
    """A metric that scores all alike, and is the same metric whatever the score."""

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
        return scores.get(example.question, score)

    scores: dict[str, float] = {}
    return metric, scores


@pytest.fixture(scope="module")
def simple() -> dspy.Module:
    return dspy.Predict("question -> answer")


def optimizer(metric, **settings) -> SemanticGradientDescent:
    return SemanticGradientDescent(metric, subscribers=(), **settings)


def test_too_few_examples_are_refused_unless_some_must_not_regress(simple):
    metric, _ = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, questions(4))
        with pytest.raises(SetupError, match="4 examples with a score to lose are too few"):
            optimizer(metric).check(simple, questions(4), known)
        found = optimizer(metric).check(simple, questions(4), known, must=lambda one: "number 1" in one.question)
    assert found.verdict == "passed" and "only those that must not regress" in found.warnings[0]


def test_the_loss_is_tested_on_pairs(simple):
    metric, scores = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, questions(12))
        for lost, verdict in ((4, "passed"), (5, "regressed")):
            scores.update({one.question: 0.0 for one in questions(lost)})
            found = optimizer(metric).check(simple, questions(12), known, blame=False)
            assert (found.verdict, len(found.broken)) == (verdict, lost)
    assert found.p_value == pytest.approx(0.5**5) and found.blame is None


class Reaching(dspy.Module):
    """A program that asks a service of its own, which is down for some questions."""

    def __init__(self, down: str) -> None:
        super().__init__()
        self.answer, self.down = dspy.Predict("question -> answer"), down

    def forward(self, question: str) -> dspy.Prediction:
        if self.down and self.down in question:
            raise ConnectionError("the search index cannot be reached")
        return self.answer(question=question)


def test_a_service_of_the_program_that_is_down_is_an_outage(simple):
    metric, _ = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(Reaching(""), questions(12))
        few = optimizer(metric).check(Reaching("number 1?"), questions(12), known)
        must = optimizer(metric).check(
            Reaching("number 1?"), questions(12), known, must=lambda one: "number 1?" in one.question
        )
    assert (few.verdict, few.missing, few.broken) == ("passed", 1, ())
    assert (must.verdict, must.status) == ("unknown", 2)


def test_hostile_text_is_inert_in_every_file(simple):
    evil = "`x` </failure><script>alert(1)</script>\x1b[31m \u202e @all ![i](http://evil.example/)\n# head\x00"
    rows = [one.copy(question=f"{one.question} {evil}").with_inputs("question") for one in questions(6)]
    metric, _ = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, rows, must=lambda one: True)
        found = optimizer(constant(0.0)[0]).check(simple, rows, known, blame=False)
    suite = ElementTree.fromstring(found.junit().encode("utf-8"))
    assert len(suite.findall("testcase/failure")) == 7 and suite.find(".//script") is None
    assert all(sign not in found.junit() + found.markdown() + str(found) for sign in "\x1b\u202e\x00")
    (line,) = [line for line in found.markdown().splitlines() if line.startswith("- example 0:")]
    assert line.endswith("``") and "\n# head" not in found.markdown()


def test_a_record_is_kept_as_json(simple):
    metric, scores = constant(1.0)
    with served(careful):
        known = optimizer(right).baseline(simple, questions(6), must=lambda one: "number 2" in one.question)
        found = optimizer(metric).baseline(simple, questions(6))
        scores.update({one.question: 0.0 for one in questions(6)})
        checked = optimizer(metric).check(simple, questions(6), found)
    assert type(checked).from_dict(json.loads(json.dumps(checked.to_dict()))) == checked
    assert checked.blamed is not None and checked.blamed.predictor == "self"
    assert known.scores[2].must


@pytest.mark.parametrize("settings", [{"faults": Faults(server_error=1.0, spared=16)}, {"budget": 16}])
def test_where_nobody_can_be_asked_who_is_to_blame_the_verdict_stands(place, baseline, capsys, settings):
    bound = f"--max-calls {settings['budget']}" if "budget" in settings else ""
    with served(careful, faults=settings.get("faults"), num_retries=0):
        ended = place.run(capsys, f"check app:half {WITH} {bound} --json")
    assert ended.status == 1
    found = json.loads(ended.out)
    assert found["blame"] is None or not found["blame"]["traced"]
    assert any("to blame could not be found out" in one for one in found["warnings"])


class Narrow(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 60, 120])
def test_a_record_fits_a_narrow_terminal_and_loses_nothing(simple, monkeypatch, width):
    metric, scores = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, questions(8))
        scores.update({one.question: 0.0 for one in questions(8)})
        found = optimizer(metric).check(simple, questions(8), known, blame=False)
    whole = str(found)
    monkeypatch.setattr(sys, "stdout", Narrow())
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, str(found).split("\n"))) <= min(width, 80)
    assert str(found).split() == whole.split()


def test_another_metric_is_refused_and_a_changed_one_is_said(simple):
    def changed(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
        return 1.0 if prediction.answer else 0.0

    metric, _ = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, questions(6))
        with pytest.raises(SetupError, match="by another metric"):
            optimizer(changed).check(simple, questions(6), known)
        changed.__qualname__ = metric.__qualname__
        found = optimizer(changed).check(simple, questions(6), known)
    assert found.verdict == "passed" and any("the metric was changed" in one for one in found.warnings)


def test_a_changed_model_or_example_is_said(simple):
    metric, _ = constant(1.0)
    with served(careful):
        known = optimizer(metric).baseline(simple, questions(6))
    with served(careful):
        found = optimizer(metric).check(simple, questions(7)[1:], known)
    assert (found.new, found.gone) == (1, 1) and "scored with openai/simulated" in found.warnings[0]
