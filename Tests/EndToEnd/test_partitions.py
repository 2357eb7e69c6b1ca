"""Networks and disks that fail between members which live on: who goes on, who stops, and what arrives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter import wait_until
from hosts_cluster import COORDINATORS, PATIENCE, SIEM, WORKER_LEASE, WORKERS, Flow, HostsCluster
from namespaces import WAIVER, Host, obstacle


@pytest.fixture(scope="module")
def running(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsCluster]:
    """One cluster for all tests here."""
    if why := obstacle():
        if os.environ.get(WAIVER) == "1":
            pytest.skip(f"waived by {WAIVER}=1: {why}")
        pytest.fail(
            f"{why}. Run the tests as root in a container that may, or waive these with {WAIVER}=1", pytrace=False
        )
    made = HostsCluster(program, tmp_path_factory.mktemp("hosts"))
    yield made
    made.close()


@pytest.fixture
def cluster(running: HostsCluster) -> Iterator[HostsCluster]:
    """With everything well before the test, and again after it; then nothing is lost and nothing was told falsely."""
    running.heal()
    yield running
    running.heal()
    running.await_delivery(40)
    running.assert_nothing_lost_or_false()
    assert all(process.is_running for process in running.processes.values())


def another_leads(cluster: HostsCluster, old: str, term: int) -> tuple[str, int]:
    """Waits until somebody else leads in a later term."""
    wait_until(lambda: cluster.lease()[1] > term and cluster.lease()[0] not in ("", old), "another leads", PATIENCE)
    new, later = cluster.leader()
    assert new != old and later > term
    return new, later


def assert_terms_grow(cluster: HostsCluster) -> None:
    """Nothing was written down in the name of a term after a later one had begun."""
    terms = [entry["term"] for entry in cluster.oracle.entries()]
    assert terms == sorted(terms)


def test_leader_that_no_worker_reaches_gives_way(cluster: HostsCluster) -> None:
    """It keeps its lease, for the store is there; the gate halts, with an alert; then it resigns, and another is reached."""
    leader, term = cluster.leader()
    before, begun = cluster.alerts().keys(), len(cluster.log(leader))
    with Flow(cluster):
        cluster.network.cut(leader, *WORKERS)
        wait_until(lambda: not cluster.admits(), "the gate halts", PATIENCE)
        another_leads(cluster, leader, term)
    course = [line["message"] for line in cluster.log(leader)[begun:]]
    ends = ["gate degraded -> halted: no probe is admitted any more: no worker was able", "alert raised"]
    ends.append("this coordinator leads no more: no worker reaches it")
    places = [index for end in ends for index, message in enumerate(course) if message.startswith(end)]
    assert len(places) == 3 and places == sorted(places), course
    raised = cluster.alerts().keys() - before
    assert len(raised) == 1, raised
    assert "no worker was able to send" in cluster.alerts()[raised.pop()]["message"]
    # Still cut off: the old leader is not needed.
    cluster.await_owners(WORKERS)
    cluster.await_delivery(40)
    assert_terms_grow(cluster)
    assert not cluster.admits(), "nobody has acknowledged the alert"


@pytest.mark.parametrize("fault", ["gone", "read-only"])
def test_leader_cut_from_the_store_is_replaced(cluster: HostsCluster, fault: str) -> None:
    """It leads no longer than its lease and writes nothing after; when its store is back it follows."""
    leader, term = cluster.leader()
    mount = cluster.mounts[leader]
    steps = cluster.said(leader, "this coordinator leads no more: the lease could not be renewed")
    with Flow(cluster):
        (mount.lose if fault == "gone" else mount.freeze)()
        try:
            new, later = another_leads(cluster, leader, term)
            words = "this coordinator leads no more: the lease could not be renewed"
            wait_until(lambda: cluster.said(leader, words) > steps, "the old leader knows", PATIENCE)
            cluster.await_owners(WORKERS)
            cluster.await_delivery(40)
            assert list(mount.beneath.iterdir()) == [], "it writes nothing elsewhere"
            assert cluster.lease() == (new, later)
        finally:
            (mount.regain if fault == "gone" else mount.thaw)()
        wait_until(lambda: cluster.follows(leader) == new, "it follows", PATIENCE)
    assert_terms_grow(cluster)


def test_nobody_leads_while_the_store_hangs(cluster: HostsCluster) -> None:
    """A lock that is held for longer than a lease: everybody stops, and somebody goes on in a later term."""
    leader, term = cluster.leader()
    with Flow(cluster):
        with (cluster.shared / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            written = (cluster.shared / "status.log").read_bytes()
            wait_until(lambda: cluster.status(leader)["coordinator"]["role"] != "leader", "it steps down", PATIENCE)
            roles = [cluster.status(name)["coordinator"]["role"] for name in COORDINATORS]
            assert "leader" not in roles
            assert (cluster.shared / "status.log").read_bytes() == written
        wait_until(lambda: cluster.lease()[1] > term, "somebody leads again", PATIENCE)
        cluster.await_owners(WORKERS)
    assert_terms_grow(cluster)


def test_one_worker_cut_from_the_receivers_loses_its_shards(cluster: HostsCluster) -> None:
    """The others succeed, so it is the worker that is broken: the gate stays open all the time."""
    cut, others = WORKERS[0], WORKERS[1:]
    refused: list[float] = []

    def owners_are(names: list[str]) -> bool:
        if not cluster.admits():
            refused.append(time.time())
        return cluster.shards().keys() == set(names)

    before = cluster.alerts().keys()
    with Flow(cluster):
        cluster.network.cut(cut, SIEM)
        wait_until(lambda: owners_are(others), "its shards go to the others", PATIENCE)
        workers = {worker["identity"]: worker for worker in cluster.status(cluster.leader()[0])["workers"]}
        assert workers[cut]["state"] == "shunned" and "where others succeed" in workers[cut]["reason"], workers
        # What it had in hand is delivered by the others, while it is still cut off.
        cluster.await_delivery(40)
        cluster.network.mend()
        wait_until(lambda: owners_are(WORKERS), "it has shards again", PATIENCE)
    assert refused == [] and cluster.alerts().keys() == before


def test_all_workers_cut_from_the_receivers_halt_the_gate(cluster: HostsCluster) -> None:
    """One alert, with the cause; after it is mended a person's acknowledgement opens the gate, and nothing else does."""
    before = cluster.alerts().keys()
    with Flow(cluster):
        for worker in WORKERS:
            cluster.network.cut(worker, SIEM)
        wait_until(lambda: not cluster.admits(), "the gate halts", PATIENCE)
        wait_until(lambda: cluster.alerts().keys() > before, "an alert is raised", PATIENCE)
        assert "attempts in a row failed at" in cluster.gate()["annotations"]["export.sidereal.cloud/gate-reason"], (
            cluster.gate()
        )
        cluster.network.mend()

        def waits() -> bool:
            return bool(cluster.status(cluster.leader()[0])["gate"]["reason"].startswith("everything works"))

        wait_until(waits, "only the acknowledgement is missing", PATIENCE)
        assert not cluster.admits()
        raised = cluster.alerts().keys() - before
        assert len(raised) == 1, raised
        assert "attempts in a row failed at" in cluster.alerts()[raised.pop()]["message"]
        cluster.acknowledge()
        wait_until(cluster.admits, "the gate opens", PATIENCE)
    assert len(cluster.alerts().keys() - before) == 1


def at_rest(receiver: Host, sender: Host) -> dict[str, int]:
    """Waits until nothing comes for longer than a request takes; what came by then. What was under way may still end."""
    sent: list[dict[str, int]] = [{}]

    def rests() -> bool:
        sent.append(receiver.bytes_from(sender))
        time.sleep(1.5)
        return receiver.bytes_from(sender) == sent[-1]

    wait_until(rests, "it sends no more", PATIENCE)
    return sent[-1]


@pytest.mark.parametrize("direction", ["both", "from the coordinators"])
def test_worker_cut_from_the_coordinators_stops(cluster: HostsCluster, direction: str) -> None:
    """When its lease is over it sends nothing, though the receivers are there; then others have its shards."""
    cut, others = WORKERS[1], [name for name in WORKERS if name != WORKERS[1]]
    siem, fenced = cluster.host(SIEM), cluster.said(cut, "no leader within the lease")
    cluster.await_delivery(40)
    earlier = cluster.assert_nothing_lost_or_false()["splunk"].duplicates
    # Slow enough for the worker to have more in hand than it can send within its lease.
    cluster.slow(800)
    cluster.issue(2_000)
    wait_until(lambda: cluster.queued(cut) >= 15, "it has its share in hand", PATIENCE)
    for coordinator in COORDINATORS:
        if direction == "both":
            cluster.network.cut(cut, coordinator)
        else:
            cluster.network.cut_one_way(coordinator, cut)
    wait_until(lambda: cluster.said(cut, "no leader within the lease") > fenced, "its lease is over", PATIENCE)
    sent = at_rest(siem, cluster.host(cut))
    assert cluster.queued(cut) > 0, "it has more to send"
    cluster.await_owners(others)
    time.sleep(WORKER_LEASE)
    assert siem.bytes_from(cluster.host(cut)).items() <= sent.items(), "it sends after its lease"
    assert cluster.queued(cut) > 0, "it has more to send"
    cluster.slow(0)
    cluster.await_delivery()
    fresh = cluster.issue(200)
    cluster.await_delivery()
    count = cluster.assert_nothing_lost_or_false()["splunk"]
    names = cluster.oracle.names(fresh, "splunk").values()
    assert all(count.there[name] == 1 for name in names), "what came after is there once"
    # Of what it had in hand, its third, it told nobody what it sent between the cut and the end of its lease.
    assert count.duplicates - earlier <= 900, count.duplicates - earlier
