"""Who is to blame: diagnose one of the paper's pipelines before anything is optimised.

    python experiments/diagnose.py --pipeline liar

Without --base_model: a simulated model. The flags are those of the other studies, as far as they apply;
--batch_size says how many training examples are looked at.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import bbh
import dspy
import liar
from data import DataError
from harness import Config, flag, models, parse, shortened

from dspy_semantic_backprop import Diagnosis, SemanticBackpropError, SemanticGradientDescent


@dataclass(frozen=True)
class DiagnoseConfig(Config):
    """The flags of the studies, and those of a diagnosis."""

    pipeline: str = flag("liar", "which pipeline", choices=("liar", "bbh"))
    checks: int = flag(8, "how many counterfactual checks to make at most")
    json: bool = flag(False, "print the diagnosis as JSON")


def diagnose(config: DiagnoseConfig) -> Diagnosis:
    """Diagnose the pipeline as it starts, on its training examples."""
    job = shortened((liar if config.pipeline == "liar" else bbh).jobs(config)[0], config)
    with models(config) as (base, optimizer_lm, _), dspy.context(lm=base):
        optimizer = SemanticGradientDescent(
            job.metric, gradient_lm=optimizer_lm, num_threads=config.max_threads, seed=config.seed
        )
        return optimizer.diagnose(job.build(), job.split.train, checks=config.checks)


if __name__ == "__main__":
    chosen = parse("diagnose", kind=DiagnoseConfig)
    try:
        found = diagnose(chosen)
    except (SemanticBackpropError, DataError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(found.to_dict(), indent=2) if chosen.json else found)
