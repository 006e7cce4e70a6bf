"""Seals a process that was forked for replays: what runs in it computes, and reaches nothing outside of it.

What was open leads nowhere, nothing new can be opened but files to read, memory that is shared with others is replaced
by copies, and what needs nothing open (to remove a file, to start a program, to send a signal) is refused by an audit
hook that is never lifted, and by the kernel where it can do so. What the program prints, logs or warns of was said
once, by the run, and is dropped.
"""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import faulthandler
import functools
import gc
import importlib
import io
import logging
import os
import queue
import signal
import sqlite3.dbapi2
import stat
import sys
import threading
import time
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import dspy

from ...record.effects import EffectRefused
from .severed import cutting, descriptors, unsharing
from .syscalls import refuses

if sys.platform != "win32":
    import resource

_ROOMS = frozenset(
    {
        *("os", "shutil", "subprocess", "socket", "ctypes", "fcntl", "signal", "syslog", "sqlite3", "resource", "pty"),
        *("ftplib", "http", "smtplib", "imaplib", "poplib", "nntplib", "telnetlib", "urllib", "webbrowser", "tempfile"),
    }
)
"""The modules whose events are refused, but for these."""
_HARMLESS = frozenset(
    {
        *("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.chdir", "os.putenv", "os.unsetenv", "os.getxattr"),
        *("os.listxattr", "ctypes.addressof", "ctypes.cdata", "ctypes.get_errno", "ctypes.set_errno"),
        *("ctypes.string_at", "ctypes.wstring_at", "socket.gethostname", "sqlite3.connect/handle"),
    }
)
_VERSIONS = slice(18, 20)
"""Where a database says whether it has a log of writes beside it."""
_SILENT_FILES = (os.devnull, "/dev/urandom", "/dev/random", "/dev/zero")
_LARGEST_COPY = 64 * 2**20
_LONGEST_PAUSE = 0.001
_LOOK = 1e-7
_MORE_FILES = 64

_own = threading.local()


@contextmanager
def by_ourselves() -> Iterator[None]:
    """Let happen inside what is refused in a sealed process: a replay in a process of its own has to be started."""
    if not is_sealed():
        yield
        return
    _own.here = True
    try:
        with _files():
            yield
    finally:
        _own.here = False


def seal(kept: Iterable[int], nowhere: int) -> bool:
    """Seal this process, whose one thread this is, and which was severed at its fork.

    Args:
        kept: The descriptors that lead somewhere from now on.
        nowhere: The one that leads nowhere.

    Returns:
        Whether the kernel sees to it too.
    """
    sys.addaudithook(_refuse)
    _own.here = True
    # Once more: another thread may have opened or mapped something while the fork was made ready.
    for step in (*cutting({*kept, nowhere}, nowhere), *unsharing()):
        step()
    _signals()
    _limit_files()
    _silence(nowhere)
    _wake_nobody()
    _wait_for_nobody()
    gc.freeze()
    gc.enable()
    restricted = refuses()
    _own.here = False
    return restricted


def die_with_parent() -> None:
    """Have this process end when the one thread of its parent does, where the system can do that."""
    if sys.platform == "linux":
        signal_at_death = 1
        ctypes.PyDLL(None).prctl(signal_at_death, signal.SIGKILL, 0, 0, 0)


def is_sealed() -> bool:
    """Whether this process is sealed."""
    return bool(_ceiling)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        if not _reads(*arguments[:3]):
            raise EffectRefused(f"side effects are refused (open {str(arguments[0])[:80]})")
    elif event == "builtins.input" or (event.partition(".")[0] in _ROOMS and event not in _HARMLESS):
        if getattr(_own, "here", False) or (event == "sqlite3.connect" and str(arguments[0]) == ":memory:"):
            return
        words = f"{event} {str(arguments[0])[:80] if arguments else ''}".strip()
        raise EffectRefused(f"side effects are refused ({words})")


def _reads(path: Any, mode: Any, flags: Any) -> bool:
    """Whether an existing file is opened to read it, or nothing comes of it."""
    if isinstance(path, int) or str(path) == os.devnull:
        return True
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else False
    if writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)):
        return False
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return True
    return stat.S_ISREG(kind) or stat.S_ISDIR(kind) or str(path) in _SILENT_FILES


def _signals() -> None:
    """Forget the user's signal handlers; Ctrl-C is the parent's affair, which ends its children."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()


_ceiling = 0
_opening = threading.Lock()
_openers = 0


def _limit_files() -> None:
    """Let nothing be opened any more, and no memory be dumped to a file when the process dies."""
    global _ceiling
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Numbers are given from the lowest hole on: above the highest one there is room whatever is open below.
    most = 1 + max(map(int, os.listdir(descriptors()))) + _MORE_FILES
    _ceiling = most if hard == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, _ceiling))
    for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "listdir"), (os, "scandir")):
        setattr(module, name, _with_files(getattr(module, name)))
    setattr(tokenize, "_builtin_open", builtins.open)  # noqa: B010 - a type checker's rule
    if hasattr(sqlite3.Connection, "deserialize"):
        for module in (sqlite3, sqlite3.dbapi2):
            setattr(module, "connect", _connected(sqlite3.connect))  # noqa: B010 - a type checker's rule
    # Only what is not loaded yet comes here, whoever imports it.
    loading: Any = importlib._bootstrap  # pyright: ignore[reportAttributeAccessIssue]
    loading._find_and_load = _with_files(loading._find_and_load)


def _connected(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Opens a database that is a file as a copy in memory: what is read is there, what is written is nowhere."""

    @functools.wraps(connect)
    def connected(database: Any, *args: Any, **kwargs: Any) -> Any:
        path = urlsplit(database).path if kwargs.pop("uri", False) else os.fspath(database)
        content = _content(path) if path != ":memory:" else b""
        if content is None:
            return connect(database, *args, **kwargs)
        connection = connect(":memory:", *args, **kwargs)
        if content:
            connection.deserialize(content)
        return connection

    return connected


def _content(path: Any) -> bytes | None:
    """What a database file holds; None where that is not all, or too much, or no such file is there."""
    with suppress(OSError):
        journals = any(os.path.exists(f"{path}{end}") for end in ("-wal", "-journal"))
        if os.path.isfile(path) and os.path.getsize(path) <= _LARGEST_COPY and not journals:
            with open(path, "rb") as file:
                content = bytearray(file.read())
            # A copy in memory has no log of writes beside it.
            content[_VERSIONS] = b"\1\1" if len(content) > _VERSIONS.stop else content[_VERSIONS]
            return bytes(content)
    return None


@contextmanager
def _files() -> Iterator[None]:
    """Let files be opened inside; what the hook thinks of them is another matter."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(more: int) -> None:
    global _openers
    with _opening:
        _openers += more
        before, _own.here = getattr(_own, "here", False), True
        resource.setrlimit(resource.RLIMIT_NOFILE, (_ceiling if _openers else 0, _ceiling))
        _own.here = before


def _with_files(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def opened(*args: Any, **kwargs: Any) -> Any:
        with _files():
            return function(*args, **kwargs)

    return opened


def _silence(nowhere: int) -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = open(nowhere, mode, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    logging.disable(sys.maxsize)
    # A cache on the disk is a database, which a replay cannot open; what it misses in memory is worked out again. DSPy
    # makes its cache where it is first read, and one on the disk takes longer than the replays of most programs; one in
    # memory would be empty, and its library loaded for each.
    if "cache" in vars(dspy):
        dspy.cache.enable_disk_cache = False
    else:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    warnings.showwarning = lambda *details, **more: None
    with suppress(Exception):
        telemetry = sys.modules["opentelemetry.context"]
        telemetry.attach(telemetry.set_value(telemetry._SUPPRESS_INSTRUMENTATION_KEY, True))


def _wake_nobody() -> None:
    """Make pools of threads, pauses and event loops work without the threads that were, and without descriptors."""
    if "tqdm.std" in sys.modules:
        sys.modules["tqdm.std"].tqdm.set_lock(threading.RLock())
    asyncio.events._set_running_loop(None)
    policy: Any = asyncio.DefaultEventLoopPolicy()
    policy._loop_factory = _Loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.set_event_loop_policy(policy)
    if "multiprocessing.pool" in sys.modules:
        pools: Any = sys.modules["multiprocessing.pool"]
        sys.modules["multiprocessing.context"].BaseContext.SimpleQueue = lambda context: _Queue()
        pools.Pool._wait_for_updates = staticmethod(lambda sentinels, notifier, timeout=None: notifier.get())
    submit, pause = ThreadPoolExecutor.submit, time.sleep

    def submitted(self: Any, *args: Any, **kwargs: Any) -> Any:
        # A pool that was made before has lost its threads.
        if self._threads and not any(thread.is_alive() for thread in self._threads):
            self._threads, self._work_queue = set(), SimpleQueue()
            self._idle_semaphore, self._shutdown_lock = threading.Semaphore(0), threading.Lock()
        return submit(self, *args, **kwargs)

    ThreadPoolExecutor.submit = submitted

    @functools.wraps(pause)
    def paused(seconds: float, /) -> float:
        # Nobody waits for anything that answers: the order is what counts.
        short = min(float(seconds), _LONGEST_PAUSE)
        pause(short)
        return short if threading.active_count() > 1 else float(seconds)

    setattr(time, "sleep", paused)  # noqa: B010 - a type checker's rule


_ahead = _overdue = 0.0


def _wait_for_nobody() -> None:
    """Where there is no other thread to wait for, put the clock forward, and refuse to wait for ever."""
    wait, clock = threading.Condition.wait, time.monotonic

    def waited(self: threading.Condition, timeout: float | None = None) -> bool:
        global _ahead, _overdue
        if threading.active_count() > 1:
            came = wait(self, timeout)
            _overdue += 0.0 if came or timeout is None else timeout
            return came
        if timeout is None:
            raise EffectRefused("it waits for another thread, and a replay has none of the application's")
        _ahead += max(timeout, 0.0)
        return False

    now = last = clock()

    def passing(*_: Any) -> float:
        nonlocal now, last
        # How long one thread computes is no part of it: else it would decide what is due first.
        real = clock()
        now, last = now + (real - last if threading.active_count() > 1 else _LOOK), real
        return now + _ahead

    threading.Condition.wait = waited
    # What waits in a loop looks at the clock; the library's own modules hold it by names of theirs.
    for module, name in ((threading, "_time"), (queue, "time"), (_Loop, "time")):
        setattr(module, name, passing)


def waited_for() -> float:
    """How many seconds were waited for in this process until they were over."""
    return _ahead + _overdue


class _Queue(SimpleQueue[Any]):
    """What `multiprocessing.pool.ThreadPool` tells its own threads by: there it is a pipe."""

    _reader = None

    def close(self) -> None:
        pass


class _Selector:
    """Waits for other threads and for the clock, without a descriptor."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def select(self, timeout: float | None = None) -> list[Any]:
        self.woken.wait(timeout)
        self.woken.clear()
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}

    def close(self) -> None:
        pass


class _Loop(asyncio.SelectorEventLoop):
    """An event loop for a process that can open nothing."""

    def __init__(self) -> None:
        super().__init__(_Selector())  # pyright: ignore[reportArgumentType]

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._selector.woken.set()  # pyright: ignore[reportAttributeAccessIssue]

    def add_signal_handler(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError
