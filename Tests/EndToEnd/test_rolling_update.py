"""A rolling update, as docs/upgrading.md describes it: every member ends and comes back while results flow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGTERM

import pytest
from api_server import ApiServer
from exporter import Workbench, wait_until
from kube_cluster import KubeCluster
from small_cluster import IN_FLIGHT, PATIENCE, SmallCluster

pytestmark = pytest.mark.long

# Kubernetes kills what has not ended by then (`terminationGracePeriodSeconds` of a worker).
GRACE_SECONDS = 45.0
# The chart's, and the program's own. That of the gate is 45 s then; nothing here is to wait for any of them.
LEASES = {
    "lease": {"duration": "15s", "renewDeadline": "10s", "retryPeriod": "2s"},
    "workerLease": "15s",
    "releaseDeadline": "5s",
}


class GateWatch:
    """Looks at the gate's record all the time, as an API server does at each probe: who holds it, for how long, since when."""

    def __init__(self, cluster: SmallCluster) -> None:
        self.cluster = cluster
        self.looks = 0
        self.refusals: list[str] = []

    def look(self) -> None:
        """Takes down whether a probe would be admitted now."""
        gate = self.cluster.gate()
        age = (datetime.now(UTC) - datetime.fromisoformat(gate["renewTime"])).total_seconds()
        self.looks += 1
        if not gate["holderIdentity"] or age > gate["leaseDurationSeconds"]:
            self.refusals.append(f"holder {gate['holderIdentity']!r}, renewed {age:.2f} s ago")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks a hundred times a second meanwhile, or as often as that is answered."""
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
    made = SmallCluster(bench, coordinators=3, workers=3, settings=LEASES)
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
    assert_admitted(cluster, watch)


def assert_admitted(cluster: SmallCluster, watch: GateWatch) -> None:
    """At every look, and nobody was alarmed."""
    assert watch.looks > 20 and watch.refusals == []
    assert cluster.alerts() == {}
    assert all(len(runs) == 2 for runs in cluster.runs.values())


def test_coordinators_then_workers_one_at_a_time(cluster: SmallCluster) -> None:
    """An order that anybody may choose; the leader of the moment goes as well, so another one leads."""
    watch = GateWatch(cluster)
    term = cluster.gate_term()
    with watch.running(), cluster.flow(count=200, pause=0.05):
        roll(cluster, cluster.coordinators)
        cluster.wait_ready()
        roll(cluster, cluster.workers)
        cluster.wait_ready()
    assert_unharmed(cluster, watch)
    assert cluster.gate_term() > term


def roll_side_by_side(cluster: SmallCluster) -> None:
    """What `helm upgrade` does: the Deployment and the StatefulSet are rolled at the same time."""
    with ThreadPoolExecutor() as sides:
        for side in [sides.submit(roll, cluster, names) for names in (cluster.coordinators, cluster.workers)]:
            side.result()
    cluster.wait_ready()


def test_coordinators_and_workers_at_the_same_time(cluster: SmallCluster) -> None:
    """Whatever goes away at the same moment."""
    watch = GateWatch(cluster)
    with watch.running(), cluster.flow(count=200, pause=0.05):
        roll_side_by_side(cluster)
    assert_unharmed(cluster, watch)


def test_in_kubernetes(bench: Workbench, tmp_path: Path) -> None:
    """The same with the Leases of a real API server, and results that somebody creates there all the time."""
    (tmp_path / "kubernetes").mkdir()
    server = ApiServer(tmp_path / "kubernetes")
    cluster = KubeCluster(bench, server, coordinators=3, workers=3, settings=LEASES)
    try:
        cluster.start_all()
        watch = GateWatch(cluster)
        term = cluster.term()
        ended = threading.Event()

        def create() -> None:
            while not ended.is_set():
                cluster.create(20)

        with watch.running(), ThreadPoolExecutor() as others:
            creating = others.submit(create)
            try:
                roll_side_by_side(cluster)
            finally:
                ended.set()
            creating.result()
        cluster.wait_exported()
        cluster.assert_every_target_has_all()
        assert_admitted(cluster, watch)
        assert cluster.term() > term
    finally:
        cluster.close()
        server.close()
