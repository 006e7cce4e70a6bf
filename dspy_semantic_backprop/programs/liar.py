"""Five hints and a verdict: the paper's graph for the LIAR data set (arXiv 2412.03624).

    statement, and one of (nothing else, job title, state, party, source) -> five hints -> final -> yes or no

The final node reads the statement and the hints, not the attributes, so whatever the speaker's party says
about the statement has to pass through a hint: that is what makes the backward pass have something to do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import dspy
from dspy.signatures import make_signature

from .layered import acall_together, call_together

FINAL_INSTRUCTION = "Decide whether the statement is a lie."

# What a hint judges by, and how its attribute is described; the statement's own hint has no attribute.
_ATTRIBUTES = {
    "job_title": ("the speaker's job title", "The job title of the speaker."),
    "state": ("the state that the speaker comes from", "The home state of the speaker."),
    "party": ("the speaker's political party", "The political party of the speaker."),
    "source": ("the place where the statement was made", "Where or on what occasion it was said."),
}
_HINTS = ("statement", *_ATTRIBUTES)


class LiarProgram(dspy.Module):
    """Five hint predictors and a final one that says whether a statement is a lie.

    Inputs: `statement`, `job_title`, `state`, `party`, `source`. Output: `answer`, yes (it is a lie) or no.

    Attributes:
        hint_statement, hint_job_title, hint_state, hint_party, hint_source: the hint predictors; each reads
            the statement and its own attribute, and writes `hint`, of at most two sentences.
        final: reads the statement and the five hints, in fields named as the predictors, writes `answer`.

    Source: the LIAR pipeline of arXiv 2412.03624; all prompts are ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hint_statement = dspy.Predict(_hint_signature("statement"))
        self.hint_job_title = dspy.Predict(_hint_signature("job_title"))
        self.hint_state = dspy.Predict(_hint_signature("state"))
        self.hint_party = dspy.Predict(_hint_signature("party"))
        self.hint_source = dspy.Predict(_hint_signature("source"))
        self.final = dspy.Predict(_final_signature())

    def forward(self, statement: str, job_title: str, state: str, party: str, source: str) -> dspy.Prediction:
        """Judge `statement`; the five hints are asked for at the same time, in threads.

        Arguments:
            statement: what was said.
            job_title: the speaker's.
            state: the speaker's.
            party: the speaker's.
            source: where or on what occasion it was said.

        Returns:
            The final predictor's own prediction, with `answer`.

        Raises:
            Exception: Whatever a predictor raised, unchanged, once all the hints have ended.
        """
        attributes = {"job_title": job_title, "state": state, "party": party, "source": source}
        calls = [partial(node, **inputs) for node, inputs in self._hint_calls(statement, attributes)]
        return self.final(**_final_inputs(statement, call_together(calls)))

    async def aforward(self, statement: str, job_title: str, state: str, party: str, source: str) -> dspy.Prediction:
        """Judge `statement` in the running event loop; otherwise the same as `forward`."""
        attributes = {"job_title": job_title, "state": state, "party": party, "source": source}
        calls = [node.acall(**inputs) for node, inputs in self._hint_calls(statement, attributes)]
        return await self.final.acall(**_final_inputs(statement, await acall_together(calls)))

    def _hint_calls(self, statement: str, attributes: dict[str, str]) -> list[tuple[dspy.Predict, dict[str, str]]]:
        calls: list[tuple[dspy.Predict, dict[str, str]]] = [(self.hint_statement, {"statement": statement})]
        for name, value in attributes.items():
            calls.append((getattr(self, f"hint_{name}"), {"statement": statement, name: value}))
        return calls


def _final_inputs(statement: str, hints: list[Any]) -> dict[str, Any]:
    named = {f"hint_{name}": prediction.hint for name, prediction in zip(_HINTS, hints, strict=True)}
    return {"statement": statement, **named}


def _hint_signature(name: str) -> type[dspy.Signature]:
    fields: dict[str, tuple[type, Any]] = {"statement": (str, dspy.InputField(desc="What was said."))}
    judged_by = "its own words"
    if name in _ATTRIBUTES:
        judged_by, description = _ATTRIBUTES[name]
        fields[name] = (str, dspy.InputField(desc=description))
    fields["hint"] = (str, dspy.OutputField(desc="The hint, at most two sentences."))
    return make_signature(fields, f"Judging by {judged_by}, give a hint as to whether the statement is a lie.")


def _final_signature() -> type[dspy.Signature]:
    fields: dict[str, tuple[type, Any]] = {"statement": (str, dspy.InputField(desc="What was said."))}
    for name in _HINTS:
        judged_by = _ATTRIBUTES[name][0] if name in _ATTRIBUTES else "the statement's own words"
        fields[f"hint_{name}"] = (str, dspy.InputField(desc=f"A hint, judging by {judged_by}."))
    fields["answer"] = (str, dspy.OutputField(desc="yes if the statement is a lie, no if it is not."))
    return make_signature(fields, FINAL_INSTRUCTION)
