"""A pre-flight as text for a terminal: at most 24 lines of at most 80 columns."""

from __future__ import annotations

from ..._terminal import LINES, clean, fitted, wrapped
from .record import Preflight

_NAME = 26


def preflight_text(preflight: Preflight) -> str:
    """A pre-flight as text.

    Args:
        preflight: The pre-flight.

    Returns:
        At most 24 lines of at most 80 columns; what does not fit is cut, and says so.
    """
    head = [f"Is it worth optimising? {preflight.recommendation.upper()}"]
    head += wrapped(clean(preflight.reason), "", 4, indent=2)
    body = [*_noise(preflight), *_headroom(preflight), *_detectable(preflight), *_cost(preflight)]
    room = LINES - len(head) - len(body)
    warnings = [line for one in preflight.warnings for line in wrapped(f"Warning: {clean(one)}", "", 3, indent=0)]
    if len(warnings) > room:
        more = "... and more; see .warnings"
        warnings = [*warnings[: room - 1], more][:room]
    return "\n".join([*head, *body, *warnings])


def _noise(preflight: Preflight) -> list[str]:
    noise = preflight.noise
    text = (
        f"Noise: {noise.runs} runs, score {preflight.score:.3g} of {preflight.best:.3g}; {noise.changed} of "
        f"{noise.examples} examples changed their score, {noise.rate * 100:.0f} % from one run to the next; the mean "
        f"varies by {noise.deviation:.2g}."
    )
    text += f" {preflight.missing} executions are missing." if preflight.missing else ""
    text += " At temperature 0 this is what the provider varies." if noise.cold else ""
    text += (
        f" An edit without effect changes about {noise.differing * 100:.0f} %; the best of {noise.tries} such edits "
        f"looks {noise.luck:.2g} better."
    )
    return wrapped(text, "", 5, indent=0)


def _headroom(preflight: Preflight) -> list[str]:
    text = f"Headroom: {preflight.headroom:.2g} up to the best score"
    text += f", about {preflight.by_chance:.2g} of it lost by chance" if preflight.by_chance >= 0.005 else ""
    text += "; cheap candidates (gain, 90 % sure):" if preflight.attempts else "; no candidate was tried."
    rows = []
    for one in preflight.attempts:
        said = "not evaluated" if one.result is None else f"{one.result} of {one.result.examples}"
        rows += wrapped(f"{fitted(one.name, _NAME).rstrip()}: {said}", "", 1, indent=2)
    return [*wrapped(text, "", 2, indent=0), *rows]


def _detectable(preflight: Preflight) -> list[str]:
    found = preflight.detectable
    text = f"Can be found with {found.decide} examples in the loop and {found.fresh or 'none'} at the end: "
    if found.even is None:
        text += "no gain that is likely."
    else:
        text += f"a true gain of {found.even:.2g} every second time"
        text += f", one of {found.likely:.2g} four times in five." if found.likely is not None else "."
    if found.five is not None and found.ten is not None:
        text += f" 5 points take about {found.five:,} examples, 10 points {found.ten:,}."
    return wrapped(text, "", 3, indent=0)


def _cost(preflight: Preflight) -> list[str]:
    total = preflight.total
    calls = ", ".join(f"{purpose} {spent.calls}" for purpose, spent in preflight.spent.items())
    text = f"Spent here: {total.calls:,} calls ({calls}), {total.tokens:,} tokens, {preflight.seconds:.0f} s."
    return [
        *wrapped(f"Cost of a run, {preflight.projection}.", "", 2, indent=0),
        *wrapped(text, "", 2, indent=0),
    ]
