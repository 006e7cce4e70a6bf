"""The gradient cache: found by content, safe on disk, never in the way."""

from __future__ import annotations

import hashlib
import json
import threading

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop import GradientCache, Semantic, SemanticGradientDescent, SetupError
from tests.backward.graphs import honest, star, swept
from tests.scripted import careful, questions, right, served


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_an_answer_comes_back_as_it_was(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("cache")
    GradientCache(path).put("ab" * 32, fields)
    assert GradientCache(path).get("ab" * 32) == fields


@pytest.mark.parametrize(
    "torn", ["", "{", "[]", "null", '{"version": 0, "fields": {}}', '{"version": 1, "fields": {"a": 1}}']
)
def test_torn_and_foreign_files_are_ignored_and_rewritten(tmp_path, torn):
    key = "cd" * 32
    GradientCache(tmp_path).put(key, {"change": "x"})
    (file,) = tmp_path.rglob("*.json")
    file.write_text(torn, encoding="utf-8")
    cache = GradientCache(tmp_path)
    assert cache.get(key) is None and cache.misses == 1
    cache.put(key, {"change": "y"})
    assert GradientCache(tmp_path).get(key) == {"change": "y"}
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == [file.name]


def test_binary_files_and_a_directory_in_the_place_of_a_file_are_no_answer(tmp_path):
    key = "ef" * 32
    (tmp_path / "ef" / f"{key}.json").mkdir(parents=True)
    assert GradientCache(tmp_path).get(key) is None
    other = "ee" * 32
    GradientCache(tmp_path).put(other, {})
    (tmp_path / "ee" / f"{other}.json").write_bytes(b"\xff\xfe\x00")
    assert GradientCache(tmp_path).get(other) is None


def test_many_threads_read_and_write_one_directory(tmp_path):
    cache = GradientCache(tmp_path)
    keys = [hashlib.sha256(bytes([number])).hexdigest() for number in range(20)]

    def work(own):
        for key in keys:
            own.put(key, {"change": key})
            assert own.get(key) == {"change": key}

    threads = [threading.Thread(target=work, args=(own,)) for own in [cache, cache, GradientCache(tmp_path)] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(GradientCache(tmp_path).get(key) == {"change": key} for key in keys)
    assert cache.hits == 6 * len(keys)


def test_a_question_is_another_one_when_anything_that_it_depends_on_is(tmp_path):
    answers = GradientCache(tmp_path)
    asked = []
    with served(honest):
        for backward, outputs, settings in [
            (Semantic(), ["one", "two"], {}),
            (Semantic(), ["one", "three"], {}),
            (Semantic(directions=False), ["one", "two"], {}),
            (Semantic(evidence=False), ["one", "two"], {}),
            (Semantic(), ["one", "two"], {"temperature": 0.5}),
            (Semantic(), ["one", "two"], {"api_key": "another"}),
        ]:
            with dspy.context(lm=dspy.settings.lm.copy(**settings)):
                asked.append(swept(star(outputs), backward, answers=answers)[1]["asked"])
    assert asked == [1, 1, 1, 1, 1, 0]


def test_no_key_of_a_server_gets_to_the_disk(tmp_path):
    with served(honest, api_key="sk-secret-secret"):
        swept(star(["one"]), answers=GradientCache(tmp_path))
    texts = [one.read_text(encoding="utf-8") for one in tmp_path.rglob("*.json")]
    assert texts and not any("sk-secret" in text for text in texts)
    assert all(set(json.loads(text)) == {"version", "fields"} for text in texts)


def test_what_could_not_be_read_is_asked_again_by_the_next_run(tmp_path):
    with served(lambda prompt: "I cannot help with that."):
        swept(star(["one"]), answers=GradientCache(tmp_path))
    with served(honest) as server:
        gradients, _ = swept(star(["one"]), answers=GradientCache(tmp_path))
        assert server.requests == 1 and gradients["hint_0[0]"]


class Pair(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question, hint -> answer")

    def forward(self, question):
        return self.second(question=question, hint=self.first(question=question).hint)


def test_a_second_run_pays_for_no_gradient(tmp_path):
    backward = []
    with served(careful):
        for _ in range(2):
            optimizer = SemanticGradientDescent(right, steps=1, gradient_cache=tmp_path / "kept", subscribers=())
            better = optimizer.compile(Pair(), trainset=questions(4))
            result = better.detailed_results  # type: ignore[attr-defined]
            backward.append(result.spent["backward"].calls if "backward" in result.spent else 0)
    assert backward[0] > 1 and backward[1] == 0
    assert result.notes["cache hit"] == backward[0]
    assert result.to_dict()["notes"] == dict(result.notes)


def test_a_place_that_cannot_be_written_to_is_a_setup_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="gradient_cache"):
        SemanticGradientDescent(right, gradient_cache=tmp_path / "file")
