"""What whoever has a program recorded is told while it runs, such as a run that pays for the program's calls."""

from __future__ import annotations

from typing import Any, Protocol


class Hook(Protocol):
    """Is told of every call to a language model while a program is recorded, in the context of that call."""

    def lm_begins(self, lm: Any, call_id: str) -> None:
        """A language model is about to be called; a `BaseException` raised here stops the call.

        Args:
            lm: The language model.
            call_id: DSPy's id of the call.
        """
        ...

    def lm_ends(self, call_id: str) -> None:
        """The call has ended, with an answer or an exception."""
        ...


class NoHook:
    """The default: nobody is told."""

    def lm_begins(self, lm: Any, call_id: str) -> None:
        """Do nothing."""

    def lm_ends(self, call_id: str) -> None:
        """Do nothing."""
