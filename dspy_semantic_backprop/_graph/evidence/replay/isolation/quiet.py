"""Replays say nothing: what a replayed program prints, logs or warns of was said once, and now holds made-up values.

Only the replay's own context is silent. Everybody else's output passes as before, also while a replay runs.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .effects import is_replaying


class _Muted:
    """A stream that takes nothing from a replay."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, unless a replay does."""
        return len(text) if is_replaying() else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unless_replaying(record: logging.LogRecord) -> bool:
    return not is_replaying()


@contextmanager
def quiet() -> Iterator[None]:
    """Let replays inside be silent: on standard output, standard error, in the log and in warnings."""
    loggers = [logging.root, *(one for one in list(logging.root.manager.loggerDict.values()) if _is_logger(one))]
    handlers = list({id(one): one for logger in loggers for one in logger.handlers}.values())
    handlers += [logging.lastResort] if logging.lastResort is not None else []
    streams = {name: _Muted(getattr(sys, name)) for name in ("stdout", "stderr") if getattr(sys, name) is not None}
    shown = warnings.showwarning

    def show(*details: Any, **more: Any) -> None:
        if not is_replaying():
            shown(*details, **more)

    warnings.showwarning = show
    for handler in handlers:
        handler.addFilter(_unless_replaying)
    for name, stream in streams.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = shown
        for handler in handlers:
            handler.removeFilter(_unless_replaying)
        for name, stream in streams.items():
            # Somebody may have put another stream in place meanwhile: that one stays.
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._stream)


def _is_logger(one: Any) -> bool:
    return isinstance(one, logging.Logger)
