"""The backward function that says nothing: the update sees inputs and outputs only (no-gradient ablation)."""

from __future__ import annotations

from .gradient import Direction, Message, Reading, TextGradient


async def silent(reading: Reading[TextGradient], /) -> list[Message[Direction]]:
    """Send no message to anyone."""
    return []
