"""Requests to language models: each has a purpose, and goes through a client that meters, retries and books it."""

from .ask import REPETITIONS, Reply, ask, ask_once, limit
from .client import install, metered
from .context import LMContext, for_predictor, lm_context
from .doors import own
from .failures import is_fatal, is_provider_failure, is_transient
from .purpose import OutsideCalls, for_purpose, never_cached, uncached
from .unmetered import unmetered
from .usage import takes

__all__ = [
    "LMContext",
    "OutsideCalls",
    "REPETITIONS",
    "Reply",
    "ask",
    "ask_once",
    "for_predictor",
    "for_purpose",
    "install",
    "is_fatal",
    "is_provider_failure",
    "is_transient",
    "limit",
    "lm_context",
    "metered",
    "never_cached",
    "own",
    "takes",
    "uncached",
    "unmetered",
]
