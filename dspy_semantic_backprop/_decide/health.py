"""Health checks of a run that cost nothing: sizes of sets, the first scores, whether the metric is deterministic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .._evaluate.outcome import ScoreRange, score_range
from .comparison import Comparison, Pair
from .search import Search

_MOST = 200


def can_be_shown(search: Search, examples: int, fresh: int, better: int) -> bool:
    """Whether an edit could be returned that breaks nothing and mends `better` examples, and all fresh ones."""
    return search.returns(_better(examples, better), (), _better(fresh, fresh) if fresh else None)


def _better(examples: int, better: int) -> Comparison:
    return Comparison(tuple(Pair(number, 0.0, float(number < better)) for number in range(examples)))


def of_sizes(search: Search, examples: int, fresh: int) -> list[str]:
    """What the number of examples to decide on alone says against a run, in words."""
    if can_be_shown(search, examples, fresh, examples):
        return []
    enough = next((count for count in range(examples, _MOST) if can_be_shown(search, count, 0, count)), None)
    more = f"; pass at least {enough}" if enough is not None else ""
    return [
        f"with {examples} example{'s' if examples != 1 else ''} to decide on no edit can be shown to be better, not "
        f"even one that puts all of them right: the program will be returned as it was given{more}"
    ]


def of_scores(
    search: Search,
    scores: Sequence[float],
    sizes: tuple[int, int],
    kinds: Mapping[str, int],
) -> list[str]:
    """What the program's first scores say against a run, in words.

    `sizes`: how many examples the loop decides on, and how many are kept for the end; `kinds`: what the metric
    returned, by kind, how often.
    """
    (examples, fresh), scale = sizes, score_range(scores)
    found = _of_scale(scores, scale) + _of_kinds(kinds)
    room = sum(score < scale.best for score in scores)
    if scores and len(scores) < examples:
        from scipy import stats

        # As many as there may well be, by those that were seen.
        room = math.ceil(examples * stats.binomtest(room, len(scores)).proportion_ci(0.9).high)
    if not scale.known or not can_be_shown(search, examples, fresh, examples):
        return found
    if not room:
        found.append(f"no headroom: all {examples} examples that are decided on have the best score, {scale.best:g}")
    elif not can_be_shown(search, examples, fresh, room):
        found.append(
            f"no headroom: {room} of {examples} examples that are decided on could score more, and an edit that puts "
            f"all of these right could not be told from luck (p = {0.5**room:.2g}); pass more or harder examples"
        )
    return found


def _of_scale(scores: Sequence[float], scale: ScoreRange) -> list[str]:
    if scale.known:
        return []
    low, high = min(scores) + 0.0, max(scores) + 0.0  # a loss of 0 is no -0
    seen = f"scores from {low:.12g} to {high:.12g}" if low < high else f"{low:.12g} of everything so far"
    return [
        f"the metric returned {seen}, outside 0 to 1; whatever scores less than the "
        "best one seen is learned from as wrong, unless choose_examples=wrong(perfect=...) says more"
    ]


def _of_kinds(kinds: Mapping[str, int]) -> list[str]:
    if len(kinds) < 2:
        return []
    listed = ", ".join(f"{name} {count} times" for name, count in sorted(kinds.items()))
    return [f"the metric returned scores of mixed types ({listed}); all are read as numbers, True as 1"]
