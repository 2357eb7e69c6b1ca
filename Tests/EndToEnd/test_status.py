"""`status`: the cluster in a terminal, and for scripts."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exporter import BAD_SETUP, OK
from status_page import TARGETS, Json, StatusPage, cluster, history
from terminal import at_terminal

NOT_ADMITTED, NO_ANSWER = 5, 6


@pytest.fixture
def coordinators() -> Iterator[list[StatusPage]]:
    """Two coordinators: the first leads, the second is a standby that points to it."""
    leader = StatusPage(cluster(workers=30, gate="open"))
    leader.status["leader"]["endpoint"] = leader.url.rstrip("/")
    standby = StatusPage(
        {**leader.status, "coordinator": {**leader.status["coordinator"], "name": "coordinator-1", "role": "standby"}}
    )
    standby.status["workers"] = standby.status["shards"] = []
    yield [leader, standby]
    leader.close()
    standby.close()


def status(program: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Asks once."""
    return subprocess.run(
        [program, "status", "--coordinator", url, *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("gate", "code"),
    [("open", OK), ("degraded", OK), ("halted", NOT_ADMITTED), ("recovering", NOT_ADMITTED), ("unknown", NOT_ADMITTED)],
)
def test_exit_code_tells_the_gate(program: Path, coordinators: list[StatusPage], gate: str, code: int) -> None:
    """A script needs no more than the code; people get the reason."""
    leader = coordinators[0]
    leader.status = cluster(gate=gate)
    finished = status(program, leader.url)
    assert finished.returncode == code, finished
    assert gate.upper() in finished.stdout
    assert leader.status["gate"]["reason"] in finished.stdout


def test_tables_align_and_say_everything(program: Path, coordinators: list[StatusPage]) -> None:
    """Gate, leader, shards, targets, workers; those with trouble first."""
    leader = coordinators[0]
    leader.status = cluster(workers=30, gate="halted")
    leader.status["leader"]["endpoint"] = leader.url
    text = status(program, leader.url).stdout
    for needle in (
        "prod-east",
        "coordinator-0, term 7",
        "a person has to acknowledge",
        "WITHOUT AN OWNER",
        "soc-splunk",
        "214 300",
        "silent for 14 s",
        "search open",
        "and 10 more; --all shows them",
    ):
        assert needle in text, (needle, text)
    lines = text.splitlines()
    for title in ("target", "worker"):
        at = next(index for index, line in enumerate(lines) if line.startswith(f"{title} "))
        starts = [
            index
            for index, char in enumerate(lines[at + 1])
            if char == "─" and (index == 0 or lines[at + 1][index - 1] == " ")
        ]
        for line in lines[at + 2 : at + 5]:
            assert all(len(line) < start or line[start - 1] == " " for start in starts[1:]), line
    assert status(program, leader.url, "--all").stdout.count("worker-") == 30


def test_owners_and_the_last_minutes_are_drawn(
    program: Path, coordinators: list[StatusPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page shows, in signs: each shard's owner, and a quarter of an hour of each target."""
    leader = coordinators[0]
    leader.status = cluster(workers=4, gate="halted")
    leader.status["leader"]["endpoint"] = leader.url
    leader.status["history"] = history(leader.status, time.time())
    lines = status(program, leader.url).stdout.splitlines()

    signs = {line.split()[0]: line.split()[2] for line in lines if line.startswith("worker-")}
    assert signs == {f"worker-{index}": "ABCD"[index] for index in range(4)}
    at = next(index for index, line in enumerate(lines) if line.startswith("shards by owner"))
    rows = [line.split() for line in lines[at + 1 : at + 5]]
    assert [row[0] for row in rows] == ["0", "64", "128", "192"]
    assert "".join(row[1] for row in rows) == "".join(
        "!" if shard["state"] == "unowned" else "ABCD"[shard["owner"]] for shard in leader.status["shards"]
    )

    at = next(index for index, line in enumerate(lines) if line.startswith("last 15 minutes"))
    start, waits = lines[at].index("records/s"), lines[at].index("backlog")
    for number, (name, _, _) in enumerate(TARGETS):
        line = lines[at + 2 + number]
        assert line.startswith(name)
        rates = line[start : start + 15]
        # Half a minute of the fifteen is missing, which leaves no minute empty.
        assert set(rates) <= set("▁▂▃▄▅▆▇█") and max(rates) == "█", line
        # From the middle on it took nothing for three minutes; a minute is shown by its most.
        assert ("▁▁" in rates) == (name == "search"), line
    search = next(line for line in lines[at:] if line.startswith("search"))
    assert search[waits : waits + 15].count("█") >= 1 and "216 000" in search, search
    # Two seconds the whole time; and at another target nothing that anybody told.
    waited = lines[at].index("oldest")
    assert search[waited:].split() == ["█" * 15, "2.0", "s"], search

    def untold(*arguments: Any) -> Json:
        record = history(*arguments)
        for sample in record["samples"]:
            sample["oldestMilliseconds"][1] = None
        return record

    monkeypatch.setattr("status_page.history", untold)
    search = next(line for line in status(program, leader.url).stdout.splitlines()[at:] if line.startswith("search"))
    assert search[waited:].split() == ["–"], search


def test_a_standby_is_asked_for_the_leader(program: Path, coordinators: list[StatusPage]) -> None:
    """Any coordinator will do; when the leader cannot be reached, what the standby knows is shown."""
    leader, standby = coordinators
    finished = status(program, standby.url)
    assert finished.returncode == OK
    assert "Asked coordinator-1, which does not lead" in finished.stdout
    assert "worker-0" in finished.stdout
    document: Json = json.loads(status(program, standby.url, "--json").stdout)
    assert document["coordinator"]["name"] == "coordinator-0" and len(document["workers"]) == 30
    leader.close()
    finished = status(program, standby.url)
    assert finished.returncode == OK
    assert "its leader did not answer" in finished.stdout


def test_nobody_there_and_wrong_addresses(program: Path, coordinators: list[StatusPage]) -> None:
    """What was tried, why it failed, what to do; and a code of its own."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    finished = status(program, f"http://127.0.0.1:{port}")
    assert finished.returncode == NO_ANSWER and finished.stdout == ""
    assert f"127.0.0.1:{port}" in finished.stderr and "Is a coordinator's endpoint there?" in finished.stderr
    finished = status(program, "localhost:8080")
    assert finished.returncode == BAD_SETUP
    assert "http://127.0.0.1:8080" in finished.stderr
    finished = status(program, coordinators[0].url + "elsewhere")
    assert finished.returncode == NO_ANSWER and "404" in finished.stderr


def test_what_others_say_does_not_reach_the_terminal(program: Path, coordinators: list[StatusPage]) -> None:
    """An escape in a name or a reason is shown, not obeyed."""
    leader = coordinators[0]
    leader.status = cluster(gate="halted")
    leader.status["gate"]["reason"] = leader.status["workers"][0]["identity"] = "a\x1b[2Jb\nc"
    leader.status["targets"][1]["failure"] = leader.status["cluster"] = "\x1b]0;title\x07"
    text = status(program, leader.url).stdout
    assert "\x1b" not in text and "\x07" not in text
    assert "a\\u001b[2Jb\\u000ac" in text


def test_watch_redraws_until_stopped(program: Path, coordinators: list[StatusPage]) -> None:
    """On a terminal the screen comes back as it was; the code is that of the last status."""
    leader = coordinators[0]
    code, shown = at_terminal([program, "status", "--coordinator", leader.url, "--watch"], until="worker-0")
    assert code == OK
    assert shown.startswith("\x1b[?1049h") and "\x1b[?1049l" in shown
    assert "soc-splunk" in shown
    assert all(len(line) < 300 for line in shown.splitlines())


def test_watch_fits_the_terminal(program: Path, coordinators: list[StatusPage]) -> None:
    """Why the gate is shut is read whole, over as many lines as it takes; what is cut off a table is marked."""
    leader = coordinators[0]
    leader.status = cluster(gate="halted")
    words = [f"word{number}" for number in range(40)]
    leader.status["gate"]["reason"] = " ".join(words) + " " + "x" * 100
    arguments: list[str | Path] = [program, "status", "--coordinator", leader.url, "--watch"]
    shown = at_terminal(arguments, columns=72, until="\x1b[J")[1]
    frame = shown.split("\x1b[H")[1].split("\x1b[J")[0]
    lines = [line.rstrip("\r").removesuffix("\x1b[K") for line in frame.split("\r\n")]
    assert max(map(len, lines)) == 72 and any(line.endswith("…") for line in lines), lines
    start = next(index for index, line in enumerate(lines) if "word0" in line)
    indent = lines[start].index("word0")
    end = next(index for index, line in enumerate(lines) if index > start and line[:indent].strip())
    assert all(line[:indent].strip() == "" for line in lines[start + 1 : end])
    text = " ".join(line[indent:] for line in lines[start:end])
    assert text.split()[:40] == words and text.count("x") == 100, text
