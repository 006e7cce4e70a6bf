"""The simulated model takes no heading, label or fixed sentence of an optimizer's prompt for an answer or advice."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dspy
import pytest
from dspy.propose import dataset_summary_generator, grounded_proposer
from dspy.teleprompt import copro_optimizer, infer_rules, simba_utils
from dspy.teleprompt.gepa import instruction_proposal

from dspy_semantic_backprop import Proposer, Semantic, SemanticGradientDescent, presets
from dspy_semantic_backprop.testing import Prompt, SimulatedServer
from experiments.simulated import SimulatedModel
from experiments.simulated.tasks import FORMS, TASKS

PEERS = (dataset_summary_generator, grounded_proposer, copro_optimizer, infer_rules, simba_utils, instruction_proposal)
SKILLS = [skill for task in TASKS.values() for skill in task.skills] + list(FORMS.values())
QUESTION = "I have three plums, two figs, and a clock. How many fruits do I have?"
LESSON = f"Given:\n  question: {QUESTION}\nProduced:\n  statement: The intermediate result is 3.\n"
EXPECTED = "The expected answer is 5."
SAID = "Kestrel"
ALONE = Semantic(siblings=False, directions=False)
METHODS = {
    "directions": presets.published(),
    "comments, judged alone": replace(presets.published(), backward=ALONE),
    "one step, via analysis": replace(presets.one_step(), propose=Proposer(via_analysis=True, short=True)),
}


class Chain(dspy.Module):
    """Two steps whose fields have names that say nothing."""

    def __init__(self):
        self.first = dspy.Predict("bird -> nest")
        self.second = dspy.Predict("bird, nest -> tree")

    def forward(self, bird):
        return self.second(bird=bird, nest=self.first(bird=bird).nest)


def our_prompts() -> Iterator[tuple[str, str]]:
    """Every line of every prompt that some compiles write, but for the lines that hold a value."""
    asked: dict[str, None] = {}

    def answer(prompt: Prompt) -> dict[str, str]:
        asked.update(dict.fromkeys(line for line in prompt.text.splitlines() if SAID not in line))
        again = "You were asked before" in prompt.text
        return {name: "" if "change" in name and not again else f"{SAID} {len(asked)} {name}" for name in prompt.names}

    train = [dspy.Example(bird=f"{SAID} {at}").with_inputs("bird") for at in range(3)]
    with SimulatedServer(answer) as server, dspy.context(lm=server.lm(cache=False)):
        for name, method in METHODS.items():
            asked.clear()
            how = {"method": method, "steps": 1, "subscribers": []}
            SemanticGradientDescent(lambda *_: dspy.Prediction(score=0.0, feedback=SAID), **how).compile(
                Chain(), trainset=train
            )
            yield name, "\n".join(asked)


def peers_prompts() -> Iterator[tuple[str, str]]:
    """The fixed texts of the peers' prompts: instructions, names and descriptions of fields, templates, tips."""
    from gepa.strategies.instruction_proposal import InstructionProposalSignature

    yield "GEPA", InstructionProposalSignature.default_prompt_template
    yield "MIPROv2's tips", "\n".join(grounded_proposer.TIPS.values())
    made = grounded_proposer.generate_instruction_class(True, True, True, True, True)
    for module in PEERS:
        found = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, dspy.Signature)]
        found = [one for one in found if one is not dspy.Signature]
        for signature in [made.signature, *found] if module is grounded_proposer else found:
            fields = signature.fields.items()
            labels = [f"{name}: {field.json_schema_extra}\n{name}:" for name, field in fields]
            yield f"{module.__name__}.{signature.__name__}", "\n".join([signature.instructions, *labels])


def others_prompts() -> Iterator[tuple[str, str]]:
    """The fixed texts of TextGrad's and OptoPrime's prompts, without what would make a request of them."""
    for name, owner in (
        ("textgrad.autograd.llm_backward_prompts", ""),
        ("textgrad.autograd.string_based_ops", ""),
        ("textgrad.optimizer.optimizer_prompts", ""),
        ("opto.optimizers.optoprime", "OptoPrime"),
    ):
        module = pytest.importorskip(name, reason="neither TextGrad nor OpenTrace is an extra of this project")
        held = vars(getattr(module, owner) if owner else module)
        text = "\n".join(text for key, text in held.items() if isinstance(text, str) and not key.startswith("__"))
        yield name, re.sub(r"</?[A-Z_]+>", "", text).replace('"suggestion"', "suggestion")


def ask(fields: str, **inputs: str) -> Any:
    signature = dspy.make_signature(fields, "Do it.")
    return SimulatedModel()(Prompt.from_messages(dspy.ChatAdapter().format(signature, [], inputs)))


def learned(lessons: str) -> list[set[str]]:
    """The skills that the model takes from a text: as lessons on a step, as a wanted change, as a reflection."""
    proposed = ask("current_instruction, lessons -> new_instruction", current_instruction="Do it.", lessons=lessons)
    inputs = {"reader_inputs": f"question: {QUESTION}", "output_a": "The intermediate result is 3."}
    judged = ask("reader_inputs, output_a, wanted_change -> change_a", **inputs, wanted_change=lessons)
    reflection = {"role": "user", "content": f"The instruction:\n```\nDo it.\n```\n{lessons}"}
    plain = SimulatedModel()(Prompt.from_messages([reflection]))
    texts = (proposed["new_instruction"], judged["change_a"], str(plain))
    return [{skill.name for skill in SKILLS if skill.sentence in text} for text in texts]


def harmless(text: str) -> bool:
    """Whether a text teaches nothing, and hides nothing of what is said after it."""
    taught = learned(f"{LESSON}{EXPECTED}")
    assert all(taught)
    return not any(learned(f"{LESSON}{text}")) and learned(f"{LESSON}{text}\n{EXPECTED}") == taught


@pytest.mark.parametrize("prompts", [our_prompts, peers_prompts, others_prompts])
def test_no_fixed_text_of_a_prompt_teaches_anything_or_hides_the_expected_answer(prompts):
    for where, text in prompts():
        assert harmless(text), (where, [line for line in text.splitlines() if not harmless(line)])
