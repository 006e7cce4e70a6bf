"""The recorder takes part in DSPy's dispatch where it must, at what price that is; and nobody else notices."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import dspy
import pytest
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop import trace
from dspy_semantic_backprop._graph.record import callbacks
from dspy_semantic_backprop._graph.record.callbacks import Callbacks
from tests.scripted import served


def echo(prompt):
    return {name: f"{name} of {' / '.join(prompt.inputs.values())[:200]}" for name in prompt.names}


class Probe(BaseCallback):
    """Notes what it is told, and by whom."""

    def __init__(self):
        self.told: list[tuple[str, Any]] = []
        self.by: set[str] = set()

    def on_module_start(self, call_id, instance, inputs):
        self.by.add(sys._getframe(1).f_code.co_name)
        self.told.append(("start", (call_id, inputs)))

    def on_module_end(self, call_id, outputs, exception=None):
        self.by.add(sys._getframe(1).f_code.co_name)
        self.told.append(("end", (call_id, outputs, exception)))

    def need(self, instance) -> Any:
        return "call" if isinstance(instance, dspy.Predict) else "none"


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


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_this_version_of_dspy_tells_the_recorder_without_the_ordinary_dispatch(asynchronous, fails):
    probe, ask = Probe(), dspy.Predict("question -> answer")
    with served(lambda prompt: "no fields" if fails else echo(prompt)):
        with dspy.context(callbacks=Callbacks([], probe, probe.need)):
            try:
                if asynchronous:
                    asyncio.run(ask.acall(question="why?"))
                else:
                    ask(question="why?")
            except dspy.utils.exceptions.AdapterParseError as error:
                raised = error
            else:
                raised = None
    (start, (call_id, inputs)), (end, (same, outputs, exception)) = probe.told
    assert (start, end) == ("start", "end") and call_id == same
    assert inputs["kwargs"] == {"question": "why?"}
    assert exception is raised and (raised is not None) == fails
    assert fails or outputs.answer == "answer of why?"
    assert probe.by == {"_tell"}, "DSPy's dispatch has changed: tracing still works, at twice the price"


@pytest.mark.parametrize("missing", ["_ASKS", "_STARTS", "_ENDS"])
def test_the_record_is_the_same_where_only_the_ordinary_dispatch_is_left(monkeypatch, missing):
    program = dspy.ChainOfThought("question -> answer")
    with served(echo) as server:
        quick = trace(program, {"question": "why?"})
        monkeypatch.setattr(callbacks, missing, None)
        with dspy.context(lm=server.lm(cache=False)):
            slow = trace(program, {"question": "why?"})
    one, other = quick.to_dict(), slow.to_dict()
    for graph in (one, other):
        assert graph["calls"][0].pop("seconds") > 0
    assert one == other


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


def test_an_error_in_the_recorder_does_not_reach_the_program(monkeypatch):
    from dspy_semantic_backprop._graph.record import capture

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(capture.Recording, "start", broken)
    with served(echo):
        graph = trace(dspy.Predict("question -> answer"), {"question": "why?"}, probe="never")
    assert graph.output == {"answer": "answer of why?"}
