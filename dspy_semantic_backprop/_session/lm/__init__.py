"""The way to a language model: a passage says what a call is for, the door lets it through, retries and books it."""

from .ask import REPETITIONS, Reply, ask, ask_once, limit
from .client import install, metered, sampling
from .failures import is_fatal, is_provider_failure, is_transient
from .purpose import Answers, Memory, OutsideCalls, Passage, about, current, passage
from .uncached import never_cached, uncached

__all__ = [
    "Answers",
    "Memory",
    "OutsideCalls",
    "Passage",
    "REPETITIONS",
    "Reply",
    "about",
    "ask",
    "ask_once",
    "current",
    "install",
    "is_fatal",
    "is_provider_failure",
    "is_transient",
    "limit",
    "metered",
    "never_cached",
    "passage",
    "sampling",
    "uncached",
]
