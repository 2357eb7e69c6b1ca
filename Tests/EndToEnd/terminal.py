"""Runs the program at a terminal, as a person does."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path


def at_terminal(
    arguments: Sequence[str | Path], *, columns: int = 100, typed: str = "", seconds: float = 60, until: str = ""
) -> tuple[int, str]:
    """The exit code, and everything the terminal was sent; `typed` is what the person types. Interrupted at `until`."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [str(argument) for argument in arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm-256color"},
    )
    os.close(slave)
    try:
        os.write(master, typed.encode())
        shown = _read(master, process, seconds, until.encode())
        return process.wait(30), shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def _read(master: int, process: subprocess.Popen[bytes], seconds: float, until: bytes) -> str:
    seen = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.1)
        if ready:
            try:
                piece = os.read(master, 65_536)
            except OSError:
                break  # The other side is closed.
            if not piece:
                break
            seen += piece
            if until and until in seen:
                process.send_signal(signal.SIGINT)
                until = b""
        elif process.poll() is not None:
            break
    return seen.decode()
