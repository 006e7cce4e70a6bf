"""A language model double that knows which predictor is asking, and the way to run a case with it."""

import asyncio
import json
import re
import sys
import threading
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import dspy
import pydantic
from dspy.utils.callback import with_callbacks

from .base import Answer, Case

_TAIL = re.compile(r"\n*Respond with (?:the corresponding output fields|a JSON object)[^\n]*\s*\Z")


@dataclass(frozen=True)
class Asked:
    """One call of a predictor, as the model saw it."""

    name: str
    index: int
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    signature: type[dspy.Signature]


class ScriptedLM(dspy.BaseLM):
    """Answers each request by its predictor's name, the index of the call and the texts of its inputs.

    The asking predictor is the last of ``settings.caller_modules``. It is looked up in the program the call
    came from (so that deep copies of the program work) and else by ``stage`` (so that copies of a part work,
    as BestOfN makes them). The list ``caller_modules`` is made anew for each call: a second request for one
    call, in JSON after a reply that did not parse, keeps the index of the first.
    """

    def __init__(self, program: dspy.Module, answer: Answer):
        super().__init__("scripted/model", "chat", temperature=0.0, max_tokens=1000, cache=False)
        self.answer = answer
        self.root = type(program)
        self.stages = {predictor.stage: name for name, predictor in program.named_predictors()}
        self.log: list[Asked] = []
        self._counts: dict[str, int] = {}
        self._indices: dict[int, tuple[list[Any], str, int]] = {}
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScriptedLM":
        return self

    @with_callbacks
    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        return [self._reply(messages)] * (kwargs.get("n") or 1)

    @with_callbacks
    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> list[str]:
        await asyncio.sleep(0)
        return [self._reply(messages)] * (kwargs.get("n") or 1)

    def _reply(self, messages: list[dict[str, Any]]) -> str:
        callers: list[Any] = dspy.settings.caller_modules
        predictor = callers[-1]
        with self._lock:
            known = self._indices.get(id(callers))
            if known is None:
                name = self._name(callers, predictor)
                known = (callers, name, self._counts.get(name, 0))
                self._counts[name] = known[2] + 1
                self._indices[id(callers)] = known
        _, name, index = known
        user = messages[-1]["content"]
        fields = [*predictor.signature.input_fields, "hint_"]
        inputs = _input_texts(user, fields)
        outputs = self.answer(name, index, inputs)
        with self._lock:
            self.log.append(Asked(name, index, inputs, outputs, predictor.signature))
        return _as_json(outputs) if "a JSON object" in user else _as_chat(outputs)

    def _name(self, callers: list[Any], predictor: Any) -> str:
        for module in callers:
            if type(module) is self.root:
                for name, candidate in module.named_predictors():
                    if candidate is predictor:
                        return name
                break
        return self.stages.get(predictor.stage, "?")


def _input_texts(message: str, fields: list[str]) -> dict[str, Any]:
    header = re.compile(r"^\[\[ ## (" + "|".join(map(re.escape, fields)) + r") ## \]\][ \t]*\n?", re.MULTILINE)
    parts = header.split(_TAIL.sub("", message))
    return {name: text.strip("\n") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, pydantic.BaseModel) else value


def _as_json(outputs: dict[str, Any]) -> str:
    return json.dumps(outputs, default=_plain)


def _as_chat(outputs: dict[str, Any]) -> str:
    texts = []
    for name, value in outputs.items():
        structured = not isinstance(value, str | bool | int | float)
        text = json.dumps(value, default=_plain) if structured else str(value)
        texts.append(f"[[ ## {name} ## ]]\n{text}")
    return "\n\n".join([*texts, "[[ ## completed ## ]]"])


def call(program: dspy.Module, case: Case) -> dspy.Prediction:
    """Call a program in the style of its case, in whatever context is set."""
    if case.style == "async":
        return asyncio.run(program.acall(**case.inputs))
    return program(**case.inputs)


def record(case: Case, program: dspy.Module | None = None) -> tuple[dspy.Prediction, list[Asked]]:
    """Run a case, with a program of its own or the one given (or a copy of it), and tell what was asked."""
    program = program or case.build()
    lm = ScriptedLM(program, case.answer)
    # Threads without DSPy's context ask the language model of the whole process.
    everywhere: dict[str, Any] = sys.modules["dspy.dsp.utils.settings"].main_thread_config
    with patch.dict(everywhere, lm=lm), dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        prediction = call(program, case)
    return prediction, lm.log


def run(case: Case, program: dspy.Module | None = None) -> dspy.Prediction:
    """Run a case with the fake model only."""
    return record(case, program)[0]
