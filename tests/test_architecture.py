"""The house is as `tests.house` measures it: imports point one way, one face, one name for one thing."""

from __future__ import annotations

import ast

import pytest

import dspy_semantic_backprop
from tests import house

INSIDE = {
    "experiments/faults/judges.py": "the rival of the backward pass is asked and booked as that is",
    "experiments/faults/methods.py": "all methods on the same executions, run and proved once: `diagnose` tries one",
    "tests/backward/test_inside.py": "what counts as a usable answer, in texts; merging lessons, in hundreds of them",
    "tests/decide/test_group.py": "which examples are kept together, without a run",
    "tests/decide/test_commit.py": "how often luck is committed, in thousands of runs on made-up scores",
    "tests/decide/test_comparison.py": "the error rates of the tests, in thousands of made-up comparisons",
    "tests/decide/test_consider.py": "what a race asks for next, in scores that no program gives on demand",
    "tests/decide/test_pooled.py": "the estimate and its search, in worlds whose true gains are known",
    "tests/decide/world.py": "the world of those worlds: candidates that have scores and no program",
    "tests/evaluate/test_desk.py": "workers that are lost, and come back, at moments that no signal hits on demand",
    "tests/evaluate/reusing.py": "one candidate evaluated beside another's record: `compile` chooses both by itself",
    "tests/evaluate/test_shelf.py": "packed executions in a run of two steps: one that packs any takes minutes",
    "tests/graph/test_drawing.py": "how a value becomes one line, in hundreds of odd texts and widths",
    "tests/graph/test_sealed.py": "what a kernel is told on a machine that the tests do not run on",
    "tests/propose/test_duplicates.py": "which texts count as one, in scores of pairs: a run each would take minutes",
    "tests/propose/test_injection.py": "what nobody asked for, in hundreds of texts: a run each would take minutes",
    "tests/propose/test_leaks.py": "the leak guard, in hundreds of texts",
    "tests/propose/test_protected.py": "what DSPy writes, for each module and way to lose it",
    "tests/reports/test_statistics.py": "what chance does, in thousands of simulated runs",
    "tests/session/test_log_damage.py": "values that no run writes, under checksums that fit",
    "tests/session/test_ledger.py": "bookings of many threads at once, bounds and secrets, in random requests",
}
"""The tests of a unit that cannot be reached from outside, and why."""

KNOW_NO_DSPY = (
    *("_errors", "_terminal", "_secrets", "_decide.comparison", "_decide.gate", "_decide.commit", "_decide.race"),
    *("_backward.gradient", "_backward.propagate", "_backward.numeric", "_backward.text"),
    *("_backward.blame", "_backward.blame_model", "_backward.blame_estimate"),
    *("_graph.graph", "_graph.trace", "_graph.draw", "_propose.screen", "_session.ledger", "_session.budget"),
)
"""What is the method's own, or anybody's, and not DSPy's."""


def test_imports_point_one_way_file_by_file():
    assert not house.circles()
    assert not house.upward()


def test_nothing_outside_reaches_into_the_package():
    deep = house.deep_imports()
    assert not {file: names for file, names in deep.items() if file not in INSIDE}
    assert not [file for file in INSIDE if file not in deep], "an exception that is not needed any more"


def test_no_class_name_stands_twice():
    assert not house.twice()


def test_what_is_not_of_dspy_does_not_know_it():
    knowing = {
        name
        for name, path in house.modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        if module.split(".")[0] == "dspy"
    }
    assert not [name for name in knowing if name.startswith(KNOW_NO_DSPY)]


def test_what_takes_long_to_import_is_imported_where_it_is_used():
    """LiteLLM alone takes longer than DSPy, and three times its memory, which every fork of a replay copies."""
    heavy = {"litellm", "openai", "numpy", "scipy", "pandas", "igraph", "distributed", "ray", "mlflow", "wandb"}
    found = {
        f"{name}: {module}"
        for name, path in house.modules().items()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        if module.split(".")[0] in heavy
    }
    assert not found


def test_only_one_file_writes_signatures():
    files = house.modules().items()
    writing = [name for name, path in files if "with_instructions(" in path.read_text(encoding="utf-8")]
    assert writing == ["_evaluate.candidate"]


def test_what_an_object_says_of_itself_can_be_given_to_a_terminal():
    bare = [
        f"{name}, line {node.lineno}"
        for name, path in house.modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.name in ("__str__", "__repr__")
        and not any(isinstance(one, ast.Name) and one.id == "printable" for one in node.decorator_list)
    ]
    assert not bare


def test_there_is_one_logger():
    getting = [name for name, path in house.modules().items() if "getLogger(" in path.read_text(encoding="utf-8")]
    assert getting == ["_terminal"]


def test_public_names_are_sorted_documented_and_there():
    names = dspy_semantic_backprop.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(dspy_semantic_backprop, name).__doc__, name


@pytest.mark.parametrize(("name", "most"), [("_backward.propagate", 70), ("_loop", 100), ("_optimizer", 200)])
def test_what_a_stranger_reads_first_stays_on_a_screen(name, most):
    assert house.lines(house.modules()[name]) <= most


def test_no_file_outgrows_a_sitting():
    files = {**house.modules(), **house.files_of_tests()}
    assert not [name for name, path in files.items() if house.lines(path) > 400]
