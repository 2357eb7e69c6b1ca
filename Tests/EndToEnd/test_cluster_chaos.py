"""A whole cluster of real processes under kills, stops, cut links and outages, and the count afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from exporter import Running, wait_until

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deploy/local/cluster"


def test_chaos_loses_nothing_and_tells_nothing_false(program: Path, tmp_path: Path) -> None:
    """Twenty seconds of it; `make cluster-chaos` is the same for five minutes."""
    command = [str(CLUSTER), str(program), "--chaos", "20", "--seed", "7", "--rate", "300"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    row = r"^(splunk|elasticsearch|archive)" + r" +(\d+)" * 6 + r" +([\d-]+)$"
    rows = re.findall(row, ended.stdout, re.M)
    assert len(rows) == 3, ended.stdout
    assert re.search(r"\bCuts: [1-9]", ended.stdout), ended.stdout
    assert all(f"{role} " in ended.stdout.split("Greatest memory:")[1] for role in ("coordinator", "worker"))
    assert {row[0]: row[7] for row in rows} == {"splunk": "-", "elasticsearch": "-", "archive": "0"}, ended.stdout
    for _, issued, delivered, dead, _, lost, false, _ in rows:
        assert int(issued) >= 3_000 and delivered == issued and (dead, lost, false) == ("0", "0", "0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it(program: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Of `make cluster` nothing is left: no process, and no directory with keys."""
    (tmp_path / "output").mkdir()
    running = Running([CLUSTER, program], tmp_path / "output", environment={**os.environ, "TMPDIR": str(tmp_path)})
    wait_until(lambda: "Ctrl-C ends it." in running.stdout, lambda: running.stdout + running.stderr, 60)
    directory = next(tmp_path.glob("sidereal-cluster.*"))

    def members() -> int:
        found = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # It may have ended meanwhile.
                found += str(directory).encode() in path.read_bytes()
        return found

    assert members() >= 7
    acknowledged = subprocess.run([CLUSTER, "--acknowledge", directory], capture_output=True, text=True)
    assert (acknowledged.returncode, acknowledged.stdout) == (0, "0 alerts acknowledged\n")
    running.send(number)
    running.send(number)
    assert running.process.wait(60) == 0, running.stderr
    assert not members() and not directory.exists()
    elsewhere = subprocess.run([CLUSTER, "--acknowledge", directory], capture_output=True, text=True)
    assert elsewhere.returncode == 2 and "is no directory of a cluster" in elsewhere.stderr
