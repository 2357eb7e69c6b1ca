"""The golden signatures are those that boto makes today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "BackendsTests" / "Golden"


def test_golden_signatures_are_botos() -> None:
    """Whoever changes the cases runs the script again; the unit tests compare with its output byte for byte."""
    made = subprocess.run([sys.executable, GOLDEN / "make-sigv4"], check=True, capture_output=True, timeout=120)
    assert made.stdout == (GOLDEN / "sigv4.txt").read_bytes()
