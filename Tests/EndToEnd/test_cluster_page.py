"""The page and `status` before workers that work, one that dies, and a target that fails: what people see of a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page
from exporter import OK, Workbench, wait_until
from small_cluster import PATIENCE, SmallCluster
from terminal import at_terminal

NOT_ADMITTED = 5
# Not committed; for people to look at after a run.
ARTEFACTS = Path(__file__).parents[2] / ".artefacts"


@pytest.fixture
def cluster(bench: Workbench) -> Iterator[SmallCluster]:
    """A coordinator and three workers that run."""
    made = SmallCluster(bench, coordinators=1, workers=3)
    try:
        made.start_all()
        yield made
    finally:
        made.close()


def wait_text(page: Page, selector: str, text: str) -> None:
    """Until it is to be read there, without a reload."""
    page.wait(f"document.querySelector({json.dumps(selector)}).innerText.includes({json.dumps(text)})", PATIENCE)


def points(page: Page) -> int:
    """How many samples the charts have, by the longest line."""
    script = (
        "Math.max(...[...document.querySelectorAll('.chart .line')].map(l => l.getAttribute('d').split(/[ML]/).length))"
    )
    return int(page.run(script))


def test_what_people_see(program: Path, cluster: SmallCluster, browser: Browser) -> None:
    """Under load, with a lost worker, in an outage, and in a terminal."""
    url = f"http://127.0.0.1:{cluster.endpoints['c0']}/"
    light, dark = browser.page(), browser.page(dark=True)
    for page in (light, dark):
        page.open(url)
        page.wait("document.documentElement?.dataset.live === 'live'", PATIENCE)
    with cluster.flow():
        wait_until(lambda: len(cluster.sandbox.ids("hec")) > 500, "records flow", PATIENCE)
        wait_text(light, "#gate-state", "Open")
        wait_text(light, "#figures", "3 of 3")
        wait_text(light, "#figures", "64 of 64")
        assert f"c0\nterm {cluster.lease()['term']}, " in light.text("#figures")
        owners = light.run("[...new Set([...document.querySelectorAll('#map .cell')].map(c => c.innerText))].sort()")
        assert owners == ["1", "2", "3"]
        targets = light.text("#targets").lower()
        for word in ("records/s", "latency", "backlog", "oldest", "in a row"):
            assert targets.count(word) == 2, word
        assert targets.count("healthy") == 2
        shown = light.text("#workers")
        assert all(name in shown for name in cluster.workers) and shown.count("all well") == 3
        before = points(light)
        wait_until(lambda: points(light) > before, "the charts go on by themselves", PATIENCE)
        light.screenshot(ARTEFACTS / "cluster-load-light.png")
        dark.screenshot(ARTEFACTS / "cluster-load-dark.png")
        asked = subprocess.run([program, "status", "--coordinator", url], capture_output=True, text=True, timeout=60)
        assert asked.returncode == OK and "all have an owner" in asked.stdout and "w2" in asked.stdout

        cluster.kill("w2")
        # Until it has certainly stopped, its shards are nobody's to serve, and that is said.
        wait_text(dark, "#shards-note", "of a lost worker")
        wait_text(dark, "#figures", "2 of 2")
        dark.wait("document.querySelectorAll('#map .orphaned, #map .unowned').length === 0", PATIENCE)

        cluster.sandbox.fault("hec", failRate=1)
        wait_text(dark, "#gate-state", "Halted")
        wait_text(dark, "#gate-reason", "attempts in a row failed at splunk")
        wait_text(dark, "#gate-facts", "a person has to acknowledge the alert")
        wait_text(dark, "#workers", "splunk down")
        dark.screenshot(ARTEFACTS / "cluster-outage-dark.png")
        light.screenshot(ARTEFACTS / "cluster-outage-light.png")
        watch: list[str | Path] = [program, "status", "--coordinator", url, "--watch"]
        code, screen = at_terminal(watch, columns=140, until="splunk open")
        assert code == NOT_ADMITTED and "HALTED" in screen
    assert light.complaints == [] and dark.complaints == []
