"""The checks: each makes runs in which something goes wrong, and counts where more was lost than may be.

A check returns a row for the record: its name, how many runs it made, and the violations, in words.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulated import SimulatedModel

from dspy_semantic_backprop import Budget, Limits
from dspy_semantic_backprop.testing import Faults

from .memory import measured
from .process import Spec, compiled, run
from .proxy import Proxy

PRICE = (50.0, 200.0)
"""US dollars for a million tokens sent, and received."""
ARRIVAL = 0.2
"""Seconds from the start of a compile to that of its clock, and from a request's leave to its arrival, together."""
GRACE = 0.25
"""An answer that was handed on so many seconds before a kill may not have been read by then, on an idle machine.

It waits in the socket until the process has its turn, then for the thread that parses it and for the one that writes
the line: on a machine with more work than cores each of these waits grows with the work.
"""
SLOWER = 1.5
"""How many times as long a run may take at a latency of 1 s when one request in ten fails, or some hang."""
FAULTY = Faults(rate_limit=0.04, server_error=0.04, garbage=0.04, drop=0.04, hang=0.04, hang_seconds=5.0)
"""One request in five goes wrong."""

Row = dict[str, Any]
_forks = multiprocessing.get_context("forkserver")
# Not soaking.process: the fork server does not know the path on which the scripts find each other.
_forks.set_forkserver_preload(["dspy", "dspy_semantic_backprop.presets", "dspy_semantic_backprop.programs"])


@contextmanager
def proxied(faults: Faults | None = None, latency: float = 0.0, seed: int = 0) -> Iterator[tuple[Proxy, Spec]]:
    """A simulated model behind a counting proxy, and what to compile with it.

    Args:
        faults: How the model misbehaves.
        latency: Seconds that each request takes.
        seed: Of the model and its faults.
    """
    server = SimulatedModel(seed).serve(latency=latency, faults=faults)
    with server, Proxy(server.url) as proxy:
        yield proxy, Spec(proxy.url, server.model)


def overspend(runs: int, seed: int, progress: Callable[[], None]) -> Row:
    """Budgets of every kind, in runs of 16 threads, counted by the proxy."""
    rng, violations, endings = random.Random(seed), [], Counter[str]()
    with proxied(latency=0.002) as (proxy, spec):
        whole = compiled(replace(spec, threads=16))
        spent = whole["spent"]
        tokens = spent["prompt_tokens"] + spent["completion_tokens"]
        usd = (spent["prompt_tokens"] * PRICE[0] + spent["completion_tokens"] * PRICE[1]) / 1e6
        for at in range(runs):
            share = rng.random() * 1.1 + 0.01
            kind = ("calls", "tokens", "usd", "metric_calls", "seconds")[at % 5]
            most: Any = {
                "calls": max(1, round(spent["calls"] * share)),
                "tokens": max(1, round(tokens * share)),
                "usd": usd * share,
                "metric_calls": max(1, round(whole["metric_calls"] * share)),
                "seconds": whole["seconds"] * share,
            }[kind]
            budget = Budget(**{kind: most}, prices={f"openai/{spec.model}": PRICE})
            proxy.reset()
            started = time.monotonic()
            outcome = compiled(replace(spec, threads=16, budget=budget))
            _settled(proxy)
            counted: dict[str, float] = {**proxy.counted()}
            counted["tokens"] = counted["prompt_tokens"] + counted["completion_tokens"]
            counted["usd"] = (counted["prompt_tokens"] * PRICE[0] + counted["completion_tokens"] * PRICE[1]) / 1e6
            counted["metric_calls"] = outcome["metric_calls"]
            # The budget's clock starts a little after ours, and a request takes a moment to arrive.
            last = max((request.began for request in proxy.requests), default=started)
            counted["seconds"] = max(0.0, last - started - ARRIVAL)
            endings[outcome["ending"]] += 1
            if counted[kind] > most * (1 + 1e-9):
                violations.append(f"{kind}: {counted[kind]} of {most}")
            if outcome["spent"]["calls"] != counted["calls"] and outcome["ending"] != "BUDGET":
                violations.append(f"the ledger has {outcome['spent']['calls']} calls, the proxy {counted['calls']}")
            progress()
    return {"check": "overspend", "runs": runs, "violations": violations, "endings": dict(endings)}


def _settled(proxy: Proxy) -> None:
    """Wait until nothing is under way: what threads begun before the end still do counts."""
    for _ in range(200):
        if all(request.ended is not None for request in list(proxy.requests)):
            return
        time.sleep(0.01)


def kill(runs: int, seed: int, progress: Callable[[], None]) -> Row:
    """A process killed with SIGKILL at a random request, and started again until it is done."""
    rng, violations, resumes, again = random.Random(seed), [], 0, 0
    with proxied(latency=0.03) as (proxy, spec), tempfile.TemporaryDirectory() as folder:
        whole, _ = _child(spec, f"{folder}/whole.json")
        expected = proxy.bodies()
        assert whole is not None
        for at in range(runs):
            proxy.reset()
            here = replace(spec, log_dir=f"{folder}/{at}")
            allowed = Counter[str]()
            outcome = None
            while outcome is None:
                # By requests and not by the clock: how fast a run gets on says more of what else the machine does.
                most = len(proxy.requests) + rng.randrange(expected.total())
                outcome, killed = _child(here, f"{folder}/{at}.json", lambda most=most: len(proxy.requests) > most)
                busy = os.getloadavg()[0] / (os.cpu_count() or 1)
                # What was sent before the kill may be slow to arrive.
                _settled(proxy)
                allowed += proxy.under_way(killed, GRACE * max(1.0, busy))
                resumes += outcome is None
                if rng.random() < 0.5 and outcome is None:
                    outcome, _ = _child(here, f"{folder}/{at}.json")
            for name in ("instructions", "scores", "steps", "ending", "metric_calls"):
                if outcome[name] != whole[name]:
                    violations.append(f"run {at}: {name} differ: {outcome[name]} for {whole[name]}")
            extra = proxy.bodies() - expected
            again += sum(extra.values())
            if unpaid := extra - allowed:
                violations.append(f"run {at}: {sum(unpaid.values())} calls were paid for again that were not under way")
            if missing := expected - proxy.bodies():
                violations.append(f"run {at}: {sum(missing.values())} calls of the undisturbed run were never made")
            progress()
    return {"check": "kill", "runs": runs, "violations": violations, "kills": resumes, "calls_again": again}


def _child(spec: Spec, path: str, doomed: Callable[[], bool] = lambda: False) -> tuple[dict[str, Any] | None, float]:
    """Compile in a process of its own, killed once it is doomed; its outcome, None where it was, and when it ended."""
    Path(path).unlink(missing_ok=True)
    child = _forks.Process(target=run, args=(spec, path))
    child.start()
    while child.is_alive() and not doomed():
        child.join(0.01)
    ended = time.monotonic()
    child.kill()
    child.join()
    return json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else None, ended


def faults(runs: int, seed: int, progress: Callable[[], None]) -> Row:
    """One request in five is answered with 429, 500, garbage, a hang or a dropped connection."""
    violations, slower = [], []
    with proxied(latency=0.05) as (_, spec):
        whole = compiled(replace(spec, threads=8))
    for at in range(runs):
        # Whom a fault strikes follows from the request, and with it from the model's name, which tells settings apart.
        other = replace(FAULTY, hang_seconds=FAULTY.hang_seconds + (seed + at) / 1000)
        with proxied(other, latency=0.05) as (proxy, spec):
            outcome = compiled(replace(spec, threads=8, limits=Limits(request=1.0)))
            struck = sum(request.status != 200 for request in proxy.requests)
        for name in ("instructions", "scores", "steps", "ending"):
            if outcome[name] != whole[name]:
                violations.append(f"run {at}: {name} differ: {outcome[name]} for {whole[name]}")
        slower.append(round(outcome["seconds"] / whole["seconds"], 2))
        progress()
        if not struck:
            violations.append(f"run {at}: no fault struck")
    return {"check": "faults", "runs": runs, "violations": violations, "wall_over_fault_free": slower}


def keys(seed: int, progress: Callable[[], None]) -> Row:
    """A canary for a key appears nowhere: log, events, records, messages of errors."""
    canary = f"sk-canary-{random.Random(seed).getrandbits(64):x}"
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, misbehaving in {
            "none": Faults(),
            "some": FAULTY,
            "auth": Faults(auth=1.0),
            "unknown model": Faults(unknown_model=1.0),
            "billing": Faults(billing=1.0),
            "all fail": Faults(server_error=1.0),
        }.items():
            with proxied(misbehaving) as (_, spec):
                here = replace(
                    spec, api_key=canary, log_dir=f"{folder}/{name}", limits=Limits(request=0.5), retries=0, steps=1
                )
                seen.extend(_said(here))
        seen += [path.read_text(encoding="utf-8") for path in Path(folder).rglob("*") if path.is_file()]
        violations = [f"the key stands in {text[:60]!r}" for text in seen if canary in text]
    progress()
    return {"check": "keys", "runs": 6, "violations": violations, "texts": len(seen)}


def _said(spec: Spec) -> list[str]:
    """All that a run says: events, the record, the texts of an error and of those behind it."""
    said: list[str] = []
    try:
        said.append(json.dumps(compiled(spec, (lambda event: said.append(repr(event)),))))
    except Exception as error:  # noqa: BLE001 - whatever it is, its text is searched
        said += _texts(error)
    return said


def _texts(error: BaseException | None) -> list[str]:
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return texts


def tenth(seed: int, progress: Callable[[], None]) -> Row:
    """One request in ten is answered with 429, 500, garbage or a dropped connection, at a latency of 1 s."""
    misbehaving = Faults(rate_limit=0.025, server_error=0.025, garbage=0.025, drop=0.025)
    return {"check": "tenth", **_against_fault_free(misbehaving, seed, progress, Limits())}


def hangs(seed: int, progress: Callable[[], None]) -> Row:
    """One request in a hundred hangs for 150 s, at a latency of 1 s, with a limit of 3 s for a request."""
    misbehaving = Faults(hang=0.01, hang_seconds=150.0)
    return {"check": "hangs", **_against_fault_free(misbehaving, seed, progress, Limits(request=3.0))}


def _against_fault_free(misbehaving: Faults, seed: int, progress: Callable[[], None], limits: Limits) -> Row:
    with proxied(latency=1.0) as (_, spec):
        whole = compiled(replace(spec, threads=16, examples=16, steps=2))
    with proxied(misbehaving, latency=1.0, seed=seed) as (proxy, spec):
        outcome = compiled(replace(spec, threads=16, examples=16, steps=2, limits=limits))
        struck = sum(request.status != 200 for request in proxy.requests)
    violations = [name for name in ("instructions", "scores", "steps") if outcome[name] != whole[name]]
    ratio = round(outcome["seconds"] / whole["seconds"], 2)
    violations += [f"{ratio} times the time without faults"] if ratio > SLOWER else []
    progress()
    return {
        "runs": 1,
        "violations": violations,
        "calls": whole["spent"]["calls"],
        "struck": struck,
        "wall_over_fault_free": ratio,
    }


def interrupts(seed: int, progress: Callable[[], None]) -> Row:
    """Ctrl-C at moments all over a run returns the best program so far within two seconds.

    Where the run had come to its end and only waited for answers that nobody needs, what it returns is whole.
    """
    import signal

    end = ("ending", "instructions", "steps", "scores")
    rng, violations, waits = random.Random(seed), [], []
    with proxied(latency=0.3) as (_, spec):
        started = time.monotonic()
        whole = compiled(replace(spec, threads=8))
        seconds = time.monotonic() - started
        for at in range(10):
            moment = seconds * (at + rng.random()) / 10
            pressed: list[float] = []

            def press(pressed: list[float] = pressed) -> None:
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(moment, press)
            timer.start()
            outcome = compiled(replace(spec, threads=8))
            ended = time.monotonic()
            timer.cancel()
            if pressed:
                waits.append(round(ended - pressed[0], 3))
                if outcome["ending"] != "INTERRUPTED" and any(outcome[name] != whole[name] for name in end):
                    violations.append(f"at {moment:.1f} s the run ended with {outcome['ending']}")
                if waits[-1] > 2.0:
                    violations.append(f"at {moment:.1f} s it took {waits[-1]} s")
            progress()
    return {
        "check": "interrupts",
        "runs": len(waits),
        "violations": violations,
        "longest_wait": max(waits, default=math.nan),
    }


def memory(runs: int, seed: int, progress: Callable[[], None]) -> Row:
    """The memory of a run of many executions does not grow once the histories are full."""
    series = measured(runs)
    settled = [size for count, size in series if count >= runs / 5]
    growth = round(settled[-1] - settled[0], 1)
    progress()
    violations = [f"memory grew by {growth} MB"] if growth > 0.1 * settled[0] else []
    return {"check": "memory", "runs": runs, "violations": violations, "growth_mb": growth, "series": series}
