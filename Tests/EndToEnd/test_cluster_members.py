"""Members of a cluster die and stand still: nothing is lost, nothing is told falsely, and a fenced one is silent."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from exporter import Workbench, wait_until
from relay import Relay
from small_cluster import CONCURRENCY, IN_FLIGHT, PATIENCE, SANDBOX_NAMES, SmallCluster


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


def test_leader_that_stood_still_writes_nothing(cluster: SmallCluster) -> None:
    """It wakes after its lease, finds that another one leads, steps down and follows."""
    with cluster.flow():
        some_arrived(cluster)
        old = cluster.wait_leader()
        term = cluster.lease()["term"]
        cluster.pause(old)
        new = cluster.wait_leader(other_than=old)
        some_arrived(cluster)
        newer = cluster.lease()["term"]
        assert newer > term
        wait_until(lambda: cluster.gate_term() == newer, f"{new} has the gate", PATIENCE)
        lines = len(cluster.status_log())
        cluster.resume(old)

        def follows() -> bool:
            assert cluster.leader() == new and cluster.lease()["term"] == newer
            assert cluster.gate_term() == newer and cluster.gate()["holderIdentity"] == new
            status = cluster.status(old)
            role, leader = status.get("coordinator", {}).get("role"), status.get("leader", {}).get("name")
            return (role, leader) == ("standby", new)

        wait_until(follows, f"{old} follows {new}", PATIENCE)
        # Whatever it had begun has come by the time that the new leader has renewed lease and gate a few times.
        renewal = cluster.lease()["renewal"]
        wait_until(lambda: follows() and cluster.lease()["renewal"] > renewal + 10, f"{new} goes on", PATIENCE)
        assert cluster.said(old, "this coordinator leads no more")
        some_arrived(cluster)
        written = cluster.status_log()[lines:]
        assert written and {line["term"] for line in written} == {newer}
    cluster.wait_settled()
    for target, count in cluster.assert_nothing_lost_or_false().items():
        assert count.repeated <= 2 * IN_FLIGHT, f"{target}: {count.repeated} came twice"
    assert cluster.alerts() == {}, "a change of leaders is no failure of exporting"


@pytest.fixture
def relays() -> Iterator[list[Relay]]:
    """What a test puts there is closed with it."""
    made: list[Relay] = []
    yield made
    for relay in made:
        relay.close()


def test_worker_that_stood_still_sends_nothing_of_shards_it_lost(bench: Workbench, relays: list[Relay]) -> None:
    """It wakes with records in hand whose shards another worker has by now: nobody sees them from it."""
    cluster = SmallCluster(bench, coordinators=1)
    try:
        relays += [Relay(cluster.sandbox.hec_port), Relay(cluster.sandbox.elasticsearch_port)]
        cluster.start("w0", targets=cluster.targets(relays[0].port, relays[1].port))
        cluster.start("c0", "w1")
        cluster.wait_ready()
        for relay in relays:
            relay.hold()
        cluster.issue(3_000)
        wait_until(lambda: all(relay.waiting == CONCURRENCY for relay in relays), "w0 has its hands full", PATIENCE)
        held = [{name for passage in relay.passages for name in passage.identities} for relay in relays]
        cluster.pause("w0")
        cluster.wait_settled()
        # The status that is shown may be a quarter of a second old.
        wait_until(lambda: cluster.shards_of("w1") == 64, "all shards are w1's", PATIENCE)
        for target, names in zip(SANDBOX_NAMES, held, strict=True):
            count = cluster.count(target)
            # Of what w0 had in hand, everything but what was under way came from w1 alone.
            assert count.repeated <= len(names) <= IN_FLIGHT < len(count.issued) / 4

        woken = time.monotonic()
        cluster.resume("w0")
        for relay in relays:
            relay.release()
        cluster.wait_ready()
        old = {target: cluster.count(target).issued for target in SANDBOX_NAMES}
        cluster.issue(1_000)
        cluster.wait_settled()
        for target, relay in zip(SANDBOX_NAMES, relays, strict=True):
            sent = {name for passage in relay.passages if passage.began > woken for name in passage.identities}
            assert not sent & old[target], f"{target}: w0 sent {len(sent & old[target])} records of shards it had lost"
            assert sent, "w0 works again"
        cluster.assert_nothing_lost_or_false()
    finally:
        cluster.close()
