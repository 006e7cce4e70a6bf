"""The simulated language model: plays the program, and reads what any other prompt shows."""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dspy
from blind.evidence import Prompt
from blind.reader import Reader
from blind.world import World

FIELD = re.compile(r"^\d+\. `(\w+)` \(([^\n]*?)\): ?(.*)$", re.MULTILINE)
FIELDS = re.compile(
    r"Your input fields are:(.*?)Your output fields are:(.*?)All interactions will be structured", re.DOTALL
)
VALUE = re.compile(r"\[\[ ## (\w+) ## \]\]\n(.*?)(?=\n\n?\[\[ ## \w+ ## \]\]|\Z)", re.DOTALL)
HOT = 0.7
"""From this temperature on an answer depends on the request's rollout as well."""


@dataclass
class Counter:
    """What all copies of a model share.

    Args:
        world: Whose programs it plays.
        seed: Of its noise.
        cap: How many requests it answers.
        requests: How many it has answered.
        refused: How many it has not.
        lock: Of the counts.
    """

    world: World
    seed: int
    cap: int
    requests: int = 0
    refused: int = 0
    lock: Any = field(default_factory=threading.Lock)


class SimulatedModel(dspy.BaseLM):
    """Answers the same request alike, and none beyond a cap."""

    def __init__(self, world: World, seed: int, cap: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().__init__(f"openai/simulated-{world.name}", cache=False, num_retries=0)
        self.counter = Counter(world, seed, cap)

    def __deepcopy__(self, memo: Any) -> Any:
        """A copy counts with its original."""
        return self.copy()

    def forward(self, prompt: str | None = None, messages: Any = None, **kwargs: Any) -> Any:
        """Answer a chat completion."""
        counter = self.counter
        parts = [_part(one) for one in messages or [{"role": "user", "content": prompt}]]
        with counter.lock:
            if counter.requests >= counter.cap:
                counter.refused += 1
                raise RuntimeError("no more requests are answered")
            counter.requests += 1
        settings = {**self.kwargs, **kwargs}
        temperature = settings.get("temperature")
        hot = settings.get("rollout_id", 0) if temperature is not None and temperature >= HOT else None
        answer = answered(counter.world, counter.seed, parts, hot)
        count, written = sum(len(text) for _, text in parts) // 4, len(answer) // 4
        usage = {"prompt_tokens": count, "completion_tokens": written, "total_tokens": count + written}
        message = SimpleNamespace(content=answer, role="assistant")
        choice = SimpleNamespace(message=message, finish_reason="stop", index=0)
        return SimpleNamespace(choices=[choice], usage=usage, model=self.model)


def _part(message: Any) -> tuple[str, str]:
    """Role and text of a message."""
    role, content = (
        (message["role"], message["content"]) if isinstance(message, dict) else (message.role, message.content)
    )
    if isinstance(content, list):
        content = "\n".join(one.get("text", "") if isinstance(one, dict) else str(one) for one in content)
    return role, content


def answered(world: World, seed: int, parts: list[tuple[str, str]], hot: Any) -> str:
    """The answer to a request: the program's where its fields are a predictor's, else the reader's."""
    prompt, task = parsed(parts)
    for predictor, (inputs, outputs) in world.fields.items():
        if set(prompt.outputs) == set(outputs) and set(prompt.inputs) == set(inputs):
            return rendered(world.answer(predictor, task, prompt.values, seed, hot), prompt.as_json)
    answer = Reader(world, seed, prompt, hot).answer()
    return answer if isinstance(answer, str) else rendered(answer, prompt.as_json)


def parsed(parts: list[tuple[str, str]]) -> tuple[Prompt, str]:
    """A request by its fields, and the instruction in it."""
    system = "\n".join(text for role, text in parts if role == "system")
    user = parts[-1][1]
    inputs, outputs = {}, {}
    if found := FIELDS.search(system):
        inputs, outputs = ({name: (kind, says) for name, kind, says in FIELD.findall(part)} for part in found.groups())
    told = re.search(r"your objective is:\s*(.*)\Z", system, re.DOTALL)
    task = re.sub(r"^ {8}", "", told[1], flags=re.MULTILINE).strip() if told else ""
    body = re.split(r"\n\s*Respond with (?:the corresponding|a JSON)", user)[0]
    values = {name: value.strip() for name, value in VALUE.findall(body)}
    as_json = "Respond with a JSON object" in user or "Outputs will be a JSON object" in system
    return Prompt("\n".join(text for _, text in parts), user, inputs, outputs, values, as_json), task


def rendered(outputs: Mapping[str, Any], as_json: bool) -> str:
    """An answer in DSPy's form."""
    if as_json:
        return json.dumps(outputs)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in outputs.items()}
    return "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in texts.items()) + "\n\n[[ ## completed ## ]]"
