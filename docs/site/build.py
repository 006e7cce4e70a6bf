"""The documentation as a site: its pages, the reference from the docstrings, and `llms.txt`.

    pip install '.[docs]'
    python docs/site/build.py FOLDER
    python -m http.server --bind 127.0.0.1 --directory FOLDER/html 8000      # then open http://127.0.0.1:8000

Why zensical: MkDocs is no longer maintained and its Material theme is in maintenance; zensical is made by the authors
of that theme, takes these Markdown pages as they are, and mkdocstrings reads the lazily imported face by its type stub.
Sphinx with MyST would want another dialect in the pages. A warning is an error. The pages can also be opened as
files, without the search: a browser lets no file load the list of words, and the builder's way around it asks a host
of somebody else.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORDS = ROOT / "experiments" / "results"
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOP = {
    ROOT / "README.md": "index.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
}
"""Pages beside the documentation, and what they are called in the site; the README is its home."""
ROOMS = {
    "_optimizer": "optimizer",
    "_method": "optimizer",
    "_result": "optimizer",
    "_settings": "optimizer",
    "_reports": "reports",
    "_logs": "reports",
    "_graph": "graph",
    "_backward": "gradients",
    "_propose": "proposing",
    "_decide": "deciding",
    "_session": "session",
    "_errors": "session",
    "_evaluate": "session",
    "integrations": "integrations",
}
"""The room that a public name comes from -> its page of the reference."""
MODULES = ("presets", "integrations", "programs", "testing")
TITLES = {
    "optimizer": "Optimizer and results",
    "reports": "Reports",
    "graph": "Graph",
    "gradients": "Gradients",
    "proposing": "Proposing",
    "deciding": "Deciding",
    "session": "Budget, limits, errors",
}
REPORTS = """\
Each report is a method of the optimizer, `optimizer.diagnose(program, trainset)`, with the arguments of its
asynchronous twin, which is described here: `await optimizer.adiagnose(program, trainset)`.

"""


def pages() -> dict[Path, str]:
    """Every page -> its place in the site. The list of pages for readers of the repository is the site's navigation."""
    docs = ROOT / "docs"
    own = {page: page.relative_to(docs).as_posix() for page in sorted(docs.rglob("*.md"))}
    del own[docs / "index.md"]
    return TOP | own


def linked(text: str, page: Path, places: dict[Path, str]) -> str:
    """A page's text with its links as they are in the site; a link to what is no part of it keeps only its words."""
    depth = places[page].count("/")

    def moved(match: re.Match[str]) -> str:
        path, hash_, anchor = match[1].partition("#")
        if "://" in path or not path:
            return match[0]
        file = (page.parent / path).resolve()
        if file in places:
            target = places[file]
        elif file == ROOT / "docs" / "index.md":
            target = "index.md"
        elif file.is_relative_to(RECORDS):
            target = f"records/{file.name}"
        elif file.is_relative_to(ROOT / "docs"):
            target = file.relative_to(ROOT / "docs").as_posix()
        else:
            return "]()"
        return f"]({'../' * depth}{target}{hash_}{anchor})"

    # An empty target is no link for a reader: only the words are kept.
    return re.sub(r"(?<!!)\[([^\]\[]*)\]\(\)", r"\1", LINK.sub(moved, text))


def reference() -> dict[str, str]:
    """The pages of the reference by their place, one section for each public name, in the order of the rooms."""
    titles = dict.fromkeys((*ROOMS.values(), *MODULES), "")
    for name in MODULES:
        titles[name] = f"::: dspy_semantic_backprop.{name}\n\n"
    order = list(ROOMS)
    for module, name in sorted(_imported("__init__.pyi"), key=lambda one: order.index(one[0].split(".")[0])):
        titles[ROOMS[module.split(".")[0]]] += f"::: dspy_semantic_backprop.{name}\n\n"
    # The optimizer takes the reports over as methods, and makes each one's synchronous twin.
    text = (ROOT / "dspy_semantic_backprop" / "_optimizer.py").read_text(encoding="utf-8")
    twins = [name for _, name in _imported("_optimizer.py") if f"    {name} = {name}\n" in text]
    titles["reports"] = REPORTS + "".join(
        [*(f"::: dspy_semantic_backprop._optimizer.{name}\n\n" for name in twins), titles["reports"]]
    )
    return {f"reference/{name}.md": f"# {TITLES.get(name, name)}\n\n{text}" for name, text in titles.items()}


def _imported(file: str) -> list[tuple[str, str]]:
    """The modules and names that a file of the package imports from the package."""
    parsed = ast.parse((ROOT / "dspy_semantic_backprop" / file).read_text(encoding="utf-8"))
    nodes = [node for node in parsed.body if isinstance(node, ast.ImportFrom) and node.level and node.module]
    return [(str(node.module), alias.name) for node in nodes for alias in node.names]


def digest(places: dict[Path, str]) -> str:
    """`llms.txt`: every page by its title and its first sentence."""
    lines = [
        "# dspy-semantic-backprop",
        "",
        "> An optimizer for DSPy programs with more than one module.",
        "",
        "## Pages",
        "",
    ]
    for page, place in places.items():
        title, *rest = page.read_text(encoding="utf-8").strip().split("\n\n")
        prose = next((part for part in rest if part[0].isalpha()), "")
        first = re.split(r"(?<=[.:?]) ", LINK.sub("]", " ".join(prose.split())))[0].replace("[", "").replace("]", "")
        lines.append(f"- [{title.lstrip('# ')}]({place}): {first}")
    return "\n".join(lines) + "\n"


def build(folder: Path) -> Path:
    """Put the sources together in a folder and build them.

    Args:
        folder: Where; what stands there is replaced.

    Returns:
        The folder of the site.

    Raises:
        SystemExit: Where the builder, or the reader of the docstrings, warns of anything.
    """
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "source"
    ignored = shutil.ignore_patterns("*.md", "site", "index.md")
    shutil.copytree(ROOT / "docs", source, ignore=ignored)
    shutil.copytree(RECORDS, source / "records")
    places = pages()
    for page, place in places.items():
        target = source / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(linked(page.read_text(encoding="utf-8"), page, places), encoding="utf-8")
    for place, text in reference().items():
        (source / place).parent.mkdir(exist_ok=True)
        (source / place).write_text(text, encoding="utf-8")
    settings = (HERE / "zensical.toml").read_text(encoding="utf-8").replace('"../.."', f'"{ROOT.as_posix()}"')
    (folder / "zensical.toml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    said = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    # What the reader of docstrings finds is not counted as a warning by the builder.
    if said.returncode or "griffe:" in said.stdout:
        raise SystemExit(f"error: the site was not built without warnings\n{said.stdout}{said.stderr}")
    (folder / "html" / "llms.txt").write_text(digest(places), encoding="utf-8")
    return folder / "html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser("build", description="Build the documentation's site.")
    parser.add_argument("folder", type=Path)
    print(build(parser.parse_args().folder) / "index.html")
