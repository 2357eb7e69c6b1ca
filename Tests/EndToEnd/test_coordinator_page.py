"""What real coordinators show: the page in a browser, and `status`, which finds the leader."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from browser import Browser
from exporter import Running, Workbench, wait_until

NOT_ADMITTED = 5
ARTEFACTS = Path(__file__).parents[2] / ".artefacts"


class Coordinators:
    """Coordinators that share a directory. Nobody works for them, so the gate stays shut."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        target = {"name": "archive", "backend": "file", "format": "json", "endpoint": f"file://{bench.archive}"}
        values = {
            "global": {"impactLevel": "high", "clusterName": "prod-east"},
            "tls": {"required": False},
            "cluster": {
                "shards": 64,
                "lease": {"duration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"},
                # A leader without workers resigns after 3.75 of these.
                "workerLease": "30s",
            },
            "export": {"targets": [target]},
        }
        # JSON is YAML.
        self._config = bench.directory / "cluster.yaml"
        self._config.write_text(json.dumps(values))
        self._store = bench.directory / "cluster"
        self._store.mkdir()
        bench.archive.mkdir()
        self.running: list[Running] = []

    def start(self, name: str) -> str:
        """Starts one; the address of its endpoint."""
        arguments: list[str | Path] = [self._bench.program, "coordinator", "--config", self._config]
        arguments += ["--standalone", self._store, "--identity", name, "--listen", "127.0.0.1:0"]
        running = Running([*arguments, "--endpoint", "127.0.0.1:0"], self._bench.directory)
        self.running.append(running)

        def urls() -> list[str]:
            lines = [json.loads(line) for line in running.stderr.splitlines(keepends=True) if line.endswith("\n")]
            return [line["endpoint"] + "/" for line in lines if line["message"] == "coordinator ready"]

        wait_until(lambda: bool(urls()), f"{name} serves its status")
        return urls()[0]


@pytest.fixture
def coordinators(bench: Workbench) -> Iterator[Coordinators]:
    """Ended with the test."""
    made = Coordinators(bench)
    yield made
    for running in made.running:
        running.kill()


def test_leader_and_standby_show_themselves(program: Path, coordinators: Coordinators, browser: Browser) -> None:
    """The leader shows its shards and why the gate is shut; the standby points to it, and `status` goes there."""
    leader = coordinators.start("c0")
    wait_until(lambda: json.load(urlopen(f"{leader}v1/status"))["coordinator"]["role"] == "leader", "c0 leads")
    standby = coordinators.start("c1")
    wait_until(lambda: "leader" in json.load(urlopen(f"{standby}v1/status")), "c1 knows the leader")

    page = browser.page(dark=True)
    page.open(leader)
    page.wait("document.documentElement?.dataset.live === 'live'")
    page.wait("document.querySelectorAll('#map .unowned').length === 64")
    assert page.text("#cluster") == "prod-east"
    assert "0 of 64" in page.text("#figures") and "term 1" in page.text("#figures")
    assert page.text("#gate-state") == "Unknown" and "no worker can send" in page.text("#gate-reason")
    assert "archive" in page.text("#targets")
    page.wait("document.querySelectorAll('.chart .line')[2].getAttribute('d').startsWith('M')")
    page.screenshot(ARTEFACTS / "coordinator-leader.png")
    assert page.complaints == []

    other = browser.page()
    other.open(standby)
    other.wait("!document.querySelector('#standby').hidden")
    other.wait(f"document.querySelector('#standby a')?.href === {json.dumps(leader)}")
    assert other.complaints == []

    shown = subprocess.run([program, "status", "--coordinator", standby], capture_output=True, text=True, timeout=60)
    assert shown.returncode == NOT_ADMITTED, shown
    assert "Asked c1, which does not lead" in shown.stdout and "64 WITHOUT AN OWNER" in shown.stdout

    # The standby takes over at once when the leader gives the lease back, and its page says so by itself.
    coordinators.running[0].process.terminate()
    other.wait("document.querySelectorAll('#map .cell').length === 64")
    assert "term 2" in other.text("#figures")
