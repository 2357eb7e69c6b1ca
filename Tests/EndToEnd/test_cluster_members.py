"""Members of a cluster die and stand still: nothing is lost, nothing is told falsely, and a fenced one is silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exporter import Workbench, wait_until
from small_cluster import IN_FLIGHT, PATIENCE, SmallCluster


@pytest.fixture
def cluster(bench: Workbench) -> Iterator[SmallCluster]:
    """Two coordinators and two workers that run."""
    made = SmallCluster(bench)
    try:
        made.start_all()
        yield made
    finally:
        made.close()


def some_arrived(cluster: SmallCluster) -> None:
    """Waits until another few records are delivered, and others are under way."""
    before = len(cluster.sandbox.ids("hec"))
    wait_until(lambda: len(cluster.sandbox.ids("hec")) > before + 100, "records flow", PATIENCE)


def test_kill_of_leader_of_worker_and_of_all(cluster: SmallCluster) -> None:
    """Each is killed while records are under way; in the end every record is there, and nothing was told falsely."""
    with cluster.flow():
        some_arrived(cluster)
        leader = cluster.wait_leader()
        term = cluster.lease()["term"]
        cluster.kill(leader)
        cluster.wait_leader(other_than=leader)
        some_arrived(cluster)
        assert cluster.lease()["term"] > term
        some_arrived(cluster)
        cluster.start(leader)

        cluster.kill("w0")
        wait_until(lambda: cluster.shards_of("w1") == 64, "w1 has the shards of w0", PATIENCE)
        some_arrived(cluster)
        cluster.start("w0")
        cluster.wait_ready()

        some_arrived(cluster)
        cluster.kill(*cluster.coordinators, *cluster.workers)
        cluster.assert_told_is_received()
        cluster.start(*cluster.coordinators, *cluster.workers)
        cluster.wait_ready()
        some_arrived(cluster)
    cluster.wait_settled()
    for target, count in cluster.assert_nothing_lost_or_false().items():
        # Workers died three times in all.
        assert count.repeated <= 3 * IN_FLIGHT, f"{target}: {count.repeated} came twice"
