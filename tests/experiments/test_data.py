"""The loaders: splits, filters, errors; on made-up files, the samples, and the published files where given.

Why this folder has no __init__.py: pytest would then import it as the package `experiments`, wherever
tests/ itself is no package, and hide the real one.

The published files are looked for in $DSPY_SB_DATA, then in ../shared/data beside the repository.
"""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import dspy
import pytest

from experiments.data import (
    SAMPLES,
    DataError,
    bbh,
    draw_train,
    fingerprint,
    gsm8k,
    liar,
    split_one_file,
)

ROOT = Path(__file__).resolve().parents[2]

PUBLISHED = Path(os.environ.get("DSPY_SB_DATA") or ROOT.parent / "shared" / "data")
needs_published = pytest.mark.skipif(
    not (PUBLISHED / "bbh").is_dir(),
    reason=f"NO PUBLISHED DATA at {PUBLISHED}: the real splits are not tested; set DSPY_SB_DATA",
)


def question(text, answer="x"):
    return dspy.Example(question=text, answer=answer).with_inputs("question")


def texts(examples, field="question"):
    return {" ".join(example[field].split()) for example in examples}


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def liar_line(label="false", statement="It rained.", job="Mayor", party="none of yours", source="a talk"):
    return "\t".join(["1.json", label, statement, "rain", "jo", job, "Ohio", party, *"01234", source])


def bbh_json(n):
    return json.dumps({"examples": [{"input": f"q{i}", "target": str(i)} for i in range(n)]})


class TestSplits:
    def test_sizes_seed_and_order(self):
        pool = [question(f"q{i}") for i in range(30)]
        first, again, other = (split_one_file(pool, 20, seed, "question") for seed in (0, 0, 1))
        assert len(first.train) == 15 and len(first.held_out) == 15
        assert fingerprint(first.train) == fingerprint(again.train) != fingerprint(other.train)
        assert not texts(first.train) & texts(first.held_out)

    def test_equal_questions_never_straddle(self):
        pool = [question(f"q {i % 9}" if i % 2 else f" q  {i % 9}\n", str(i)) for i in range(40)]
        for seed in range(50):
            split = split_one_file(pool, 20, seed, "question")
            assert not texts(split.train) & texts(split.held_out)
            assert len(split.train) + len(split.held_out) == 40 and len(split.held_out) >= 20

    @pytest.mark.parametrize("pool", [[], [question("q")], [question("q"), question("q", "y")]])
    def test_too_little_to_divide(self, pool):
        with pytest.raises(DataError, match="at least two different questions"):
            split_one_file(pool, 20, 0, "question")

    def test_a_drawn_training_question_is_never_held_out(self):
        split = draw_train(
            [question(f"q{i}") for i in range(10)], [question("q3"), question(" q4 ")], 20, 0, "question"
        )
        assert len(split.train) == 8 and len(split.held_out) == 2
        with pytest.raises(DataError, match="train=-1"):
            draw_train([], [], -1, 0, "question")

    def test_fingerprint(self):
        a, b = question("a"), question("b")
        assert fingerprint([a, b]) != fingerprint([b, a])
        swapped = dspy.Example(answer="x", question="a").with_inputs("question")
        assert fingerprint([a]) == fingerprint([swapped])
        assert len(fingerprint([])) == 64


class TestBbh:
    def test_tasks(self):
        groups = list(bbh.TASKS.values())
        assert len(groups) == 27 and set(groups) == {"nlp", "algorithmic"} and groups.count("nlp") == 12
        assert list(bbh.TASKS) == sorted(bbh.TASKS)

    def test_unknown_task_names_the_close_ones(self):
        with pytest.raises(DataError, match=r"called 'word_sort'; did you mean .*word_sorting"):
            bbh.load("word_sort", folder="nowhere")
        with pytest.raises(DataError, match="the tasks are boolean_expressions"):
            bbh.load("zzz")

    def test_missing_file_names_what_is_there(self, tmp_path):
        write(tmp_path, "bbh/navigate.json", bbh_json(4))
        with pytest.raises(DataError, match=r"snarks\.json: cannot be read .*in that folder are: navigate"):
            bbh.load("snarks", folder=tmp_path)
        with pytest.raises(DataError, match="no such folder"):
            bbh.available(tmp_path / "nowhere")
        assert bbh.available(tmp_path) == ["navigate"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "the file is empty"),
            ('{"examples":\n [}', r"line 2: no JSON"),
            ('{"rows": []}', 'no list "examples"'),
            ("[]", 'no list "examples"'),
            ('{"examples": [{"input": "a", "target": "b"}, {"input": "a"}]}', "example 2: "),
            (b"ok\n\xff", "line 2: no UTF-8"),
        ],
    )
    def test_broken_file(self, tmp_path, content, said):
        write(tmp_path, "bbh/navigate.json", content)
        with pytest.raises(DataError, match=said):
            bbh.load("navigate", folder=tmp_path)

    @needs_published
    def test_published(self):
        tasks = bbh.available(PUBLISHED)
        assert tasks
        for task in tasks:
            split = bbh.load(task, folder=PUBLISHED)
            assert len(split.train) == 20 and len(split.held_out) > 100
            assert not texts(split.train) & texts(split.held_out)
            assert split.train[0].inputs().keys() == ["question"]


class TestGsm8k:
    GOOD = '{"question": "q%d?\u2028 yes", "answer": "1 + 1 = 2\\n#### 1,080"}'

    def test_keeps_commas_and_reads_line_separators(self, tmp_path):
        write(tmp_path, "gsm8k/train.jsonl", "\n".join(self.GOOD % i for i in range(3)) + "\n\n")
        write(tmp_path, "gsm8k/test.jsonl", self.GOOD % 1)
        split = gsm8k.load(folder=tmp_path)
        assert len(split.train) == 2 and len(split.held_out) == 1
        assert {example.answer for example in [*split.train, *split.held_out]} == {"1,080"}

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("{", r"train\.jsonl, line 2: no JSON"),
            ('{"question": "q"}', "line 2: .*must both be filled"),
            ('{"question": "q", "answer": "2"}', "line 2: no answer after ####"),
        ],
    )
    def test_broken_line(self, tmp_path, line, said):
        write(tmp_path, "gsm8k/train.jsonl", f"{self.GOOD % 0}\n{line}")
        with pytest.raises(DataError, match=said):
            gsm8k.load(folder=tmp_path)

    @needs_published
    def test_published(self):
        split = gsm8k.load(folder=PUBLISHED)
        assert len(split.train) == 128 and len(split.held_out) >= 600
        assert any("," in example.answer for example in split.held_out)
        assert not texts(split.train) & texts(split.held_out)
        assert fingerprint(split.train) != fingerprint(gsm8k.load(folder=PUBLISHED, seed=1).train)


class TestLiar:
    def test_filter_and_labels(self, tmp_path):
        rows = [
            liar_line("true", 'He said "it rained.'),
            liar_line("false", "Second"),
            liar_line("half-true", "Third"),
            liar_line("true", "Fourth", job=" None "),
            liar_line("true", "Fifth", source=""),
        ]
        write(tmp_path, "liar/train.tsv", "\n".join(rows) + "\n")
        write(tmp_path, "liar/valid.tsv", liar_line("false", "Other"))
        split = liar.load(folder=tmp_path)
        assert {example.statement: example.answer for example in split.train} == {
            'He said "it rained.': "no",
            "Second": "yes",
        }
        assert sorted(split.train[0].inputs().keys()) == sorted(liar.INPUTS)
        assert split.held_out[0].source == "a talk"

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("a\tb", r"train\.tsv, line 2: 2 columns instead of 14"),
            (liar_line("flase"), "line 2: unknown label 'flase'; the labels are barely-true, false"),
        ],
    )
    def test_broken_line(self, tmp_path, line, said):
        write(tmp_path, "liar/train.tsv", f"{liar_line()}\n{line}\n")
        with pytest.raises(DataError, match=said):
            liar.load(folder=tmp_path)

    def test_nothing_left(self, tmp_path):
        write(tmp_path, "liar/train.tsv", liar_line("half-true"))
        with pytest.raises(DataError, match=r"none of its 1 row\(s\)"):
            liar.load(folder=tmp_path)

    @needs_published
    def test_published(self):
        everything = liar.load(folder=PUBLISHED, train=10_000)
        split = liar.load(folder=PUBLISHED)
        assert (
            len(split.train) == 50
            and split.held_out
            and not texts(split.train, "statement") & texts(split.held_out, "statement")
        )
        n_lies = sum(example.answer == "yes" for example in everything.train)
        # 2,343 rows pass the filter; those whose statement is held out are left aside.
        assert 2_300 < len(everything.train) <= 2_343 and 1_200 < n_lies <= 1_242


class Column:
    """Stands for datasets.ClassLabel."""

    names = ("false", "half-true", "mostly-true", "true", "barely-true", "pants-fire")

    def int2str(self, value):
        return self.names[value]


class FakeDataset(list):
    features: dict


def fake_hub(monkeypatch, rows, label=None):
    asked = []

    def load_dataset(repository, **how):
        asked.append((repository, how))
        if isinstance(rows, Exception):
            raise rows
        loaded = FakeDataset(rows)
        loaded.features = {name: label if label and name == "label" else object() for name in rows[0]}
        return loaded

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return asked


class TestHub:
    def test_bbh_asks_for_the_files_of_one_task(self, monkeypatch):
        asked = fake_hub(monkeypatch, [{"input": f"q{i}", "target": "a"} for i in range(4)])
        split = bbh.load("navigate")
        assert len(split.train) == 2 and len(split.held_out) == 2
        how = {"data_files": {"test": "navigate/test/*.parquet"}, "revision": "refs/convert/parquet"}
        assert asked == [("lukaemon/bbh", {"split": "test", **how})]

    def test_gsm8k(self, monkeypatch):
        asked = fake_hub(monkeypatch, [{"question": "q", "answer": "#### 4"}])
        assert gsm8k.load().held_out[0].answer == "4"
        assert asked[1] == ("openai/gsm8k", {"split": "test", "name": "main"})

    def test_liar_labels_are_read_by_name(self, monkeypatch):
        row = {"label": 3, "statement": "s", "subject": "t", "speaker": "p", "job_title": "j"}
        row |= {"state_info": "Ohio", "party_affiliation": "party", "context": "a talk", "id": "1.json"}
        fake_hub(monkeypatch, [row, row | {"label": 0, "statement": "u"}], Column())
        split = liar.load()
        assert [(e.statement, e.answer, e.state) for e in split.held_out] == [
            ("s", "no", "Ohio"),
            ("u", "yes", "Ohio"),
        ]
        assert split.train == []

    def test_errors_name_the_way_out(self, monkeypatch):
        fake_hub(monkeypatch, ConnectionError("no network"))
        with pytest.raises(DataError, match=r"'openai/gsm8k' \(train\) cannot be read: no network; pass folder="):
            gsm8k.load()
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(DataError, match=r"dspy-semantic-backprop\[experiments\]"):
            gsm8k.load()


@pytest.mark.skipif(not (SAMPLES / "bbh").is_dir(), reason=f"NO SAMPLES at {SAMPLES}: they are not tested")
def test_samples():
    assert bbh.available(SAMPLES)
    for task in bbh.available(SAMPLES):
        split = bbh.load(task, folder=SAMPLES)
        assert split.train and len(split.held_out) >= len(split.train)
    for loader in (gsm8k, liar):
        split = loader.load(folder=SAMPLES)
        assert split.train and split.held_out


def test_importable_as_a_script_sees_it():
    code = "from data import bbh, gsm8k, liar; print(len(bbh.TASKS))"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT / "experiments", capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "27"
