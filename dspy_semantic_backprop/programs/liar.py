"""Five hints and a verdict: the paper's graph for the LIAR data set (arXiv 2412.03624).

    statement, job title, state, party, source -> five hints, each with a question of its own -> final -> yes or no

Every hint and the final node read all five. In the narrow variant, which is ours, a hint reads the statement and its
own attribute, and the final node the statement and the hints: whatever the speaker's party says about the statement
has to pass through a hint there, and that gives the backward pass more to do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import dspy
from dspy.signatures import make_signature

from .layered import acall_together, call_together

FINAL_INSTRUCTION = "Decide whether the statement is a lie."
_INPUTS = {
    "statement": "What was said.",
    "job_title": "The job title of the speaker.",
    "state": "The home state of the speaker.",
    "party": "The political party of the speaker.",
    "source": "Where or on what occasion it was said.",
}
"""The hints are named after what each is about."""
_QUESTIONS = {
    "statement": "Look at the wording of the statement: what does it claim, and how far does it go?",
    "job_title": "Does the statement fit the speaker's job?",
    "state": "What would people in the speaker's state make of the statement?",
    "party": "What would the speaker's party make of the statement?",
    "source": "For what purpose may this source have spread the statement?",
}
_JUDGED_BY = {
    "statement": "the statement's own words",
    "job_title": "the speaker's job title",
    "state": "the state that the speaker comes from",
    "party": "the speaker's political party",
    "source": "the place where the statement was made",
}


class LiarProgram(dspy.Module):
    """Five hint predictors and a final one that says whether a statement is a lie.

    Inputs: `statement`, `job_title`, `state`, `party`, `source`. Output: `answer`, yes (it is a lie) or no.

    Attributes:
        hint_statement, hint_job_title, hint_state, hint_party, hint_source: the hint predictors; each reads
            all inputs, and writes `hint`, of at most two sentences.
        final: reads all inputs and the five hints, in fields named as the predictors, writes `answer`.

    Arguments:
        narrow: let each hint read only the statement and the attribute that it is named after, and the final
            node only the statement and the hints. The paper has no such variant.

    Source: the LIAR pipeline of arXiv 2412.03624; all prompts are ours.
    """

    def __init__(self, *, narrow: bool = False) -> None:
        super().__init__()
        self.narrow = narrow
        self.hint_statement = dspy.Predict(_hint_signature("statement", narrow))
        self.hint_job_title = dspy.Predict(_hint_signature("job_title", narrow))
        self.hint_state = dspy.Predict(_hint_signature("state", narrow))
        self.hint_party = dspy.Predict(_hint_signature("party", narrow))
        self.hint_source = dspy.Predict(_hint_signature("source", narrow))
        self.final = dspy.Predict(_final_signature(narrow))

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
        return self.final(**self._final_inputs(statement, attributes, call_together(calls)))

    async def aforward(self, statement: str, job_title: str, state: str, party: str, source: str) -> dspy.Prediction:
        """Judge `statement` in the running event loop; otherwise the same as `forward`."""
        attributes = {"job_title": job_title, "state": state, "party": party, "source": source}
        calls = [node.acall(**inputs) for node, inputs in self._hint_calls(statement, attributes)]
        return await self.final.acall(**self._final_inputs(statement, attributes, await acall_together(calls)))

    def _hint_calls(self, statement: str, attributes: dict[str, str]) -> list[tuple[dspy.Predict, dict[str, str]]]:
        given = {"statement": statement, **attributes}
        return [
            (getattr(self, f"hint_{name}"), {one: given[one] for one in _read_by(name, self.narrow)})
            for name in _INPUTS
        ]

    def _final_inputs(self, statement: str, attributes: dict[str, str], hints: list[Any]) -> dict[str, Any]:
        named = {f"hint_{name}": prediction.hint for name, prediction in zip(_INPUTS, hints, strict=True)}
        given = {"statement": statement, **attributes}
        return {**{one: given[one] for one in _read_by("statement", self.narrow)}, **named}


def _read_by(name: str, narrow: bool) -> list[str]:
    """What the hint of this name reads; the final node reads what the hint about the statement does."""
    return [one for one in _INPUTS if not narrow or one in ("statement", name)]


def _input_fields(name: str, narrow: bool) -> dict[str, tuple[type, Any]]:
    return {one: (str, dspy.InputField(desc=_INPUTS[one])) for one in _read_by(name, narrow)}


def _hint_signature(name: str, narrow: bool) -> type[dspy.Signature]:
    hint = (str, dspy.OutputField(desc="The hint, at most two sentences."))
    judged_by = "its own words" if name == "statement" else _JUDGED_BY[name]
    narrowed = f"Judging by {judged_by}, give a hint as to whether the statement is a lie."
    return make_signature({**_input_fields(name, narrow), "hint": hint}, narrowed if narrow else _QUESTIONS[name])


def _final_signature(narrow: bool) -> type[dspy.Signature]:
    fields = _input_fields("statement", narrow)
    for name in _INPUTS:
        says = f"A hint, judging by {_JUDGED_BY[name]}." if narrow else f"A hint about the {name.replace('_', ' ')}."
        fields[f"hint_{name}"] = (str, dspy.InputField(desc=says))
    fields["answer"] = (str, dspy.OutputField(desc="yes if the statement is a lie, no if it is not."))
    return make_signature(fields, FINAL_INSTRUCTION)
