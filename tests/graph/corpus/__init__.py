"""Small DSPy programs with hand-written true edges, on which a tracer is judged.

``CASES``, ``UNSEEN``, ``FINAL`` and ``OTHERS`` hold them. The second and third were written without sight of the
tracer; it was then developed with ``UNSEEN`` too, and judged on ``FINAL`` when all was done. ``OTHERS`` holds kinds of
programs that were thin until then; its edges were written before the tracer was mended for them. ``USERS`` holds
programs of which edges were wrong when somebody tried 123 with sight of the documentation alone. ``run(case)`` runs
one with a scripted model instead of a language model, and ``record(case)`` tells what the model was asked besides.
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
    others_agents,
    others_guards,
    others_loops,
    others_services,
    others_shapes,
    retrieval,
    state,
    structured,
    text,
    unseen_agents,
    unseen_arithmetic,
    unseen_mixed,
    unseen_pipelines,
    unseen_plumbing,
    users,
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
_UNSEEN = (unseen_pipelines, unseen_arithmetic, unseen_agents, unseen_plumbing, unseen_mixed)
_OTHERS = (others_agents, others_guards, others_loops, others_shapes, others_services)
_FINAL = (final_business, final_research, final_games)
UNSEEN: tuple[Case, ...] = tuple(one for theme in _UNSEEN for one in theme.CASES)
FINAL: tuple[Case, ...] = tuple(one for theme in _FINAL for one in theme.CASES)
OTHERS: tuple[Case, ...] = tuple(one for theme in _OTHERS for one in theme.CASES)
USERS: tuple[Case, ...] = tuple(users.CASES)
_ALL = CASES + UNSEEN + FINAL + OTHERS + USERS
if len({one.name for one in _ALL}) != len(_ALL):
    raise ValueError("two cases have one name")

__all__ = ["CASES", "FINAL", "OTHERS", "UNSEEN", "USERS", "Asked", "Case", "ScriptedLM", "call", "record", "run"]
