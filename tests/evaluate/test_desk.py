"""Workers are lost at any moment, and come back: what they may have sent is counted, and nobody waits for them."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

import pytest

from dspy_semantic_backprop import Budget, Limits, Purpose, Spent
from dspy_semantic_backprop._errors import Abandoned, BudgetSpent, Stop
from dspy_semantic_backprop._evaluate.watch import Watch
from dspy_semantic_backprop._session.budget import Bound
from dspy_semantic_backprop._session.desk import Desk, DeskServer, WorkerLost
from dspy_semantic_backprop._session.entries import Answered
from dspy_semantic_backprop._session.journal import Journal
from dspy_semantic_backprop._session.leased import WORKER, Driver, Unreachable
from dspy_semantic_backprop._session.ledger import Ledger

ACCOUNT = (Purpose.FORWARD, "p")
ONE = Bound(calls=1, tokens=100)
SPENT = Spent(calls=1, prompt_tokens=30)


@pytest.mark.parametrize("seed", range(8))
def test_no_loss_at_whatever_moment_lets_more_through_than_the_budget(seed):
    rng, ledger = random.Random(seed), Ledger(budget=Budget(calls=30, tokens=2500))
    desk, sent, tokens = Desk(ledger), 0, 0
    running: list[tuple[int, int, str]] = []
    held: list[int] = []
    tasks = [desk.open() for _ in range(6)]
    for _ in range(400):
        with contextlib.suppress(Stop, WorkerLost):
            act, task, worker = rng.randrange(7), rng.choice(tasks), rng.choice("ab")
            if act == 0:
                running.append((task, desk.on_begin(task)[0], worker))
            elif act == 1 and running:
                # Also by a worker that was given up and has come back: it asks, and is told no.
                held.append(_asked(desk, *rng.choice(running)))
                sent, tokens = sent + 1, tokens + rng.choice((0, 30, 100))
            elif act == 2 and held:
                desk.on_settle(held.pop(rng.randrange(len(held))), SPENT, "key", Answered(["yes"], {}))
            elif act == 3:
                desk.lose(task)
            elif act == 4:
                desk.ended(worker)
            elif act == 5:
                desk.close(task)
                tasks[tasks.index(task)] = desk.open()
            else:
                desk.on_alive(tasks)
        total = ledger.total
        under_way = sum(bound.calls for _, bound in ledger._under_way.values())
        assert sent <= total.calls + under_way <= 30
        assert total.tokens + total.unsure_tokens <= 2500
    for worker in "ab":
        desk.ended(worker)
    # Nothing is held back for a worker that has left, and what it may have sent is counted.
    assert not ledger._under_way and sent <= ledger.total.calls <= 30


def _asked(desk: Desk, task: int, attempt: int, worker: str) -> int:
    ledger = desk._ledger
    fits = ledger._refusal(ACCOUNT, ONE)[0] == ""
    if not fits:
        raise BudgetSpent("it would wait")
    return desk.on_lease(task, attempt, worker, ACCOUNT, ONE, False)


def test_what_waits_for_what_a_worker_has_is_told_when_that_worker_is_gone():
    ledger = Ledger(budget=Budget(calls=1))
    desk = Desk(ledger)
    server = DeskServer(desk, None)
    frozen, other = Driver(server.address), Driver(server.address)
    task = desk.open()
    # A thread that knows no execution has the last place.
    frozen("lease", 0, 0, "frozen", ACCOUNT, ONE, False)
    other("begin", task)
    refused: list[BaseException] = []

    def ask() -> None:
        try:
            other("lease", task, 1, "other", ACCOUNT, ONE, False)
        except BudgetSpent as stop:
            refused.append(stop)

    waits = threading.Thread(target=ask)
    waits.start()
    waits.join(0.1)
    assert waits.is_alive()
    desk.ended("frozen")
    waits.join(10)
    assert refused and ledger.total.calls == 1 and not ledger._under_way
    desk.close(task)
    with pytest.raises(Abandoned):
        other("lease", task, 1, "other", ACCOUNT, ONE, False)
    server.close()
    with pytest.raises(Unreachable):
        frozen("alive", ())


def test_a_worker_whose_connections_end_takes_its_leases_along():
    ledger = Ledger(budget=Budget(calls=1))
    desk = Desk(ledger)
    server, task = DeskServer(desk, None), desk.open()
    worker = Driver(server.address)
    attempt, _ = worker("begin", task)
    worker("lease", task, attempt, WORKER, ACCOUNT, ONE, False)
    for connection in list(worker._idle):
        connection.close()
    until = threading.Event()
    for _ in range(100):
        if ledger.total.calls or until.wait(0.05):
            break
    # It counts at its bound, and no place is kept for it.
    assert ledger.total.calls == 1 and not ledger._under_way
    server.close()


def test_an_execution_is_begun_again_once_where_it_may_have_brought_its_worker_down():
    desk = Desk(Ledger())
    culprit, bystander = desk.open(), desk.open()
    for again in (True, False):
        desk.on_begin(culprit)
        assert desk.lose(culprit) is again
    with pytest.raises(WorkerLost):
        desk.on_begin(culprit)
    for again in (True, True, True, False):
        attempt, _ = desk.on_begin(bystander)
        desk.on_lease(bystander, attempt, "w", ACCOUNT, ONE, False)
        assert desk.lose(bystander) is again


def test_silence_is_what_workers_do_not_name_and_its_limit_is_that_of_the_run():
    engine: Any = None
    known = {Limits(): 605, Limits(request=3): 8, Limits(example=2): 7, Limits(request=None): 605}
    assert all(Watch(engine, Desk(Ledger()), limits).longest == longest for limits, longest in known.items())
    desk = Desk(Ledger())
    named, frozen, queued = desk.open(), desk.open(), desk.open()
    for task in (named, frozen):
        desk.on_begin(task)
    for _ in range(10):
        desk.watched(1.0, queued=True)
        desk.on_alive([named])
    assert [desk.silence(task) for task in (named, frozen, queued)] == [(0.0, True), (10.0, True), (0.0, False)]
    # Where nobody else is busy, or each worker takes what it is given at once, it is not waiting for its turn.
    desk.watched(1.0, queued=False)
    assert desk.silence(queued) == (1.0, False)
    desk.close(named)
    for _ in range(3):
        desk.watched(2.0, queued=True)
    assert desk.silence(queued)[0] > 1.0


def test_what_a_lost_worker_tells_late_is_neither_asked_again_nor_booked_twice(tmp_path):
    journal = Journal(tmp_path, {"version": "1"})
    ledger = journal.open_ledger(budget=Budget(calls=3))
    desk = Desk(ledger)
    server, task = DeskServer(desk, None), desk.open()
    lost, other = Driver(server.address), Driver(server.address)
    attempt, _ = lost("begin", task)
    lease = lost("lease", task, attempt, WORKER, ACCOUNT, ONE, True)
    assert desk.lose(task) and ledger.total.calls == 1
    begun: list[Any] = []
    again = threading.Thread(target=lambda: begun.append(other("begin", task)))
    again.start()
    # As long as the lost worker is connected, whoever begins it again waits a moment for what it says.
    again.join(0.1)
    assert again.is_alive()
    lost("settle", lease, SPENT, "key", Answered(["yes"], {}))
    again.join(10)
    assert begun == [(2, True)] and other("take", task, 2, "key").outputs == ["yes"]
    assert ledger.total.calls == 1 and not ledger._under_way
    server.close()
    journal.close()
    resumed = Journal(tmp_path, {"version": "1"})
    assert resumed.take("key").outputs == ["yes"] and resumed.open_ledger().total.calls == 1
    resumed.close()
