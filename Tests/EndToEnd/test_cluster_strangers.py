"""Whoever is no member is refused, and named in the log once; the cluster goes on meanwhile, and grows by nothing."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority, equip
from exporter import Workbench, wait_until
from small_cluster import PATIENCE, Lines, SmallCluster
from strangers import Caller, Imposter, frame, hello, welcome

GROWTH = 96 << 20
CONNECTIONS = 2_000
GARBAGE = bytes(range(256)) * 64


@pytest.fixture
def cluster(bench: Workbench) -> Iterator[SmallCluster]:
    """A coordinator and two workers, none of them started."""
    # Thousands of connections at once keep a slow machine busy for a second or two.
    made = SmallCluster(bench, coordinators=1, settings={"workerLease": "6s"})
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the system lets us have, for us and for what we start."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def refusals(cluster: SmallCluster, address: str) -> Lines:
    """What the coordinator says of a peer that it did not let in."""
    lines = cluster.said("c0", "refused")
    return [line for line in lines if address in line.get("cause", "") + line.get("peer", "")]


def assert_refused(cluster: SmallCluster, caller: Caller, kind: str, why: str) -> None:
    """It was hung up on, and one line says who it was and why."""
    caller.hear()
    caller.close()
    wait_until(lambda: bool(refusals(cluster, caller.address)), f"{kind} is logged", PATIENCE)
    (line,) = refusals(cluster, caller.address)
    assert line["level"] == "warning" and line["kind"] == kind and why in line["cause"], line


def test_strangers_at_a_coordinators_port(cluster: SmallCluster, many_files: None, tmp_path: Path) -> None:
    """Each is told apart by its reason; then they come by the thousand."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    for name in cluster.coordinators + cluster.workers:
        equip(cluster.peers / name, ours.member(f"{'coordinator' if name == 'c0' else 'worker'}/{name}"), ours)
    cluster.start_all()
    port = cluster.ports["c0"]
    w7 = equip(tmp_path / "w7", ours.member("worker/w7"), ours)
    c7 = equip(tmp_path / "c7", ours.member("coordinator/c7", usage="clientAuth"), ours)
    server = equip(tmp_path / "server", ours.member("coordinator/c8"), ours)
    foreign = equip(tmp_path / "foreign", others.member("worker/w0"), ours)
    expired = equip(tmp_path / "expired", ours.member("worker/w0", days=-0.01), ours)

    def plain(content: bytes) -> Caller:
        caller = Caller(port, tls=False)
        caller.say(content)
        return caller

    def member(content: bytes) -> Caller:
        caller = Caller(port, w7)
        caller.say(content)
        return caller

    cases: list[tuple[Callable[[], Caller], str, str]] = [
        (lambda: Caller(port, foreign), "untrusted", "worker/w0"),
        (lambda: Caller(port, expired), "untrusted", "certificate has expired"),
        (lambda: Caller(port, server), "untrusted", "purpose"),
        (lambda: Caller(port, c7), "wrongRole", "coordinator/c7"),
        (lambda: Caller(port), "noCertificate", "showed no certificate"),
        (lambda: plain(b"GET / HTTP/1.1\r\nHost: c0\r\n\r\n"), "notTLS", "is not TLS"),
        (lambda: plain(GARBAGE), "notTLS", "is not TLS"),
        (lambda: member(frame(0x03, GARBAGE)), "malformed", "hello"),
        (lambda: member(frame(0x77, b"?")), "malformed", "0x77"),
        (lambda: member(b"\xff\xff\xff\xff"), "badFrame", "4294967295 bytes"),
        (lambda: member(frame(0x03, b"")[:3]), "unexpected", "no hello within"),
        (lambda: member(hello("w7")[:40]), "unexpected", "no hello within"),
        (lambda: member(hello("w7", lowest=9, highest=12)), "version", "9"),
        (lambda: member(hello("w0")), "identity", "w7"),
    ]
    with cluster.flow():
        wait_until(lambda: len(cluster.sandbox.ids("hec")) > 500, "records flow", PATIENCE)
        before = cluster.memory("c0")
        callers = [(begin(), kind, why) for begin, kind, why in cases]
        for caller, kind, why in callers:
            assert_refused(cluster, caller, kind, why)

        lines = len(cluster.logs("c0"))
        crowd(port, silent=0)
        warm = cluster.memory("c0")
        count = len(cluster.sandbox.ids("hec"))
        crowd(port, silent=CONNECTIONS // 2)
        wait_until(lambda: len(cluster.sandbox.ids("hec")) > count + 300, "records flow meanwhile", PATIENCE)

        def refused() -> float:
            return sum(
                cluster.metric("c0", f'sidereal_cluster_connections_refused_total{{kind="{kind}"}}') or 0
                for kind in ("notTLS", "handshakeTimeout", "tooManyPeers")
            )

        wait_until(lambda: refused() >= 2 * CONNECTIONS, lambda: f"{refused()} are counted", PATIENCE)
        wait_until(lambda: bool(cluster.said("c0", "more connections were refused")), "their number is told", PATIENCE)
        assert len(cluster.logs("c0")) - lines < 200, "the log is not flooded"
    cluster.wait_settled()
    cluster.assert_nothing_lost_or_false()
    assert len(cluster.said("c0", "worker joined")) == 2 and not cluster.said("c0", "worker lost")
    after = cluster.memory("c0")
    print(f"resident memory: {before >> 20} MiB at first, {warm >> 20} after a crowd, {after >> 20} after another")
    assert after - before < GROWTH and after - warm < GROWTH / 4


def crowd(port: int, silent: int) -> None:
    """Thousands at once, some of whom say nothing; all are hung up on."""
    callers = [Caller(port, tls=False) for _ in range(CONNECTIONS)]
    for caller in callers[silent:]:
        caller.say(GARBAGE)
    for caller in callers:
        caller.hear()
        caller.close()


def test_imposters_in_a_leaders_place(cluster: SmallCluster, tmp_path: Path) -> None:
    """A worker passes by all of them, says why, and finds the leader behind them."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    for name in cluster.coordinators + cluster.workers:
        equip(cluster.peers / name, ours.member(f"{'coordinator' if name == 'c0' else 'worker'}/{name}"), ours)
    foreign = equip(tmp_path / "foreign", others.member("coordinator/c0"), ours)
    expired = equip(tmp_path / "expired", ours.member("coordinator/c0", days=-0.01), ours)
    worker = equip(tmp_path / "worker", ours.member("worker/w1", usage="serverAuth"), ours)
    c9 = equip(tmp_path / "c9", ours.member("coordinator/c9"), ours)

    def says(content: bytes) -> Callable[[socket.socket], None]:
        def play(connection: socket.socket) -> None:
            connection.sendall(content)
            while connection.recv(1 << 16):
                pass

        return play

    cases: list[tuple[Path | None, bytes, str]] = [
        (foreign, b"", "is not trusted"),
        (expired, b"", "certificate has expired"),
        (worker, b"", "is not let in"),
        (None, b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not TLS"),
        (c9, frame(0x05, GARBAGE), "welcome"),
        (c9, b"\xff\xff\xff\xff", "4294967295 bytes"),
        (c9, welcome(version=77), "version"),
        (c9, welcome(version=1)[:-5], "no answer to hello"),
    ]
    imposters = [Imposter(mine, says(content), trusted=ours.certificate) for mine, content, _ in cases]
    try:
        own = [f"127.0.0.1:{cluster.ports['c0']}"]
        cluster.values["cluster"]["coordinators"] = [imposter.address for imposter in imposters] + own
        cluster.start("w0")
        wait_until(lambda: min(imposter.calls for imposter in imposters) > 2, "w0 comes by again", PATIENCE)
        for imposter, (_, _, why) in zip(imposters, cases, strict=True):
            wait_until(lambda: bool(named(cluster, imposter, why)), f"w0 says: {why}", PATIENCE)  # noqa: B023
        cluster.start("c0", "w1")
        cluster.wait_ready()
        grown = cluster.memory("w0")
        cluster.issue(300)
        cluster.wait_settled()
        cluster.assert_nothing_lost_or_false()
        # However often the worker came by. Two of them are seen to fail in two ways at the most.
        for imposter in imposters:
            assert imposter.calls > 2 >= len(named(cluster, imposter, "")), imposter.address
    finally:
        for imposter in imposters:
            imposter.close()
    assert grown < GROWTH


def named(cluster: SmallCluster, imposter: Imposter, why: str) -> Lines:
    """What the worker says of an imposter."""
    return [line for line in cluster.said("w0", imposter.address) if why in line["message"]]
