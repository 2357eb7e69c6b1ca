"""A whole cluster of real processes under kills, stops, cut links and outages, and the count afterwards."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_chaos_loses_nothing_and_tells_nothing_false(program: Path, tmp_path: Path) -> None:
    """Twenty seconds of it; `make cluster-chaos` is the same for five minutes."""
    command = [str(ROOT / "deploy/local/cluster"), str(program), "--chaos", "20", "--seed", "7", "--rate", "300"]
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
