"""The clock of replays: it goes on by a step each time that it is read, so that it says the same in all of them.

The real one says something else in each replay, often or seldom: a word that hangs on it (the side of a parity, "slow"
where something took longer, what a seed of the time draws) would move as if the answer had moved it that was changed
meanwhile. Here only what is looked at, waited for and slept makes time pass, in each thread and task by itself. An
unchanged replay at another time, with other steps, shows what the clock decides.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import gc
import sys
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ...record.program_code import own_file
from .sealed import by_ourselves, waited_for

_STEP, _LONG_STEP = 1e-5, 0.113
"""By how much a look puts the clock forward, in seconds; the long one shows in texts that say how long it took."""
_LATER, _QUARTER = 61.1, 900.0
"""How much later it is at another time, in seconds: another minute of the same quarter of an hour, on the same day."""
_WALL, _NANOSECOND = ("time",), 10**9
_COUNTING = ("monotonic", "perf_counter", "process_time", "thread_time")

_passed: ContextVar[float] = ContextVar("semantic_passed", default=0.0)


class Clock:
    """The clock of a process that replays: it replaces the real one there, for good, whoever has a name for it."""

    def __init__(self) -> None:
        self.looked = 0
        self._step, self._later, self._waited = _STEP, 0.0, 0.0
        now = time.time()
        # The middle of a second, early enough in a quarter of an hour: a few steps reach no other second or day.
        now = now // 1 + 0.25 - (_LATER if now % _QUARTER > _QUARTER - 2 * _LATER else 0.0)
        starts = {name: now if name in _WALL else getattr(time, name)() for name in (*_WALL, *_COUNTING)}
        clocks: dict[Any, Callable[..., Any]] = {}
        for name, start in starts.items():
            clocks[getattr(time, name)] = functools.partial(self._look, start)
            clocks[getattr(time, f"{name}_ns")] = functools.partial(self._look, start, _NANOSECOND)
        wall = clocks[time.time]
        for name in ("localtime", "gmtime", "ctime"):
            clocks[getattr(time, name)] = _now_by_default(getattr(time, name), wall)
        local = clocks[time.localtime]
        clocks[time.asctime] = _now_by_default(time.asctime, local)
        clocks[time.strftime] = _at_by_default(time.strftime, local)
        sleep: Any = time.sleep
        clocks[sleep] = clocks[sleep.__wrapped__] = self._slept(sleep)
        for module in [time, *own_modules()]:
            for name, value in list(vars(module).items()):
                if callable(value) and type(value).__name__ in _KINDS and value in clocks:
                    setattr(module, name, clocks[value])
        # What the C library makes of the clock is made in Python then.
        setattr(uuid, "_generate_time_safe", None)  # noqa: B010 - a type checker's rule
        _date_by(wall)

    def start(self, later: bool) -> None:
        """Begin a replay: at the usual time, or later, and then each look takes longer too."""
        self.looked, self._waited = 0, waited_for()
        self._step, self._later = (_LONG_STEP, _LATER) if later else (_STEP, 0.0)
        _passed.set(0.0)
        setattr(uuid, "_last_timestamp", None)  # noqa: B010

    def _look(self, start: float, unit: int = 0) -> Any:
        self.looked += 1
        passed = _passed.get() + self._step
        _passed.set(passed)
        seconds = start + self._later + passed + waited_for() - self._waited
        return int(seconds * unit) if unit else seconds

    def _slept(self, sleep: Callable[[float], float]) -> Callable[[float], None]:
        def slept(seconds: float, /) -> None:
            _passed.set(_passed.get() + sleep(seconds))

        return slept


_KINDS = frozenset({"builtin_function_or_method", "function"})


_own: tuple[int, list[Any]] = 0, []


def own_modules() -> list[Any]:
    """The program's own modules, as far as they are loaded.

    Before a fork it is cheap to ask: the child would copy the memory of every module that it looks at.
    """
    global _own
    if _own[0] != len(sys.modules):
        _own = len(sys.modules), [module for module in list(sys.modules.values()) if _is_own(module)]
    return _own[1]


def _is_own(module: Any) -> bool:
    file = getattr(module, "__file__", None) or ("" if getattr(module, "__name__", "") == "__main__" else None)
    return file is not None and own_file(file or "<stdin>")


def _now_by_default(make: Callable[..., Any], now: Callable[[], Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(at: Any = None, /) -> Any:
        return make(now() if at is None else at)

    return made


def _at_by_default(write: Callable[..., str], now: Callable[[], Any]) -> Callable[..., str]:
    @functools.wraps(write)
    def written(form: str, *at: Any) -> str:
        return write(form, *(at or (now(),)))

    return written


def _date_by(wall: Callable[[], float]) -> None:
    """Let dates be made by this clock."""

    def now(cls: Any, tz: Any = None) -> Any:
        return cls.fromtimestamp(wall(), tz)

    def utcnow(cls: Any) -> Any:
        return cls.fromtimestamp(wall(), datetime.timezone.utc).replace(tzinfo=None)

    def today(cls: Any) -> Any:
        return cls.fromtimestamp(wall())

    # The names of a class of C are read-only for all but who has their dictionary.
    of_moments, of_days = (gc.get_referents(vars(kind))[0] for kind in (datetime.datetime, datetime.date))
    of_moments.update(now=classmethod(now), utcnow=classmethod(utcnow))
    of_days.update(today=classmethod(today))
    with by_ourselves():
        for kind in (datetime.date, datetime.datetime):
            ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
