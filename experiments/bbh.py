"""BIG-Bench Hard with two hidden nodes and a final one, as in arXiv 2412.03624.

    python experiments/bbh.py --include_grad --use_bad_samples --full_update --target --n_iters 4

Without --data: every task of the questions that ship with the project; --bbh_cat runs one. The scores of several tasks
are weighted by their questions, over all tasks and over the NLP and the algorithmic ones, as published.
"""

from __future__ import annotations

import sys

from data import bbh
from harness import Config, Job, folder, main, parse

from dspy_semantic_backprop.programs import LayeredProgram, format_normalised_match, verbatim_match


def jobs(config: Config) -> list[Job]:
    """One job for each task asked for."""
    place = folder(config)
    there = list(bbh.TASKS) if place is None else bbh.available(place)
    asked = [config.bbh_cat] if config.bbh_cat else there
    tasks = [task for task in asked if config.category in ("all", bbh.TASKS.get(task, "all"))]
    missing = sorted(bbh.TASKS.keys() - set(there))
    if missing and not config.bbh_cat:
        lacking = f"no data for {len(missing)} of the 27 tasks, so no average is the paper's: {', '.join(missing)}"
        print(lacking, file=sys.stderr)
    splits = {task: bbh.load(task, folder=place, seed=config.seed) for task in tasks}
    return [
        Job(
            name=task,
            build=lambda: LayeredProgram(across_layers=config.across_layers),
            metric=verbatim_match,
            lenient=format_normalised_match,
            split=split,
            group=bbh.TASKS[task],
        )
        for task, split in list(splits.items())[: 1 if config.smoke else None]
    ]


if __name__ == "__main__":
    main("bbh", jobs, parse("bbh"))
