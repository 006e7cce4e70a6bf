"""Imports point one way, and the public names are exactly those that are promised."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dspy_semantic_backprop

PACKAGE = Path(dspy_semantic_backprop.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    "concurrency": {"errors"},
    "run.budget": {"errors"},
    "run.ledger": {"run.budget", "errors"},
    "run.limits": {"errors"},
    "run.difference": set(),
    "run.past": {"run.budget", "run.difference", "errors"},
    "run.journal": {"run.budget", "run.ledger", "run.past", "errors"},
    "run.projection": {"run.budget"},
    "run.events": {"run.projection"},
    "run.tracking": {"run.events", "errors"},
    "run.result": {"run.budget"},
    "run.progress": {"run.ledger", "run.events"},
    "run.terminal": set(),
    "run.paired": set(),
    "run.diagnosis": {"run.budget", "run.diagnosis_text"},
    "run.diagnosis_text": {"run.diagnosis", "run.terminal"},
    "run.preflight": {"run.budget", "run.paired", "run.projection", "run.preflight_text"},
    "run.preflight_text": {"run.preflight", "run.terminal"},
    "run.placebo": {"run.budget", "run.paired", "run.terminal"},
    "lm": {"lm", "run.budget", "run.ledger", "run.journal", "errors"},
    "forward": {"forward", "lm", "concurrency", "errors", "run.budget", "run.ledger", "run.journal", "run.limits"},
    "backward": {"backward", "forward", "lm", "concurrency"},
    "step": {"step", "backward", "forward", "lm", "concurrency", "errors"},
    "presets": {"backward", "forward", "step"},
    "arguments": {"forward", "lm", "presets", "run.budget", "errors"},
    "fingerprint": {"lm", "run.journal"},
    "running": {"forward", "backward", "step", "presets", "run", "lm", "concurrency", "errors"},
    "proposing": {"running", "forward", "backward", "step", "run", "lm", "concurrency"},
    "committing": {"running", "forward", "step", "run", "errors"},
    "doubting": {"running", "forward", "step", "run.budget", "concurrency", "errors"},
    "reporting": {"proposing", "forward", "step", "run"},
    "descent": {
        "running",
        "proposing",
        "committing",
        "doubting",
        "reporting",
        "forward",
        "step",
        "run",
        "lm",
        "concurrency",
        "errors",
    },
    "checking": {"running", "forward", "backward", "run", "lm", "concurrency", "errors"},
    "matching": {"forward", "backward", "step"},
    "composing": {
        "optimizer",
        "matching",
        "proposing",
        "running",
        "arguments",
        "presets",
        "forward",
        "step",
        "run",
        "lm",
        "concurrency",
        "errors",
    },
    "diagnosing": {"running", "checking", "forward", "backward", "step", "run", "lm"},
    "forecasting": {
        "running",
        "proposing",
        "committing",
        "doubting",
        "reporting",
        "forward",
        "step",
        "run",
        "lm",
        "errors",
    },
    "placebos": {"running", "committing", "reporting", "presets", "forward", "backward", "step", "run", "lm"},
    "programs": {"programs"},
    "testing": {"testing"},
}
"""Floor or room -> what it may import of this package; `optimizer` and `__init__` may import all."""

MAY_IMPORT_DSPY = {
    "optimizer",
    "composing",
    "matching",
    "arguments",
    "running",
    "proposing",
    "committing",
    "descent",
    "checking",
    "diagnosing",
    "forecasting",
    "placebos",
    "fingerprint",
    "lm.asking",
    "lm.door",
    "lm.failures",
    "lm.fresh",
    "lm.passage",
    "lm.prices",
    "lm.usage",
    "forward.callbacks",
    "forward.capture",
    "forward.evaluate",
    "forward.metric",
    "forward.names",
    "forward.copying.own_code",
    "forward.replaying.probe",
    "forward.recorder",
    "forward.recording",
    "forward.reuse",
    "forward.replaying.replay",
    "forward.copying.replica",
    "forward.slicing.callbacks",
    "forward.slicing.calls",
    "forward.slicing.functions",
    "forward.slicing.libraries",
    "forward.replaying.stage",
    "forward.copying.surroundings",
    "forward.replaying.rerun",
    "forward.tracing",
    "forward.usage",
    "forward.values",
    "backward.amend",
    "backward.asking",
    "backward.bounded",
    "backward.question",
    "backward.reduce",
    "step.leaks.guard",
    "step.propose",
    "step.scaffold",
    "step.worth.reword",
    "step.candidate",
    "programs.layered",
    "programs.liar",
    "programs.metrics",
    "testing.server",
}


def rooms() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    }


def imports(room: str, path: Path) -> tuple[set[str], bool]:
    """What a room imports of this package, and whether it imports DSPy."""
    ours, dspy = set(), False
    above = room.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = above[: len(above) - node.level + 1]
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            ours |= {".".join([*base, *module.split(".")]) for module in modules}
        elif isinstance(node, ast.ImportFrom):
            dspy |= (node.module or "").split(".")[0] == "dspy"
        elif isinstance(node, ast.Import):
            dspy |= any(alias.name.split(".")[0] == "dspy" for alias in node.names)
    return ours, dspy


@pytest.mark.parametrize("room", [room for room in rooms() if room != "optimizer"])
def test_imports_point_one_way(room):
    allowed = MAY_IMPORT.get(room, MAY_IMPORT.get(room.split(".")[0]))
    assert allowed is not None, f"{room} is not in the table of imports"
    ours, _ = imports(room, rooms()[room])
    wrong = {name for name in ours if name not in allowed and name.split(".")[0] not in allowed}
    assert not wrong, f"{room} imports {wrong}"


def test_only_named_rooms_know_dspy():
    knowing = {room for room, path in rooms().items() if imports(room, path)[1]}
    assert knowing == MAY_IMPORT_DSPY


def test_only_one_room_writes_signatures():
    writing = {room for room, path in rooms().items() if "with_instructions(" in path.read_text(encoding="utf-8")}
    assert writing == {"step.candidate"}


def test_public_names_are_sorted_documented_and_there():
    names = dspy_semantic_backprop.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(dspy_semantic_backprop, name).__doc__, name


def test_the_sweep_stays_small():
    assert len(rooms()["backward.propagate"].read_text(encoding="utf-8").splitlines()) < 70


@pytest.mark.parametrize("room", list(rooms()))
def test_no_room_outgrows_a_sitting(room):
    assert len(rooms()[room].read_text(encoding="utf-8").splitlines()) <= 400
