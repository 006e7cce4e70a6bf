"""The simulated model understands the questions of other optimizers: a comparison says nothing otherwise."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from dspy.propose.dataset_summary_generator import create_dataset_summary
from dspy.propose.grounded_proposer import GroundedProposer
from dspy.teleprompt.copro_optimizer import BasicGenerateInstruction, GenerateInstructionGivenAttempts
from dspy.teleprompt.simba_utils import append_a_rule, wrap_program

from dspy_semantic_backprop.programs import LayeredProgram, LiarProgram, exact_match
from dspy_semantic_backprop.testing import SimulatedServer
from experiments.simulated import SimulatedModel
from experiments.simulated.tasks import CUES, FORMS, TASKS

HIDDEN = "Work out an intermediate step that helps solve the problem."
METHODS = {skill.sentence for skill in TASKS["object_counting"].skills}
NUMBER = FORMS["number"].sentence


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    with SimulatedModel().serve() as running:
        yield running


@pytest.fixture(autouse=True)
def model(server: SimulatedServer) -> Iterator[None]:
    with dspy.context(lm=server.lm(cache=False, temperature=1.0)):
        yield


def counted(count: int) -> list[dspy.Example]:
    """Questions of which the untaught model gets most wrong."""
    numbers = ("two", "three", "four", "five", "six")
    return [
        dspy.Example(
            question=f"I have {numbers[at % 5]} plums, {numbers[(at + 2) % 5]} figs, a pear, "
            f"and {numbers[at // 5 % 5]} clocks. How many fruits do I have?",
            answer=str(at % 5 + (at + 2) % 5 + 5),
        ).with_inputs("question")
        for at in range(count)
    ]


def spoken() -> list[dspy.Example]:
    """Statements with three signs of a lie out of five, or none."""
    lies = {"job_title": "Radio host", "party": "newsmaker", "source": "a mailer"}
    truths = {"job_title": "Governor", "party": "democrat", "source": "a debate"}
    return [
        dspy.Example(
            statement=f"The county spends {at} million on roads.", state="Ohio", **kind, answer=label
        ).with_inputs("statement", "job_title", "state", "party", "source")
        for at in range(4)
        for kind, label in ((lies, "yes"), (truths, "no"))
    ]


def test_gepas_reflection_names_the_method_to_a_step_and_the_form_to_the_answer() -> None:
    from dspy.teleprompt.gepa.instruction_proposal import InstructionProposer

    program = LayeredProgram()
    examples: dict[str, list[dict[str, Any]]] = {"hidden[0]": [], "final": []}
    for example in counted(12):
        with dspy.context(trace=[]):
            prediction = program(**example.inputs())
            steps = list(dspy.settings.trace)
        feedback = exact_match(example, prediction).feedback
        for name, (_, inputs, outputs) in (("hidden[0]", steps[0]), ("final", steps[-1])):
            examples[name].append({"Inputs": inputs, "Generated Outputs": dict(outputs), "Feedback": feedback})
    told = dict.fromkeys(examples, HIDDEN)
    proposed = InstructionProposer()(told, examples, list(examples))
    assert any(sentence in proposed["hidden[0]"] for sentence in METHODS)
    assert NUMBER in proposed["final"]


def test_gepas_reflection_names_the_sign_that_a_hint_missed() -> None:
    from dspy.teleprompt.gepa.instruction_proposal import InstructionProposer

    told = "Judging by the speaker's job title, give a hint as to whether the statement is a lie."
    missed = [
        {
            "Inputs": {"statement": f"The county spends {at} million.", "job_title": "Radio host"},
            "Generated Outputs": {"hint": "The intermediate result is trustworthy (job title: Radio host)."},
            "Feedback": "The expected answer is yes; the program answered no.",
        }
        for at in range(3, 6)
    ]
    proposed = InstructionProposer()({"hint": told}, {"hint": missed}, ["hint"])
    assert CUES["job_title"].sentence in proposed["hint"]


def test_miprov2s_summary_and_proposals_name_what_leads_to_the_labels() -> None:
    examples = counted(20)
    summary = create_dataset_summary(examples, view_data_batch_size=10, prompt_model=dspy.settings.lm)
    assert NUMBER in summary and any(sentence in summary for sentence in METHODS)
    program = LayeredProgram()
    proposer = GroundedProposer(dspy.settings.lm, program, examples, rng=random.Random(0))
    drafts = proposer.propose_instructions_for_program(examples, program, None, {}, N=6)
    assert any(NUMBER in draft for draft in drafts[2])
    assert any(sentence in draft for draft in drafts[0] for sentence in METHODS)
    assert len(set(drafts[0])) > 1, "a search over equal candidates is none"


def test_miprov2s_proposals_prefer_what_the_step_is_about() -> None:
    program = LiarProgram(narrow=True)
    proposer = GroundedProposer(dspy.settings.lm, program, spoken(), rng=random.Random(0))
    drafts = proposer.propose_instructions_for_program(spoken(), program, None, {}, N=4)
    names = [name.removeprefix("hint_") for name, _ in program.named_predictors()]
    for name in ("job_title", "party", "source"):
        assert all(CUES[name].sentence in draft for draft in drafts[names.index(name)])
    assert not any(CUES["party"].sentence in draft for draft in drafts[names.index("source")])


def test_copros_blind_drafts_hit_upon_the_form_and_on_what_the_instruction_speaks_of_but_on_no_method() -> None:
    def drafts(told: str) -> list[str]:
        ask: Any = dspy.Predict(BasicGenerateInstruction, n=30, temperature=1.4)
        return list(ask(basic_instruction=told).completions.proposed_instruction)

    blind = drafts(HIDDEN)
    assert any(FORMS["text"].sentence in draft for draft in blind)
    assert not any(sentence in draft for draft in blind for sentence in METHODS)
    party = drafts("Judging by the speaker's political party, give a hint as to whether the statement is a lie.")
    assert any(CUES["party"].sentence in draft for draft in party)
    assert not any(CUES["source"].sentence in draft for draft in party)
    assert sum(CUES["party"].sentence in draft for draft in party) < 15


def test_copros_later_drafts_start_from_the_best_attempt() -> None:
    attempts = ["Instruction #1: Guess.", "Resulting Score #1: 10", f"Instruction #2: {HIDDEN} {NUMBER}"]
    ask: Any = dspy.Predict(GenerateInstructionGivenAttempts, n=4, temperature=1.4)
    drafts = ask(attempted_instructions=[*attempts, "Resulting Score #2: 60"]).completions.proposed_instruction
    assert all(draft.startswith(HIDDEN) and NUMBER in draft for draft in drafts)


def test_simbas_rules_name_the_method_to_the_steps_and_the_form_to_the_answer() -> None:
    program: Any = LayeredProgram()
    names = {id(predictor): name for name, predictor in program.named_predictors()}
    runs = [wrap_program(program, exact_match)(example) for example in counted(12)]
    worse = [run for run in runs if run["score"] == 0]
    assert worse, "nothing to learn from"
    advised = set()
    for run in worse:
        pupil: Any = program.deepcopy()
        # The same run for better and worse: SIMBA then shows no better trajectory.
        bucket = [dict(run), dict(run)]
        if append_a_rule(
            bucket, pupil, predictor2name=names, batch_10p_score=-1, batch_90p_score=1, prompt_model=dspy.settings.lm
        ):
            advised |= {(name, predictor.signature.instructions) for name, predictor in pupil.named_predictors()}
    assert any(name == "hidden[0]" and sentence in told for name, told in advised for sentence in METHODS)
    assert any(name == "final" and NUMBER in told for name, told in advised)


FEEDBACK = "The expected answer is 9; the program answered 7."
QUESTION = "question: I have two plums, six figs, a pear, and three clocks. How many fruits do I have?"


def asked(user: str) -> str:
    """The reply to a request in plain text."""
    (reply,) = dspy.settings.lm(messages=[{"role": "system", "content": "Improve."}, {"role": "user", "content": user}])
    return reply["text"] if isinstance(reply, dict) else reply


def conversation(role: str, span: str, objective: str) -> str:
    """A request of TextGrad for feedback to a span, in its layout."""
    return (
        f"You will give feedback to a variable with the following role: <ROLE> {role} </ROLE>.\n\n"
        f"<LM_SYSTEM_PROMPT> {HIDDEN} </LM_SYSTEM_PROMPT>\n\n<LM_INPUT> {QUESTION} </LM_INPUT>\n\n"
        "<LM_OUTPUT> statement: The intermediate result is 3. </LM_OUTPUT>\n\n"
        f"<OBJECTIVE_FUNCTION>Address the following feedback: {objective} </OBJECTIVE_FUNCTION>\n\n"
        f"<VARIABLE> {span} </VARIABLE>\n\nDescribe how it could be improved."
    )


def test_textgrads_feedback_names_the_method_and_its_update_takes_it_up() -> None:
    wrong = asked(conversation("the output of the step", "statement: The intermediate result is 3.", FEEDBACK))
    assert any(sentence in wrong for sentence in METHODS)
    told = asked(conversation("the instruction of the step", HIDDEN, wrong))
    assert any(sentence in told for sentence in METHODS)
    update = (
        f"<ROLE>the instruction of the step</ROLE>\n<VARIABLE> {HIDDEN} </VARIABLE>\n"
        f"<CONTEXT><FEEDBACK>{told}</FEEDBACK></CONTEXT>\nSend it so: <IMPROVED_VARIABLE>{{it}}</IMPROVED_VARIABLE>"
    )
    improved = asked(update).removeprefix("<IMPROVED_VARIABLE>").removesuffix("</IMPROVED_VARIABLE>")
    assert improved.startswith(HIDDEN) and any(sentence in improved for sentence in METHODS)
    right = asked(conversation("the output of the step", "statement: The intermediate result is 9.", FEEDBACK))
    assert right == "No change needed."


def test_optoprimes_suggestion_gives_every_variable_what_the_feedback_calls_for() -> None:
    problem = (
        'Your output should be JSON with "suggestion".\nNow you see problem instance:\n\n#Instruction\nImprove.\n\n'
        f"#Variables\n(str) hidden0={HIDDEN}\n(str) final0=Solve the problem.\n\n#Inputs\n(str) {QUESTION}\n\n"
        "#Others\n(str) a=statement: The intermediate result is 3.\n\n#Outputs\n(str) b=answer: 3\n\n"
        f"#Feedback\n{FEEDBACK}\n"
    )
    suggestion = json.loads(asked(problem))["suggestion"]
    assert set(suggestion) == {"hidden0", "final0"} and suggestion["hidden0"].startswith(HIDDEN)
    assert all(any(sentence in text for sentence in METHODS) for text in suggestion.values())
