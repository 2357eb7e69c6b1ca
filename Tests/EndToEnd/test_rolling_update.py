"""A rolling update, as docs/upgrading.md describes it: every member ends and comes back while results flow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from signal import SIGTERM
from typing import Any

import pytest
from exporter import Workbench, wait_until
from small_cluster import IN_FLIGHT, PATIENCE, SmallCluster

# Kubernetes kills what has not ended by then (`terminationGracePeriodSeconds` of a worker).
GRACE_SECONDS = 45.0


class GateWatch:
    """Looks at the gate's record all the time, as an API server would at each probe."""

    def __init__(self, cluster: SmallCluster) -> None:
        self.cluster = cluster
        self.looks = 0
        self.refusals: list[dict[str, Any]] = []
        self.terms: set[int] = set()

    def look(self) -> None:
        """Takes down whether a probe would be admitted now."""
        gate = self.cluster.gate()
        state = gate["annotations"]["export.sidereal.cloud/gate-state"]
        renewed = datetime.fromisoformat(gate["renewTime"])
        age = (datetime.now(UTC) - renewed).total_seconds()
        self.looks += 1
        self.terms.add(self.cluster.gate_term())
        if not gate.get("holderIdentity") or state != "open" or age > gate["leaseDurationSeconds"]:
            self.refusals.append({"state": state, "holder": gate.get("holderIdentity"), "age": round(age, 2)})

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks a hundred times a second meanwhile."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(0.01):
                self.look()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def cluster(bench: Workbench) -> Iterator[SmallCluster]:
    """Three coordinators and three workers that run, as many as the chart has of each or one more."""
    made = SmallCluster(bench, coordinators=3, workers=3)
    try:
        made.start_all()
        yield made
    finally:
        made.close()


def replace(cluster: SmallCluster, name: str) -> float:
    """What Kubernetes does to a pod: SIGTERM, wait for its end, start the next, wait until it is ready. Seconds to its end."""
    began = time.monotonic()
    cluster.process(name).send(SIGTERM)
    ended = cluster.process(name).wait(GRACE_SECONDS)
    seconds = time.monotonic() - began
    assert ended.code == 0, f"{name} ended with {ended.code}:\n{ended.stderr[-4000:]}"
    cluster.start(name)
    wait_until(lambda: _is_ready(cluster, name), lambda: _trouble(cluster, name), PATIENCE)
    return seconds


def _is_ready(cluster: SmallCluster, name: str) -> bool:
    return bool(json.loads(cluster.ask(name, "/readyz") or "{}").get("ok"))


def _trouble(cluster: SmallCluster, name: str) -> str:
    return f"{name} is ready; it says {cluster.ask(name, '/readyz')} and logged {cluster.logs(name)[-5:]}"


def roll(cluster: SmallCluster, names: Sequence[str]) -> None:
    """One after the other, the leader of the moment last."""
    for name in sorted(names, key=lambda name: name == cluster.leader()):
        replace(cluster, name)


def assert_unharmed(cluster: SmallCluster, watch: GateWatch) -> None:
    """Nothing was lost or told falsely, and a probe would have been admitted at any moment."""
    cluster.wait_settled()
    for target, count in cluster.assert_nothing_lost_or_false().items():
        # A worker that drains waits for what it has sent, so nothing but a slow machine makes anything come twice.
        assert count.repeated <= IN_FLIGHT, f"{target}: {count.repeated} came twice"
    assert watch.looks > 100
    assert watch.refusals == []
    assert cluster.alerts() == {}


def test_coordinators_then_workers_one_at_a_time(cluster: SmallCluster) -> None:
    """The order of an update without new targets, as of any other that the chart does not do at once."""
    watch = GateWatch(cluster)
    first = cluster.gate_term()
    with watch.running(), cluster.flow(count=200, pause=0.05):
        roll(cluster, cluster.coordinators)
        cluster.wait_ready()
        roll(cluster, cluster.workers)
        cluster.wait_ready()
    assert_unharmed(cluster, watch)
    assert max(watch.terms) > first, "the leader was replaced as well"
    assert all(len(runs) == 2 for runs in cluster.runs.values())


def test_coordinators_and_workers_at_the_same_time(cluster: SmallCluster) -> None:
    """What `helm upgrade` does: the Deployment and the StatefulSet are rolled side by side."""
    watch = GateWatch(cluster)
    with watch.running(), cluster.flow(count=200, pause=0.05):
        failures: list[BaseException] = []

        def side(names: Sequence[str]) -> None:
            try:
                roll(cluster, names)
            except BaseException as failure:
                failures.append(failure)

        sides = [threading.Thread(target=side, args=(names,)) for names in (cluster.coordinators, cluster.workers)]
        for thread in sides:
            thread.start()
        for thread in sides:
            thread.join()
        if failures:
            raise failures[0]
        cluster.wait_ready()
    assert_unharmed(cluster, watch)
