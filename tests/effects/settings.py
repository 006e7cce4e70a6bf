"""Settings of the process: its environment, limits, locale, warnings, signals and what is called at its end."""

from __future__ import annotations

import atexit
import decimal
import gc
import importlib
import locale
import os
import resource
import signal
import socket
import sys
import warnings

from tests.effects.world import Effect, World, grown, kind


@kind
def environment_variable(world: World) -> Effect:
    name = "TESTS_EFFECTS"
    world.at_end(os.environ.pop, name, None)

    def act() -> None:
        os.environ[name] = str(int(os.environ.get(name, 0)) + 1)

    return act, lambda: int(os.environ[name])


@kind
def path_of_imports(world: World) -> Effect:
    world.at_end(sys.path.__setitem__, slice(None), list(sys.path))
    return lambda: sys.path.append("/nowhere"), grown(sys.path)


@kind
def module_imported(world: World) -> Effect:
    """A module that writes to a file whenever it is run."""
    path, name = world.file(), f"tests_effects_{os.urandom(8).hex()}"
    folder = world.folder / "modules"
    folder.mkdir()
    (folder / f"{name}.py").write_text(f"open({str(path)!r}, 'a').write('x')")
    sys.path.insert(0, str(folder))
    world.at_end(sys.path.remove, str(folder))

    def act() -> None:
        sys.modules.pop(name, None)
        importlib.import_module(name)

    return act, lambda: path.stat().st_size


@kind
def working_directory(world: World) -> Effect:
    (world.folder / "/".join("d" * 20)).mkdir(parents=True)
    world.at_end(os.chdir, os.getcwd())
    os.chdir(world.folder)
    return lambda: os.chdir("d"), lambda: os.getcwd().count("/d")


@kind
def file_mode_mask(world: World) -> Effect:
    world.at_end(os.umask, os.umask(0))
    return lambda: os.umask(os.umask(0) + 1), lambda: os.umask(0)


@kind
def locale_of_the_process(world: World) -> Effect:
    def plain() -> list[int]:
        return [one for one in categories if locale.setlocale(one) == "C"]

    categories = [getattr(locale, f"LC_{name}") for name in ("COLLATE", "MONETARY", "NUMERIC", "TIME", "MESSAGES")]
    for category in categories:
        world.at_end(locale.setlocale, category, locale.setlocale(category))
        locale.setlocale(category, "C")
    return lambda: locale.setlocale(plain()[0], "C.UTF-8"), lambda: len(categories) - len(plain())


@kind
def default_decimal_context(world: World) -> Effect:
    context = decimal.DefaultContext
    world.at_end(setattr, context, "prec", context.prec)
    before = context.prec

    def act() -> None:
        context.prec += 1

    return act, lambda: context.prec - before


@kind
def limit_of_recursion(world: World) -> Effect:
    before = sys.getrecursionlimit()
    world.at_end(sys.setrecursionlimit, before)
    return lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1), lambda: sys.getrecursionlimit() - before


@kind
def limit_of_a_resource(world: World) -> Effect:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == resource.RLIM_INFINITY:
        hard = -1
    world.at_end(resource.setrlimit, resource.RLIMIT_CORE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    def act() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[0] + 1, hard))

    return act, lambda: resource.getrlimit(resource.RLIMIT_CORE)[0]


@kind
def default_timeout_of_sockets(world: World) -> Effect:
    world.at_end(socket.setdefaulttimeout, socket.getdefaulttimeout())
    socket.setdefaulttimeout(100.0)

    def act() -> None:
        socket.setdefaulttimeout((socket.getdefaulttimeout() or 0) + 1)

    return act, lambda: round((socket.getdefaulttimeout() or 0) - 100)


@kind
def function_to_call_at_exit(world: World) -> Effect:
    def nothing() -> None: ...

    world.at_end(atexit.unregister, nothing)
    before = atexit._ncallbacks()  # pyright: ignore[reportAttributeAccessIssue]
    return lambda: atexit.register(nothing), lambda: atexit._ncallbacks() - before  # pyright: ignore


@kind
def hook_of_the_garbage_collector(world: World) -> Effect:
    world.at_end(gc.callbacks.__setitem__, slice(None), list(gc.callbacks))
    return lambda: gc.callbacks.append(lambda phase, info: None), grown(gc.callbacks)


@kind
def filter_of_warnings(world: World) -> Effect:
    world.enter(warnings.catch_warnings())
    filters = warnings.filters
    before = len(filters)
    act = lambda: warnings.filterwarnings("ignore", message=str(len(warnings.filters)))  # noqa: E731 - an effect
    return act, lambda: len(warnings.filters) - before


@kind
def handler_of_a_signal(world: World) -> Effect:
    seen: list[int] = []
    world.at_end(signal.signal, signal.SIGUSR2, signal.getsignal(signal.SIGUSR2))
    signal.signal(signal.SIGUSR2, lambda *_: seen.append(1))
    return lambda: signal.raise_signal(signal.SIGUSR2), lambda: len(seen)
