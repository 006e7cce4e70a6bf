"""What happened in one execution of a program: frozen records that know nothing of DSPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._terminal import shown
from .portable import portable

Position = tuple[str, int, int, int, int]
"""File, first line, first column, last line, last column; -1 where the interpreter keeps no columns."""
Place = tuple[tuple[float, int], ...]
"""Where in the order of the program's own code something happened, whichever thread was first: a number that grows in
each thread and task and the number of a task, below the place where that thread or task was started."""
OUTPUT = "output"
"""The id under which the returned prediction stands where a call's id is expected."""
REASONING = frozenset({"reasoning", "rationale"})
"""Output fields that are written to think with; that nobody reads them is no finding."""


@dataclass(frozen=True)
class Field:
    """A declared field of a predictor's signature.

    Args:
        name: Its name.
        type: Its annotation, as text.
        description: What the signature says about it; empty where it says nothing.
    """

    name: str
    type: str = "str"
    description: str = ""


@shown
@dataclass(frozen=True, eq=False)
class Call:
    """One invocation of one predictor: a node of the graph.

    Args:
        id: Unique in its trace: predictor and index, "hint_1[0]".
        predictor: The predictor's name in `named_predictors()`; "?" and its fields for one that
            has no name.
        index: The how-manieth call of that predictor, from 0, by start.
        instruction: The instruction that the call was made with.
        inputs: Input field -> value, as it was when the call started.
        outputs: Output field -> value; empty where the call failed.
        input_fields: The declared input fields.
        output_fields: The declared output fields.
        started: When it started: a position in the order of all starts and ends of the trace.
        ended: When it ended, in the same order; None where it never did.
        error: What it raised, as text; None where it succeeded.
        demos: The demonstrations in its prompt, in their order there, each as field -> value.
        concurrent: Whether a thread or task other than the program's own made the call: such calls have no
            order that another execution would repeat.
        place: Where in the order of the program's own code it was made; not part of the record's JSON form.
        annotations: Output field -> its declared type; not part of the record's JSON form.
        further: The outputs of the completions after the first, where several were asked for; not part of it.
        seconds: How long it took, wall time in seconds, retries of the language model's client included;
            None where that is not known.
        own: Whether the very predictor was called that the program holds, and not one of another copy of it.
        resigned: Whether the call was given a signature in place of the predictor's own.
        told: Whether the instruction stood in the prompt; None where no prompt was seen.
        models: The language models that it asked, by name; not part of the record's JSON form.
        usage: Tokens that it took: `prompt_tokens` and `completion_tokens`, of all requests together; empty
            where that is not known, and where the answer came from the cache.
    """

    id: str
    predictor: str
    index: int
    instruction: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    input_fields: tuple[Field, ...] = ()
    output_fields: tuple[Field, ...] = ()
    started: int = 0
    ended: int | None = None
    error: str | None = None
    demos: tuple[Mapping[str, Any], ...] = ()
    concurrent: bool = False
    annotations: Mapping[str, Any] = field(default_factory=dict, repr=False)
    further: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    seconds: float | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    models: frozenset[str] = field(default=frozenset(), repr=False)
    place: Place = field(default=(), repr=False)
    own: bool = field(default=True, repr=False)
    resigned: bool = field(default=False, repr=False)
    told: bool | None = field(default=None, repr=False)

    def named(self, call_id: str, index: int, place: Place) -> Call:
        """This call under another id, index and place."""
        # `dataclasses.replace` takes longer than everything else that is done to a call after it ended.
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), id=call_id, index=index, place=place)
        return twin

    @property
    def strand(self) -> Place:
        """The thread or task that made it, by its place."""
        return self.place[:-1]

    def before(self, other: Call) -> bool:
        """Whether this call had ended when the other one started."""
        return self.ended is not None and self.ended < other.started


@dataclass(frozen=True, eq=False)
class Aside:
    """A call that is no node, but whose answer a replay needs: a tool's, a retriever's, an interpreter's, a
    language model's outside of any predictor.

    Args:
        name: The tool's name; "lm" for a language model, "interpreter" for one that runs code, "retriever" and
            its class for a `dspy.Retrieve`.
        asked: Its arguments, as text.
        answer: What it returned; None where it raised.
        raised: What it raised; None where it returned.
        calls: Whether it called predictors: then a replay runs it, since their calls must happen.
    """

    name: str
    asked: str
    answer: Any = None
    raised: BaseException | None = None
    calls: bool = False


@dataclass(frozen=True, eq=False)
class Trace:
    """One execution of a program on one example.

    Args:
        inputs: The program's inputs.
        calls: Every predictor call seen, by start.
        output: The returned prediction's fields; empty where the program raised.
        error: What the program raised, as text; None where it returned.
        warnings: What could not be seen or told apart, in words.
        predictors: The program's predictors, in the order of `named_predictors()`.
        constants: What the program's own code and containers hold: inputs may come from there.
        asides: Calls of tools, of retrievers, and of language models outside of predictors, by start.
        effects: What the program did to the world outside of its calls (files, sockets, processes), in words.
        reads: Which output was looked at when: (position in the order of starts and ends, call id, field).
        ways: Call id -> where in the program's own code it was made: the positions of the stack's frames.
        live: The very objects that passed, by (call id, field): `("inputs" | "outputs", call, field)`.
            Kept alive so that identity can be compared; a failed call's exception is its output "".
        answers: Call id -> what whoever had the program recorded noted of a language model's answers in it, in order;
            the graph does not look at it.
        spans: Call id -> trace id, span id and flags of its span in OpenTelemetry, of calls that have one.
        shared: Which of its inputs could not be copied for it and are the caller's own, in words.
        blocked: Why this execution must not be replayed, whatever the user allows, in words.
    """

    inputs: Mapping[str, Any]
    calls: tuple[Call, ...]
    output: Mapping[str, Any]
    error: str | None = None
    warnings: tuple[str, ...] = ()
    predictors: tuple[str, ...] = ()
    constants: tuple[Any, ...] = ()
    asides: tuple[Aside, ...] = ()
    effects: tuple[str, ...] = ()
    reads: tuple[tuple[int, str, str], ...] = ()
    ways: Mapping[str, tuple[Position, ...]] = field(default_factory=dict, repr=False)
    live: Mapping[tuple[str, str, str], Any] = field(default_factory=dict, repr=False)
    answers: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)
    spans: Mapping[str, tuple[int, int, int]] = field(default_factory=dict, repr=False)
    blocked: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    def readers(self) -> Iterator[tuple[str, Mapping[str, Any], list[Call]]]:
        """Goes through the execution as through time.

        Yields:
            Each call by start, and the returned prediction last: its id, its inputs, and the calls that had ended when
            it started and are not among those of an earlier reader.
        """
        ending = sorted((call for call in self.calls if call.ended is not None), key=lambda call: call.ended or 0)
        ending.reverse()
        for call in self.calls:
            ended = []
            while ending and ending[-1].before(call):
                ended.append(ending.pop())
            yield call.id, call.inputs, ended
        yield OUTPUT, self.output, ending[::-1]

    def carried(self) -> dict[str, Any]:
        """What another process needs of it: its fields without live objects, but a failed call's exception."""
        # The graph is made of the live objects before. A replay raises a call's exception again.
        raised = {key: error for key, error in self.live.items() if key[0] == "outputs" and not key[2]}
        return {**vars(self), "live": raised, "constants": ()}

    def __getstate__(self) -> dict[str, Any]:
        return {name: portable(value) for name, value in self.carried().items()}
