"""What happens to a run when things go wrong: killed, throttled, out of money.

    python experiments/soak.py            # full size
    python experiments/soak.py --smoke    # a small size of each check

All requests pass a proxy in front of the simulated model, and what counts is what the proxy saw:

- overspend: runs with random budgets in calls, tokens, US dollars and metric calls, 16 threads.
- kill: a process is killed with SIGKILL at a random request and started again on the same log, perhaps more than
  once. The program in the end must be that of an undisturbed run, and only calls under way at a kill may be
  asked again.
- faults: one request in five fails (429, 500, garbage, a hang, a dropped connection), the result must not.
- tenth: one in ten fails at a latency of 1 s; the same result, and at most 1.5 times the time.
- hangs: one in a hundred hangs for 150 s and is cut at the stated limit; the same.
- provider: a provider that does wrong in one of 43 ways: from the first request on, from the 40th on, in 15 % of them,
  or in all that the gradient model is asked. Nothing is scored for it, nothing hangs, every ending is typed and says
  what happened.
- usage: budgets in tokens against a provider that states no usage, or one that cannot be.
- interrupts: Ctrl-C at moments all over a run.
- memory: ten thousand executions of a program in one run, with a plot.
- keys: a canary in place of the API key, searched for in all that was written and raised.

The record's rows hold check, runs, violations (in words, none if all is well), date and command. Checks that are not
made keep their rows of an earlier record in the same folder.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from records import commit
from soaking import checks, provider
from soaking.memory import plot
from tqdm.auto import tqdm

CHECKS = ("overspend", "kill", "faults", "tenth", "hangs", "provider", "usage", "interrupts", "keys", "memory")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("soak", description="What happens to a run when things go wrong?")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--overspend_runs", type=int, default=200)
    parser.add_argument("--kill_runs", type=int, default=50)
    parser.add_argument("--fault_runs", type=int, default=5)
    parser.add_argument("--provider_every", type=int, default=1, help="the provider check takes each so-manieth fault")
    parser.add_argument("--executions", type=int, default=10_000, help="of the memory check")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results_dir", default="./results")
    parser.add_argument("--smoke", action="store_true", help="a small size of each check")
    config = parser.parse_args()
    if config.smoke:
        config.overspend_runs, config.kill_runs, config.fault_runs, config.executions = 5, 1, 1, 1000
        config.provider_every = 20
        config.checks = [name for name in config.checks if name not in ("tenth", "hangs", "interrupts", "memory")]
    return config


def write(config: argparse.Namespace, rows: list[dict[str, Any]]) -> Path:
    """Write the record, with the rows of an earlier one for checks that were not made; where it is."""
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"soak-simulated-seed{config.seed}.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    by_check = {row["check"]: row for row in [*earlier, *rows]}
    record = {
        "study": "soak",
        "settings": vars(config),
        "seed": config.seed,
        "simulated": True,
        "versions": {"python": platform.python_version(), "dspy": version("dspy"), "litellm": version("litellm")},
        "rows": [by_check[name] for name in CHECKS if name in by_check],
    }
    for row in rows:
        if row["check"] == "memory":
            plot(row["series"], directory / "soak-memory-simulated.png")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def main() -> int:
    """Make the checks, print what they found, and write the record."""
    config = parse()
    logging.disable(logging.WARNING)
    sizes = {
        "overspend": config.overspend_runs,
        "kill": config.kill_runs,
        "faults": config.fault_runs,
        "provider": config.provider_every,
        "memory": config.executions,
    }
    totals = {**sizes, "provider": len(provider.cases(config.provider_every)), "usage": len(provider.USAGES)}
    rows, path = [], None
    for name in config.checks:
        check = getattr(provider if name in ("provider", "usage") else checks, name)
        started = time.monotonic()
        with tqdm(total=totals.get(name, 10 if name == "interrupts" else 1), desc=name, leave=False) as bar:

            def progress(bar: tqdm = bar) -> None:
                bar.update()

            sized = (sizes[name],) if name in sizes else ()
            row = check(*sized, config.seed, progress)
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        made = {
            "seconds": round(time.monotonic() - started, 1),
            "date": date,
            "commit": commit(),
            "command": " ".join(["python", *sys.argv]),
        }
        rows.append({**row, **made})
        rest = {
            key: value for key, value in row.items() if key not in ("check", "runs", "violations", "series", "said")
        }
        print(f"{name}: {row['runs']} runs, {len(row['violations'])} violations {rest}", flush=True)
        for violation in row["violations"][:5]:
            print(f"  {violation}")
        path = write(config, rows)
    print(path)
    return int(any(row["violations"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
