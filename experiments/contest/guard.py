"""What stands between an optimizer and its model: a cap that holds, and a note of the best program so far.

Why: of the other optimizers none can be told how many calls it may make, and all but one forget everything when they
are stopped. The guard stops them as soon as the cap is reached; the observer knows what a user could have kept.
"""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import dspy
from dspy import lm15
from dspy.utils.callback import BaseCallback
from worlds.model import AsyncEngine

from dspy_semantic_backprop.testing import SimulatedServer


class CapReached(BaseException):
    """The cap is spent. Not an Exception: optimizers score those as wrong answers and go on."""


class Guard:
    """Lets requests through to the server until the cap is reached; never one more.

    Args:
        server: Counts what arrives; answers from DSPy's cache do not.
        cap: The most requests.
    """

    def __init__(self, server: SimulatedServer, cap: float) -> None:
        self.server = server
        self.cap = cap
        self.sent = 0
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
        # Optimizers copy language models; the copies spend from the same cap.
        return self

    def ask(self, messages: list[dict[str, Any]], temperature: float) -> tuple[str, dict[str, int]]:
        """The server's answer to a chat, and the tokens that it took.

        Raises:
            CapReached: If that would be one too many.
        """
        with self.lock:
            if self.sent >= self.cap:
                raise CapReached(f"{self.cap} calls are spent")
            self.sent += 1
        body = json.dumps({"model": self.server.model, "messages": messages, "temperature": temperature})
        sent = json.loads(self.server.respond(body.encode()).body)
        return sent["choices"][0]["message"]["content"], sent["usage"]


class Engine:
    """Hands requests to the server without a wire between them; answers that DSPy has cached do not get here.

    Args:
        guard: The guard.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        return self

    def complete(self, request: Any) -> Any:
        """Answer one request.

        Raises:
            CapReached: If the cap is spent.
        """
        system = [{"role": "system", "content": request.system}] if request.system else []
        messages = [*system, *({"role": one.role, "content": one.text or ""} for one in request.messages)]
        text, usage = self.guard.ask(messages, request.config.temperature or 0.0)
        spent = lm15.Usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
        return lm15.Response(None, self.guard.server.model, lm15.Message.assistant(text), "stop", spent)

    def close(self) -> None:
        """Nothing: there is no connection."""


def language_model(guard: Guard, temperature: float) -> dspy.LM:
    """A client of the guarded server; DSPy's cache is on, as users have it."""
    engine, name = Engine(guard), f"simulated/{guard.server.model}"
    return dspy.LM(name, temperature=temperature, engine=engine, async_engine=AsyncEngine(engine))


class BestSoFar(BaseCallback):
    """The state of the program with the highest score on all scoring examples; of equals, the one evaluated first.

    Why the state: GEPA replaces the forward method of a program while it is evaluated, and a copy would keep that.

    Args:
        program: What it is before any evaluation has ended.
        count: How many scoring examples there are.
    """

    def __init__(self, program: dspy.Module, count: int) -> None:
        self.state = program.dump_state()
        self.count = count
        self.score = -math.inf
        self._running: dict[str, dict[str, Any]] = {}

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note what is evaluated, if on all examples."""
        devset = inputs.get("devset")
        if len(instance.devset if devset is None else devset) == self.count:
            self._running[call_id] = inputs["program"].dump_state()

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Keep the state if it is the best so far."""
        state = self._running.pop(call_id, None)
        if state is not None and outputs is not None and outputs.score > self.score:
            self.state, self.score = state, outputs.score
