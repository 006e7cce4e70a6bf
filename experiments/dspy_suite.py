"""DSPy's own test suite in a process where this package has traced and compiled a program, beside one without it.

    python experiments/dspy_suite.py /path/to/dspy/checkout

The checkout is of the installed version (`git clone --branch 3.3.1 https://github.com/stanfordnlp/dspy`): nothing is
fetched here. Its tests are run twice by the pytest of this interpreter, with DSPy as installed and not as checked out;
what they need (pytest-asyncio, pytest-mock) has to be installed. Printed are the counts of both runs and every test
that ends differently; the exit status is 1 where there is one, or no test. What is behind `--` goes to pytest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

_WHERE = "DSPY_SUITE_OUTCOMES"
"""The plugin writes what became of each test there."""
_FIRST = "DSPY_SUITE_FIRST"
"""Whether the plugin traces and compiles first."""
_outcomes: dict[str, str] = {}


def use_the_package() -> None:
    """Trace and compile a program of two predictors by every door that touches DSPy."""
    import dspy

    from dspy_semantic_backprop import Budget, SemanticGradientDescent, program_graph, trace
    from dspy_semantic_backprop.testing import SimulatedServer

    class Two(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hint = dspy.ChainOfThought("question -> hint")
            self.final = dspy.Predict("question, hint -> answer")

        def forward(self, question: str) -> Any:
            return self.final(question=question, hint=self.hint(question=question).hint)

    rows = [dspy.Example(question=f"What follows from {n}?", answer="a").with_inputs("question") for n in range(4)]

    def metric(example: Any, prediction: Any, trace: Any = None) -> float:
        return float(len(prediction.answer) % 3)

    def rule(prompt: Any) -> dict[str, Any]:
        return {name: f"{name} of {len(str(prompt.inputs))}" for name in prompt.names}

    with SimulatedServer(rule) as server, dspy.context(lm=server.lm(max_tokens=500)):
        trace(Two(), rows[0], probe="always")
        program_graph(Two(), rows)
        optimizer = SemanticGradientDescent(metric, steps=2, budget=Budget(calls=200), subscribers=())
        optimizer.compile(Two(), trainset=rows)
        optimizer.explain(Two(), rows[0])


def pytest_sessionstart(session: Any) -> None:
    """Use the package before the first test, where this run is the one that does."""
    if os.environ.get(_FIRST):
        use_the_package()


def pytest_runtest_logreport(report: Any) -> None:
    """Note what became of a test: of its set-up, its call or its end, whichever did not pass."""
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid] = report.outcome if report.when == "call" else f"{report.outcome} in {report.when}"


def pytest_sessionfinish(session: Any) -> None:
    """Write the outcomes down."""
    if _WHERE in os.environ:
        Path(os.environ[_WHERE]).write_text(json.dumps(_outcomes), encoding="utf-8")


def run(tests: Path, arguments: list[str], *, first: bool) -> dict[str, str]:
    """What becomes of each of DSPy's tests, with or without this package in the process."""
    with tempfile.TemporaryDirectory() as folder:
        # Without DSPy's sources beside them, the tests import the installed one.
        shutil.copytree(tests, Path(folder, "tests"))
        shutil.copy(__file__, Path(folder, "dspy_suite_plugin.py"))
        kept = Path(folder, "outcomes.json")
        package = str(Path(__file__).resolve().parents[1])
        environment = {**os.environ, _WHERE: str(kept), "PYTHONPATH": os.pathsep.join((folder, package))}
        environment |= {_FIRST: "1"} if first else {}
        ordered = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
        plugin = ["-p", "dspy_suite_plugin", "-c", os.devnull, "--rootdir", folder, "--tb=no", "--disable-warnings"]
        subprocess.run([*ordered, *plugin, "tests", *arguments], cwd=folder, env=environment, check=False)
        return json.loads(kept.read_text(encoding="utf-8"))


def main() -> int:
    """Run the suite twice and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of DSPy")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, behind --")
    given = parser.parse_args()
    tests = given.checkout / "tests"
    without, within = (run(tests, given.pytest, first=first) for first in (False, True))
    for title, outcomes in (("without the package", without), ("after a trace and a compile of it", within)):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(outcomes.values()).items()))
        print(f"{title}: {len(outcomes)} tests, {counts}")
    differing = [name for name in {**without, **within} if without.get(name) != within.get(name)]
    for name in sorted(differing):
        print(f"  {name}: {without.get(name, 'not run')} without, {within.get(name, 'not run')} after")
    print(f"{len(differing)} tests end differently")
    return int(bool(differing) or not without)


if __name__ == "__main__":
    sys.exit(main())
