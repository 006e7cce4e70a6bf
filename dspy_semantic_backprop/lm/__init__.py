"""The way to a language model: a passage says what a call is for, the door lets it through, retries and books it."""

from .asking import REPETITIONS, Reply, ask, ask_once, limit
from .door import install, metered, sampling
from .failures import is_fatal, is_provider_failure, is_transient
from .fresh import never_cached, uncached
from .passage import Answers, Memory, Passage, about, current, passage

__all__ = [
    "Answers",
    "Memory",
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
