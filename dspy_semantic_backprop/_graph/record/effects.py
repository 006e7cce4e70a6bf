"""What a program does to the world besides calling predictors: files written, sockets opened, processes started.

Python reports such events to audit hooks. While a program is recorded its events are noted; while it is run again for
a check of blame, with answers that nobody gave, they are refused before they happen. Writing to a file that is open
already raises no event.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from ..._errors import Stop

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
_installed = threading.Lock()


class EffectRefused(Stop):
    """A replay, or a program run again for a check, tried to change the world outside of the program."""


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    # Hooks cannot be removed, so there is one for the life of the process, idle outside of these contexts.
    if _installed.acquire(blocking=False):
        sys.addaudithook(_hook)
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def watched(seen: list[str]) -> AbstractContextManager[None]:
    """Note in `seen` what happens inside, in words."""
    return _set(_seen, seen)


def refused(refuse: bool = True) -> AbstractContextManager[None]:
    """Refuse what happens inside before it happens, or let it happen inside of such a stretch."""
    return _set(_forbidden, refuse)


def pause() -> Any:
    """Stop watching in this context; returns what `resume` needs."""
    return _seen.set(None)


def resume(token: Any) -> None:
    """Watch again after `pause`; a token of another context is let go."""
    with suppress(ValueError):
        _seen.reset(token)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" and event not in _EVENTS:
        return
    seen = _seen.get()
    refuse = _forbidden.get()
    if (seen is None and not refuse) or (event == "open" and not opens_to_write(*arguments[:3])):
        return
    if event == "sqlite3.connect" and str(arguments[0]) == ":memory:":
        return
    words = f"{event} {str(arguments[0])[:80] if arguments else ''}".strip()
    if refuse:
        raise EffectRefused(words)
    if seen is not None:
        seen.append(words)


def opens_to_write(path: Any, mode: Any, flags: Any) -> bool:
    """Whether an event of a file that is opened means that it is written."""
    if "__pycache__" in str(path) or str(path) == os.devnull:
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)
