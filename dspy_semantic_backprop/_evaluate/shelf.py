"""Where a run keeps the executions that it has made: the newest as they are, older ones packed.

Any execution may be needed again: the best program so far is improved from its failures, and what was made from a
program is answered as that one was. But a run of a thousand executions would hold a thousand times all that a program
passed around; packed, a record of a program on texts takes a tenth. It is opened again where it is looked at.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import types
import zlib
from collections import deque
from collections.abc import Iterable
from typing import Any

from .._graph.graph import ComputationGraph
from .._graph.trace import Trace
from .candidate import original
from .outcome import Outcome, Scored

OPEN = 48
"""So many executions are kept as they are."""
LARGEST = 256 * 1024
"""A record of more bytes stays open: it is large for what it shares with its example, which packed it would repeat."""


_AT_A_TIME = 4
"""So many are packed when an execution ends: more than one, so that what was opened again is packed in the end."""


class Shelf:
    """Keeps the newest executions as they are, and older ones packed."""

    def __init__(self) -> None:
        self._open: deque[Scored] = deque()

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Take in the executions of an evaluation; besides them no more than `OPEN` stay as they are."""
        new = [one for one in outcomes if isinstance(one, Scored)]
        self._open.extend(new)
        self._pack(len(self._open) - OPEN - len(new))

    def tidy(self) -> None:
        """Pack some of the oldest executions that are open, where there are more than `OPEN`.

        To be called whenever one ends: then others wait for their answers, while between evaluations all would wait.
        """
        self._pack(min(_AT_A_TIME, len(self._open) - OPEN))

    def _pack(self, count: int) -> None:
        for _ in range(count):
            oldest = self._open.popleft()
            packed = _packed(oldest)
            if packed is not None:
                oldest.close(functools.partial(self._reopened, *packed))

    def _reopened(self, data: bytes, beside: tuple[Any, ...], outcome: Scored) -> dict[str, Any]:
        self._open.append(outcome)
        return _opened(zlib.decompress(data), beside)


def _packed(outcome: Scored) -> tuple[bytes, tuple[Any, ...]] | None:
    """Parts of an execution in few bytes, and what is kept beside; None where they would not come back as they are."""
    file = _Small()
    try:
        pickler = _Pickler(file, outcome.trace.constants)
        pickler.dump(outcome.parts())
        beside = tuple(pickler.beside)
        _opened(file.getvalue(), beside)
    except Exception:  # noqa: BLE001 - any class of the user's may refuse in its own way
        return None
    return zlib.compress(file.getvalue(), 1), beside


def _opened(data: bytes, beside: tuple[Any, ...]) -> dict[str, Any]:
    unpickler = pickle.Unpickler(io.BytesIO(data))
    unpickler.persistent_load = lambda at: beside[int(at)]  # pyright: ignore[reportAttributeAccessIssue]
    return unpickler.load()


class _Small(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > LARGEST:
            raise ValueError("too large to be packed")
        return super().write(data)


class _Pickler(pickle.Pickler):
    """Carries a record whole, with its live objects: what stands twice in it is one object again.

    Args:
        constants: Of the program: kept beside, since all executions of an evaluation share them.
    """

    def __init__(self, file: io.BytesIO, constants: tuple[Any, ...]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._constants = constants
        self._places: dict[int, int] = {}
        self.beside: list[Any] = []

    def persistent_id(self, obj: Any) -> int | None:
        """Classes are kept beside, too: those that are made by a call, as signatures are, stand in no module.

        Of an edited signature its original is kept: what the instruction was stands in the record of the call.
        """
        kept = original(obj) if isinstance(obj, type) else obj if obj is self._constants else None
        if kept is None:
            return None
        if id(kept) not in self._places:
            self._places[id(kept)] = len(self.beside)
            self.beside.append(kept)
        return self._places[id(kept)]

    def reducer_override(self, obj: Any) -> Any:
        """How an object is carried; most as ever."""
        if isinstance(obj, (BaseException, types.FunctionType)):
            raise pickle.PicklingError("what raised keeps its traceback, and functions what they close over")
        if type(obj) in (Trace, ComputationGraph):
            return copyreg.__newobj__, (type(obj),), vars(obj)  # pyright: ignore[reportAttributeAccessIssue]
        return NotImplemented
