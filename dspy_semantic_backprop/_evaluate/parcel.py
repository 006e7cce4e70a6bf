"""What travels between a run and its workers: made by cloudpickle, and without credentials where it leaves the machine.

A language model is sent without its history, and to a cluster without its key: there a key comes from the worker's own
environment, for what is sent passes schedulers and stores that log and keep it.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cloudpickle
import dspy

from .._errors import SetupError
from .._graph.graph import ComputationGraph
from .._graph.portable import raised_again
from .._graph.trace import Trace
from .._secrets import credentials, hide


def signatures(program: dspy.Module) -> tuple[Any, ...]:
    """The signatures of a program's predictors: of copies of it the same ones stand at the same places."""
    return tuple(one.signature for _, one in program.named_sub_modules(dspy.Predict))  # pyright: ignore


def packed(value: Any, *, trusted: bool, known: Sequence[Any] = ()) -> bytes:
    """A value as bytes for another process.

    Args:
        known: Classes that the other process has, which are told by their place: to make one again takes a millisecond.
        trusted: Whether it is a process that this one started, which has this one's environment.

    Raises:
        SetupError: If a credential would have to leave the machine.
        Exception: Whatever a class of the user's raises that cannot be carried.
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
            return raised_again, (type(obj), obj.args, vars(obj))
        if isinstance(obj, dspy.BaseLM):
            return self._without_key(obj)
        return super().reducer_override(obj)

    def _without_key(self, lm: dspy.BaseLM) -> Any:
        make, arguments, state, *_ = lm.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if not isinstance(state, Mapping):
            return make, arguments, state
        state = {**state, "history": [], "callbacks": []}
        if not self._trusted:
            kept = {name: value for name, value in lm.kwargs.items() if name != "api_key" or not _of_environment(value)}
            title = f"a credential of {getattr(lm, 'model', '?')!r}"
            self.secrets.update((secret, title) for secret in credentials(lm))
            state["kwargs"] = kept
        return make, arguments, state


def _of_environment(key: Any) -> bool:
    return isinstance(key, str) and key in os.environ.values()


def _unshown(noted: Any) -> Any:
    question, answered = noted
    return question, replace(answered, shown=None)
