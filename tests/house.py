"""What the house looks like from outside, each figure beside its aim: `python -m tests.house`.

The functions take the folder that they measure, so that another checkout can be measured by the same means:

    PYTHONPATH=/path/to/other python tests/house.py
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import threading
import tokenize
from collections import Counter
from collections.abc import Callable, Container, Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy

import dspy_semantic_backprop
from dspy_semantic_backprop import SemanticGradientDescent
from tests.scripted import careful, questions, right, served

PACKAGE = Path(dspy_semantic_backprop.__file__).parent
ROOT = PACKAGE.parent
PUBLIC = {"presets", "programs", "testing", "integrations"}
ORDER = (
    *("_secrets", "_terminal", "_errors", "_spelling", "_concurrency", "_values", "_json", "_session"),
    *(
        "integrations.progress",
        "_graph",
        "_logs",
        "_evaluate",
        "_backward",
        "_propose",
        "_decide",
        "_page",
        "_method",
        "presets",
    ),
    *("_checks", "_settings", "_run", "_loop", "_result", "_compile", "_reports", "_optimizer"),
    *("integrations", "_cli", "__main__", "__init__"),
)
"""Rooms from the ground up; a file imports from its own room and from those before it."""
APART = {
    "programs": (),
    "testing": (),
    "_graph": ("_terminal", "_errors", "_concurrency", "_values", "_secrets"),
}
"""Rooms that stand alone: room -> the only others that it may import from."""

_IMPORT = re.compile(r"(?:from|import) +(dspy_semantic_backprop[.\w]*)(?: +import +\(?([\w ,]+))?")
_PATH = re.compile(r"dspy_semantic_backprop(?:\.\w+)+")


class Figure(NamedTuple):
    """A figure, and the most that it should be; None where there is no such aim."""

    name: str
    value: float
    aim: float | None = None
    found: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        return self.aim is None or self.value <= self.aim


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every file of the package by its dotted name, a folder's `__init__` by the folder's."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)] = path
    return found


def files_of_tests(root: Path = ROOT) -> dict[str, Path]:
    """Every file of the tests by its path below the root."""
    return {str(path.relative_to(root)): path for path in sorted((root / "tests").rglob("*.py"))}


def imports(package: Path = PACKAGE) -> list[tuple[str, str]]:
    """Which file imports which, lazy and type-checking imports counted."""
    files = modules(package)
    pairs = {(name, target) for name, path in files.items() for target in _targets(path, package, files)}
    return sorted((name, target) for name, target in pairs if name != target)


def _targets(path: Path, package: Path, files: Container[str]) -> Iterator[str]:
    here = ".".join(path.parent.relative_to(package.parent).parts)
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = resolve_name("." * node.level + (node.module or ""), here)
            for alias in node.names:
                inside = f"{module}.{alias.name}".partition(".")[2]
                yield inside if inside in files else module.partition(".")[2] or "__init__"


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def circles(package: Path = PACKAGE) -> list[list[str]]:
    """The groups of files that import each other, directly or through others."""
    import igraph

    graph = igraph.Graph.TupleList(imports(package), directed=True)
    groups = graph.connected_components("strong")
    return [sorted(graph.vs[group]["name"]) for group in groups if len(group) > 1]


def upward(package: Path = PACKAGE) -> list[tuple[str, str]]:
    """Imports against the order of the rooms, as (file, what it imports)."""
    return [(name, target) for name, target in imports(package) if not _allowed(_room(name), _room(target))]


def _room(name: str) -> str:
    return name if name in ORDER else name.partition(".")[0]


def _allowed(room: str, other: str) -> bool:
    if room == other or room == "__init__":
        return True
    if room in APART:
        return other in APART[room]
    return room in ORDER and other in ORDER and ORDER.index(other) < ORDER.index(room)


def deep_imports(root: Path = ROOT) -> dict[str, set[str]]:
    """File -> the names that it takes from inside the package, in documents, notebooks, experiments and tests."""
    files = [*root.glob("*.md"), *(path for kind in ("md", "ipynb", "py") for path in _outside(root, kind))]
    found = {str(path.relative_to(root)): {name for name in _taken(path) if _is_deep(name)} for path in sorted(files)}
    return {name: deep for name, deep in found.items() if deep}


def _outside(root: Path, kind: str) -> Iterator[Path]:
    for folder in ("docs", "notebooks", "experiments", "tests"):
        yield from (root / folder).rglob(f"*.{kind}")


def _taken(path: Path) -> Iterator[str]:
    """The dotted names that a file imports from the package or, in code, spells out as a text."""
    if path.suffix != ".py":
        for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
            yield from [f"{module}.{name}" for name in re.findall(r"\w+", names)] or [f"{module}."]
        return
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.ImportFrom) and not node.level and _ours(node.module):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _PATH.fullmatch(node.value):
            yield f"{node.value}."


def _ours(module: str | None) -> bool:
    return (module or "").split(".")[0] == PACKAGE.name


def _is_deep(name: str) -> bool:
    """Whether a name lies behind the face and the public sub-modules; an imported module's name ends in a dot."""
    _, *inner = name.split(".")
    return any(part.startswith("_") for part in inner) or len(inner) > 1 + (inner[0] in PUBLIC)


def twice(package: Path = PACKAGE) -> list[str]:
    """The names that several classes of the package bear."""
    trees = map(_parsed, modules(package).values())
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return sorted(name for name, count in names.items() if count > 1)


def lines(path: Path = PACKAGE) -> int:
    """The lines of a file, or of all Python files in a folder."""
    files = path.rglob("*.py") if path.is_dir() else [path]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def comments(package: Path = PACKAGE) -> float:
    """The share of the package's lines on which a comment stands, in percent."""
    count = 0
    for path in modules(package).values():
        with path.open("rb") as file:
            count += sum(token.type == tokenize.COMMENT for token in tokenize.tokenize(file.readline))
    return round(100 * count / lines(package), 1)


class Three(dspy.Module):
    """A hint, a note and an answer that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question -> note")
        self.final = dspy.Predict("question, one, two -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        one, two = self.first(question=question).hint, self.second(question=question).note
        return self.final(question=question, one=one, two=two)


def explain() -> None:
    """The gradients of one example."""
    with served(careful):
        SemanticGradientDescent(right, subscribers=()).explain(Three(), questions(1)[0])


def compile_once() -> None:
    """One step on a few examples."""
    with served(careful):
        SemanticGradientDescent(right, steps=1, subscribers=()).compile(Three(), trainset=questions(6))


def entered(work: Callable[[], Any], package: Path = PACKAGE) -> set[tuple[str, str]]:
    """The functions of the package that run in any thread during some work, as (file, name and line).

    What is not counted: the server that stands for the model, and what is imported and set up at the first use.
    """
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    work()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # pyright: ignore[reportArgumentType]
    # A thread that has not ended yet still notes what it runs.
    places = {(code.co_filename, f"{code.co_name}:{code.co_firstlineno}") for code in codes.copy()}
    mine = {str(path) for path in package.rglob("*.py")} - {str(path) for path in (package / "testing").rglob("*.py")}
    return {(file, function) for file, function in places if file in mine}


def import_ratio(statement: str, repeats: int = 7) -> float:
    """The processor time of an import over that of importing DSPy: medians of fresh processes, in turn."""

    def seconds(wanted: str) -> float:
        timed = f"import time; {wanted}; print(time.process_time())"
        return float(subprocess.check_output([sys.executable, "-c", timed], cwd=ROOT, text=True))

    pairs = [(seconds("import dspy"), seconds(statement)) for _ in range(repeats)]
    bare, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    return round(ours / bare, 3)


def figures() -> Iterator[Figure]:
    """All figures, the slow ones last."""
    for name, found in (
        ("circles between files", [" <-> ".join(one) for one in circles()]),
        ("imports against the order of the rooms", [" -> ".join(one) for one in upward()]),
        ("class names that stand twice", twice()),
        ("files over 400 lines", [name for name, path in modules().items() if lines(path) > 400]),
        ("test files over 400 lines", [name for name, path in files_of_tests().items() if lines(path) > 400]),
    ):
        yield Figure(name, len(found), 0, tuple(found))
    deep = {file: names for file, names in deep_imports().items() if file not in _excepted()}
    yield Figure("files with deep imports", len(deep), 0, tuple(f"{file}: {len(one)}" for file, one in deep.items()))
    yield Figure("names on the face", len(dspy_semantic_backprop.__all__))
    yield Figure("lines of the package", lines(PACKAGE), 20_000)
    yield Figure("lines of the README", lines(ROOT / "README.md"), 120)
    yield Figure("lines with a comment, %", comments())
    for name, work, aim in (("explain", explain, 40), ("a one-step compile", compile_once, 60)):
        found = entered(work)
        yield Figure(f"files entered by {name}", len({file for file, _ in found}), aim)
        yield Figure(f"functions entered by {name}", len(found))
    yield Figure("import time over that of dspy", import_ratio(f"import {PACKAGE.name}"), 1.05)
    # The face imports a name when it is first used, so that the package alone says little.
    used = f"from {PACKAGE.name} import SemanticGradientDescent, trace"
    yield Figure("import time of what compiles, likewise", import_ratio(used), 1.05)


def _excepted() -> set[str]:
    """The tests that may look inside, as the test of the architecture lists them."""
    import tests.test_architecture as architecture

    return set(getattr(architecture, "INSIDE", ()))


def main() -> int:
    """Print every figure; returns 1 where one is beyond its aim."""
    kept = True
    for figure in figures():
        aim = "" if figure.aim is None else f"{'at most':>9} {figure.aim:g}{'' if figure.kept else '   BEYOND'}"
        print(f"{figure.name:42} {figure.value:10,g}{aim}", flush=True)
        for one in figure.found:
            print(f"    {one}")
        kept &= figure.kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
