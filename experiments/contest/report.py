"""Rows of single runs -> what each optimizer came to, how ours differs from each with tests, and tables of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from .optimizers import OPTIMIZERS
from .programs import PROGRAMS

OURS = "semantic"
ASKS = {
    "isolated": "the joint view",
    "no_gradient": "the gradient",
    "shuffled": "the right gradient",
    "one_step": "the graph",
}
"""Arm -> what it lacks of ours."""
RESAMPLES = 9999


def standings(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds for each noise, program and optimizer, and over all programs together."""
    groups: dict[tuple[float, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        for program in (row["program"], "all"):
            groups[row["noise"], program, row["optimizer"]].append(row)
    return [
        {"noise": noise, "program": program, "optimizer": optimizer, "n": len(some), **_means(some)}
        for (noise, program, optimizer), some in groups.items()
    ]


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    def mean(what: str, digits: int) -> float:
        return round(math.fsum(row[what] for row in rows) / len(rows), digits)

    return {
        **{what: mean(what, 4) for what in ("heldout", "heldout_before")},
        **{what: mean(what, 1) for what in ("calls", "tokens", "seconds")},
        "worse": sum(row["heldout"] < row["heldout_before"] for row in rows),
    }


def differences(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours minus each other: paired by program and seed (the noises of a pair averaged), over all and by program.

    Over all pairs: the mean with a 95 % bootstrap interval, the p-value of a permutation of signs, and that p-value
    corrected for the number of optimizers by Holm's method.
    """
    scores: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for row in rows:
        scores[row["optimizer"], row["program"], row["seed"]].append(row["heldout"])
    means = {key: math.fsum(some) / len(some) for key, some in scores.items()}
    made = []
    for other in _distinct(rows, "optimizer"):
        if other == OURS:
            continue
        found: dict[str, list[float]] = defaultdict(list)
        for (optimizer, program, seed), score in means.items():
            if optimizer == other and (OURS, program, seed) in means:
                found[program].append(means[OURS, program, seed] - score)
        if found:
            pairs = [difference for some in found.values() for difference in some]
            made.append({"optimizer": other, **compared(pairs), "programs": _by_program(found)})
    for one, p in zip(made, holm([one["p"] for one in made]), strict=True):
        one["p_corrected"] = p
    return made


def _by_program(found: dict[str, list[float]]) -> dict[str, float]:
    return {program: round(math.fsum(some) / len(some), 4) for program, some in found.items()}


def compared(pairs: Sequence[float]) -> dict[str, Any]:
    """The mean of paired differences, with its interval and p-value."""
    import numpy as np
    from scipy.stats import permutation_test

    rng, whole = np.random.default_rng(0), np.asarray(pairs)
    drawn = rng.choice(whole, (RESAMPLES, len(whole))).mean(axis=1)
    tested: Any = permutation_test(
        (whole,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True, rng=rng
    )
    return {
        "n": len(whole),
        "mean": round(float(whole.mean()), 4),
        "interval": [round(float(bound), 4) for bound in np.quantile(drawn, (0.025, 0.975))],
        "better": int((whole > 1e-9).sum()),
        "worse": int((whole < -1e-9).sum()),
        "p": float(tested.pvalue),
    }


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's method, in their order."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    corrected, least = [0.0] * len(values), 0.0
    for rank, at in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[at]))
        corrected[at] = least
    return corrected


def _distinct(rows: Iterable[dict[str, Any]], name: str) -> list[Any]:
    known = list(OPTIMIZERS) if name == "optimizer" else list(PROGRAMS) if name == "program" else []
    return sorted({row[name] for row in rows}, key=lambda one: known.index(one) if one in known else one)


def tables(record: dict[str, Any]) -> str:
    """The tables of the page, in Markdown: the arms, the others, and the scores."""
    arms = [one for one in record["differences"] if one["optimizer"] in ASKS]
    rest = [one for one in record["differences"] if one["optimizer"] not in ASKS]
    head = "| semantic minus | {} | difference, 95 % interval | better, equal, worse | p | p, corrected |"
    head += "\n|---|---|---|---|---|---|"
    lines = [head.format("which lacks"), *(_compared_line(one, ASKS[one["optimizer"]]) for one in arms)]
    lines += ["", head.format("pairs"), *(_compared_line(one, str(one["n"])) for one in rest)]
    for noise in _distinct(record["rows"], "noise"):
        lines += ["", f"Noise {noise:g}:", "", *_score_lines(record, noise)]
    return "\n".join(lines)


def _compared_line(one: dict[str, Any], note: str) -> str:
    low, high = one["interval"]
    counts = (one["better"], one["n"] - one["better"] - one["worse"], one["worse"])
    told = ", ".join(map(str, counts))
    shown = f"{one['mean']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"| `{one['optimizer']}` | {note} | {shown} | {told} | {one['p']:.2g} | {one['p_corrected']:.2g} |"


def _score_lines(record: dict[str, Any], noise: float) -> list[str]:
    found = {(one["optimizer"], one["program"]): one for one in record["standings"] if one["noise"] == noise}
    programs = _distinct(record["rows"], "program")
    lines = [f"| | {' | '.join(programs)} | all | calls | tokens | worse than the start |"]
    lines.append("|---" * (len(programs) + 5) + "|")
    starts = [found[OURS, program]["heldout_before"] for program in [*programs, "all"]]
    lines.append(f"| the start | {' | '.join(f'{one:.2f}' for one in starts)} | | | |")
    for optimizer in _distinct(record["rows"], "optimizer"):
        scores = [found[optimizer, program]["heldout"] for program in programs]
        whole = found[optimizer, "all"]
        cells = [f"{one:.2f}" for one in scores] + [f"**{whole['heldout']:.3f}**"]
        cells += [f"{whole['calls']:.0f}", f"{whole['tokens']:,.0f}", f"{whole['worse']} of {whole['n']}"]
        lines.append(f"| `{optimizer}` | {' | '.join(cells)} |")
    return lines
