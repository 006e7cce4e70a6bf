"""LIAR with five hints and a verdict, as in arXiv 2412.03624.

    python experiments/liar.py --n_iters 8 --include_grad
    python experiments/liar.py --n_iters 8 --arm all

As in the published script, directions are asked for, wrong examples are learned from, and every update is full, unless
--no-target, --no-use_bad_samples or --no-full_update says otherwise. Without --data: the statements that ship with the
project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from data import liar
from harness import Config, Job, folder, main, parse

from dspy_semantic_backprop.programs import LiarProgram, yes_no, yes_or_else_no

DEFAULTS: Mapping[str, Any] = MappingProxyType({"target": True, "use_bad_samples": True, "full_update": True})
ONE_BY_ONE = ("Statement", "Party", "Job title", "Source", "State", "Final")
ARMS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "full": {"include_grad": True},
        "no_gradient": {"include_grad": False},
        "no_siblings": {"include_grad": True, "no_include_sibling": True},
        "no_siblings_bare": {"include_grad": True, "no_include_sibling": True, "bare": True},
        **{key.lower().replace(" ", "_"): {"include_grad": True, "opt_keys": key} for key in ONE_BY_ONE},
        "no_gate": {"include_grad": True, "no_select": True},
    }
)
"""The ablations of the paper by name. Its prompt without siblings drops the task and the context, too: hence two."""


def jobs(config: Config) -> list[Job]:
    """The one job: published, any answer but yes counts as no; format aside, the answer must begin with its word."""
    return [
        Job(
            name="liar",
            build=partial(LiarProgram, narrow=config.narrow),
            metric=yes_or_else_no,
            lenient=yes_no,
            split=liar.load(folder=folder(config), seed=config.seed),
        )
    ]


def arms(config: Config) -> list[Config]:
    """The configuration of every arm that was asked for; where none was, the flags as they are."""
    if config.arm is None:
        return [config]
    if config.arm not in ("all", *ARMS):
        raise SystemExit(f"error: --arm: no arm is called {config.arm!r}; there are {', '.join(ARMS)}, and 'all'")
    return [replace(config, arm=name, **ARMS[name]) for name in (ARMS if config.arm == "all" else [config.arm])]


if __name__ == "__main__":
    for one in arms(parse("liar", **DEFAULTS)):
        main("liar" if one.arm is None else f"liar-{one.arm}", jobs, one)
