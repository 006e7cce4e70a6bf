"""Semantic backpropagation for DSPy programs with more than one predictor (arXiv 2412.03624)."""

from . import presets
from .composing import SemanticProposer
from .errors import (
    JournalError,
    MetricError,
    ModelError,
    OutOfBudget,
    ProgramError,
    SemanticBackpropError,
    SetupError,
    TooManyFailures,
)
from .forward.graph import ComputationGraph
from .forward.program_graph import ProgramGraph
from .forward.tracing import aprogram_graph, atrace, program_graph, trace
from .optimizer import Explanation, SemanticGradientDescent
from .run.budget import Budget
from .run.diagnosis import Diagnosis
from .run.limits import Limits
from .run.placebo import Placebo
from .run.preflight import Preflight

__all__ = [
    "Budget",
    "ComputationGraph",
    "Diagnosis",
    "Explanation",
    "JournalError",
    "Limits",
    "MetricError",
    "ModelError",
    "OutOfBudget",
    "Placebo",
    "Preflight",
    "ProgramError",
    "ProgramGraph",
    "SemanticBackpropError",
    "SemanticGradientDescent",
    "SemanticProposer",
    "SetupError",
    "TooManyFailures",
    "aprogram_graph",
    "atrace",
    "presets",
    "program_graph",
    "trace",
]
