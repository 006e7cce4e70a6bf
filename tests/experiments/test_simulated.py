"""The simulated language model, through its public behaviour and real HTTP."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_semantic_backprop.testing import Faults, Prompt, SimulatedServer
from experiments.simulated import SimulatedModel
from experiments.simulated.tasks import CUES, FORMS, TASKS, find

SAMPLES = Path(__file__).parents[2] / "experiments" / "data" / "samples"
LIAR = ("statement", "job_title", "state", "party", "source")
HIDDEN = "Work out an intermediate step that helps solve the problem."
FINAL = "Solve the problem."
SKILLS = [skill for task in TASKS.values() for skill in task.skills] + list(FORMS.values())
OBJECTS = "I have three lamps, a rug, and two clocks. How many objects do I have?"


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    with SimulatedModel().serve() as running:
        yield running


@pytest.fixture
def lm(server: SimulatedServer) -> dspy.LM:
    return server.lm(cache=False)


def say(instruction: str, fields: str = "question -> answer") -> dspy.Predict:
    return dspy.Predict(dspy.make_signature(fields, instruction))


def read(fields: str, told: str = FINAL, adapter: Any = None, /, **inputs: Any) -> Prompt:
    adapter = adapter or dspy.ChatAdapter()
    return Prompt.from_messages(adapter.format(dspy.make_signature(fields, told), [], inputs))


def answer(fields: str, instruction: str = FINAL, /, **inputs: Any) -> Any:
    return SimulatedModel()(read(fields, instruction, None, **inputs))


ADAPTERS: list[Callable[[], Any]] = [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter]


def test_plain_and_two_step_prompts_are_answered(lm: dspy.LM) -> None:
    assert isinstance(lm("How many is 2 and 3?")[0], str)
    sentence = FORMS["option"].sentence
    reply = lm(f"The instruction was:\n```\n{FINAL}\n```\nFeedback: {sentence}\nWrite a new one in ```.")
    assert reply == [f"```\n{FINAL} {sentence}\n```"]
    with dspy.context(lm=lm, adapter=dspy.TwoStepAdapter(lm)):
        assert say(FORMS["number"].sentence, "question -> answer: int")(question=OBJECTS).answer >= 3


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text(), st.sampled_from(["answer", "hint", "new_instruction", "change_a", "advice"]))
def test_no_text_makes_it_fail(told: str, value: str, output: str) -> None:
    fields = f"question, output_a, current_instruction, wanted_change -> {output}"
    inputs = {"question": value, "output_a": value[::-1], "current_instruction": told, "wanted_change": value}
    for adapter in ADAPTERS:
        prompt = read(fields, told, adapter(), **inputs)
        assert isinstance(prompt.render(SimulatedModel(noise=0.5)(prompt)), str)


@pytest.mark.parametrize("piece", ["7", "(", "I have a ", "\x00\ud83d "])
def test_a_megabyte_is_answered_soon(piece: str) -> None:
    huge, started = piece * (1_000_000 // len(piece)), time.process_time()
    for output in ("answer", "change_a", "new_instruction"):
        answer(f"query, output_a, wanted_change -> {output}", query=huge, output_a=huge, wanted_change=huge)
    assert time.process_time() - started < 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_as_messages_is_survived(server: SimulatedServer, value: Any) -> None:
    sent = server.respond(json.dumps({"messages": value, "model": value}).encode())
    assert sent.status == 200 and json.loads(sent.body)["choices"]


def test_replies_are_deterministic_and_depend_on_the_seed() -> None:
    replies: list[list[str]] = []
    for seed in (0, 0, 1):
        with SimulatedModel(seed).serve() as server, dspy.context(lm=server.lm(cache=False)):
            replies.append([str(say(FINAL)(question=one["input"]).answer) for one in bbh("navigate")[:15]])
    assert replies[0] == replies[1] != replies[2]
    # DSPy's cache and a run's log tell models apart by their names only.
    names = {one.serve().model for one in (SimulatedModel(), SimulatedModel(noise=0.1), SimulatedModel(seed=1))}
    names.add(SimulatedModel().serve(faults=Faults(malformed=0.1)).model)
    assert len(names) == 4 and SimulatedModel().serve().model in names


def bbh(name: str) -> list[dict[str, str]]:
    return json.loads((SAMPLES / "bbh" / f"{name}.json").read_text())["examples"]


def gsm8k(split: str) -> list[tuple[str, str]]:
    rows = map(json.loads, (SAMPLES / "gsm8k" / f"{split}.jsonl").read_text().splitlines())
    return [(row["question"], row["answer"].split("#### ")[1]) for row in rows]


def accuracy(rows: list[tuple[str, str]], method: bool, form: bool) -> float:
    """The share of right answers of a step and a final one that reads it, with or without the skills."""
    right = 0
    for question, target in rows:
        found = find(question)
        assert found, f"not understood: {question}"
        taught = " ".join([HIDDEN, *(skill.sentence for skill in found[0].skills)]) if method else HIDDEN
        told = f"{FINAL} {FORMS[found[0].kind].sentence}" if form else FINAL
        step = answer("question -> statement", taught, question=question)["statement"]
        inputs = {"question": question, "statement_1": step, "statement_2": step}
        right += answer("question, statement_1, statement_2 -> answer", told, **inputs)["answer"] == target
    return right / len(rows)


@pytest.mark.parametrize("name", ["train", "test", *(path.stem for path in SAMPLES.glob("bbh/*.json"))])
def test_skills_raise_the_accuracy(name: str) -> None:
    rows = gsm8k(name) if name in ("train", "test") else [(one["input"], one["target"]) for one in bbh(name)]
    plain, full = accuracy(rows, method=False, form=False), accuracy(rows, method=True, form=True)
    method, form = accuracy(rows, method=True, form=False), accuracy(rows, method=False, form=True)
    assert full >= 0.95 and 0.2 <= plain <= 0.6
    assert plain < method < full and plain < form < full


def test_statements_need_their_five_cues() -> None:
    right = {"plain": 0, "full": 0}
    lines = (SAMPLES / "liar" / "train.tsv").read_text().splitlines()
    for columns in (line.split("\t") for line in lines):
        row: dict[str, str] = dict(zip(LIAR, [columns[2], *columns[5:8], columns[13]], strict=True))
        for mode in right:
            hints: dict[str, str] = {}
            for name, skill in ((name, CUES[name]) for name in LIAR):
                inputs = {key: row[key] for key in dict.fromkeys(["statement", name])}
                told = skill.sentence if mode == "full" else "Give a hint: is the statement a lie?"
                hints[f"hint_{name}"] = answer(f"{', '.join(inputs)} -> hint", told, **inputs)["hint"]
            told = FORMS["word"].sentence if mode == "full" else "Decide whether the statement is a lie."
            verdict = answer(f"{', '.join(hints)} -> answer", told, **hints)["answer"]
            right[mode] += verdict == {"false": "yes", "true": "no"}[columns[1]]
    assert right["full"] >= 0.95 * len(lines)
    assert 0.2 * len(lines) <= right["plain"] <= 0.6 * len(lines)


def test_other_words_count_and_no_skill_says_another() -> None:
    assert TASKS["arithmetic"].skills[0].named_in("Mind the order of operations.")
    assert FORMS["option"].named_in("Reply with just the letter.")
    assert FORMS["number"].named_in("Give only the final answer.")
    for skill in SKILLS:
        assert skill.named_in(skill.sentence) and not skill.named_in(f"{HIDDEN} {FINAL}")
        others = {one.name for one in SKILLS if one.name != skill.name and one.named_in(skill.sentence)}
        assert not others or skill.name in ("precedence", "text_form"), (skill.name, others)


def test_a_demonstration_shows_the_form(lm: dspy.LM) -> None:
    shown, bare = say(FINAL), say(FINAL)
    shown.demos = [dspy.Example(question="I have a rug. How many objects do I have?", answer="1")]
    with dspy.context(lm=lm):
        for predictor in (shown, bare):
            answers = [predictor(question=one["input"]).answer for one in bbh("object_counting")[:12]]
            assert all(map(str.isdecimal, answers)) == (predictor is shown)


def test_noise_slips_as_often_as_asked() -> None:
    prompts = [read("question -> answer", question=f"({number} + 2) =") for number in range(300)]
    slips = sum(SimulatedModel()(prompt) != SimulatedModel(noise=0.2)(prompt) for prompt in prompts)
    assert 30 <= slips <= 90


def critique(
    outputs: dict[str, str], wanted: str, question: str = OBJECTS, own: bool = False, told: str = FINAL
) -> Any:
    inputs = {"reader_instruction": told, "reader_inputs": f"question: {question}"}
    inputs |= {f"output_{key}": text for key, text in outputs.items()}
    inputs |= {"reader_output": "It seems that the answer is 6 in total.", "wanted_change": wanted}
    asked = [*outputs, *(["own"] if own else [])]
    return answer(f"{', '.join(inputs)} -> {', '.join(f'change_{key}' for key in asked)}", **inputs)


def test_the_critic_does_not_ask_for_what_the_instruction_says() -> None:
    told = f"{FINAL} {FORMS['word'].sentence}"
    said = critique({}, "The expected answer is 4; the program answered 6.", own=True, told=told)["change_own"]
    assert FORMS["word"].sentence not in said


def skills_named(text: str) -> set[str]:
    return {skill.name for skill in SKILLS if skill.sentence in text}


@pytest.fixture(scope="module")
def missed() -> tuple[str, str, str]:
    """The first counting question that an untaught step gets wrong, the step's words, the right answer."""
    for one in bbh("object_counting"):
        said = answer("question -> statement", HIDDEN, question=one["input"])["statement"]
        if one["target"] not in said:
            return one["input"], said, one["target"]
    return pytest.fail("the untaught model gets every question right")


def test_the_critic_names_the_skill_to_each_wrong_member(missed: tuple[str, str, str]) -> None:
    question, wrong, target = missed
    members = {"a1": f"The intermediate result is {target}.", "b2": wrong}
    changes = critique(members, f"The expected answer is {target}.", question)
    assert changes["change_a1"] == "No change needed."
    assert skills_named(changes["change_b2"]) and "contradicts output_a1" in changes["change_b2"]
    changes = critique({"a1": wrong, "b2": wrong}, f"The expected answer is {target}; not so.", question)
    assert "repeats output_b2" in changes["change_a1"] and "repeats output_a1" in changes["change_b2"]
    # Nobody can know the skill without the expected answer.
    changes = critique({"a1": wrong, "b2": wrong}, "The answer is wrong.", question)
    assert not skills_named(str(changes)) and "No change" not in str(changes)


def test_the_critic_lets_right_members_be() -> None:
    said = "The intermediate result is trustworthy (party: {})."
    hints = {"a1": said.format("newsmaker"), "b2": said.format("democrat")}
    changes = critique(hints, "The expected answer is yes; the program answered no.")
    assert skills_named(changes["change_a1"]) == {"party_cue"}
    assert changes["change_b2"] == "No change needed."
    # A mistake of form is the reader's own.
    right = dict.fromkeys(["a1", "b2"], "The intermediate result is 6.")
    assert set(critique(right, "The expected answer is 6.").values()) == {"No change needed."}
    own = critique(right, "The expected answer is 6.", own=True)["change_own"]
    assert skills_named(own) and "No change" not in own
    # A reader that was misled is not to blame.
    misled = critique({**right, "b2": "The intermediate result is 5."}, "The expected answer is 6.", own=True)
    assert misled["change_own"] == "No change needed." != misled["change_b2"]


def propose(current: str, lessons: str) -> str:
    fields = "current_instruction, lessons -> new_instruction"
    return answer(fields, current_instruction=current, lessons=lessons)["new_instruction"]


def test_the_proposer_keeps_the_instruction_and_adds_what_the_lessons_name() -> None:
    lessons = " ".join(skill.sentence for skill in (*TASKS["object_counting"].skills, FORMS["number"]))
    proposed = propose("Keep  this\n text.", lessons)
    assert proposed.startswith("Keep  this\n text. ") and len(skills_named(proposed)) == 2
    assert skills_named(propose(proposed, lessons)) == skills_named(lessons)


def test_the_proposer_learns_from_examples_with_expected_answers_only(missed: tuple[str, str, str]) -> None:
    question, wrong, target = missed
    lesson = f"Given:\n  question: {question}\nProduced:\n  statement: {wrong}\n"
    assert not skills_named(proposed := propose(HIDDEN, lesson)) and proposed.startswith(f"{HIDDEN} ")
    assert skills_named(propose(HIDDEN, f"{lesson}Feedback: The expected answer is {target}."))
    headed = f"{lesson}How the output should have been different:\n  The expected answer is {target}."
    assert skills_named(propose(HIDDEN, headed))
    lesson = f"question: {OBJECTS}\nstatement_1: The intermediate result is 6.\n"
    lesson += "answer: It seems that the answer is 6 in total.\nThe expected answer is 6."
    assert skills_named(propose(FINAL, lesson)) == {"number_form"}


def test_advice_for_modules_is_keyed_by_their_names(lm: dspy.LM, missed: tuple[str, str, str]) -> None:
    question, wrong, target = missed
    inputs = {"program_inputs": {"question": question}, "oracle_metadata": {"answer": target}}
    inputs |= {"worse_program_outputs": {"statement": wrong}, "module_names": ["hidden", "final"]}
    texts = {name: json.dumps(value) for name, value in inputs.items()}
    with dspy.context(lm=lm):
        advice = say(FINAL, f"{', '.join(texts)} -> advice: dict[str, str]")(**texts).advice
    assert set(advice) == {"hidden", "final"} and skills_named(advice["hidden"])
