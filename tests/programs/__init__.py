"""Small DSPy programs with hand-written true edges, on which a tracer is judged.

``CASES`` holds them all but those in ``FINAL``, which are kept for the last judgement; ``run(case)`` runs one
with a scripted model instead of a language model, and ``record(case)`` tells what the model was asked besides.
"""

from . import (
    composite,
    concurrency,
    control,
    final_business,
    final_games,
    final_research,
    loops,
    modules,
    networks,
    retrieval,
    state,
    structured,
    text,
    voting,
)
from .base import Case
from .lm import Asked, ScriptedLM, call, record, run

_THEMES = (
    text,
    structured,
    voting,
    control,
    loops,
    state,
    composite,
    modules,
    concurrency,
    retrieval,
    networks,
)
CASES: tuple[Case, ...] = tuple(one for theme in _THEMES for one in theme.CASES)
# Written without sight of the tracer and kept apart: it is judged on them, not developed with them.
FINAL: tuple[Case, ...] = tuple(one for theme in (final_business, final_research, final_games) for one in theme.CASES)
if len({one.name for one in CASES + FINAL}) != len(CASES + FINAL):
    raise ValueError("two cases have one name")

__all__ = ["CASES", "FINAL", "Asked", "Case", "ScriptedLM", "call", "record", "run"]
