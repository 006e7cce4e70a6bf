"""GSM8K with two hidden nodes and a final one, as in arXiv 2412.03624.

    python experiments/gsm8k.py --include_grad --use_bad_samples --full_update --target --n_iters 4

Without --data: the word problems that ship with the project.
"""

from __future__ import annotations

from data import gsm8k
from harness import Config, Job, folder, main, parse

from dspy_semantic_backprop.programs import LayeredProgram, number_match, verbatim_match


def jobs(config: Config) -> list[Job]:
    """The one job: published are equal strings; format aside, the number must be right whatever stands around it."""
    return [
        Job(
            name="gsm8k",
            build=lambda: LayeredProgram(across_layers=config.across_layers),
            metric=verbatim_match,
            lenient=number_match,
            split=gsm8k.load(folder=folder(config), seed=config.seed),
        )
    ]


if __name__ == "__main__":
    main("gsm8k", jobs, parse("gsm8k"))
