"""What a study is going to cost before anything is asked: the optimizer's own projection, priced.

How many tokens a call takes is taken from the one committed run of a real model: a program's call, and one of the
optimizer's. A stronger model writes more in its rewrites, so this is a rough figure; the calls are not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RECORD = Path(__file__).parent / "results" / "bbh-real-seed0-0-20261124T012447820045.json"
PUBLISHED = {"program": "gpt-4o-mini-2024-07-18", "optimizer": "gpt-4-turbo-2024-04-09"}
"""The models of the paper, priced where the flags name none."""


class Tokens(NamedTuple):
    """The tokens of one call, in the mean."""

    prompt: float
    completion: float


@dataclass(frozen=True)
class Bill:
    """What one job is projected to take.

    Args:
        name: The job's.
        calls: Language-model calls, probably: the program's while optimising, the optimizer's, the program's held out.
        most: The most calls of a run: of `calls`, the first two.
    """

    name: str
    calls: tuple[int, int, int]
    most: int

    def usd(self, program: str, optimizer: str) -> float | None:
        """US dollars at the prices that LiteLLM knows; None where it knows none of a model.

        Args:
            program: The program's model.
            optimizer: The optimizer's.
        """
        import litellm

        own, its = tokens("backward", "propose"), tokens("forward", "heldout")
        parts = [(self.calls[0] + self.calls[2], its, program), (self.calls[1], own, optimizer)]
        prices = [litellm.model_cost.get(model.removeprefix("openai/")) for _, _, model in parts]
        if not all(prices):
            return None
        return sum(
            calls * (each.prompt * price["input_cost_per_token"] + each.completion * price["output_cost_per_token"])
            for (calls, each, _), price in zip(parts, prices, strict=True)
            if price
        )


def tokens(*purposes: str) -> Tokens:
    """What a call for these purposes took in the committed run of a real model."""
    spent = json.loads(RECORD.read_text(encoding="utf-8"))["tasks"][0]["spent"]
    calls = sum(spent[purpose]["calls"] for purpose in purposes)
    kinds = ("prompt_tokens", "completion_tokens")
    return Tokens(*(sum(spent[purpose][kind] for purpose in purposes) / calls for kind in kinds))


def table(bills: Sequence[Bill], program: str | None, optimizer: str | None) -> str:
    """The bills as rows of a Markdown table, and their sum.

    Args:
        bills: One for each job.
        program: The program's model; None for the paper's.
        optimizer: The optimizer's; None for the paper's, or for the program's where that is given.
    """
    models = (program or PUBLISHED["program"], optimizer or program or PUBLISHED["optimizer"])
    lines = [
        f"{models[0]}, optimizer {models[1]}",
        "| job | program's calls | optimizer's | held out, before and after | at most, without held out | US dollars |",
        "|---|---|---|---|---|---|",
    ]
    column = [sum(one.calls[at] for one in bills) for at in range(3)]
    total = Bill("sum", (column[0], column[1], column[2]), sum(one.most for one in bills))
    for one in bills if len(bills) == 1 else [*bills, total]:
        usd = one.usd(*models)
        calls = " | ".join(f"{number:,}" for number in (*one.calls, one.most))
        lines.append(f"| {one.name} | {calls} | {'unknown price' if usd is None else f'{usd:.2f}'} |")
    return "\n".join(lines)
