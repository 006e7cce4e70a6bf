"""BigCodeBench with two layers of two hidden nodes and a final one, as in the published code of arXiv 2412.03624.

    python experiments/bcb.py --include_grad --use_bad_samples --full_update --target --n_iters 12 \\
      --data hub --base_model openai/gpt-4o-mini \\
      --sandbox 'docker run -i --rm --network none --entrypoint python3 bigcodebench/bigcodebench-evaluate'

Answers are programs. They are executed by the data set's own evaluator, in a Python that --sandbox names
(`sandbox.py`); without one the study ends before anything is asked. Without --data: the six tasks that ship with the
project.
"""

from __future__ import annotations

from data import bcb
from harness import Config, Job, folder, main, parse
from sandbox import by_tests, sandbox

from dspy_semantic_backprop.programs import LayeredProgram


def jobs(config: Config) -> list[Job]:
    """The one job: the tests decide, and the evaluator takes the program out of whatever stands around it."""
    metric = by_tests(sandbox(config.sandbox))
    return [
        Job(
            name="bcb",
            build=lambda: LayeredProgram(layers=2, across_layers=config.across_layers),
            metric=metric,
            lenient=metric,
            split=bcb.load(folder=folder(config)),
        )
    ]


if __name__ == "__main__":
    main("bcb", jobs, parse("bcb"))
