"""The public names and where each lives; read by type checkers, and by `__init__.py` when a name is first used."""

from . import presets
from ._backward.ask import GradientCache, backward_context
from ._backward.blame import pool_blame
from ._backward.blame_estimate import BlameEstimate, estimate_blame
from ._backward.collect import bounded, drop, join, the_answers_only, to_another, to_its_own
from ._backward.gradient import Direction, Message, Reading, TextGradient
from ._backward.numeric import Numeric, accumulate
from ._backward.propagate import propagate
from ._backward.semantic import Semantic
from ._backward.silent import silent
from ._backward.text import estimate_tokens
from ._decide.commit import Commit
from ._decide.comparison import Comparison, Pair
from ._decide.gate import Confident, Verdict, accept_always, confident, strict, strictly_better
from ._decide.gated import Gated
from ._decide.pooled import Pooled
from ._errors import (
    Ending,
    JournalError,
    MetricError,
    ModelError,
    OutOfBudget,
    ProgramError,
    SemanticBackpropError,
    SetupError,
    TooManyFailures,
)
from ._graph.edges import Edge, End
from ._graph.graph import ComputationGraph
from ._graph.program_graph import ProgramGraph, aggregate
from ._graph.trace import OUTPUT, Call, Field
from ._graph.tracing import aprogram_graph, atrace, program_graph, trace
from ._logs.log import Log
from ._logs.read import read_logs
from ._method import Method
from ._optimizer import SemanticGradientDescent
from ._propose.choose import (
    all_or_blamed,
    any_example,
    blamed,
    coin_flips,
    every,
    incumbent,
    one_by_one,
    only,
    pareto,
    without,
    wrong,
)
from ._propose.propose import Proposer
from ._propose.restraint import Restraint
from ._reports.check.baseline import Baseline
from ._reports.check.record import Checked
from ._reports.compare import RunComparison, compare
from ._reports.diagnose.logs import adiagnose_logs, diagnose_logs, project_logs
from ._reports.diagnose.record import BlamedCall, Diagnosis
from ._reports.explain import Explanation
from ._reports.placebo import Placebo
from ._reports.preflight.record import Preflight
from ._reports.report import report
from ._result import Result
from ._session.batch.shipment import Batch
from ._session.budget import Budget, Purpose, Spent
from ._session.limits import Limits
from .integrations.gepa import SemanticProposer
from .integrations.progress import ProgressBar
from .integrations.tracking import mlflow_tracker, wandb_tracker

__all__ = [
    "Baseline",
    "Batch",
    "BlameEstimate",
    "BlamedCall",
    "Budget",
    "Call",
    "Checked",
    "Commit",
    "Comparison",
    "ComputationGraph",
    "Confident",
    "Diagnosis",
    "Direction",
    "Edge",
    "End",
    "Ending",
    "Explanation",
    "Field",
    "Gated",
    "GradientCache",
    "JournalError",
    "Limits",
    "Log",
    "Message",
    "Method",
    "MetricError",
    "ModelError",
    "Numeric",
    "OUTPUT",
    "OutOfBudget",
    "Pair",
    "Placebo",
    "Pooled",
    "Preflight",
    "ProgramError",
    "ProgramGraph",
    "ProgressBar",
    "Proposer",
    "Purpose",
    "Reading",
    "Restraint",
    "Result",
    "RunComparison",
    "Semantic",
    "SemanticBackpropError",
    "SemanticGradientDescent",
    "SemanticProposer",
    "SetupError",
    "Spent",
    "TextGradient",
    "TooManyFailures",
    "Verdict",
    "accept_always",
    "accumulate",
    "adiagnose_logs",
    "aggregate",
    "all_or_blamed",
    "any_example",
    "aprogram_graph",
    "atrace",
    "backward_context",
    "blamed",
    "bounded",
    "coin_flips",
    "compare",
    "confident",
    "diagnose_logs",
    "drop",
    "estimate_blame",
    "estimate_tokens",
    "every",
    "incumbent",
    "join",
    "mlflow_tracker",
    "one_by_one",
    "only",
    "pareto",
    "pool_blame",
    "presets",
    "program_graph",
    "project_logs",
    "propagate",
    "read_logs",
    "report",
    "silent",
    "strict",
    "strictly_better",
    "the_answers_only",
    "to_another",
    "to_its_own",
    "trace",
    "wandb_tracker",
    "without",
    "wrong",
]
