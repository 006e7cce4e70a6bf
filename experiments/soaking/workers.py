"""Runs with workers in other processes, of which one is killed or frozen, or the driver, or a cluster's scheduler."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dspy_semantic_backprop import Limits

from .checks import ARRIVAL, GRACE, _child, _settled, proxied
from .process import Spec

# A client without a scheduler tries half a minute to find it again.
os.environ.setdefault("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "4s")
WORKERS = 2
VICTIMS = ("worker", "frozen worker", "driver", "scheduler")
FROZEN = Limits(request=3.0)
"""Of a run whose worker is frozen: nothing is heard of it for as long, and a little longer.

In other runs a request that a busy machine delays for so long would be asked again, whatever is killed.
"""
_SAME = ("instructions", "scores", "steps", "ending", "metric_calls")


def killed(runs: int, seed: int, victims: tuple[str, ...] = VICTIMS, known: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each kill: what was killed, when, and what is not as in an undisturbed run in threads, in words.

    Args:
        known: So many rows are left out, which are there already.
    """
    rng = random.Random(seed)
    with proxied(latency=0.03) as (proxy, spec), tempfile.TemporaryDirectory() as folder:
        whole, _ = _child(spec, f"{folder}/whole.json")
        assert whole is not None
        expected = proxy.bodies()
        for at in range(runs):
            for victim in victims:
                here = replace(spec, log_dir=f"{folder}/{victim}{at}", where=WORKERS)
                here = replace(here, limits=FROZEN) if victim == "frozen worker" else here
                proxy.reset()
                most = rng.randrange(expected.total())
                if at * len(victims) + victims.index(victim) < known:
                    continue
                outcome, allowed = _disturbed(here, victim, proxy, most)
                extra = proxy.bodies() - expected
                wrong = [name for name in _SAME if outcome[name] != whole[name]]
                wrong += [f"paid twice: {_told(proxy, body)}" for body in extra - allowed]
                wrong += ["the ledger has fewer calls"] if outcome["spent"]["calls"] < len(proxy.requests) else []
                yield {
                    "victim": victim,
                    "request": most,
                    "calls": len(proxy.requests),
                    "again": extra.total(),
                    "violations": wrong,
                }


def _disturbed(spec: Spec, victim: str, proxy: Any, most: int) -> tuple[dict[str, Any], Counter[str]]:
    """What a run comes to in the end, and what may have been asked again."""
    allowed = Counter[str]()
    path = f"{spec.log_dir}.json"
    outcome, struck, gone = None, False, 0

    def under_way(moment: float | None = None) -> Counter[str]:
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        return proxy.under_way(time.monotonic() if moment is None else moment, GRACE * busy)

    while outcome is None:
        with _cluster() if victim == "scheduler" else contextlib.nullcontext() as cluster:
            here = spec if cluster is None else replace(spec, where=cluster[0])

            def doomed(cluster: Any = cluster) -> bool:
                nonlocal struck, allowed, gone
                # Workers end themselves some time after their scheduler, with what they ask then.
                if struck and cluster and (ended := sum(one.poll() is not None for one in cluster[2])) > gone:
                    gone, allowed = ended, allowed | under_way()
                if struck or len(proxy.requests) <= most:
                    return False
                struck = True
                proxy.struck = time.monotonic()
                for process in _targets(victim, cluster):
                    os.kill(process, signal.SIGSTOP if victim == "frozen worker" else signal.SIGKILL)
                time.sleep(ARRIVAL)
                allowed = under_way(proxy.struck)
                return victim == "driver"

            outcome, ended = _child(here, path, doomed)
            _settled(proxy)
            if outcome is None:
                allowed |= under_way(ended)
    return outcome, allowed


def _told(proxy: Any, body: str) -> str:
    """When a question was asked and answered, in seconds after the kill."""
    when = [(one.began, one.ended or one.began, one.status) for one in proxy.requests if one.body == body]
    return ", ".join(
        f"{began - proxy.struck:+.2f} to {ended - proxy.struck:+.2f} ({status})" for began, ended, status in when
    )


def _targets(victim: str, cluster: Any) -> list[int]:
    if victim == "scheduler":
        return [cluster[1]]
    return _workers()[:1] if "worker" in victim else []


def _workers() -> list[int]:
    """The worker processes below this one."""
    found, waiting = [], [os.getpid()]
    while waiting:
        process = waiting.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            if b"worker import serve" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


@contextmanager
def _cluster() -> Iterator[tuple[str, int, list[Any]]]:
    """A Dask scheduler with workers, each a process of its own: its file, its process, and the workers."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        common = ["--scheduler-file", file, "--no-dashboard"]
        start = [sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0"]
        work = [sys.executable, "-m", "distributed.cli.dask_worker", *common, "--nthreads", "4", "--no-nanny"]
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen(start, **quiet), *(subprocess.Popen(work, **quiet) for _ in range(WORKERS))]
        try:
            while not Path(file).exists():
                time.sleep(0.1)
            yield file, processes[0].pid, processes[1:]
        finally:
            for process in processes:
                process.kill()
                process.wait()
