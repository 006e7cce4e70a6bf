"""Other processes, memory shared with them, signals, and C code."""

from __future__ import annotations

import concurrent.futures
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

from tests.effects.world import Effect, World, kind

_forks: Any = multiprocessing.get_context("fork")
_LIBC = ctypes.CDLL(None, use_errno=True)
_APPEND = "import sys; open(sys.argv[1], 'a').write('x')"


def _append(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")


def _size(path: Path) -> Callable[[], int]:
    return lambda: path.stat().st_size


@kind
def subprocess_run(world: World) -> Effect:
    path = world.file()
    return lambda: subprocess.run([sys.executable, "-Sc", _APPEND, str(path)], check=True), _size(path)


@kind
def os_system(world: World) -> Effect:
    path = world.file()
    return lambda: os.system(f"printf x >> {path}"), _size(path)


@kind
def os_popen(world: World) -> Effect:
    path = world.file()
    return lambda: os.popen(f"printf x >> {path}").close(), _size(path)


@kind
def os_posix_spawn(world: World) -> Effect:
    path = world.file()

    def act() -> None:
        command = ["/bin/sh", "-c", f"printf x >> {path}"]
        os.waitpid(os.posix_spawn(command[0], command, dict(os.environ)), 0)

    return act, _size(path)


@kind
def os_fork(world: World) -> Effect:
    path = world.file()

    def act() -> None:
        child = os.fork()
        if not child:
            _append(str(path))
            os._exit(0)
        os.waitpid(child, 0)

    return act, _size(path)


@kind
def process_of_multiprocessing(world: World) -> Effect:
    path = world.file()

    def act() -> None:
        process = _forks.Process(target=_append, args=(str(path),))
        process.start()
        process.join()

    return act, _size(path)


@kind
def input_of_a_running_subprocess(world: World) -> Effect:
    path = world.file()
    child = subprocess.Popen(["/bin/sh", "-c", f"exec cat >> {path}"], stdin=subprocess.PIPE, bufsize=0)
    assert child.stdin is not None
    written = child.stdin

    def count() -> int:
        written.close()
        child.wait()
        return path.stat().st_size

    return lambda: written.write(b"x"), count


@kind
def pool_of_processes_made_before(world: World) -> Effect:
    path = world.file()
    pool = world.enter(_forks.Pool(1))
    return lambda: pool.apply(_append, (str(path),)), _size(path)


@kind
def executor_of_processes_made_before(world: World) -> Effect:
    path = world.file()
    pool = world.enter(concurrent.futures.ProcessPoolExecutor(1, mp_context=_forks))
    pool.submit(_append, os.devnull).result()
    return lambda: pool.submit(_append, str(path)).result(), _size(path)


@kind
def queue_of_multiprocessing(world: World) -> Effect:
    queue = _forks.Queue()

    def count() -> int:
        queue.put(None)
        found = len(list(iter(queue.get, None)))
        queue.close()
        queue.join_thread()
        return found

    return lambda: queue.put("x"), count


@kind
def simple_queue_of_multiprocessing(world: World) -> Effect:
    queue = _forks.SimpleQueue()

    def count() -> int:
        queue.put(None)
        return len(list(iter(queue.get, None)))

    return lambda: queue.put("x"), count


@kind
def connection_of_multiprocessing(world: World) -> Effect:
    one, other = multiprocessing.Pipe()
    world.at_end(one.close)
    world.at_end(other.close)

    def count() -> int:
        one.send(None)
        return len(list(iter(other.recv, None)))

    return lambda: one.send("x"), count


@kind
def value_of_multiprocessing(world: World) -> Effect:
    shared = _forks.Value("i", 0)

    def act() -> None:
        with shared.get_lock():
            shared.value += 1

    return act, lambda: shared.value


@kind
def raw_array_of_multiprocessing(world: World) -> Effect:
    shared = _forks.RawArray("i", 1)

    def act() -> None:
        shared[0] += 1

    return act, lambda: shared[0]


@kind
def semaphore_of_multiprocessing(world: World) -> Effect:
    semaphore = _forks.Semaphore(0)

    def count() -> int:
        found = 0
        while semaphore.acquire(block=False):
            found += 1
        return found

    return semaphore.release, count


@kind
def lock_of_multiprocessing_taken(world: World) -> Effect:
    semaphore = _forks.Semaphore(1000)

    def count() -> int:
        left = 0
        while semaphore.acquire(block=False):
            left += 1
        return 1000 - left

    return semaphore.acquire, count


@kind
def list_of_a_manager(world: World) -> Effect:
    manager = world.enter(_forks.Manager())
    shared = manager.list()
    shared.append("first")
    return lambda: shared.append("x"), lambda: len(shared) - 1


def _shared(world: World) -> Any:
    """Eight bytes of shared memory, all 0."""
    memory = SharedMemory(create=True, size=8)
    world.at_end(memory.unlink)
    world.at_end(memory.close)
    return memory


@kind
def shared_memory(world: World) -> Effect:
    memory = _shared(world)

    def act() -> None:
        memory.buf[0] += 1

    return act, lambda: memory.buf[0]


@kind
def shared_memory_attached_by_name(world: World) -> Effect:
    memory = _shared(world)

    def act() -> None:
        mine: Any = SharedMemory(memory.name)
        mine.buf[0] += 1
        mine.close()

    return act, lambda: memory.buf[0]


_COUNTS_SIGNALS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
print("ready", flush=True)
while signal.sigwait([signal.SIGUSR1, signal.SIGTERM]) == signal.SIGUSR1:
    print("x", flush=True)
"""


@kind
def signal_to_another_process(world: World) -> Effect:
    child = subprocess.Popen([sys.executable, "-Sc", _COUNTS_SIGNALS], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    heard = child.stdout
    heard.readline()
    seen: list[str] = []

    def act() -> None:
        os.kill(child.pid, signal.SIGUSR1)
        # Pending signals are one: each has to be taken before the next.
        seen.append(heard.readline())

    def count() -> int:
        child.terminate()
        child.wait()
        return len(seen) + len(heard.readlines())

    return act, count


@kind
def signal_to_the_process_itself(world: World) -> Effect:
    path = world.file()
    kept = signal.signal(signal.SIGUSR1, lambda *_: _append(str(path)))
    world.at_end(signal.signal, signal.SIGUSR1, kept)
    return lambda: os.kill(os.getpid(), signal.SIGUSR1), _size(path)


@kind
def timer_signal(world: World) -> Effect:
    path = world.file()
    kept = signal.signal(signal.SIGVTALRM, lambda *_: _append(str(path)))
    world.at_end(signal.signal, signal.SIGVTALRM, kept)
    return lambda: signal.raise_signal(signal.SIGVTALRM), _size(path)


def _c(name: str, *types: Any) -> Any:
    """A function of the C library that was looked up before any program runs."""
    function = getattr(_LIBC, name)
    function.argtypes = types
    return function


@kind
def c_write(world: World) -> Effect:
    path, write = world.file(), _c("write", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    descriptor = os.open(path, os.O_WRONLY)
    world.at_end(os.close, descriptor)
    return lambda: write(descriptor, b"x", 1), _size(path)


@kind
def c_creat(world: World) -> Effect:
    creat = _c("creat", ctypes.c_char_p, ctypes.c_int)
    return lambda: os.close(creat(f"{world.folder}/{world.files()}".encode(), 0o600)), world.files


@kind
def c_mkdir(world: World) -> Effect:
    mkdir = _c("mkdir", ctypes.c_char_p, ctypes.c_int)
    return lambda: mkdir(f"{world.folder}/{world.files()}".encode(), 0o700), world.files


@kind
def c_unlink(world: World) -> Effect:
    unlink = _c("unlink", ctypes.c_char_p)
    for number in range(200):
        world.file(f"{number:03}")
    return lambda: unlink(str(min(world.folder.iterdir())).encode()), lambda: 200 - world.files()


@kind
def c_unlink_looked_up_in_the_program(world: World) -> Effect:
    for number in range(200):
        world.file(f"{number:03}")

    def act() -> None:
        ctypes.CDLL(None).unlink(str(min(world.folder.iterdir())).encode())

    return act, lambda: 200 - world.files()


@kind
def c_rename(world: World) -> Effect:
    rename = _c("rename", ctypes.c_char_p, ctypes.c_char_p)
    world.file("0")

    def act() -> None:
        (path,) = world.folder.iterdir()
        rename(str(path).encode(), f"{world.folder}/{int(path.name) + 1}".encode())

    return act, lambda: int(next(world.folder.iterdir()).name)


@kind
def c_system(world: World) -> Effect:
    path, system = world.file(), _c("system", ctypes.c_char_p)
    return lambda: system(f"printf x >> {path}".encode()), _size(path)


@kind
def c_memset_on_shared_memory(world: World) -> Effect:
    memory = _shared(world)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory.buf))
    return lambda: ctypes.memset(address, memory.buf[0] + 1, 1), lambda: memory.buf[0]


@kind
def message_queue_of_the_kernel(world: World) -> Effect:
    send = _c("msgsnd", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    receive = _c("msgrcv", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long, ctypes.c_int)
    number = _c("msgget", ctypes.c_int, ctypes.c_int)(0, 0o1600)
    world.at_end(_c("msgctl", ctypes.c_int, ctypes.c_int, ctypes.c_void_p), number, 0, None)
    no_wait, message = 0o4000, (1).to_bytes(8, sys.byteorder) + b"x"

    def count() -> int:
        found = 0
        while receive(number, ctypes.create_string_buffer(16), 1, 0, no_wait) >= 0:
            found += 1
        return found

    return lambda: send(number, message, 1, no_wait), count
