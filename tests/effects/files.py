"""Files and directories, opened before the program ran or by it."""

from __future__ import annotations

import csv
import mmap
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import numpy as np
import pytest

from tests.effects.world import Effect, World, kind


@kind
def file_that_the_program_opens(world: World) -> Effect:
    path = world.file()

    def act() -> None:
        with path.open("a") as file:
            file.write("x")

    return act, lambda: path.stat().st_size


@kind
def file_in_an_object(world: World) -> Effect:
    file, count = world.appended()
    held = SimpleNamespace(file=file)
    return lambda: held.file.write("x\n"), count


@kind
def file_in_a_list(world: World) -> Effect:
    file, count = world.appended()
    held = [{"files": (file,)}]
    return lambda: held[0]["files"][0].write("x\n"), count


_OPEN: dict[str, IO[str]] = {}


@kind
def file_in_a_global(world: World) -> Effect:
    _OPEN["file"], count = world.appended()
    return lambda: _OPEN["file"].write("x\n"), count


@kind
def file_in_a_default_argument(world: World) -> Effect:
    file, count = world.appended()

    def act(file: IO[str] = file) -> None:
        file.write("x\n")

    return act, count


@kind
def file_whose_buffer_is_written_when_it_is_closed(world: World) -> Effect:
    path = world.file()
    file = path.open("a", buffering=1 << 16)

    def count() -> int:
        file.close()
        return path.stat().st_size

    return lambda: file.write("x"), count


@kind
def print_into_an_open_file(world: World) -> Effect:
    file, count = world.appended()
    return lambda: print("x", file=file), count


@kind
def csv_writer(world: World) -> Effect:
    path = world.file()
    file = world.enter(path.open("a", buffering=1, newline=""))
    writer = csv.writer(file)

    def act() -> None:
        writer.writerow(["x"])
        file.flush()

    return act, lambda: len(path.read_text().splitlines())


@kind
def pickle_into_an_open_file(world: World) -> Effect:
    path, one = world.file(), len(pickle.dumps(1))
    file = world.enter(path.open("ab", buffering=0))
    return lambda: pickle.dump(1, file), lambda: path.stat().st_size // one


@kind
def os_write(world: World) -> Effect:
    path = world.file()
    descriptor = world.descriptor(path)
    return lambda: os.write(descriptor, b"x"), lambda: path.stat().st_size


@kind
def os_writev(world: World) -> Effect:
    path = world.file()
    descriptor = world.descriptor(path)
    return lambda: os.writev(descriptor, [b"x"]), lambda: path.stat().st_size


@kind
def os_sendfile(world: World) -> Effect:
    source = world.file("source")
    source.write_bytes(b"x")
    path = world.file()
    read, written = world.descriptor(source), world.descriptor(path)
    return lambda: os.sendfile(written, read, 0, 1), lambda: path.stat().st_size


@kind
def os_ftruncate(world: World) -> Effect:
    path = world.file()
    path.write_bytes(b"x" * 500)
    descriptor = world.descriptor(path)
    return lambda: os.ftruncate(descriptor, path.stat().st_size - 1), lambda: 500 - path.stat().st_size


@kind
def os_truncate(world: World) -> Effect:
    path = world.file()
    path.write_bytes(b"x" * 500)
    return lambda: os.truncate(path, path.stat().st_size - 1), lambda: 500 - path.stat().st_size


@kind
def a_line_read_from_an_open_file(world: World) -> Effect:
    path = world.file()
    path.write_bytes(b"x" * 500)
    descriptor = world.descriptor(path)
    return lambda: os.read(descriptor, 1), lambda: os.lseek(descriptor, 0, os.SEEK_CUR)


@kind
def pipe(world: World) -> Effect:
    reader, writer = os.pipe()
    world.at_end(os.close, reader)
    world.at_end(os.close, writer)
    os.set_blocking(reader, False)
    os.write(writer, b"first")
    return lambda: os.write(writer, b"x"), lambda: len(os.read(reader, 9999)) - len(b"first")


def _mapped(world: World) -> tuple[mmap.mmap, Callable[[], int]]:
    """A file of eight bytes that is mapped into memory, and the first of them."""
    path = world.file()
    path.write_bytes(bytes(8))
    file = world.enter(path.open("r+b"))
    return world.enter(mmap.mmap(file.fileno(), 8)), lambda: path.read_bytes()[0]


@kind
def mapped_file(world: World) -> Effect:
    mapped, count = _mapped(world)

    def act() -> None:
        mapped[0] += 1

    return act, count


@kind
def mapped_file_flushed(world: World) -> Effect:
    mapped, count = _mapped(world)

    def act() -> None:
        mapped[0] += 1
        mapped.flush()

    return act, count


@kind
def numpy_memmap(world: World) -> Effect:
    path = world.folder / "array"
    array = np.memmap(path, "i8", "w+", shape=(1,))

    def act() -> None:
        array[0] += 1

    return act, lambda: int(np.fromfile(path, "i8")[0])


@kind
def os_utime(world: World) -> Effect:
    path = world.file()
    os.utime(path, (0, 0))

    def act() -> None:
        later = path.stat().st_mtime + 1
        os.utime(path, (later, later))

    return act, lambda: round(path.stat().st_mtime)


@kind
def os_chown(world: World) -> Effect:
    if os.geteuid():
        pytest.skip("only root gives files away")
    path = world.file()
    before = path.stat().st_gid
    return lambda: os.chown(path, -1, path.stat().st_gid + 1), lambda: path.stat().st_gid - before


@kind
def os_chmod(world: World) -> Effect:
    path = world.file()
    path.chmod(0o400)
    return lambda: path.chmod(path.stat().st_mode + 1), lambda: path.stat().st_mode & 0o377


@kind
def os_mkfifo(world: World) -> Effect:
    return lambda: os.mkfifo(world.folder / f"fifo{world.files()}"), world.files


@kind
def os_mkdir(world: World) -> Effect:
    return lambda: os.mkdir(world.folder / f"new{world.files()}"), world.files


@kind
def os_symlink(world: World) -> Effect:
    return lambda: os.symlink("nowhere", world.folder / f"link{world.files()}"), world.files


@kind
def os_link(world: World) -> Effect:
    path = world.file()
    return lambda: os.link(path, world.folder / f"link{world.files()}"), lambda: path.stat().st_nlink - 1


@kind
def os_rename(world: World) -> Effect:
    world.file("0")

    def act() -> None:
        (path,) = world.folder.iterdir()
        path.rename(world.folder / str(int(path.name) + 1))

    return act, lambda: int(next(world.folder.iterdir()).name)


def _many(world: World, make: Callable[[Path], object]) -> Callable[[], Path]:
    """What gives the first of many entries."""
    for number in range(200):
        make(world.folder / f"{number:03}")
    return lambda: min(world.folder.iterdir())


@kind
def os_remove(world: World) -> Effect:
    first = _many(world, Path.touch)
    return lambda: first().unlink(), lambda: 200 - world.files()


@kind
def os_rmdir(world: World) -> Effect:
    first = _many(world, Path.mkdir)
    return lambda: first().rmdir(), lambda: 200 - world.files()


@kind
def shutil_rmtree(world: World) -> Effect:
    first = _many(world, Path.mkdir)
    return lambda: shutil.rmtree(first()), lambda: 200 - world.files()


@kind
def shutil_copy(world: World) -> Effect:
    path = world.file()
    return lambda: shutil.copy(path, world.folder / f"copy{world.files()}"), lambda: world.files() - 1


@kind
def file_made_in_an_open_directory(world: World) -> Effect:
    folder = os.open(world.folder, os.O_RDONLY)
    world.at_end(os.close, folder)

    def act() -> None:
        os.close(os.open(f"new{world.files()}", os.O_CREAT | os.O_WRONLY, dir_fd=folder))

    return act, world.files


@kind
def temporary_file(world: World) -> Effect:
    return lambda: os.close(tempfile.mkstemp(dir=world.folder)[0]), world.files
