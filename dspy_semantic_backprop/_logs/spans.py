"""Traces as logs: spans with parents, as OpenInference's instrumentations and MLflow write them.

Of a tree of spans the calls are those that do the work: a prediction of DSPy with all that it does (an adapter, a
language model), else a language model's answer, a tool, a retriever. What encloses them only passes on. Which
predictor of a program made a prediction stands in no span; its fields and its instruction do, and so a program that
is at hand can be asked whose they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dspy

from .._graph.evidence.combine import suggest
from .._graph.trace import Call, Field, Trace
from . import chats
from .log import Log

WORKING = {"LLM", "CHAT_MODEL", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL"}
"""The kinds of spans that do the work; other kinds enclose them, or prepare it."""
_MODELS = {"LLM", "CHAT_MODEL"}
_PREDICTION = re.compile(r"Predict(?:\((\w+)\))?\.(?:forward|aforward|__call__|acall)$")
_OBJECTIVE = re.compile(r"your objective is:\s*(.*)\Z", re.DOTALL)
"""How DSPy's prompts introduce the instruction."""
_DEFAULT = "Given the fields `"
"""How an instruction begins that DSPy makes of the fields."""
_SHOWN = 40
"""So much of an instruction stands in a name."""
_MADE_UP = "StringSignature"
"""What DSPy calls every signature that it makes itself."""


class Span(NamedTuple):
    """One span, whoever wrote it.

    Args:
        kind: What it does: LLM, TOOL, CHAIN ...; "" where that is not said.
        inputs, outputs: What went in and what came out.
        asked, answered: Of a language model the messages that it was sent, and its own, as OpenAI writes them.
        label: What its author calls it besides its name: a tool, a signature.
        started, ended: In any unit.
        error: Why it failed; None where it did not.
    """

    id: str
    parent: str | None
    name: str
    kind: str
    inputs: Any
    outputs: Any
    started: float
    ended: float
    asked: Sequence[Mapping[str, Any]] = ()
    answered: Sequence[Mapping[str, Any]] = ()
    label: str = ""
    error: str | None = None


def log_of_spans(
    spans: Sequence[Span],
    name: str,
    program: dspy.Module | None,
    expected: Any = None,
    feedback: str | None = None,
) -> Log:
    """The spans of one trace as a log; which call read which is seen in their values.

    A `ValueError` where no span did any work, or none is the first.
    """
    tree = _Tree(spans)
    units = sorted((one for root in tree.roots for one in tree.units(root)), key=lambda span: span.started)
    if not units:
        raise ValueError("none of its spans is a prediction, a language model's answer, a tool or a retriever")
    root = tree.roots[0]
    moments = sorted({moment for one in units for moment in ((one.started, 1), (one.ended, 0))})
    calls: list[Call] = []
    for unit in units:
        who = tree.name(unit, program)
        index = sum(call.predictor == who for call in calls)
        times = moments.index((unit.started, 1)), moments.index((unit.ended, 0))
        calls.append(_call(unit, who, index, tree.instruction(unit), times))
    whole = (_fields(root.inputs, "input"), tuple(calls), _fields(root.outputs, "output"))
    names = tuple(dict.fromkeys(call.predictor for call in calls))
    said = _unknown(tree, units, names, program) if program is not None else ()
    return Log(name, suggest(Trace(*whole, error=root.error, warnings=said, predictors=names)), expected, feedback)


def _unknown(tree: _Tree, units: Sequence[Span], names: Iterable[str], program: dspy.Module) -> tuple[str, ...]:
    """A warning where a prediction is of no one predictor of the program."""
    known = dict(program.named_predictors())
    made = {tree.name(one, program) for one in units if _PREDICTION.search(one.name)}
    missed = [name for name in names if name in made - set(known)]
    why = "the program has no predictor, or several, with the fields and the instruction of"
    return (f"{why} {', '.join(missed)}",) if missed else ()


def _call(unit: Span, who: str, index: int, instruction: str, times: tuple[int, int]) -> Call:
    outputs = {} if unit.error else _outputs(unit)
    return Call(
        id=f"{who}[{index}]",
        predictor=who,
        index=index,
        instruction=instruction or f"(The log does not hold what {who} was told.)",
        inputs=_inputs(unit),
        outputs=outputs,
        output_fields=tuple(Field(field) for field in outputs),
        started=times[0],
        ended=times[1],
        error=unit.error,
    )


class _Tree:
    """The spans of a trace by parent and child."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._by_id = {one.id: one for one in spans}
        self._children: dict[str, list[Span]] = {}
        for one in sorted(self._by_id.values(), key=lambda span: span.started):
            if one.parent in self._by_id and one.parent != one.id:
                self._children.setdefault(one.parent or "", []).append(one)
        inner = {one.id for children in self._children.values() for one in children}
        # The longest first: a trace may hold spans whose parents were not exported.
        outer = [one for one in self._by_id.values() if one.id not in inner]
        self.roots = sorted(outer, key=lambda span: span.started - span.ended)
        if sum(1 for root in self.roots for _ in self.below(root)) < len(self._by_id):
            raise ValueError("its spans enclose each other in a circle")

    def units(self, span: Span) -> list[Span]:
        """The spans at or below one that did the work."""
        if _PREDICTION.search(span.name):
            return [span]
        inner = [one for child in self._children.get(span.id, ()) for one in self.units(child)]
        return inner or ([span] if span.kind in WORKING else [])

    def below(self, span: Span) -> Iterator[Span]:
        """A span and all that it encloses."""
        yield span
        for child in self._children.get(span.id, ()):
            yield from self.below(child)

    def instruction(self, unit: Span) -> str:
        """What the language model of a unit was told; of a prediction of DSPy the signature's instruction."""
        asked = next((one.asked for one in self.below(unit) if one.asked), ())
        system = "\n\n".join(chats.said(one) for one in asked if one.get("role") in ("system", "developer"))
        found = _OBJECTIVE.search(system) if _PREDICTION.search(unit.name) else None
        return "\n".join(line.strip() for line in found[1].strip().splitlines()) if found else system

    def name(self, unit: Span, program: dspy.Module | None) -> str:
        """The predictor of the program, the signature, the tool, or the agent that encloses a language model."""
        if _PREDICTION.search(unit.name):
            inputs, outputs = _inputs(unit), _outputs(unit)
            told = self.instruction(unit)
            found = _predictor(program, inputs, outputs, told) if program is not None else None
            return found or self._signature(unit) or _made_up(inputs, outputs, told)
        if unit.kind not in _MODELS:
            return unit.label or re.sub(r"^Tool\.|\.__call__$", "", unit.name)
        above = self._by_id.get(unit.parent or "")
        while above is not None and above.parent in self._by_id and above.kind not in ("AGENT", "CHAIN"):
            above = self._by_id[above.parent or ""]
        return above.name if above is not None and above.kind in ("AGENT", "CHAIN") else unit.name

    def _signature(self, unit: Span) -> str:
        found = (_PREDICTION.search(one.name) for one in self.below(unit))
        return next((match[1] for match in found if match and match[1] and match[1] != _MADE_UP), "")


def _made_up(inputs: Iterable[str], outputs: Iterable[str], instruction: str) -> str:
    """A name for a prediction of an unknown predictor; two with the same fields may be told different things."""
    told = "" if not instruction or instruction.startswith(_DEFAULT) else f": {' '.join(instruction.split())[:_SHOWN]}"
    return f"{', '.join(inputs)} -> {', '.join(outputs)}{told}"


def _predictor(
    program: dspy.Module, inputs: Mapping[str, Any], outputs: Mapping[str, Any], instruction: str
) -> str | None:
    """The one predictor of a program that has these fields and this instruction; None where several do, or none."""
    told = instruction.split()
    named: list[tuple[str, Any]] = program.named_predictors()
    fitting = [
        name
        for name, predictor in named
        if set(inputs) <= set(predictor.signature.input_fields)
        and set(outputs) <= set(predictor.signature.output_fields)
        and (not told or told == predictor.signature.instructions.split())
    ]
    return fitting[0] if len(fitting) == 1 else None


def _inputs(unit: Span) -> dict[str, Any]:
    given = [one for one in unit.asked if one.get("role") not in ("system", "developer")]
    if unit.kind in _MODELS and given:
        return {"messages": "\n\n".join(f"{one.get('role')}: {chats.said(one)}" for one in given)}
    return _fields(unit.inputs, "input")


def _outputs(unit: Span) -> dict[str, Any]:
    if unit.kind in _MODELS and unit.answered:
        return {"output": "\n\n".join(map(chats.said, unit.answered))}
    return _fields(unit.outputs, "output")


def _fields(value: Any, name: str) -> dict[str, Any]:
    """Values by field; keyword arguments without what a tracer wraps them in."""
    if isinstance(value, Mapping):
        for wrapper in ("kwargs", "input_args"):
            if set(value) == {wrapper} and isinstance(value[wrapper], Mapping):
                value = value[wrapper]
        return {str(key): one for key, one in value.items()}
    return {} if value is None else {name: value}


def decoded(text: Any) -> Any:
    """What an attribute holds: the value of its JSON, or the text itself."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def messages_in(value: Any) -> list[Mapping[str, Any]]:
    """The messages of a request to a language model, or of its answer, as OpenAI and LiteLLM write them."""
    if not isinstance(value, Mapping):
        return []
    found = value.get("messages") or [one.get("message") for one in _maps(value.get("choices"))]
    return _maps(found)


def _maps(values: Any) -> list[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []
