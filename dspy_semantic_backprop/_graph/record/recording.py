"""The record of one execution while it grows, and what is noted of the call under way.

DSPy reports the usage of every answer that did not come from its cache to the usage tracker of its context,
while the call that asked is under way: so which call that is stands in a context variable of its own.
"""

from __future__ import annotations

import asyncio
import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy
from dspy.utils.usage_tracker import UsageTracker

from ..._values.copies import snapshot
from ..._values.same import digest
from ..trace import OUTPUT, Aside, Call, Trace
from .names import Names, is_of_dspy, is_unnamed, name_calls
from .program_code import Frame, chain, frames
from .reads import further, watch_reads
from .snapshots import declaration, demonstrations, describe, output_fields
from .threads import next_place


class Hook(Protocol):
    """Is told of every call to a language model while a program is recorded, in the context of that call."""

    def lm_begins(self, lm: Any, call_id: str) -> None:
        """A language model is about to be called; a `BaseException` raised here stops the call. `call_id` is DSPy's."""
        ...

    def lm_ends(self, call_id: str) -> None:
        """The call has ended, with an answer or an exception."""
        ...


CURRENT: ContextVar[tuple[str, Any] | None] = ContextVar("semantic_call", default=None)
"""The predictor call under way here: its provisional id and the predictor."""


class CallUsage(UsageTracker):
    """Adds up tokens by call, and passes everything on to the tracker that was there before.

    `keep` says whether to keep the totals too, as DSPy's own tracker does.
    """

    def __init__(self, parent: UsageTracker | None, *, keep: bool) -> None:
        super().__init__()
        self.parent = parent
        self.keep = keep and getattr(parent, "parent", parent) is None
        self.tokens: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        if parent is not None:
            # A `dspy.track_usage` inside of the program writes here when it ends.
            self.usage_data = parent.usage_data

    def __deepcopy__(self, memo: dict[int, Any]) -> CallUsage:
        return self

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        """Add the usage of one answer to that of the call under way."""
        entry = dict(usage_entry or {})
        call = CURRENT.get()
        if call is not None and entry:
            prompt = entry.get("prompt_tokens") or entry.get("input_tokens") or 0
            completion = entry.get("completion_tokens") or entry.get("output_tokens") or 0
            with self._lock:
                mine = self.tokens.setdefault(call[0], {"prompt_tokens": 0, "completion_tokens": 0})
                mine["prompt_tokens"] += int(prompt)
                mine["completion_tokens"] += int(completion)
        if self.parent is not None:
            self.parent.add_usage(lm, entry)
        if self.keep:
            with self._lock:
                super().add_usage(lm, entry)


TOOL: ContextVar[tuple[str, ...]] = ContextVar("semantic_tool", default=())
"""The tools that are running here, outermost first: their provisional ids."""
_PRIVILEGED = frozenset({"signature", "demos", "config", "lm", "new_signature", "_trace"})


@dataclass
class Recording:
    """The record of one execution while it grows. Thread-safe."""

    names: Names
    hook: Hook | None = None
    on_told: Callable[[Mapping[str, Any]], None] = lambda call: None
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    stacks: dict[str, tuple[Frame, ...]] = field(default_factory=dict)
    asides: dict[str, Aside] = field(default_factory=dict)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    spans: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=lambda: _Outside())
    callers: set[str] = field(default_factory=set)
    paused: dict[str, Any] = field(default_factory=dict)
    reads: list[tuple[int, str, str]] = field(default_factory=list)
    undeclared: dict[tuple[str, str], None] = field(default_factory=dict)
    watched: list[Any] = field(default_factory=list)
    home: str | None = None
    clock: int = 0
    since: dict[str, float] = field(default_factory=dict)
    usage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reworded: dict[str, Callable[[], bool]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        return self

    def start(self, key: str, predictor: Any, kwargs: Mapping[str, Any]) -> None:
        """Record that a predictor was called with these arguments."""
        stack = frames()
        self.callers.update(TOOL.get())
        signature: Any = dspy.ensure_signature(kwargs.get("signature") or predictor.signature)
        declared_inputs = {one.name for one in declaration(signature)["input_fields"]}
        inputs = {name: value for name, value in kwargs.items() if name in declared_inputs - _PRIVILEGED}
        name_of, demos = self.names.of(predictor), kwargs.get("demos", predictor.demos)
        self.undeclared |= {(name_of, name): None for name in kwargs.keys() - declared_inputs - _PRIVILEGED}
        call = {
            **declaration(signature),
            "id": key,
            "index": 0,
            "predictor": name_of,
            "inputs": {name: snapshot(value) for name, value in inputs.items()},
            "outputs": {},
            "own": self.names.owns(predictor),
            "resigned": kwargs.get("signature") is not None,
            "place": next_place(),
            "concurrent": self.home is not None and strand() != self.home,
            "demos": demonstrations(signature, demos),
        }
        self.reworded[key] = functools.partial(reworded, signature, demos, inputs)
        with self.lock:
            self.clock += 1
            call["started"] = self.clock
            self.calls[key] = call
            self.stacks[key] = stack
            for name, value in inputs.items():
                self.live["inputs", key, name] = value
        self.since[key] = time.perf_counter()

    def asks(self, lm: Any, asked: Any = None) -> None:
        """Note which language model the call that is under way here asks, and whether it is told the instruction."""
        under_way = CURRENT.get()
        call = self.calls.get(under_way[0]) if under_way is not None else None
        if call is not None:
            call["models"] = call.get("models", frozenset()) | {str(getattr(lm, "model", ""))}
            if asked and not call.get("told"):
                told = tells(asked, call["instruction"])
                call["told"] = self.reworded[call["id"]]() if told is False else told
                if call["told"]:
                    self.on_told(call)

    def end(self, key: str, outputs: Any, error: BaseException | None) -> None:
        """Record how a call ended."""
        now = time.perf_counter()
        call = self.calls.get(key)
        if call is None:
            return
        fields: dict[str, Any] = {}
        if isinstance(outputs, dspy.Prediction):
            fields = dict(outputs._store)
            self.watched += watch_reads(outputs, functools.partial(self._read, key))
        more = tuple({name: snapshot(value) for name, value in row.items()} for row in further(outputs))
        copies = {name: snapshot(value) for name, value in fields.items()}
        since = self.since.pop(key, None)
        with self.lock:
            self.clock += 1
            call["ended"] = self.clock
            call["outputs"] = copies
            call["further"] = more
            call["seconds"] = now - since if since is not None else None
            for name, value in fields.items():
                self.live["outputs", key, name] = value
            if error is not None:
                call["error"] = describe(error)
                self.live["outputs", key, ""] = error

    def unreported(self, predictor: Any, kwargs: Mapping[str, Any], outputs: Any) -> None:
        """Record a call that no callback reported, once it has ended: the program put other callbacks in place."""
        under_way = CURRENT.get()
        if under_way is not None and under_way[1] is predictor:
            return
        key = f"unreported {len(self.calls)} {id(outputs)}"
        completions = getattr(outputs, "completions", None)
        self.start(key, predictor, {**kwargs, "signature": getattr(completions, "signature", None)})
        del self.since[key]
        self.end(key, outputs, None)

    def _read(self, key: str, name: str) -> None:
        self.reads.append((self.clock, key, name))

    def finish(
        self,
        inputs: Mapping[str, Any],
        returned: Any,
        error: BaseException | None,
        given: Mapping[str, Any] | None = None,
    ) -> Trace:
        """Close the record: the very objects that the program was given, what it returned and raised.

        `given` are the inputs as they were before the program ran; None where nobody kept them.
        """
        reads = list(self.reads)
        for restore in self.watched:
            restore()
        with self.lock:
            calls = {key: Call(**call, usage=self.usage.get(key, {})) for key, call in self.calls.items()}
            live = dict(self.live)
            answers = {key: tuple(given) for key, given in self.answers.items()}
        named = name_calls(list(calls.values()), [*inputs.values(), *self.names.constants])
        output = output_fields(returned)
        ways = {named[key].id: chain(stack) for key, stack in self.stacks.items()}
        live = {(side, named[key].id, name): value for (side, key, name), value in live.items()}
        return Trace(
            inputs=given if given is not None else {name: snapshot(value) for name, value in inputs.items()},
            calls=tuple(named.values()),
            output={name: snapshot(value) for name, value in output.items()},
            error=describe(error) if error is not None else None,
            warnings=(*_unnamed_warning(tuple(named.values()), self.names), *_undeclared_warning(self.undeclared)),
            predictors=self.names.all,
            constants=self.names.constants,
            asides=tuple(self.asides.values()),
            reads=tuple((at, named[key].id, name) for at, key, name in reads if name in named[key].outputs),
            effects=tuple(dict.fromkeys(self.effects)),
            ways=ways,
            answers={named[key].id: given for key, given in answers.items()},
            spans={named[key].id: one for key, one in self.spans.items() if key in named},
            live={**live, **{("inputs", OUTPUT, name): value for name, value in output.items()}},
        )


def strand() -> str:
    """The thread and task that runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return f"{threading.get_ident()}/{id(task) if task is not None else 0}"


def _unnamed_warning(calls: tuple[Call, ...], names: Names) -> tuple[str, ...]:
    theirs = (call for call in calls if is_unnamed(call.predictor) and not is_of_dspy(call.predictor))
    unnamed = sorted({call.instruction for call in theirs})
    unlisted = sorted({call.predictor for call in calls} & names.unlisted)
    rest = "in the graph but cannot be optimised: make it an attribute of the program"
    deep = f"{', '.join(unlisted[:3])}{' ...' if len(unlisted) > 3 else ''}: in a container of a container, where "
    return (
        *((f"{deep}named_predictors() does not look; it is {rest}",) if unlisted else ()),
        *(
            f"a predictor that named_predictors() does not list was called (instruction: {text[:60]!r}); it is {rest}"
            for text in unnamed
        ),
    )


def _undeclared_warning(undeclared: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"{predictor} was given {name}, which its signature does not declare: DSPy leaves it out of the prompt"
        for predictor, name in sorted(undeclared)
    )


class _Outside(list[str]):
    """Effects of the program's own: what a predictor's call does is recorded, whoever reports the call."""

    def append(self, words: str) -> None:
        if not within_predictor():
            super().append(words)


def within_predictor() -> bool:
    """Whether a predictor's call is under way here."""
    callers = dspy.settings.caller_modules
    return bool(callers) and isinstance(callers[-1], dspy.Predict)


def tells(asked: Any, instruction: str) -> bool | None:
    """Whether a prompt, or messages, hold an instruction line by line; None where there is no text to look at.

    Only letters and digits count, and only lines without others than ASCII ones: adapters indent and escape.
    """
    contents = [asked] if isinstance(asked, str) else [_content(message) for message in asked]
    prompt = _bare("\n".join(contents))
    return all(_bare(line) in prompt for line in instruction.splitlines() if line.isascii()) if prompt else None


def reworded(signature: Any, demos: Iterable[Any], inputs: Mapping[str, Any]) -> bool:
    """Whether the adapter in use makes another prompt of another instruction: it has a wording of its own."""
    adapter: Any = dspy.settings.adapter or dspy.ChatAdapter()
    longer = {"__doc__": f"{signature.instructions}\nMind this as well."}
    other = type(signature)(signature.__name__, (signature,), longer)
    try:
        # What an adapter asks a language model for is not paid for here.
        with dspy.context(callbacks=[], lm=None):
            prompts = [adapter.format(one, list(demos), dict(inputs)) for one in (signature, other)]
    except Exception:  # noqa: BLE001 - an adapter may be the user's
        return True
    return digest(prompts[0]) != digest(prompts[1])


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, Mapping) else None
    parts = content if isinstance(content, list) else [{"text": content}]
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def _bare(text: str) -> str:
    return _NO_WORD.sub("", text).lower()


_NO_WORD = re.compile("[^0-9A-Za-z]+")
