"""The one command for all checks: `python -m tests`; arguments go to pytest."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = ("dspy_semantic_backprop", "experiments", "tests")
CHECKS = (
    ("ruff", "check", *CODE),
    ("ruff", "format", "--check", *CODE),
    ("pyright", "--pythonpath", sys.executable),
    ("pytest", "-n", "auto", "--dist", "worksteal", "--durations=15", "-rs"),
)

if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    failed = []
    for name, *arguments in CHECKS:
        extra = sys.argv[1:] if name == "pytest" else []
        print(f"== {' '.join([name, *arguments, *extra])}", flush=True)
        if subprocess.run([sys.executable, "-m", name, *arguments, *extra]).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
