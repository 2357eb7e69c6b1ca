"""What may happen to the directory of a file target: each play breaks it, and mends it again."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FilePlay:
    """Something that stands in the way until it is mended, and what the exporter says of it."""

    # Broken within, mended after. The directory may lie at the top of a small file system.
    breaks: Callable[[Path], AbstractContextManager[None]]
    words: str
    # Before the first record, in the middle of a run, or after a kill in the middle of one.
    moment: str = "middle"


def open_file(archive: Path) -> Path:
    """The one that is written."""
    (found,) = archive.glob("*.open")
    return found


def fill(directory: Path, leave: int = 0) -> Path:
    """Takes all the space that is left, but for so many bytes."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        block = b"\0" * 4096
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return ballast


@contextlib.contextmanager
def full(archive: Path) -> Iterator[None]:
    """Not a byte more."""
    ballast = fill(archive.parent)
    yield
    ballast.unlink()


@contextlib.contextmanager
def short(archive: Path) -> Iterator[None]:
    """Room for a part of the next batch: the system writes some of it."""
    ballast = fill(archive.parent, leave=20_000)
    yield
    ballast.unlink()


@contextlib.contextmanager
def vanishes(archive: Path) -> Iterator[None]:
    """Somebody takes the directory away, and brings it back."""
    elsewhere = archive.with_name("elsewhere")
    archive.rename(elsewhere)
    yield
    # The exporter may have made a new one; nothing may be in it.
    if archive.exists():
        archive.rmdir()
    elsewhere.rename(archive)


@contextlib.contextmanager
def is_cut(archive: Path) -> Iterator[None]:
    """Bytes that were vouched for are gone, until somebody restores the file."""
    path = open_file(archive)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(len(data) // 2)
    yield
    with path.open("r+b") as file:
        file.write(data)


@contextlib.contextmanager
def is_read_only(archive: Path) -> Iterator[None]:
    """The file system takes nothing."""
    subprocess.run(["mount", "-o", "remount,ro", archive.parent], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", archive.parent], check=True)


@contextlib.contextmanager
def is_a_file(archive: Path) -> Iterator[None]:
    """There is something else in its place."""
    archive.write_text("a file where a directory should be")
    yield
    archive.unlink()


@contextlib.contextmanager
def is_held(archive: Path) -> Iterator[None]:
    """Another exporter has the file."""
    with open_file(archive).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def is_torn(archive: Path) -> Iterator[None]:
    """The machine died within a line. Nobody has to mend that."""
    with open_file(archive).open("ab") as file:
        file.write(b'{"torn')
    yield


FILE_PLAYS: dict[str, dict[str, FilePlay]] = {
    "refused for now": {
        "full disk": FilePlay(full, "free some space"),
        "held by another": FilePlay(is_held, "another exporter writes to it", "killed"),
    },
    "refused before the end": {"short write": FilePlay(short, "free some space")},
    "reset within the request's body": {"torn line": FilePlay(is_torn, "", "killed")},
    "what somebody has to mend": {
        "directory gone": FilePlay(vanishes, "is gone"),
        "bytes taken away": FilePlay(is_cut, "somebody cut"),
        "read-only": FilePlay(is_read_only, "read-only", "before"),
        "no directory": FilePlay(is_a_file, "cannot", "before"),
    },
}
