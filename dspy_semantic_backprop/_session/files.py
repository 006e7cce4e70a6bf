"""Files that are this package's own: regular ones, never reached through a link, readable by their owner only."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from .._errors import JournalError

_FLAGS = 0
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def opened(path: Path, access: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file, as a rule for reading and writing, and make it where there is none; nothing in it is changed.

    Raises:
        JournalError: If it is a link, a pipe, a folder or a device.
        OSError: If the system refuses.
    """
    # A pipe would wait for its other end, and a device may act on being opened: looked at first.
    if os.path.lexists(path):
        _check_kind(path, os.lstat(path).st_mode)
    try:
        handle = os.open(path, access | _FLAGS, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            _check_kind(path, stat.S_IFLNK)
        raise
    try:
        # It may have been put there in between.
        _check_kind(path, os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise JournalError(f"{path} is {kind} and no file of this package; remove it, or choose another log_dir")


def content(handle: int, most: int = -1) -> bytes:
    """What stands in an open file, at most so many bytes of it."""
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        return file.read(most)


def refused(folder: str, error: BaseException) -> JournalError:
    """Why a folder cannot hold a log, in words."""
    why = str(error)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        why = f"{error.filename} is a file, and no folder"
    elif isinstance(error, OSError) and error.strerror:
        why = error.strerror + (f": {error.filename}" if error.filename else "")
    elif isinstance(error, ValueError) and "\0" in folder:
        why = "no path can hold the character NUL"
    return JournalError(f"log_dir={folder!r} cannot be used: {why}")
