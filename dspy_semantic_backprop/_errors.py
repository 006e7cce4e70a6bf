"""Why a run ends: with an `Ending`, an error, or a stop. All that this package raises, as two trunks.

    SemanticBackpropError (Exception)        the caller can act on it
    ├── SetupError (ValueError)              found before any money was spent
    │   └── JournalError                     the log folder cannot be used: changed, in use, damaged
    ├── MetricError                          the metric broke its contract
    ├── ProgramError                         the program cannot run on any example
    ├── ModelError                           the language model can never answer (key, billing, name)
    ├── OutOfBudget                          the budget was spent before there was anything to return
    └── TooManyFailures                      too many examples could not be run at all

    Stop (BaseException)                     must cross programs that catch `Exception`
    ├── ModelUnavailable                     becomes ModelError at the door of `compile`
    ├── CapReached                           no more requests for one purpose; ends that piece of work only
    ├── BudgetSpent                          ends the run, which returns the best program so far
    ├── JournalFailed                        the log cannot be written: ends the run in the same way
    └── Abandoned                            nobody waits for this work any more

Why two trunks: programs in the wild wrap their calls in `except Exception` and return an empty
prediction. A wrong API key must not be scored as a wrong answer, so what has to end the run is
no `Exception` while it travels through the program.
"""

import enum
import os
import sysconfig
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._secrets.errors import hide_behind
from ._secrets.known import told
from ._terminal import printable

_LIBRARIES = (os.path.dirname(__file__), sysconfig.get_paths()["stdlib"], "<frozen")


class Ending(enum.Enum):
    """Why a run ended; the values are what logs and reports say."""

    STEPS = "all steps were made"
    PERFECT = "no example is left to learn from, or to gain on"
    NOTHING_LEARNED = "no step got a gradient or a proposal from the gradient model"
    UNCHANGED = "no proposal changed the program: each was refused, or repeated what was there"
    UNREACHED = "no edited instruction reaches a prompt"
    STUCK = "the last proposals were refused, or had been tried before"
    BUDGET = "the budget is spent"
    INTERRUPTED = "the run was interrupted"
    JOURNAL = "the log could not be written"
    FAILED = "the run failed"


class SemanticBackpropError(Exception):
    """Root of the errors that callers may want to catch.

    Attributes:
        best: The best program that the run had when it failed, with its `detailed_results`; None where it had
            evaluated none.
    """

    best: Any = None

    def __init__(self, *said: object) -> None:
        super().__init__(*(told(one) if isinstance(one, str) else one for one in said))

    @printable
    def __str__(self) -> str:
        return super().__str__()


class SetupError(SemanticBackpropError, ValueError):
    """The arguments cannot work; nothing has been spent yet."""


class JournalError(SetupError):
    """A log folder cannot be used: of another run, in use, damaged or not writable; nothing was spent."""


class MetricError(SemanticBackpropError):
    """The metric raised, or returned something that is no score."""


class ProgramError(SemanticBackpropError):
    """The program raised on every example, so there is nothing to learn from."""


class ModelError(SemanticBackpropError):
    """A language model refused for a reason that no retry can change."""


class OutOfBudget(SemanticBackpropError):
    """The budget was spent before there was anything to return."""


class TooManyFailures(SemanticBackpropError):
    """So many examples could not be run that scores would mean nothing."""


class Stop(BaseException):
    """Ends a run from inside a user's program, whatever that program catches."""

    @printable
    def __str__(self) -> str:
        return super().__str__()


class ModelUnavailable(Stop):
    """The language model will never answer (authentication, billing, unknown model): the client's `error` says so."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class CapReached(Stop):
    """A purpose has sent as many requests as it may."""


class BudgetSpent(Stop):
    """A part of the run's budget is spent."""


class JournalFailed(Stop):
    """The log cannot be written any more: a full disk, a lost mount."""


class Abandoned(Stop):
    """The work that a thread still does is not waited for: its example took too long, or the run is over."""


def shortened(error: SemanticBackpropError) -> SemanticBackpropError:
    """An error without the frames of libraries and of this package on its way here, a hundred lines otherwise.

    Of its causes the user's own frames stay, and the one that raised; none whose words tell a secret.
    """
    hide_behind(error)
    error.__traceback__ = None
    cause, seen = error.__cause__, set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.with_traceback(_own_frames(cause.__traceback__))  # an error may be frozen
        cause = cause.__cause__ if cause.__cause__ or cause.__suppress_context__ else cause.__context__
    return error


def _own_frames(frames: types.TracebackType | None) -> types.TracebackType | None:
    if frames is None:
        return None
    rest, name = _own_frames(frames.tb_next), frames.tb_frame.f_code.co_filename
    if frames.tb_next is not None and (name.startswith(_LIBRARIES) or "site-packages" in name):
        return rest
    return types.TracebackType(rest, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)


def refused(stop: ModelUnavailable) -> SemanticBackpropError:
    """The error that the caller gets: what this package refuses as it is, a provider's refusal as a `ModelError`."""
    if isinstance(stop.error, SemanticBackpropError):
        return stop.error
    return ModelError(f"{type(stop.error).__name__}: {stop.error}")


@contextmanager
def told_to_callers() -> Iterator[None]:
    """Inside, `ModelUnavailable` becomes a `ModelError` and `BudgetSpent` an `OutOfBudget`: errors to act on."""
    try:
        yield
    except ModelUnavailable as stop:
        raise refused(stop) from stop.error
    except BudgetSpent as stop:
        raise OutOfBudget(str(stop)) from stop
