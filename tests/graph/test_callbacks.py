"""The recorder is one of DSPy's callbacks, and nobody else notices."""

from __future__ import annotations

import dspy
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop import trace
from tests.scripted import served


def echo(prompt):
    return {name: f"{name} of {' / '.join(prompt.inputs.values())[:200]}" for name in prompt.names}


class Witness(BaseCallback):
    """A user's own callback: writes down every event."""

    def __init__(self):
        self.events: list[str] = []

    def on_module_start(self, call_id, instance, inputs):
        self.events.append(f"module {type(instance).__name__} {inputs}")

    def on_module_end(self, call_id, outputs, exception=None):
        self.events.append(f"module ended {outputs} {exception!r}")

    def on_adapter_format_start(self, call_id, instance, inputs):
        self.events.append(f"format {inputs['inputs']}")

    def on_adapter_parse_end(self, call_id, outputs, exception=None):
        self.events.append(f"parsed {outputs}")

    def on_lm_end(self, call_id, outputs, exception=None):
        self.events.append(f"answered {outputs}")


def test_the_users_own_callbacks_see_what_they_would_see_without_us():
    class Pair(dspy.Module):
        def __init__(self):
            super().__init__()
            self.first = dspy.ChainOfThought("question -> hint")
            self.second = dspy.Predict("hint -> answer")
            self.mine = Witness()
            self.second.callbacks = [self.mine]

        def forward(self, question):
            return self.second(hint=self.first(question=question).hint)

    seen = []
    with served(echo) as server:
        for run in (lambda one: one(question="why?"), lambda one: trace(one, {"question": "why?"}, probe="never")):
            witness, program = Witness(), Pair()
            with dspy.context(callbacks=[witness], lm=server.lm(cache=False)):
                run(program)
                assert dspy.settings.callbacks == [witness]
            seen.append((witness.events, program.mine.events))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 14 and len(seen[0][1]) == 2


class Broken(dspy.Predict):
    """A predictor that cannot be told from others: to ask for its name raises."""

    armed = False

    @property
    def stage(self) -> str:
        if self.armed:
            raise RuntimeError("no name")
        return ""

    @stage.setter
    def stage(self, stage: str) -> None: ...


def test_an_error_in_the_recorder_does_not_reach_the_program():
    class Makes(dspy.Module):
        def forward(self, question):
            unlisted = Broken("question -> answer")
            unlisted.armed = True
            return unlisted(question=question)

    with served(echo):
        graph = trace(Makes(), {"question": "why?"}, probe="never")
    assert graph.output == {"answer": "answer of why?"}
    assert not graph.calls
