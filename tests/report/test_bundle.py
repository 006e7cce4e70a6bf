"""The page's script is what its sources are packed into."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "dspy_semantic_backprop" / "_page" / "source"
SHIPPED = WEB.parent
BUILT = ("report.js", "report.css", "report.LICENSES.txt", "report.sources")


def test_the_bundle_was_packed_from_these_sources():
    digest = hashlib.sha256()
    for name in ("package-lock.json", "build.js", *sorted(f"src/{path.name}" for path in (WEB / "src").iterdir())):
        digest.update(f"{name}\n".encode() + (WEB / name).read_bytes())
    packed = (SHIPPED / "report.sources").read_text("ascii").strip()
    assert packed == digest.hexdigest(), "run `npm ci && npm run build` in _page/source/ and commit what it writes"


@pytest.mark.skipif(
    not (WEB / "node_modules").is_dir() or shutil.which("node") is None,
    reason="npm's modules are not there (npm ci in _page/source/): the bundle was checked by its sources' digest alone",
)
def test_the_sources_give_the_bundle_again(tmp_path):
    subprocess.run(["node", "build.js", str(tmp_path)], cwd=WEB, check=True, capture_output=True)
    assert {name: (tmp_path / name).read_bytes() for name in BUILT} == {
        name: (SHIPPED / name).read_bytes() for name in BUILT
    }


def test_no_file_names_a_registry():
    for name in ("package.json", "package-lock.json"):
        text = (WEB / name).read_text("utf-8")
        assert "registry" not in text and "resolved" not in text


def test_the_licences_of_what_is_packed_stand_beside_it():
    said = (SHIPPED / "report.LICENSES.txt").read_text("utf-8")
    for name in ("preact", "htm", "diff", "@dagrejs/dagre", "uplot"):
        assert f"{name} " in said
