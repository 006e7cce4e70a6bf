"""What keeps files for the program: archives, databases, logs, streams, and what is written when an object ends."""

from __future__ import annotations

import dbm.dumb
import gzip
import logging
import logging.handlers
import os
import shelve
import sqlite3
import sys
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.effects.world import Effect, World, kind


@kind
def zip_file_that_is_open(world: World) -> Effect:
    path = world.folder / "archive.zip"
    archive = zipfile.ZipFile(path, "w")

    def count() -> int:
        archive.close()
        with zipfile.ZipFile(path) as written:
            return len(written.namelist())

    return lambda: archive.writestr(f"new{len(archive.namelist())}", "x"), count


@kind
def gzip_file_that_is_open(world: World) -> Effect:
    path = world.folder / "file.gz"
    file = gzip.open(path, "wt")  # noqa: SIM115 - closed when it is counted

    def count() -> int:
        file.close()
        with gzip.open(path, "rt") as written:
            return len(written.read())

    return lambda: file.write("x"), count


def _database(world: World, path: str | Path) -> tuple[sqlite3.Connection, Callable[[], int]]:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    world.at_end(connection.close)
    connection.execute("create table orders(x)")
    return connection, lambda: connection.execute("select count(*) from orders").fetchone()[0]


@kind
def sqlite_that_is_connected(world: World) -> Effect:
    connection, count = _database(world, world.folder / "orders.db")
    return lambda: connection.execute("insert into orders values (1)"), count


@kind
def sqlite_in_memory(world: World) -> Effect:
    connection, count = _database(world, ":memory:")
    return lambda: connection.execute("insert into orders values (1)"), count


@kind
def sqlite_that_connects(world: World) -> Effect:
    path = world.folder / "orders.db"
    _, count = _database(world, path)

    def act() -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("insert into orders values (1)")
        connection.close()

    return act, count


@kind
def shelf_that_is_open(world: World) -> Effect:
    def opened() -> shelve.Shelf[int]:
        file: Any = dbm.dumb.open(str(world.folder / "shelf"))  # noqa: SIM115 - the shelf closes it
        return shelve.Shelf(file)

    shelf = opened()

    def act() -> None:
        shelf["orders"] = shelf.get("orders", 0) + 1
        shelf.sync()

    def count() -> int:
        shelf.close()
        with opened() as written:
            return written["orders"]

    return act, count


def _logger(world: World, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"tests.effects.{id(world)}")
    logger.propagate = False
    logger.addHandler(handler)
    world.at_end(logger.removeHandler, handler)
    world.at_end(handler.close)
    return logger


@kind
def log_file(world: World) -> Effect:
    path = world.file()
    logger = _logger(world, logging.FileHandler(path))
    return lambda: logger.error("x"), lambda: path.stat().st_size // 2


@kind
def log_handler_of_the_application(world: World) -> Effect:
    class Counts(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    seen: list[Any] = []
    logger = _logger(world, Counts())
    return lambda: logger.error("x"), lambda: len(seen)


@kind
def log_kept_in_memory_until_it_is_flushed(world: World) -> Effect:
    path = world.file()
    memory = logging.handlers.MemoryHandler(1000, target=logging.FileHandler(path), flushLevel=logging.CRITICAL + 1)
    logger = _logger(world, memory)

    def count() -> int:
        memory.flush()
        return path.stat().st_size // 2

    return lambda: logger.error("x"), count


@kind
def standard_output_as_a_descriptor(world: World) -> Effect:
    path = world.file()
    kept = os.dup(1)
    descriptor = world.descriptor(path)
    os.dup2(descriptor, 1)
    world.at_end(os.close, kept)
    world.at_end(os.dup2, kept, 1)
    return lambda: os.write(1, b"x"), lambda: path.stat().st_size


@kind
def standard_error_replaced_by_a_file(world: World) -> Effect:
    file, count = world.appended()
    kept, sys.stderr = sys.stderr, file
    world.at_end(setattr, sys, "stderr", kept)
    return lambda: print("x", file=sys.stderr), count


@kind
def finalizer_of_an_object_that_the_program_drops(world: World) -> Effect:
    file, count = world.appended()

    class Dropped: ...

    return lambda: weakref.finalize(Dropped(), file.write, "x\n"), count


@kind
def file_written_by_a_destructor(world: World) -> Effect:
    file, count = world.appended()

    class Dropped:
        def __del__(self) -> None:
            file.write("x\n")

    return Dropped, count
