"""Semantic backpropagation for DSPy programs with more than one predictor (arXiv 2412.03624)."""

from . import presets
from ._errors import (
    JournalError,
    MetricError,
    ModelError,
    OutOfBudget,
    ProgramError,
    SemanticBackpropError,
    SetupError,
    TooManyFailures,
)
from ._graph.graph import ComputationGraph
from ._graph.program_graph import ProgramGraph
from ._graph.tracing import aprogram_graph, atrace, program_graph, trace
from ._optimizer import Explanation, SemanticGradientDescent
from ._reports.diagnose.record import Diagnosis
from ._reports.placebo.record import Placebo
from ._reports.preflight.record import Preflight
from ._session.budget import Budget, Purpose, Spent
from ._session.limits import Limits
from .integrations.gepa import SemanticProposer

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
    "Purpose",
    "SemanticBackpropError",
    "SemanticGradientDescent",
    "SemanticProposer",
    "SetupError",
    "Spent",
    "TooManyFailures",
    "aprogram_graph",
    "atrace",
    "presets",
    "program_graph",
    "trace",
]
