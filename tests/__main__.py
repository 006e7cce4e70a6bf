"""The one command for all checks: `python -m tests`; arguments go to pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

CODE = ("dspy_semantic_backprop", "experiments", "tests")
# One worker more than there are processors: some tests wait for deadlines, and another one may run meanwhile.
WORKERS = str((os.cpu_count() or 1) + 1)
CHECKS = (
    ("ruff", "check", *CODE),
    ("ruff", "format", "--check", *CODE),
    ("pytest", "-n", WORKERS, "--dist", "worksteal", "--durations=15", "-rs"),
)
BESIDE = ("pyright", "--pythonpath", sys.executable)
"""What runs beside the others: it takes as long as a tenth of the tests, and one processor."""


def main() -> int:
    """Make all checks; returns how many failed."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # Workers, kernels and scripts import the same files: where none keeps what it compiled, each is seconds later.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    failed = []
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen([sys.executable, "-m", *BESIDE], stdout=said, stderr=subprocess.STDOUT)
        for name, *arguments in CHECKS:
            extra = sys.argv[1:] if name == "pytest" else []
            print(f"== {' '.join([name, *arguments, *extra])}", flush=True)
            if subprocess.run([sys.executable, "-m", name, *arguments, *extra]).returncode:
                failed.append(name)
        if beside.wait():
            failed.append(BESIDE[0])
        said.seek(0)
        print(f"== {' '.join(BESIDE)}\n{said.read().decode()}", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
