"""Interpreters in a replay: the code that a model wrote is not run again where the record knows what came of it.

DSPy reports only what its own interpreter runs. One of the user's own class runs in the replay too, which is sealed:
where it needs the world it fails, and the replay says that it could not follow.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ...._values.copies import snapshot
from ...._values.same import alike
from ...record.recorder import asked_interpreter
from .replay import current_replay, other_answer


def _run_code(self: Any, code: str, variables: Mapping[str, Any] | None = None, **options: Any) -> Any:
    return current_replay().aside("interpreter", asked_interpreter(code, variables))


class ReplayInterpreter:
    """Answers requests to run code from the record, and runs none."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}

    def start(self) -> None:
        """Do nothing."""

    execute = _run_code

    def shutdown(self) -> None:
        """Do nothing."""


def answering(interpreter: Any) -> Any:
    """An interpreter whose class answers from the record from now on."""
    for name in ("start", "execute", "shutdown"):
        setattr(type(interpreter), name, vars(ReplayInterpreter)[name])
    return interpreter


def comparing(interpreter: Any, ran: dict[str, Any]) -> Any:
    """An interpreter whose class runs code, and notes what came of it in unchanged replays.

    `ran` holds what they noted. Other code gives something else, as for tools: what only seems to run code answers the
    same to everything.
    """
    kind, run = type(interpreter), type(interpreter).execute
    if hasattr(run, "__wrapped__"):
        return interpreter

    @functools.wraps(run)
    def execute(self: Any, code: str, *args: Any, **kwargs: Any) -> Any:
        answer = run(self, code, *args, **kwargs)
        if current_replay().is_unchanged:
            current_replay().observed.ran[code] = snapshot(answer)
        elif code not in ran and any(alike(answer, one) for one in ran.values()):
            return other_answer(answer, asked_interpreter(code))
        return answer

    kind.execute = execute
    return interpreter


def compare_where_checked(ran: dict[str, Any]) -> None:
    """Have the interpreters `comparing` that programs bring along as late as they call one of DSPy's modules."""
    for name in ("dspy.predict.rlm", "dspy.predict.program_of_thought"):
        module = sys.modules.get(name)
        check = getattr(module, "_validate_interpreter", None)
        if check is not None:
            setattr(module, "_validate_interpreter", lambda one, check=check: (check(one), comparing(one, ran))[0])  # noqa: B010 - a type checker's rule


def comparing_factory(factory: Callable[[], Any], ran: dict[str, Any]) -> Callable[[], Any]:
    """A factory of interpreters that are `comparing`."""

    def make() -> Any:
        return comparing(factory(), ran)

    make.execution_instructions = getattr(factory, "execution_instructions", "")  # pyright: ignore[reportFunctionMemberAccess]
    return make
