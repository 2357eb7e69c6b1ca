"""Certificates of a cluster's members change while records flow, and those that have expired serve nobody."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority, Pair, equip
from exporter import Workbench, wait_until
from small_cluster import PATIENCE, SmallCluster
from strangers import Caller, Imposter


@pytest.fixture
def cluster(bench: Workbench) -> Iterator[SmallCluster]:
    """Two coordinators and two workers, none of them started."""
    # Long, so that on a busy machine nobody falls silent for a third of it before its certificate ends.
    made = SmallCluster(bench, settings={"workerLease": "9s"})
    try:
        yield made
    finally:
        made.close()


def role(name: str) -> str:
    """A member with its role."""
    return f"{'coordinator' if name.startswith('c') else 'worker'}/{name}"


def serial(pair: Pair) -> int:
    """Serial number of a certificate."""
    shown = subprocess.run(
        ["openssl", "x509", "-in", pair[0], "-noout", "-serial"], check=True, capture_output=True, text=True
    )
    return int(shown.stdout.strip().partition("=")[2], 16)


class Certified:
    """The members with their certificates, and somebody in a leader's place who looks at those of workers."""

    def __init__(self, cluster: SmallCluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.names = cluster.coordinators + cluster.workers
        self.pairs: dict[str, Pair] = {}
        self.watcher: Imposter | None = None

    def issue(self, issuer: Authority, *trusted: Authority) -> None:
        """New certificates for all members, and whom they trust."""
        for name in self.names:
            self.pairs[name] = issuer.member(role(name))
            equip(self.cluster.peers / name, self.pairs[name], *trusted)
        equip(self.directory / "watcher", issuer.member("coordinator/c9"), *trusted)

    def trust(self, *trusted: Authority) -> None:
        """Other authorities, the same certificates."""
        for name in self.names:
            equip(self.cluster.peers / name, None, *trusted)
        equip(self.directory / "watcher", None, *trusted)

    def watch(self) -> Imposter:
        """Begins to look, at an address that workers are told of."""

        def close(connection: socket.socket) -> None:
            connection.recv(1)

        files = self.directory / "watcher"
        self.watcher = Imposter(files, close, trusted=files / "ca.crt")
        self.cluster.values["cluster"]["coordinators"].insert(0, self.watcher.address)
        return self.watcher

    def shown_by_coordinators(self, authority: Authority) -> set[int]:
        """Serials that a worker of the authority sees at the coordinators."""
        mine = equip(self.directory / "caller", authority.member("worker/w9"), authority)
        found = set()
        for port in self.cluster.ports.values():
            caller = Caller(port, mine, trusted=mine / "ca.crt")
            assert caller.refusal == ""
            found.add(caller.serial)
            caller.close()
        return found

    def hand_over(self) -> None:
        """Another coordinator leads, and workers dial anew. The one that led is stopped and started."""
        old = self.cluster.wait_leader()
        self.cluster.process(old).process.terminate()
        self.cluster.process(old).wait()
        self.cluster.wait_leader(other_than=old)
        self.cluster.start(old)
        wait_until(lambda: bool(self.cluster.status(old)), f"{old} is back", PATIENCE)
        self.cluster.wait_ready()

    def assert_in_use(self, authority: Authority) -> None:
        """Coordinators and workers show the certificates that they have now."""
        assert self.shown_by_coordinators(authority) == {serial(self.pairs[n]) for n in self.cluster.coordinators}
        wanted = {serial(self.pairs[name]) for name in self.cluster.workers}
        assert self.watcher is not None
        for _ in range(10):
            # A worker begins anywhere in its list, so it may find the leader before it comes by here.
            if wanted <= set(self.watcher.serials):
                return
            self.hand_over()
        raise AssertionError(f"{wanted} were not seen, but {self.watcher.serials}")


def test_rotation_within_an_authority_and_to_another(cluster: SmallCluster, tmp_path: Path) -> None:
    """No worker is restarted, no record lost, and what is old is not let in any more."""
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    members = Certified(cluster, tmp_path)
    members.issue(old, old)
    watcher = members.watch()
    try:
        cluster.start_all()
        with cluster.flow():
            members.assert_in_use(old)
            first = set(watcher.serials)
            members.issue(old, old)
            members.assert_in_use(old)
            assert first.isdisjoint({serial(members.pairs[name]) for name in members.names})

            # To another authority: first it is trusted by all, then it issues, then the old one is not trusted any more.
            members.trust(old, new)
            members.issue(new, old, new)
            members.assert_in_use(new)
            late = equip(tmp_path / "late", old.member("worker/w8"), new)
            members.trust(new)
            for name, port in cluster.ports.items():
                caller = Caller(port, late)
                caller.hear()
                caller.close()
                wait_until(
                    lambda: bool(cluster.said(name, "a connection was refused", cause="worker/w8", kind="untrusted")),  # noqa: B023
                    f"{name} names it",
                    PATIENCE,
                )
            members.hand_over()
            members.assert_in_use(new)
        cluster.wait_settled()
        cluster.assert_nothing_lost_or_false()
        assert [len(cluster.runs[name]) for name in cluster.workers] == [1, 1], "no worker was restarted"
        assert cluster.alerts() == {}
    finally:
        watcher.close()


def test_a_connection_ends_with_the_certificate_it_was_made_with(cluster: SmallCluster, tmp_path: Path) -> None:
    """The member comes back with its new one; who has none is refused, and both logs say why."""
    authority = Authority(tmp_path, "short")
    members = Certified(cluster, tmp_path)
    members.issue(authority, authority)
    seconds = 1 / 86_400
    for name in cluster.workers:
        equip(cluster.peers / name, authority.member(role(name), days=15 * seconds), authority)
    cluster.start_all()
    equip(cluster.peers / "w0", authority.member("worker/w0"), authority)
    with cluster.flow():
        cluster.wait_leader()
        wait_until(lambda: bool(cluster.said("w1", "has expired; renew it")), "w1 says so", PATIENCE)
        wait_until(lambda: cluster.shards_of("w0") == 64, "w0 has every shard", PATIENCE)
        for name in cluster.workers:
            why = "its certificate has expired meanwhile; renew it"
            wait_until(
                lambda: any(cluster.said(one, "worker lost", worker=name, cause=why) for one in cluster.coordinators),  # noqa: B023
                f"{name} is missed for its certificate",
                PATIENCE,
            )
        equip(cluster.peers / "w1", authority.member("worker/w1"), authority)
        cluster.wait_ready()
    cluster.wait_settled()
    cluster.assert_nothing_lost_or_false()
    assert [len(runs) for runs in cluster.runs.values()] == [1, 1, 1, 1], "nobody was restarted"
