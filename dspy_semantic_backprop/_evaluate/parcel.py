"""What travels between a run and its workers: made by cloudpickle, and without credentials where it leaves the machine.

A language model is sent without its history, and to a cluster without its key: there a key comes from the worker's own
environment, for what is sent passes schedulers and stores that log and keep it. What is sent in its place is the name
of the variable; a worker that has none of that name refuses before it sends a request.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle
import dspy

from .._errors import SetupError
from .._graph.graph import ComputationGraph
from .._graph.portable import portable, raised_again
from .._graph.trace import Trace
from .._secrets.errors import hide
from .._secrets.known import credentials
from .._session.leased import WORKER

_KEYS = re.compile(r"key|token(?!s)|secret|passw|credential|cookie", re.IGNORECASE)
"""Names of attributes that hold a key."""
_LEAST = 12
"""Characters of a key; shorter values may be words that any text holds."""


def signatures(program: dspy.Module) -> tuple[Any, ...]:
    """The signatures of a program's predictors: of copies of it the same ones stand at the same places."""
    return tuple(one.signature for _, one in program.named_sub_modules(dspy.Predict))  # pyright: ignore


def packed(value: Any, *, trusted: bool, known: Sequence[Any] = ()) -> bytes:
    """A value as bytes for another process; one that is not `trusted`, with another environment, gets no credential.

    Classes that the other process has (`known`) are told by their place: to make one again takes a millisecond.
    """
    buffer = io.BytesIO()
    packer = _Packer(buffer, trusted, known)
    packer.dump(value)
    data = buffer.getvalue()
    for secret, where in ({} if trusted else packer.secrets).items():
        if secret.encode("utf-8", "surrogatepass") in data:
            raise SetupError(
                f"{where} would have to be sent to the workers, through schedulers that log and keep what they are "
                "given: put it into the environment of the workers and of this process and make dspy.LM without it, "
                "or take where='processes'"
            )
    return data


def unpacked(data: bytes, known: Sequence[Any] = ()) -> Any:
    """The value again."""
    opened = pickle.Unpickler(io.BytesIO(data))
    opened.persistent_load = known.__getitem__  # pyright: ignore[reportAttributeAccessIssue]
    return opened.load()


class _Packer(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, trusted: bool, known: Sequence[Any]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._trusted = trusted
        self._known = {one: at for at, one in reversed(list(enumerate(known)))}
        self.secrets: dict[str, str] = {}

    def persistent_id(self, obj: Any) -> int | None:
        """The place of a class that the other process has."""
        return self._known.get(obj) if isinstance(obj, type) else None

    def reducer_override(self, obj: Any) -> Any:
        """How an object is carried; most as ever."""
        if isinstance(obj, Trace):
            # Its own state for pickle has texts in place of what plain pickle cannot carry, as functions.
            answers = {call: tuple(map(_unshown, given)) for call, given in obj.answers.items()}
            return copyreg.__newobj__, (Trace,), {**obj.carried(), "answers": answers}  # pyright: ignore
        if isinstance(obj, ComputationGraph):
            return copyreg.__newobj__, (type(obj),), vars(obj)  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(obj, BaseException):
            # What it came through does not travel, and with it goes what tells its secrets.
            hide(obj)
            attributes = {name: _carried(value) for name, value in vars(obj).items()}
            return raised_again, (type(obj), _carried(obj.args), attributes)
        if isinstance(obj, dspy.BaseLM):
            return self._without_key(obj)
        return super().reducer_override(obj)

    def _without_key(self, lm: dspy.BaseLM) -> Any:
        make, arguments, state, *_ = (*lm.__reduce_ex__(pickle.HIGHEST_PROTOCOL), None)
        model = str(getattr(lm, "model", "?"))
        if not self._trusted:
            self.secrets.update((secret, f"a credential of {model!r}") for secret in (*credentials(lm), *_held(lm)))
        if not isinstance(state, Mapping):
            return make, arguments, state
        state = {**state, "history": [], "callbacks": []}
        if not self._trusted and isinstance(kept := state.get("kwargs"), Mapping):
            key = kept.get("api_key")
            if names := [name for name, value in os.environ.items() if value == key]:
                state["kwargs"] = {**kept, "api_key": _KeyOfWorker(tuple(names), model, True)}
            elif key is None and (names := _named_after(model)):
                state["semantic_key"] = _KeyOfWorker(tuple(names), model, False)
        return make, arguments, state


def _held(lm: dspy.BaseLM) -> set[str]:
    """What a language model of the user's own class holds as keys, beside its settings."""
    named = (one for name, one in vars(lm).items() if _KEYS.search(name) and isinstance(one, str))
    return {one for one in named if len(one) >= _LEAST and any(map(str.isdigit, one))}


@dataclass(frozen=True)
class _KeyOfWorker:
    """Stands for a key, and becomes the worker's own one where it is opened.

    Args:
        names: Variables of the environment, of which one has to be there.
        told: Whether the client has to be told the key; else it finds it by itself.
    """

    names: tuple[str, ...]
    model: str
    told: bool

    def __reduce__(self) -> Any:
        return _key_here, (self.names, self.model, self.told)


def _key_here(names: Sequence[str], model: str, told: bool) -> str | None:
    """The key that stands in this worker's environment; a `SetupError` where there is none."""
    found = next(filter(None, map(os.environ.get, names)), None)
    if found is None:
        raise SetupError(
            f"{WORKER}: this worker's environment has no {' or '.join(names)}, which {model!r} needs; keys are never "
            "sent to a cluster: put it into the environment of every worker"
        )
    return found if told else None


def _named_after(model: str) -> list[str]:
    """The variables of the environment that hold a key and have the name of a model's provider."""
    provider = model.partition("/")[0].upper().replace("-", "_")
    return [name for name in os.environ if name.startswith(f"{provider}_") and name.endswith("KEY")]


def _carried(value: Any) -> Any:
    """What an error holds; texts for what no process can be sent: that it was raised has to be known all the same."""
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - any class may refuse in its own way
        return portable(value, 1)
    return value


def _unshown(noted: Any) -> Any:
    question, answered = noted
    return question, replace(answered, shown=None)
