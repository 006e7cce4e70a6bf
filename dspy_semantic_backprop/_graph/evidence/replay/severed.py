"""Forks this process so that the child is cut off from the world before anything of Python's runs in it.

The first thing that Python does in a child is to let go of what other threads held: their local values, their
contexts. A file would write what it had yet to write a second time, a connection take its leave of a server, a database
remove its log of writes; and then the handlers of forks are called. So the child's first steps, up to Python's own, are
functions of C, called from C (by `map`): between two of them the interpreter does not look whether another thread wants
a turn, for which it would wait for ever where there is no other thread.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import itertools
import mmap
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller, not_
from typing import Any

from .syscalls import restricting

Step = Callable[[], Any]
"""A call of C code that gives nothing, or 0."""

_SHARED = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) .w.s \S+ \S+ \S+ *(.*)$", re.MULTILINE)
"""A line of the process's memory that is shared and can be written: from where, to where, and whose it is."""
_LARGEST_COPY = 64 * 2**20
_CLOSE_RANGE, _LAST = 436, 2**31 - 1
"""The kernel's call that closes all descriptors from one to another, and the largest number of one."""


@functools.cache
def _library() -> Any:
    """The functions of C and of Python that are called; each but `fork` as if it gave nothing."""
    library = ctypes.PyDLL(None, use_errno=True)
    python = ("PyOS_BeforeFork", "PyOS_AfterFork_Child", "PyOS_AfterFork_Parent")
    for name in ("dup2", "memmove", "mmap", "mprotect", "syscall", *python):
        getattr(library, name).restype = None
    return library


def forked(first: Sequence[Step]) -> int:
    """Fork, and in the child call first what is given; 0 there, and the child's number here.

    Raises:
        OSError: If the system refuses.
    """
    library = _library()
    steps = (library.PyOS_BeforeFork, library.fork, *first, library.PyOS_AfterFork_Child)
    pid = -1
    try:
        # Ends at the first that gives anything: in the parent that is the fork.
        pid = next(filter(None, map(methodcaller("__call__"), steps)), 0)
    finally:
        if pid:
            library.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


def severing(kept: Iterable[int], nowhere: int) -> list[Step]:
    """What cuts a child off: nothing is collected or shared any more, and of what is open only `kept` leads anywhere.

    All else leads to where `nowhere` does.
    """
    return [gc.disable, *cutting({*kept, nowhere}, nowhere), *unsharing(), *restricting()]


def cutting(kept: set[int], nowhere: int) -> Iterator[Step]:
    """Let descriptors lead nowhere, and keep their numbers, which objects of Python's still hold."""
    library = _library()
    known = {*map(int, os.listdir(descriptors()))}
    for number in known - kept:
        yield functools.partial(library.dup2, nowhere, number)
    if sys.platform == "linux":
        # What other threads open meanwhile.
        for before, after in itertools.pairwise(sorted({-1, *known, *kept, _LAST + 1})):
            if after - before > 1:
                yield functools.partial(library.syscall, _CLOSE_RANGE, before + 1, after - 1, 0)


def descriptors() -> str:
    """The folder that lists what this process has open."""
    return "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


def unsharing() -> Iterator[Step]:
    """Replace memory that is shared with others by a copy; what is large can only be read, what is foreign not even so.

    Whoever tries all the same dies, and his process with him.
    """
    if not os.path.exists("/proc/self/maps"):
        return
    library = _library()
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        maps = file.read()
    for place in _SHARED.finditer(maps):
        start, end, path = int(place[1], 16), int(place[2], 16), place[3]
        at, size = ctypes.c_void_p(start), ctypes.c_size_t(end - start)
        if path.startswith("/dev/") and not path.startswith(("/dev/shm/", "/dev/zero")):
            yield functools.partial(library.mprotect, at, size, 0)
        elif end - start > _LARGEST_COPY:
            yield functools.partial(library.mprotect, at, size, mmap.PROT_READ)
        else:
            held, fixed = ctypes.create_string_buffer(end - start), 0x10
            how = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed
            # Another thread may have given it back meanwhile, as a database does at its end: -1, and nothing is copied.
            yield _until_not_0(
                functools.partial(
                    library.mincore, at, size, ctypes.create_string_buffer(-(-(end - start) // mmap.PAGESIZE))
                ),
                functools.partial(library.memmove, held, at, size),
                functools.partial(library.mmap, at, size, mmap.PROT_READ | mmap.PROT_WRITE, how, -1, ctypes.c_long(0)),
                functools.partial(library.memmove, at, held, size),
            )


def _until_not_0(*steps: Step) -> Step:
    """One step that does several, up to the first that gives anything but nothing or 0."""
    return functools.partial(deque(maxlen=0).extend, itertools.takewhile(not_, map(methodcaller("__call__"), steps)))
