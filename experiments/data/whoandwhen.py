"""Who&When (arXiv 2505.00212): failed logs of agents, with what people said of them; not part of this repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dspy_semantic_backprop import Log, read_logs


@dataclass(frozen=True)
class Labelled:
    """A log, and what people said of it."""

    kind: str
    log: Log
    agent: str
    step: int

    @property
    def speakers(self) -> list[str]:
        """Who spoke, turn by turn."""
        return [call.predictor for call in self.log.graph]

    @property
    def consistent(self) -> bool:
        """Whether the labelled agent spoke at the labelled step."""
        return any(self.log.turns[call.id] == self.step and call.predictor == self.agent for call in self.log.graph)


def labelled(folder: Path) -> list[Labelled]:
    """The logs of a folder with their labels."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix != ".jsonl" and not path.is_dir():
            continue
        files = sorted(path.glob("*.json"), key=lambda one: (len(one.stem), one.name)) if path.is_dir() else [path]
        states = [json.loads(line) for file in files for line in _values(file)]
        for log, state in zip(read_logs(path, format="whoandwhen"), states, strict=True):
            step = state["mistake_step"]
            found.append(Labelled(path.stem, log, state["mistake_agent"], int(step) if str(step).isdigit() else -1))
    return found


def _values(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8-sig")
    return [line for line in text.splitlines() if line.strip()] if file.suffix == ".jsonl" else [text]
