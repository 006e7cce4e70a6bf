"""What must stay in an instruction stays, word for word; what a refusal says names it."""

from __future__ import annotations

import warnings

import dspy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dspy_semantic_backprop import Restraint, SetupError
from dspy_semantic_backprop._evaluate.candidate import Candidate, canonical, clone, read, write
from dspy_semantic_backprop._propose.protected import Parameters
from tests.propose.protected_cases import CURRENT, KEPT, LOST, SPANS


@pytest.mark.parametrize(("new", "named"), LOST, ids=[new[:50] for new, _ in LOST])
def test_an_edit_that_loses_protected_text_is_refused_and_told_which(new, named):
    said = Restraint(protect=SPANS).violation(new, CURRENT, "step")
    assert named in said


@pytest.mark.parametrize("new", KEPT, ids=[new[:50] for new in KEPT])
def test_an_edit_around_protected_text_passes(new):
    assert Restraint(protect=SPANS).violation(new, CURRENT, "step") == ""


_PIECES = [*SPANS, "Be brief.", "\n", " ", "JSON", "<id>", "never", "ID", "3.14", "42"]


@given(st.lists(st.sampled_from(_PIECES)), st.lists(st.sampled_from(_PIECES)), st.sampled_from([" ", "\n", ", "]))
def test_a_text_is_refused_exactly_if_its_protected_texts_are_not_those_of_the_current_one(old, new, glue):
    restraint = Restraint(protect=SPANS)
    current, text = glue.join(old), glue.join(new)
    same = restraint.spans("step", current) == restraint.spans("step", text)
    refused = restraint.violation(text, current, "step")
    # What is protected nowhere in the current instruction may come or go.
    wanted = set(restraint.spans("step", current))
    mine = tuple(one for one in restraint.spans("step", text) if one in wanted)
    assert (refused == "") == (mine == restraint.spans("step", current))
    assert not same or refused == ""


@given(st.text(), st.text(), st.text(min_size=1))
def test_a_protected_text_survives_whatever_is_written_around_it(before, behind, span):
    assume(span.strip() and span == canonical(span))
    current = f"One: {span}"
    restraint = Restraint(protect=[span])
    (kept,) = set(restraint.spans("step", current)) or {span}
    text = canonical(f"{before} {span} {behind}")
    if restraint.violation(text, current, "step") == "":
        assert kept in text


def test_texts_may_be_protected_for_one_predictor_only():
    restraint = Restraint(protect={"first": ["Answer in JSON."]})
    assert restraint.violation("Answer.", "Answer in JSON.", "second") == ""
    assert "'Answer in JSON.'" in restraint.violation("Answer.", "Answer in JSON.", "first")


def test_a_protected_text_with_indentation_is_found_as_dspy_stores_it():
    span = "Rules:\n        - one\n        - two"
    current = canonical(f"Do it.\n        {span}\n        End.")
    restraint = Restraint(protect=[span])
    restraint.check(Candidate({"step": current}))
    assert restraint.violation("Do it well.\nRules:\n- one\n- two", current, "step") == ""
    assert "Rules" in restraint.violation("Do it well.\nRules:\n- one", current, "step")


@pytest.mark.parametrize(
    ("protect", "named"),
    [
        ("Answer in JSON.", "list of texts"),
        ([""], "not empty"),
        ([3], "3"),
        ({"step": "Answer"}, "protect['step']"),
        ({"other": ["Answer in JSON."]}, "'other'"),
        (["Answer in XML."], "'Answer in XML.'"),
        ({"step": ["answer in json."]}, "'answer in json.'"),
        (["JSO"], "'JSO'"),
    ],
)
def test_protection_that_protects_nothing_is_named_before_anything_is_spent(protect, named):
    with pytest.raises(SetupError) as error:
        Restraint(protect=protect).check(Candidate({"step": "Answer in JSON.", "last": "Sum up."}))
    assert named in str(error.value)


def look_up(word: str) -> str:
    """Find a word.

    Returns a definition.
    """
    return word


def add(a: int, b: int) -> int:
    """Add numbers, as in `add(1, 2)`."""
    return a + b


class Task(dspy.Signature):
    """Answer the question.

    Mind the units:
        - meters
        - feet"""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Plain(dspy.Signature):
    plan: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Nested(dspy.Module):
    def __init__(self):
        super().__init__()
        self.plan = dspy.ChainOfThought("question -> plan")
        self.agents = [dspy.ReAct(Task, tools=[look_up]), dspy.ReAct(Plain, tools=[add])]


def _programs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {
            "ReAct": dspy.ReAct(Task, tools=[look_up, add]),
            "ReAct without tools": dspy.ReAct(Plain, tools=[]),
            "CodeAct": dspy.CodeAct(Task, tools=[look_up, add]),
            "ProgramOfThought": dspy.ProgramOfThought(Task),
            "RLM": dspy.RLM(Task, tools=[look_up], max_llm_calls=7),
            "nested": Nested(),
        }
        if hasattr(dspy, "ReActV2"):
            made["ReActV2"] = dspy.ReActV2(Task, tools=[look_up, add])
    return made


PROGRAMS = _programs()
PARAMETERS = {name: Parameters.of(program) for name, program in PROGRAMS.items()}
NEEDED = {
    "ReAct": ("react", ["(1) look_up, whose", "(2) add, whose", "(3) finish", "next_tool_args", "JSON format"]),
    "ReAct without tools": ("react", ["(1) finish", "next_tool_name"]),
    "CodeAct": ("codeact", ["(1) look_up, whose", "(2) add, whose", "finished=True", "fenced code block"]),
    "ProgramOfThought": ("code_generate.predict", ["SUBMIT()", "for the field(s): `answer`"]),
    "RLM": ("generate_action", ["SUBMIT(answer)", "llm_query_batched", "max 7 sub-LLM", "`look_up(word: string)`"]),
    "nested": ("agents[1].react", ["(1) add, whose", "(2) finish"]),
    "ReActV2": ("react", ["`look_up`, `add`, `submit`", "call `submit` with `answer`"]),
}
REWRITES = {
    "new": lambda free, end: "Answer briefly.\n\n1. Think.\n2. Look it up.",
    "everything quoted": lambda free, end: f"{free}\n\n{end}",
    "quoted in front": lambda free, end: f"{end}\n\nBe brief.",
    "quoted twice": lambda free, end: f"Be brief.\n{end}\n{end}",
    "quoted in one line": lambda free, end: f"Be brief. {' '.join(end.split())} And polite.",
    "quoted indented": lambda free, end: "Be brief.\n" + "\n".join(f"    {line}" for line in end.splitlines()),
    "quoted in part": lambda free, end: "Be brief.\n" + "\n".join(end.splitlines()[1:-1]),
    "tools renamed": lambda free, end: "Be brief.\n" + end.replace("look_up", "search_web").replace("add", "sum_up"),
    "tools dropped": lambda free, end: "There are no tools. Never call `finish` or SUBMIT().",
    "empty": lambda free, end: "",
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("rewrite", REWRITES)
def test_what_dspy_writes_survives_every_rewrite_once_and_at_the_end(name, rewrite):
    program, (predictor, needed) = PROGRAMS[name], NEEDED[name]
    parameters, start = PARAMETERS[name], read(program).instructions[predictor]
    end = parameters.protected[predictor].strip()
    whole = parameters.whole(predictor, REWRITES[rewrite](parameters.free(predictor, start), end))
    assert whole.endswith(end)
    assert whole.count(end) == 1
    assert all(part in end and part in start for part in needed)
    assert not set(parameters.free(predictor, whole).split("\n")) & {line for line in end.split("\n") if len(line) > 20}
    # And a program with that instruction has the same protected text.
    copy = write(read(program).revised({predictor: whole}), clone(program), {})
    assert read(copy).instructions[predictor] == whole
    assert Parameters.of(copy).protected[predictor].strip() == end


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_instruction_is_its_free_part_and_its_protected_part(name):
    parameters = PARAMETERS[name]
    for predictor, text in read(PROGRAMS[name]).instructions.items():
        assert parameters.whole(predictor, parameters.free(predictor, text)) == text
        task = "Answer the question" if predictor in parameters.protected and name not in _NO_TASK else ""
        assert parameters.free(predictor, text).startswith(task)


_NO_TASK = ("ProgramOfThought", "ReAct without tools", "nested")


@given(st.text())
def test_tools_survive_any_text(text):
    parameters = PARAMETERS["ReAct"]
    whole = parameters.whole("react", text)
    assert whole.endswith(parameters.protected["react"].strip())
    assert parameters.whole("react", parameters.free("react", whole)) == whole


def test_an_instruction_that_was_rewritten_by_hand_is_kept_whole():
    program = dspy.ReAct(Task, tools=[look_up])
    write(read(program).revised({"react": "Use look_up, then finish."}), program, {})
    parameters = Parameters.of(program)
    assert parameters.free("react", "Use look_up, then finish.") == ""
    assert parameters.whole("react", "Be brief.") == "Be brief.\nUse look_up, then finish."


def test_a_react_of_another_making_is_kept_whole():
    class Odd(dspy.ReAct):
        def __init__(self):
            dspy.Module.__init__(self)
            self.react = dspy.Predict("question -> next_tool_name")

    start = read(Odd()).instructions["react"]
    assert Parameters.of(Odd()).whole("react", "Be brief.").endswith(start)
