"""A compile under `mlflow.dspy.autolog`, with our tracker beside it; what MLflow kept as JSON on the last line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import mlflow
from mlflow import dspy as dspy_of_mlflow

from dspy_semantic_backprop import Result, SemanticGradientDescent, mlflow_tracker
from tests.optimizer.test_resume import Fan
from tests.scripted import careful, questions, right, served


def main(folder: str) -> None:
    """Run it; everything that autologging can keep is kept."""
    mlflow.set_tracking_uri(f"file://{folder}")
    dspy_of_mlflow.autolog(log_compiles=True, log_evals=True, log_traces_from_compile=True)
    with served(careful) as server, mlflow.start_run() as run:
        optimizer = SemanticGradientDescent(right, steps=2, subscribers=(mlflow_tracker(),))
        better = optimizer.compile(Fan(), trainset=questions(4))
        better(question="What follows?")
    mlflow.flush_trace_async_logging()
    kept, client = mlflow.get_run(run.info.run_id).data, mlflow.MlflowClient()
    found = {"metrics": kept.metrics, "tags": kept.tags, "requests": server.requests}
    found["calls"] = Result.of(better).total.calls
    found["artifacts"] = [one.path for one in client.list_artifacts(run.info.run_id)]
    found["traces"] = [[span.name for span in one.data.spans] for one in mlflow.search_traces(return_type="list")]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
