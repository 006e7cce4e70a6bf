"""What other packages do, done otherwise while a run needs it, and as it was before once no run does."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Replacement = tuple[Any, str, Callable[[Any], Any]]
"""A class or module, the name of a function of it, and what makes another one of that."""


_CLIENTS = ("httpx", "httpx2")
"""What LiteLLM and the providers' own libraries send through: OpenAI's newer ones have the second."""


def http_clients() -> Iterator[Any]:
    """The modules through whose clients nearly all requests to providers go, as far as they are installed."""
    for name in _CLIENTS:
        with suppress(ImportError):
            yield importlib.import_module(name)


class Patched:
    """Functions of others, replaced while anybody is inside; several may be at once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._originals: dict[tuple[Any, str], Any] = {}
        self._users = 0

    @contextmanager
    def inside(self, replacements: Callable[[], Iterable[Replacement]]) -> Iterator[None]:
        """Inside, functions are replaced, each once; what is found later, as a new class is, by whoever comes next."""
        with self._lock:
            self._users += 1
            for owner, name, make in replacements():
                if (owner, name) not in self._originals:
                    self._originals[owner, name] = original = getattr(owner, name)
                    setattr(owner, name, make(original))
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    for (owner, name), original in self._originals.items():
                        setattr(owner, name, original)
                    self._originals.clear()
