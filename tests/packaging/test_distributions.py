"""What is uploaded holds what it needs: the wheel every file of the package, the source distribution every file."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytest.importorskip("hatchling", reason="pip install '.[test]'")
pytest.importorskip("hatch_fancy_pypi_readme", reason="pip install '.[test]'")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dspy_semantic_backprop"
MADE = {"__pycache__", "node_modules", ".ipynb_checkpoints"}
IMPORT = re.compile(r"^\s*(?:import (\w+)[\w.]*(?: as \w+)?(?:\s+#.*)?$|from (\w+)[\w.]* import \w)", re.MULTILINE)
BROUGHT_BY = {
    "dspy": "dspy_ai",
    "mlflow": "mlflow_skinny",
    "opentelemetry": "opentelemetry_sdk",
    "pydantic_core": "pydantic",
}
"""A name that is imported -> what is asked for to have it, where the two differ."""


def files_of(folder: Path) -> set[str]:
    """The files below a folder that somebody wrote, as paths in the repository."""
    found = [path for path in folder.rglob("*") if path.is_file() and not MADE & set(path.parts)]
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.fixture(scope="module")
def described(wheel):
    """The wheel's metadata."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = files_of(PACKAGE / "_page" / "source")
    assert held == files_of(PACKAGE) - source
    for needed in ("py.typed", "__init__.pyi", "_page/report.js", "_page/report.css", "_page/report.LICENSES.txt"):
        assert f"dspy_semantic_backprop/{needed}" in held


def test_the_wheel_names_its_licences_and_its_command(wheel, described):
    assert described["License-Expression"] == "MIT"
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    for licence in described.get_all("License-File"):
        assert wheel.read(f"{folder}/licenses/{licence}") == (ROOT / licence).read_bytes()
    assert (
        "dspy-semantic-backprop = dspy_semantic_backprop._cli.main:main"
        in wheel.read(f"{folder}/entry_points.txt").decode()
    )


def test_the_description_leads_nowhere_that_an_index_does_not_have(described):
    text = described.get_payload()
    assert "A real model of 1.5 billion parameters" in text  # the README, and not only the end that is written for it
    targets = re.findall(r"\]\(([^)]*)\)", text) + re.findall(r'(?:src|href)="([^"]*)"', text)
    assert targets and all(target.startswith("https://") for target in targets)
    assert "(a router decides that one of two predictors is called" in text  # a picture's words, in its place
    assert described.get_all("Project-URL") is None  # the repository has no public address yet


def test_what_the_package_imports_is_asked_for(described):
    asked = {Requirement(one).name.replace("-", "_") for one in described.get_all("Requires-Dist")}
    for path in sorted(PACKAGE.rglob("*.py")):
        needed = {name for names in IMPORT.findall(path.read_text(encoding="utf-8")) for name in names if name}
        assert {BROUGHT_BY.get(name, name) for name in needed - sys.stdlib_module_names} <= asked, path.name


def test_the_source_distribution_holds_everything_that_was_written(tmp_path):
    from hatchling.builders.sdist import SdistBuilder

    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(built) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    written = {path.name for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".toml"}}
    for folder in ("dspy_semantic_backprop", "docs", "experiments", "notebooks", "tests"):
        written |= files_of(ROOT / folder)
    assert written <= held
    assert not [name for name in held if MADE & set(Path(name).parts)]
