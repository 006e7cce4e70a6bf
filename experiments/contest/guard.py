"""What stands between an optimizer and its model: a cap that holds, and a note of the best program so far.

Why: of the other optimizers none can be told how many calls it may make, and all but one forget everything when they
are stopped. The guard stops them as soon as the cap is reached; the observer knows what a user could have kept.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from dspy_semantic_backprop.testing import SimulatedServer


class CapReached(BaseException):
    """The cap is spent. Not an Exception: optimizers score those as wrong answers and go on."""


class Guard:
    """Lets requests through as long as the server has answered fewer than the cap; never one more.

    Args:
        server: Counts what really arrives; answers from DSPy's cache do not.
        cap: The most requests.
    """

    def __init__(self, server: SimulatedServer, cap: float) -> None:
        self.server = server
        self.cap = cap
        self.waiting = 0
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
        # Optimizers copy language models; the copies spend from the same cap.
        return self

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let one request through.

        Raises:
            CapReached: If that could be one too many.
        """
        with self.lock:
            if self.server.requests + self.waiting >= self.cap:
                raise CapReached(f"{self.cap} calls are spent")
            self.waiting += 1
        try:
            yield
        finally:
            with self.lock:
                self.waiting -= 1


class GuardedLM(dspy.LM):
    """A client of the simulated server, behind a guard; DSPy's cache is on, as users have it.

    Args:
        guard: The guard.
        temperature: Sampling temperature.
    """

    def __init__(self, guard: Guard, temperature: float) -> None:
        server = guard.server
        super().__init__(f"openai/{server.model}", api_base=server.url, api_key="simulated", temperature=temperature)
        self.guard = guard

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As `dspy.LM`."""
        with self.guard.admitted():
            return super().forward(*args, **kwargs)

    async def aforward(self, *args: Any, **kwargs: Any) -> Any:
        """As `dspy.LM`."""
        with self.guard.admitted():
            return await super().aforward(*args, **kwargs)


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
