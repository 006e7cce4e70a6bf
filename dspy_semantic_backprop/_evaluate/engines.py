"""What carries executions to other processes: processes of this machine, a Dask cluster, a Ray cluster.

An engine is given an errand as bytes and gives a future of what `work` makes of it; it fails with `WorkerLost` where
the worker is gone. Whether a worker that is still there does anything, an engine cannot tell: it is told to give it up.
Dask and Ray are used as they are: which worker takes which errand is their own affair.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._concurrency import start_thread
from .._errors import SetupError
from .._session.desk import WorkerLost
from .._terminal import logger
from .worker import work

# Ctrl-C is the run's; what is imported stays, so that to look for garbage among it while it grows is in vain.
_CHILD = f"""import gc, json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
gc.disable()
sys.path[:] = json.loads(sys.argv[1])
from {__package__}.worker import serve
serve()"""
_AT_ONCE = 256
"""Executions that one worker of Ray's takes at once: they wait for the network."""
_PATIENCE = 5.0
"""Seconds that a Dask scheduler is given to say which worker has what, and a process that was killed to end."""
_LOOK, _ALONE = 1.0, 3
"""Seconds between two looks at whether a Dask client has its scheduler, and a worker; after how many it is said."""
Reply = concurrent.futures.Future[bytes]


class Engine(Protocol):
    """Carries errands to workers.

    Attributes:
        trusted: Whether the workers are processes that this one starts, with its environment.
        host: The address of this machine that workers reach; None where they are on this machine.
        queued: Whether an errand may have to wait until a worker is done with others.
        gone: Whether nothing that it is given will ever be done.
    """

    trusted: bool
    host: str | None
    queued: bool

    @property
    def gone(self) -> bool: ...

    def submit(self, errand: bytes) -> Reply: ...

    def starting(self, reply: Reply) -> bool: ...

    def give_up(self, reply: Reply, why: WorkerLost) -> None: ...

    def close(self) -> None: ...


class Processes:
    """Processes of this machine, started when they are needed; one that is lost is replaced."""

    trusted, host, queued, gone = True, None, False, False

    def __init__(self, count: int) -> None:
        self._children: list[_Child | None] = [None] * count

    def submit(self, errand: bytes) -> Reply:
        """Give an errand to the process that has the fewest."""
        lost = None
        for at, child in enumerate(self._children):
            if child is None or not child.alive:
                try:
                    self._children[at] = _Child.start()
                except Exception as error:  # noqa: BLE001 - no file, no process, no thread is left, or no interpreter
                    self._children[at] = None
                    said = f"no process can be started with {sys.executable!r} ({type(error).__name__}: {error})"
                    lost = WorkerLost(said)
        there = [one for one in self._children if one]
        return min(there, key=lambda one: len(one.waiting)).submit(errand) if there else _failed(lost)

    def starting(self, reply: Reply) -> bool:
        """Whether the process that has an errand has not begun to work."""
        return any(not child.ready for child in self._with(reply))

    def give_up(self, reply: Reply, why: WorkerLost) -> None:
        """End the process that has an errand, and with it all that it has."""
        for child in self._with(reply):
            child.end(why)

    def _with(self, reply: Reply) -> list[_Child]:
        return [one for one in self._children if one is not None and reply in list(one.waiting.values())]

    def close(self) -> None:
        """End the processes, and wait until they have ended."""
        children = list(filter(None, self._children))
        self._children = [None] * len(self._children)
        for child in children:
            child.process.kill()
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(_PATIENCE)


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    waiting: dict[int, Reply] = field(default_factory=dict)
    ready: bool = False
    lost: WorkerLost | None = None
    _outgoing: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _numbers: Any = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls) -> _Child:
        # Not by `multiprocessing`, which would run the user's script again where it has no guard.
        # With this one's options: a program must not meet its `assert`s, or warnings as errors, in one place only.
        options = subprocess._args_from_interpreter_flags()  # pyright: ignore - `multiprocessing` takes it as well
        command = [sys.executable, *options, "-c", _CHILD, json.dumps(sys.path)]
        child = cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        try:
            for target in (child._write, child._read):
                start_thread(target)
        except BaseException:
            child.process.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether it takes errands."""
        return self.lost is None

    def submit(self, errand: bytes) -> Reply:
        reply = Reply()
        reply.set_running_or_notify_cancel()
        with self._lock:
            number = next(self._numbers)
            if self.lost is not None:
                return _failed(self.lost)
            self.waiting[number] = reply
            self._outgoing.put((number, errand))
        return reply

    def _write(self) -> None:
        # A pipe that is full must not keep the run's event loop waiting.
        pipe: Any = self.process.stdin
        with contextlib.suppress(OSError, ValueError), pipe:
            while (message := self._outgoing.get()) is not None:
                pickle.dump(message, pipe)
                pipe.flush()

    def _read(self) -> None:
        pipe: Any = self.process.stdout
        with contextlib.suppress(EOFError, OSError, ValueError, pickle.UnpicklingError), pipe:
            while True:
                number, data = pickle.load(pipe)
                self.ready = True
                if (reply := self.waiting.pop(number, None)) is not None:
                    reply.set_result(data)
        self.process.kill()
        self.end(WorkerLost(f"process {self.process.pid} ended with {self.process.wait()}"))
        self._outgoing.put(None)

    def end(self, why: WorkerLost) -> None:
        """End the process: what it has is lost."""
        with self._lock:
            self.lost, lost = self.lost or why, list(self.waiting.values())
            self.waiting.clear()
        for reply in lost:
            reply.set_exception(why)
        self.process.kill()


def _failed(why: BaseException | None) -> Reply:
    reply = Reply()
    reply.set_exception(why)
    return reply


class OnDask:
    """The workers of a Dask cluster, through a `dask.distributed.Client` of the user's: a task for each execution."""

    trusted, queued = False, True

    def __init__(self, client: Any) -> None:
        self._client = client
        if self.gone or getattr(client, "asynchronous", False):
            raise SetupError("where= takes a dask.distributed.Client that is connected, and not asynchronous")
        self._waiting: dict[Reply, Any] = {}
        self._rest: list[str] = []
        self._closed = threading.Event()
        self.host = _seen_from(client.scheduler.address)
        threading.Thread(target=self._watch, name="semantic-backprop-dask", daemon=True).start()

    @property
    def gone(self) -> bool:
        """Whether the client has lost its scheduler for good."""
        return self._client.status in ("closing", "closed")

    def submit(self, errand: bytes) -> Reply:
        """Submit an errand as one task, which Dask makes again where a worker is lost."""
        reply = Reply()
        reply.set_running_or_notify_cancel()
        try:
            rest = {"workers": self._rest} if self._rest else {}
            remote = self._waiting[reply] = self._client.submit(work, errand, pure=False, **rest)
            remote.add_done_callback(functools.partial(self._done, reply))
        except Exception as error:  # noqa: BLE001 - whatever a client raises that has no scheduler any more
            self._lost(reply, error)
        return reply

    def starting(self, reply: Reply) -> bool:
        """Whether a worker may have to be started for an errand: a cluster may grow when it is needed."""
        return True

    def give_up(self, reply: Reply, why: WorkerLost) -> None:
        """Take all errands from the worker that has this one, and give it no others: it is the user's, and is left."""
        lost, remote, waiting = {reply}, self._waiting.get(reply), dict(self._waiting)
        asked = start_thread(self._client.processing)
        if not concurrent.futures.wait([asked], _PATIENCE).done or asked.exception() is not None:
            lost |= set(waiting)  # from a scheduler that does not answer nothing comes back
        elif remote is not None:
            frozen = {worker for worker, keys in asked.result().items() if remote.key in keys}
            self._rest = [worker for worker in self._rest or asked.result() if worker not in frozen]
            keys = set().union(*(asked.result()[worker] for worker in frozen))
            lost |= {one for one, future in waiting.items() if future.key in keys}
        for one in lost:
            self._lost(one, why)

    def close(self) -> None:
        """Let go of what is under way; the client is the user's."""
        self._closed.set()
        self._waiting.clear()

    def _done(self, reply: Reply, remote: Any) -> None:
        try:
            found = remote.result()
        except BaseException as error:  # noqa: BLE001 - `work` raises nothing: the cluster has lost it
            self._lost(reply, error)
        else:
            if self._waiting.pop(reply, None) is not None:
                reply.set_result(found)

    def _lost(self, reply: Reply, error: object) -> None:
        if self._waiting.pop(reply, None) is not None or not reply.done():
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                named = WorkerLost(f"{type(error).__name__}: {error}"[:300])
                reply.set_exception(error if isinstance(error, WorkerLost) else named)

    def _watch(self) -> None:
        # A client that has lost its scheduler for good says nothing to whoever waits for a task.
        alone = 0
        while not self._closed.wait(_LOOK):
            alone = alone + 1 if self._waiting and not self._client.scheduler_info()["workers"] else 0
            if alone == _ALONE:
                logger.warning("the Dask cluster has no worker: one is waited for (%s)", self._client.scheduler.address)
            if self.gone:
                for reply in list(self._waiting):
                    self._lost(reply, ConnectionError("the client has lost its scheduler"))


def _seen_from(address: str) -> str:
    """The address of this machine as a scheduler sees it."""
    from distributed.comm.addressing import get_address_host
    from distributed.utils import get_ip

    try:
        return str(get_ip(get_address_host(address)))
    except (OSError, ValueError):
        return "127.0.0.1"


class OnRay:
    """Workers of a Ray cluster: an actor for each of its processors, started when the first one is needed.

    One that is lost is replaced. Ray would start it again by itself, but not where somebody has killed it, and until
    then whatever it is given fails.
    """

    trusted, queued = False, False

    def __init__(self, ray: Any) -> None:
        if not ray.is_initialized():
            raise SetupError("where='ray' takes a Ray that is connected: call ray.init() first")
        self._ray = ray
        self.host = ray.util.get_node_ip_address()
        self._actors: dict[Any, set[Reply]] = {}
        self._ready: set[Any] = set()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def gone(self) -> bool:
        """Whether this process is not connected to Ray any more."""
        return not self._ray.is_initialized()

    def submit(self, errand: bytes) -> Reply:
        """Give an errand to the actor that has the fewest."""
        reply = Reply()
        reply.set_running_or_notify_cancel()
        with self._lock:
            self._count = self._count or max(1, int(self._ray.available_resources().get("CPU", 1)))
            while len(self._actors) < self._count:
                self._actors[self._ray.remote(num_cpus=1, max_concurrency=_AT_ONCE)(_Actor).remote()] = set()
            actor = min(self._actors, key=lambda one: len(self._actors[one]))
            self._actors[actor].add(reply)
        actor.run.remote(errand).future().add_done_callback(functools.partial(self._done, actor, reply))
        return reply

    def starting(self, reply: Reply) -> bool:
        """Whether the actor that has an errand has not done any yet."""
        return not any(reply in has for actor, has in list(self._actors.items()) if actor in self._ready)

    def give_up(self, reply: Reply, why: WorkerLost) -> None:
        """End the actor that has an errand, and with it all that it has."""
        for actor in [actor for actor, has in list(self._actors.items()) if reply in has]:
            self._lose(actor, why)

    def close(self) -> None:
        """End the actors."""
        with self._lock:
            actors, self._actors = self._actors, {}
        for actor in actors:
            self._ray.kill(actor)

    def _done(self, actor: Any, reply: Reply, found: Any) -> None:
        error = found.exception()
        if error is not None:
            self._lose(actor, WorkerLost(f"{type(error).__name__}: {error}"[:300]))
            return
        with self._lock:
            self._ready.add(actor)
            self._actors.get(actor, set()).discard(reply)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            reply.set_result(found.result())

    def _lose(self, actor: Any, why: WorkerLost) -> None:
        with self._lock:
            lost = self._actors.pop(actor, set())
        for reply in lost:
            reply.set_exception(why)
        # In a thread: this one may be Ray's own, which has to go on. Where it is gone already, nobody minds.
        start_thread(functools.partial(self._ray.kill, actor))


class _Actor:
    def run(self, errand: bytes) -> bytes:
        """Make an execution."""
        return work(errand)


def check_where(where: Any) -> None:
    """Check what `where=` was given, without starting anything."""
    _maker(where)


def engine_of(where: Any) -> Engine | None:
    """The engine that `where=` asks for; None for threads of this process."""
    return _maker(where)()


def _maker(where: Any) -> Callable[[], Any]:
    named = where if isinstance(where, str) else ""
    if where is None or named == "threads":
        return lambda: None
    if named == "processes":
        return lambda: Processes(os.cpu_count() or 1)
    if isinstance(where, int) and not isinstance(where, bool) and where > 0:
        return lambda: Processes(where)
    if getattr(where, "__name__", named) == "ray":
        return _ray
    if type(where).__module__.startswith("distributed."):
        return lambda: OnDask(where)
    raise SetupError(
        "where must be 'threads', 'processes', a number of processes, a dask.distributed.Client or 'ray', "
        f"not {where!r}"
    )


def _ray() -> OnRay:
    try:
        import ray
    except ImportError as error:
        raise SetupError("where='ray' needs Ray: pip install 'dspy-semantic-backprop[ray]'") from error
    return OnRay(ray)
