"""Worlds to develop decisions against; see `world`."""

from .model import CapReached, Engine, language_model
from .program import build, examples, instructions, metric_of
from .world import KINDS, Kind, World

__all__ = [
    "KINDS",
    "CapReached",
    "Engine",
    "Kind",
    "World",
    "build",
    "examples",
    "instructions",
    "language_model",
    "metric_of",
]
