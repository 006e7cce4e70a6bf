"""What the kernel lets a replay do: compute, wait, start threads, read files; on Linux, by a seccomp filter.

An audit hook sees what Python does and nothing that C code does. The kernel sees all of it. What is not in the list is
answered as a kernel would that does not know it (ENOSYS), which libraries are prepared for.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import sys
from collections.abc import Iterator

_X86 = (
    "0 1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 19 20 21 22 23 24 25 27 28 32 33 35 36 38 39 56 57 60 61 63 72 78 "
    "79 89 96 97 98 99 100 102 104 107 108 110 111 115 131 137 138 143 145 157 158 160 186 201 202 204 217 "
    "218 228 229 230 231 262 267 269 270 271 273 274 281 292 293 295 302 309 318 324 332 334 439"
)
_ARM = (
    "17 22 23 24 25 29 43 44 48 57 59 61 62 63 64 65 66 67 69 72 73 78 79 80 93 94 96 98 99 100 101 102 103 113 "
    "114 115 120 121 123 124 132 134 135 139 153 158 160 163 164 165 167 168 169 172 173 174 175 176 177 178 179 "
    "214 215 216 220 222 226 232 233 260 261 278 283 291 293 439"
)
# For each machine: what it is called by the kernel; the calls let through; opening a file (the call, and which argument
# says how); setting the limits of a process (which may be another); and the call that installs a filter.
_MACHINES = {
    "x86_64": (0xC000003E, _X86, ((2, 1), (257, 2)), 302, 317),
    "aarch64": (0xC00000B7, _ARM, ((56, 2),), 261, 277),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALLOWED, _UNKNOWN = 0x7FFF0000, 0x00050000 | 38
_LOAD, _IS, _HAS, _RETURN = 0x20, 0x15, 0x45, 0x06

_STEP = struct.Struct("=HBBI")
Step = tuple[int, int, int, int]
"""An instruction of the filter: the operation, how far to jump where it holds and where not, and its constant."""


def _filter(machine: str) -> Iterator[Step]:
    """The filter as instructions: first what machine and which call it is, then call after call."""
    name, calls, opening, limits, _ = _MACHINES[machine]
    yield from ((_LOAD, 0, 0, 4), (_IS, 1, 0, name), (_RETURN, 0, 0, _UNKNOWN), (_LOAD, 0, 0, 0))
    for call in map(int, calls.split()):
        if call != limits:
            yield from ((_IS, 0, 1, call), (_RETURN, 0, 0, _ALLOWED))
    for call, argument in opening:
        yield from ((_IS, 0, 4, call), (_LOAD, 0, 0, 16 + 8 * argument), (_HAS, 1, 0, _WRITING))
        yield from ((_RETURN, 0, 0, _ALLOWED), (_RETURN, 0, 0, _UNKNOWN))
    yield from ((_IS, 0, 3, limits), (_LOAD, 0, 0, 16), (_IS, 0, 1, 0), (_RETURN, 0, 0, _ALLOWED))
    yield (_RETURN, 0, 0, _UNKNOWN)


@functools.cache
def _code(machine: str) -> bytes:
    return b"".join(_STEP.pack(*step) for step in _filter(machine))


def is_restricted() -> bool:
    """Whether the kernel of this system can be told what to let through; what it will be told is ready then."""
    known = sys.platform == "linux" and platform.machine() in _MACHINES and sys.maxsize > 2**32
    return known and bool(_code(platform.machine()))


def restricting() -> list[functools.partial[None]]:
    """Calls of C code after which this process and its children can do nothing that changes what is outside of it.

    None of them elsewhere than on Linux.
    """
    if not is_restricted():
        return []
    code = ctypes.create_string_buffer(_code(platform.machine()))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // _STEP.size, ctypes.addressof(code)))
    library = ctypes.PyDLL(None)
    library.prctl.restype = library.syscall.restype = None
    no_new_privileges, set_filter, all_threads = 38, 1, 1
    # The filter holds the address of its code only: the code stays as long as the call does.
    return [
        functools.partial(library.prctl, no_new_privileges, 1, 0, 0, 0),
        functools.partial(library.syscall, _MACHINES[platform.machine()][4], set_filter, all_threads, program, code),
    ]


def refuses() -> bool:
    """Whether the kernel refuses this process what it then shall: to open what nobody has anything to lose by."""
    opened = ctypes.PyDLL(None, use_errno=True).open(os.devnull.encode(), os.O_RDWR)
    if opened >= 0:
        os.close(opened)
    return opened < 0 and ctypes.get_errno() == _UNKNOWN & 0xFFFF
