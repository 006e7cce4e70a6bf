"""Which images, sounds and files a question shows whole: those that the model it is put to is known to take.

A text says of each what it is and how large. Besides, it is a field of its own, once, where the very model answered a
call of this execution that was given one, or where LiteLLM says that it takes such; another model might refuse the
question, or answer it without a look.
"""

from __future__ import annotations

from typing import Any

import dspy

from .._graph.graph import ComputationGraph
from .._session.lm import takes
from .._values.media import media_in
from .ask import count

_ABILITY = {"image": "vision", "audio": "audio_input", "file": "pdf_input", "document": "pdf_input"}


def attached(graph: ComputationGraph, *values: Any) -> dict[str, Any]:
    """The images, sounds and files in the values of a question that it shows whole: field -> value."""
    found = media_in(*values)
    if not found:
        return {}
    kinds = {name: name.rpartition("_")[0] for name in found}
    taken = {kind for kind in set(kinds.values()) if _takes(graph, kind)}
    whole = {f"attached_{name}": value for name, value in found.items() if kinds[name] in taken}
    count("attached", len(whole))
    count("placeholder", len(found) - len(whole))
    return whole


def _takes(graph: ComputationGraph, kind: str) -> bool:
    lm: Any = dspy.settings.lm
    model = getattr(lm, "model", "")
    given = (call.inputs for call in graph if call.error is None and model in call.models)
    if any(name.rpartition("_")[0] == kind for inputs in given for name in media_in(inputs)):
        return True
    return kind in _ABILITY and bool(takes(lm, _ABILITY[kind]))
