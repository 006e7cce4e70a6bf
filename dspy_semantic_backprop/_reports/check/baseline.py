"""What a program scored once, example by example, as a file that a later one is checked against."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

from ..._errors import SetupError
from ..._json import from_json, to_json
from ..._session.entries import sealed
from ..._session.fingerprint import fingerprint
from ..._settings import Settings
from ..._terminal import clean, counted, displayed, printable, wrapped

_FORMAT = 1


@dataclass(frozen=True)
class BaselineScore:
    """One example of a baseline.

    Args:
        id: The digest of what the example holds, with a number where the same example stands several times.
        score: In metric points.
        must: Whether it must not regress.
    """

    id: str
    score: float
    must: bool = False


@displayed
@dataclass(frozen=True)
class Baseline:
    """What a program scored, and what it was: made by `SemanticGradientDescent.baseline`, kept as JSON.

    Args:
        program: The program's class.
        metric: The metric's name and the digest of its code.
        model: The language models of the program, by name.
        instructions: Predictor's name -> its instruction.
        scores: One for each example that was scored.
        written: When, as an ISO date.
        version: Of this package.
        format: Of the file.
    """

    program: str
    metric: Mapping[str, Any]
    model: str
    instructions: Mapping[str, str]
    scores: tuple[BaselineScore, ...]
    written: str
    version: str
    format: int = _FORMAT

    @printable
    def __str__(self) -> str:
        marks = sum(one.must for one in self.scores)
        mean = math.fsum(one.score for one in self.scores) / max(1, len(self.scores))
        about = f"Baseline: {counted(len(self.scores), 'score')}, mean {mean:.4g}; {marks} must not regress"
        return "\n".join(wrapped(f"{about}; {clean(self.program)} with {clean(self.model)}", "", 3, indent=0))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the baseline as JSON; a file that is there is replaced.

        Raises:
            SetupError: If the file cannot be written.
        """
        beside = Path(f"{os.fspath(path)}.part")
        try:
            beside.write_text(json.dumps(to_json(self), indent=1) + "\n", encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise SetupError(f"the baseline {os.fspath(path)!r} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Read a baseline.

        Raises:
            SetupError: If there is none, or it is damaged.
        """
        name = os.fspath(path)
        try:
            found = from_json(cls, json.loads(Path(path).read_text(encoding="utf-8-sig")))
        except OSError as error:
            raise SetupError(f"the baseline {name!r} cannot be read ({error.strerror}); write one first") from error
        except (ValueError, RecursionError) as error:
            raise SetupError(f"{name!r} is no baseline; write one first") from error
        if found.format != _FORMAT or not all(math.isfinite(one.score) for one in found.scores):
            raise SetupError(f"{name!r} is no baseline that can be read here; write it anew")
        return found


def described(settings: Settings, program: dspy.Module, examples: Sequence[dspy.Example]) -> Baseline:
    """What a program and a metric are, as a baseline without scores; each example's id stands there with a score of 0.

    What the metric holds is left out: a baseline lies in a repository, where it may be read by anybody.
    """
    told: dict[str, Any] = sealed(fingerprint(settings, program, examples, None), None)
    models = {getattr(predictor.lm or dspy.settings.lm, "model", "?") for predictor in program.predictors()}
    metric: Any = told["settings"]["metric"]
    seen: Counter[str] = Counter()
    ids = []
    for one in told["trainset"]:
        seen[one] += 1
        ids.append(one if seen[one] == 1 else f"{one}-{seen[one]}")
    return Baseline(
        program=told["program"]["class"],
        metric={name: value for name, value in metric.items() if name not in ("holds", "with")},
        model=", ".join(sorted(map(str, models))),
        instructions={name: one["instruction"] for name, one in told["program"]["predictors"].items()},
        scores=tuple(BaselineScore(one, 0.0) for one in ids),
        written=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        version=told["version"],
    )
