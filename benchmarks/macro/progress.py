"""What is said while it runs: to standard error, so that tables and JSON can be redirected."""

from __future__ import annotations

import sys
import time

_began = time.monotonic()


def say(line: str) -> None:
    """One line with the time since the start."""
    seconds = int(time.monotonic() - _began)
    print(f"[{seconds // 60:02}:{seconds % 60:02}] {line}", file=sys.stderr, flush=True)
