"""Layers of equal nodes and a final node: the paper's graph for BBH and GSM8K (arXiv 2412.03624).

    question -> hidden[0] --statement--+
        |  \\                           +--> final -> answer
        |   \\-> hidden[1] --statement--+      ^
        +------------------------------------+

Why threads of our own instead of dspy.Parallel: dspy.Parallel turns a failed node into None and submits a
node that is slow (120 s) a second time, so a failure would reach the next layer as a value and a slow model
would be paid for twice.

Why the hidden nodes lie in one flat list: DSPy's `named_predictors()` looks one container deep, so nodes in
a list of layers would be invisible to every optimizer.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import dspy
from dspy.signatures import make_signature

HIDDEN_INSTRUCTION = "Work out an intermediate step that helps solve the problem."
FINAL_INSTRUCTION = "Solve the problem."


class LayeredProgram(dspy.Module):
    """`layers` layers of `width` hidden nodes each, then one final node; every node reads the question.

    A hidden node writes `reasoning` and then a short `statement`. Only the statement is passed on, each into
    an input field of its own (`statement_1`, `statement_2`, ...) and as the very object that was written,
    so that a trace can tell which node fed which field.

    All hidden nodes start from one instruction. Nodes of one layer are therefore twins: at temperature 0 they
    answer alike until an optimizer makes their instructions differ. To tell them apart from the start, give
    them instructions or language models of their own (`program.hidden[1].lm = ...`).

    Attributes:
        hidden: all hidden predictors, layer by layer: node j of layer k is `hidden[k * width + j]`.
        final: the predictor that answers, from the question and the statements.

    Source: the pipeline of arXiv 2412.03624 for BBH and GSM8K, with `across_layers` a switch of its code.
    """

    def __init__(
        self,
        layers: int = 1,
        width: int = 2,
        across_layers: bool = False,
        answer_description: str = "The answer to the question.",
    ) -> None:
        """Build the nodes.

        Arguments:
            layers: number of hidden layers, at least 1.
            width: number of nodes in each hidden layer, at least 1.
            across_layers: False: a node reads the statements of the layer just before it; True: of all
                earlier layers, the earliest first.
            answer_description: what the final node is told about its `answer` field. The default says
                nothing about the format of the answer, as in the paper.

        Raises:
            ValueError: when `layers` or `width` is not a whole number of at least 1.
        """
        super().__init__()
        _require_count("layers", layers)
        _require_count("width", width)
        self.layers = layers
        self.width = width
        self.across_layers = across_layers
        self.hidden = [
            dspy.Predict(_hidden_signature(self._count_read_by(layer))) for layer in range(layers) for _ in range(width)
        ]
        self.final = dspy.Predict(_final_signature(self._count_read_by(layers), answer_description))

    def forward(self, question: str) -> dspy.Prediction:
        """Answer `question`; the nodes of one layer run at the same time, in threads.

        Arguments:
            question: the problem, as text.

        Returns:
            The final node's own prediction, with `reasoning` and `answer`.

        Raises:
            Exception: Whatever a node raised, unchanged, once all the nodes of its layer have ended.
        """
        statements: list[Any] = []
        for layer in range(self.layers):
            inputs = self._inputs(question, statements, layer)
            predictions = call_together([partial(node, **inputs) for node in self._nodes(layer)])
            statements.extend(prediction.statement for prediction in predictions)
        return self.final(**self._inputs(question, statements, self.layers))

    async def aforward(self, question: str) -> dspy.Prediction:
        """Answer `question` in the running event loop; otherwise the same as `forward`."""
        statements: list[Any] = []
        for layer in range(self.layers):
            inputs = self._inputs(question, statements, layer)
            predictions = await acall_together([node.acall(**inputs) for node in self._nodes(layer)])
            statements.extend(prediction.statement for prediction in predictions)
        return await self.final.acall(**self._inputs(question, statements, self.layers))

    def _nodes(self, layer: int) -> list[dspy.Predict]:
        return self.hidden[layer * self.width : (layer + 1) * self.width]

    def _read_by_layer(self, layer: int) -> slice:
        """Say which statements a node of `layer` reads; `self.layers` stands for the final node."""
        first = 0 if self.across_layers else max(0, layer - 1) * self.width
        return slice(first, layer * self.width)

    def _count_read_by(self, layer: int) -> int:
        read = self._read_by_layer(layer)
        return read.stop - read.start

    def _inputs(self, question: str, statements: list[Any], layer: int) -> dict[str, Any]:
        read = statements[self._read_by_layer(layer)]
        return {"question": question, **{f"statement_{i}": text for i, text in enumerate(read, 1)}}


def call_together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all `calls` at the same time, one thread each, and return their results in order.

    Copies of the current context carry DSPy's settings (language model, callbacks, trace list) into the threads.

    Raises:
        What a call raised, unchanged, after all of them have ended; of several, the first in the order of
        `calls`, a stop (a BaseException that is no Exception) before any ordinary error.
    """
    if len(calls) == 1:
        return [calls[0]()]
    with ThreadPoolExecutor(max_workers=len(calls), thread_name_prefix="node") as pool:
        futures: list[Future[Any]] = [pool.submit(contextvars.copy_context().run, call) for call in calls]
        _raise_first([future.exception() for future in futures])
        return [future.result() for future in futures]


async def acall_together(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """Await all `calls` at the same time; results, order and errors as in `call_together`.

    Why not the plain `asyncio.gather`: at the first error it returns while the others still run, and their
    language model calls would go on, unseen, into the next example.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    _raise_first([result if isinstance(result, BaseException) else None for result in results])
    return list(results)


def _raise_first(errors: Sequence[BaseException | None]) -> None:
    raised = [error for error in errors if error is not None]
    # A budget that is spent must end the run, even where a neighbour failed in an ordinary way.
    raised.sort(key=lambda error: isinstance(error, Exception))
    if raised:
        raise raised[0]


def _hidden_signature(n_statements: int) -> type[dspy.Signature]:
    return make_signature(
        {
            **_input_fields(n_statements),
            "reasoning": (str, dspy.OutputField(desc="Your reasoning, step by step.")),
            "statement": (str, dspy.OutputField(desc="A short statement of the result, to be passed on.")),
        },
        HIDDEN_INSTRUCTION,
    )


def _final_signature(n_statements: int, answer_description: str) -> type[dspy.Signature]:
    return make_signature(
        {
            **_input_fields(n_statements),
            "reasoning": (str, dspy.OutputField(desc="Your reasoning, step by step.")),
            "answer": (str, dspy.OutputField(desc=answer_description)),
        },
        FINAL_INSTRUCTION,
    )


def _input_fields(n_statements: int) -> dict[str, tuple[type, Any]]:
    fields: dict[str, tuple[type, Any]] = {"question": (str, dspy.InputField(desc="The problem to solve."))}
    for i in range(1, n_statements + 1):
        fields[f"statement_{i}"] = (str, dspy.InputField(desc="An intermediate result worked out before."))
    return fields


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"LayeredProgram: {name}={value!r} is no whole number of at least 1; pass 1, 2, ...")
