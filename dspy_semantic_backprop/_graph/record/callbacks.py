"""DSPy's callbacks, at the price of what is recorded of them.

As soon as any callback is installed DSPy dispatches around every module, every `format` and `parse` of an
adapter and every language model: it binds the arguments by inspection and finds the handler by a row of type
checks, for the start and for the end. That takes longer than all that the recorder does. The recorder needs
one of those dispatches, the predictor's, and of that one the arguments only.

Why a list: DSPy adds `settings.callbacks` to those of the instance at each dispatch, and goes through the sum
once at the start and once at the end. A list may answer both for itself. Everyone else finds a list with the
user's callbacks and the recorder in it, and whatever DSPy does with it in another version ends in the
ordinary dispatch: slower, and the same record.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any, Literal

from dspy.utils.callback import BaseCallback, with_callbacks

Need = Literal["none", "call", "all"]
"""What the recorder needs of a dispatch: nothing, a predictor's call, or the ordinary dispatch."""

_LOGGER = logging.getLogger(__name__)


def _inner(name: str, *variables: str) -> CodeType | None:
    """A function inside of DSPy's decorator; None where it is not there, or does not have these variables."""
    constants = getattr(getattr(with_callbacks, "__code__", None), "co_consts", ())
    codes = [code for code in constants if isinstance(code, CodeType) and code.co_name == name]
    return codes[0] if codes and set(variables) <= set(codes[0].co_varnames) else None


_ASKS = _inner("_get_active_callbacks", "instance")
_STARTS = _inner("_execute_start_callbacks", "instance", "call_id", "inputs")
_ENDS = _inner("_execute_end_callbacks", "call_id", "results", "exception")


class Callbacks(list[BaseCallback]):
    """The user's callbacks and the recorder, which takes part only where there is something to record.

    Args:
        users: The callbacks that are installed anyway.
        recorder: Takes part where `need` says so.
        need: What the recorder needs of a dispatch for an instance of DSPy's classes.
    """

    def __init__(self, users: Iterable[BaseCallback], recorder: BaseCallback, need: Callable[[Any], Need]) -> None:
        super().__init__([*(one for one in users if one is not recorder), recorder])
        self._recorder = recorder
        self._need = need

    def __add__(self, others: Any) -> Any:
        frame = sys._getframe(1)
        if frame.f_code is not _ASKS or _STARTS is None or _ENDS is None:
            return super().__add__(others)
        need = self._need(frame.f_locals["instance"])
        if need == "none":
            users = [] if len(self) == 1 else [one for one in self if one is not self._recorder]
            return users + others if others else users
        return _Dispatch(super().__add__(others), self._recorder) if need == "call" else super().__add__(others)


class _Dispatch(list[BaseCallback]):
    """The callbacks of one predictor call: to go through them is to tell the recorder."""

    def __init__(self, callbacks: Iterable[BaseCallback], recorder: BaseCallback) -> None:
        super().__init__(callbacks)
        self._recorder = recorder

    def __iter__(self) -> Iterator[BaseCallback]:
        frame = sys._getframe(1)
        if frame.f_code is _STARTS or frame.f_code is _ENDS:
            self._tell(frame)
            return iter(() if len(self) == 1 else [one for one in super().__iter__() if one is not self._recorder])
        return super().__iter__()

    def _tell(self, frame: FrameType) -> None:
        seen = frame.f_locals
        try:
            if frame.f_code is _STARTS:
                self._recorder.on_module_start(seen["call_id"], seen["instance"], seen["inputs"])
            else:
                self._recorder.on_module_end(seen["call_id"], seen["results"], seen["exception"])
        except Exception as error:  # noqa: BLE001 - as in DSPy's own dispatch, recording must not fail the program
            _LOGGER.warning("recording a call failed: %s", error)
