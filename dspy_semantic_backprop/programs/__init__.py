"""The paper's pipelines as DSPy programs, and the metrics that score them (arXiv 2412.03624)."""

from .layered import LayeredProgram
from .liar import LiarProgram
from .metrics import (
    exact_match,
    format_normalised_match,
    normalise,
    number_match,
    verbatim_match,
    yes_no,
    yes_or_else_no,
)

__all__ = [
    "LayeredProgram",
    "LiarProgram",
    "exact_match",
    "format_normalised_match",
    "normalise",
    "number_match",
    "verbatim_match",
    "yes_no",
    "yes_or_else_no",
]
