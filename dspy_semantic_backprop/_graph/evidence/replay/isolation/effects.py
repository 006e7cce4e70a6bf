"""What a program does to the world besides calling predictors: files written, sockets opened, processes started.

Python reports such events to audit hooks. While a program is recorded its events are noted, so that one
with side effects is not run again; while it is replayed they are refused before they happen, and what it prints,
logs or warns of is dropped, since it was said once and now holds made-up values.

Why an audit hook: it is the interpreter's own report, it sees through every library, and it costs a
context lookup on rare events only. Writing to a file that is open already raises no event.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from ....._errors import Stop
from ....record.threads import threads_followed

_EVENTS = frozenset(
    {
        *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.system", "os.exec", "os.posix_spawn"),
        *("os.chmod", "os.link", "os.symlink", "os.kill", "os.putenv", "os.unsetenv", "os.chdir", "os.fork"),
        *("subprocess.Popen", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
        *("sqlite3.connect", "shutil.move", "shutil.rmtree", "shutil.copyfile", "smtplib.send", "urllib.Request"),
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen: ContextVar[list[str] | None] = ContextVar("semantic_effects", default=None)
_forbidden: ContextVar[bool] = ContextVar("semantic_effects_forbidden", default=False)
_replaying: ContextVar[bool] = ContextVar("semantic_replaying", default=False)
_installed = threading.Lock()


class EffectRefused(Stop):
    """A replay tried to change the world outside of the program."""


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def watched(seen: list[str]) -> AbstractContextManager[None]:
    """Note in `seen` what happens inside, in words."""
    _install()
    return _set(_seen, seen)


@contextmanager
def replaying(allow_effects: bool) -> Iterator[None]:
    """Run a replay inside: its threads belong to it, and what would change the world is refused unless allowed."""
    _install()
    with _set(_replaying, True), _set(_forbidden, not allow_effects), threads_followed():
        yield


def permitted() -> AbstractContextManager[None]:
    """Let happen what happens inside of a stretch where it is forbidden: a language model must be reached."""
    return _set(_forbidden, False)


def pause() -> Any:
    """Stop watching in this context; returns what `resume` needs."""
    return _seen.set(None)


def resume(token: Any) -> None:
    """Watch again after `pause`; a token of another context is let go."""
    with suppress(ValueError):
        _seen.reset(token)


def _install() -> None:
    # Hooks cannot be removed, so there is one for the life of the process, idle outside of the contexts above.
    if _installed.acquire(blocking=False):
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" and event not in _EVENTS:
        return
    seen = _seen.get()
    refuse = _forbidden.get()
    if seen is None and not refuse:
        return
    if event == "open" and not _writes(arguments):
        return
    if event == "sqlite3.connect" and str(arguments[0]) == ":memory:":
        return
    words = f"{event} {str(arguments[0])[:80] if arguments else ''}".strip()
    if refuse:
        raise EffectRefused(words)
    if seen is not None:
        seen.append(words)


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = (*arguments, None, None, None)[:3]
    if "__pycache__" in str(path) or str(path) == os.devnull:
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


class _Muted:
    """A stream that takes nothing from a replay."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if _replaying.get() else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unless_replaying(record: logging.LogRecord) -> bool:
    return not _replaying.get()


@contextmanager
def quiet() -> Iterator[None]:
    """Let replays inside be silent: on standard output, standard error, in the log and in warnings."""
    loggers = [
        logging.root,
        *(one for one in list(logging.root.manager.loggerDict.values()) if isinstance(one, logging.Logger)),
    ]
    handlers = list({id(one): one for logger in loggers for one in logger.handlers}.values())
    handlers += [logging.lastResort] if logging.lastResort is not None else []
    streams = {name: _Muted(getattr(sys, name)) for name in ("stdout", "stderr") if getattr(sys, name) is not None}
    shown = warnings.showwarning

    def show(*details: Any, **more: Any) -> None:
        if not _replaying.get():
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
