"""The contract of every backend: whatever a receiver does, each record arrives unaltered and in order, and the sums agree.

A target of each backend goes through a family of plays, one for each request, with honest answers between them. At the
end: issued = delivered + dead + pending, what was received is what was delivered and what came twice, nothing arrived that was
never issued, nothing was altered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from evidence import archived, as_exported, assert_file_has_each_once, probe_ids, records, uids, without_stamp
from exporter import DEAD_LETTERS, OK, UNDELIVERED, Finished, Target, Workbench
from peers import HEC, S3, Bulk, Peer, Play, Stage, Store, answer, honest
from plays import (
    accept_and_close,
    accept_and_reset,
    chunked,
    close_in_answer,
    continues,
    drips,
    drips_for_ever,
    early,
    http10,
    instead,
    large,
    no_gzip,
    reset_behind_answer,
    reset_in_answer,
    reset_in_body,
    reset_in_head,
    silent,
    status,
    with_length,
)
from syslog_sink import SyslogSink

Results = Callable[[int], Path]
COUNT, BATCH = 500, 25
SETTINGS: dict[str, Any] = {
    "batch": {"maxRecords": BATCH},
    "retry": {"initial": "20ms", "max": "100ms", "window": "24h"},
    "concurrency": {"min": 1, "max": 1},
    # So long that a busy machine is not taken for a silent receiver.
    "timeout": "10s",
}
SHARES = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Backend:
    """How the suite speaks to a backend."""

    store: Callable[[], Store]
    # By what the receiver tells records apart.
    identities: Callable[[Path], list[str]]
    # Whether a batch that comes twice is recognised.
    recognises: bool
    # Requests before the first record.
    greetings: int = 0


BACKENDS = {
    "splunk": Backend(HEC, uids, False),
    "elasticsearch": Backend(Bulk, probe_ids, True),
    "s3": Backend(S3, uids, True, greetings=4),
}


@dataclass(frozen=True)
class Family:
    """Plays of a kind, and whether they store what they do not acknowledge."""

    plays: tuple[Play, ...]
    loses_answers: bool = False
    timeout: str = str(SETTINGS["timeout"])


def stray(data: bytes) -> bytes:
    """An answer, and one more that nobody asked for."""
    return data + data


FAMILIES = {
    "reset within the request's head": Family(tuple(reset_in_head(at) for at in (0, 1, 4, 16, 40, 90, 150))),
    "reset within the request's body": Family(tuple(reset_in_body(share) for share in SHARES)),
    "reset within the answer": Family(tuple(reset_in_answer(share) for share in SHARES), True),
    "answer cut short": Family(tuple(close_in_answer(share) for share in SHARES), True),
    "accepted and dropped": Family((accept_and_reset, accept_and_close) * 3),
    "committed and silent": Family((silent, drips_for_ever), True, timeout="1s"),
    "odd and whole": Family(
        (drips, continues, reset_behind_answer, instead(chunked, ends=False), instead(http10), instead(chunked))
    ),
    "one answer too many": Family((instead(stray, ends=False), status(503)) * 3),
    "wrong length": Family((with_length(7), with_length(-7), instead(lambda data: http10(data)[:-5])), True),
    "larger than the bound": Family((instead(large),), True),
    "refused for now": Family(
        (status(500), status(502), status(503), status(504), status(408), status(429, "Retry-After: 0"))
    ),
    "refused before the end": Family((early(503), early(500), early(429))),
}
# Answers that say nothing of records. S3 answers with the status alone.
UNREADABLE = Family(
    tuple(
        instead(lambda data, body=body: answer(200, body))  # type: ignore[misc]
        for body in (
            b"",
            b"OK",
            b"<html>welcome</html>",
            b"{}",
            b"[]",
            b"null",
            b'{"errors":false}',
            b'{"text":"Success"}',
            b"[" * 100_000,
            b'{"code":"0","errors":"false"}',
            b"\xff\xfe{}",
            b'{"code":0,"code":6,"errors":0}',
        )
    ),
    True,
)


def run(
    bench: Workbench, stage: Stage, results: Results, families: dict[str, Family], backends: list[str]
) -> tuple[Finished, dict[str, Peer]]:
    """One run with a target of each backend for each family."""
    peers: dict[str, Peer] = {}
    targets: list[Target] = []
    for backend in backends:
        for number, family in enumerate(families.values()):
            name = f"{backend}-{number}"
            plays = [play for one in family.plays for play in (one, honest)]
            kind = BACKENDS[backend]
            peers[name] = Peer(stage, kind.store(), [honest] * kind.greetings + plays)
            targets.append(make_target(bench, backend, name, peers[name].port, timeout=family.timeout))
    config = bench.make_config([*targets, bench.file(**without_timeout())])
    return bench.run_export(config, results(COUNT), "--deadline", "20s"), peers


def without_timeout() -> dict[str, Any]:
    """For the file target, which waits for nobody."""
    return {key: value for key, value in SETTINGS.items() if key in ("batch", "retry")}


def make_target(bench: Workbench, backend: str, name: str, port: int, **settings: Any) -> Target:
    """A target of the suite."""
    if backend == "s3":
        for key, value in (("accessKeyId", "AKIDEXAMPLE"), ("secretAccessKey", "secret-access-key")):
            bench.secret("aws", key, value)
        target = bench.s3(port, "audit", **SETTINGS)
    else:
        target = (bench.splunk if backend == "splunk" else bench.elasticsearch)(port, **SETTINGS)
    return target | {"name": name} | settings


def assert_contract(finished: Finished, source: Path, name: str, peer: Peer, dead: int = 0) -> int:
    """Sums, order and bytes of one target; how many records arrived more than once."""
    backend, store = BACKENDS[name.split("-")[0]], peer.store
    issued, target = backend.identities(source), finished.targets[name]
    pending = target["taken"] - target["delivered"] - target["deadLetters"]
    assert (target["taken"], target["deadLetters"], pending) == (len(issued), dead, 0), target
    expected = set(issued) - store.poison
    assert store.stored.keys() == expected, (name, len(store.stored), len(expected))
    assert target["delivered"] == len(expected)
    duplicates = store.stored.total() - len(store.stored)
    assert store.stored.total() == target["delivered"] + duplicates
    assert store.received.keys() - store.poison <= expected, "nothing that was never issued"
    place = {identity: number for number, identity in enumerate(issued)}
    for request in store.requests:
        order = [place[identity] for identity in request]
        assert order == sorted(set(order)), f"{name}: out of order within a request"
    for record in records(source):
        identity = record["metadata"]["uid"] if backend.identities is uids else record["spec"]["probe"]["id"]
        if identity in expected:
            assert without_stamp(store.records[identity]) == as_exported(record), name
    return duplicates


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_happens_everything_arrives(bench: Workbench, stage: Stage, results: Results, backend: str) -> None:
    """Each play is a failure of its own kind; what was stored comes twice only if the answer was lost."""
    families = FAMILIES if backend == "s3" else FAMILIES | {"unreadable": UNREADABLE}
    finished, peers = run(bench, stage, results, families, [backend])
    assert finished.code == OK, finished
    for number, (title, family) in enumerate(families.items()):
        name = f"{backend}-{number}"
        peer = peers[name]
        assert not peer.faults, (title, peer.faults)
        assert not peer.plays, f"{title}: {len(peer.plays)} plays are left"
        duplicates = assert_contract(finished, results(COUNT), name, peer)
        lost = len(family.plays) * BATCH if family.loses_answers and not BACKENDS[backend].recognises else 0
        assert duplicates == lost, (title, duplicates, lost)
        if not family.loses_answers:
            assert peer.store.received.total() == COUNT, f"{title}: something was sent twice"
        assert peer.expectations == 0, "`Expect: 100-continue` is never sent, so nobody waits for it"
    assert finished.targets["file"]["complete"]


HELD: dict[str, tuple[Play, str, str]] = {
    "301": (status(301, "Location: http://{elsewhere}/"), "redirect", "never followed"),
    "302": (status(302, "Location: http://{elsewhere}/"), "redirect", "never followed"),
    "307": (status(307, "Location: http://{elsewhere}/"), "redirect", "never followed"),
    "308": (status(308, "Location: //{elsewhere}/x"), "redirect", "never followed"),
    "400": (status(400), "http-400", "400"),
    "401": (status(401), "http-401", "check the secret"),
    "403": (status(403), "http-403", "check the secret"),
    "404": (status(404), "http-404", "404"),
    "405": (status(405), "http-405", "405"),
    "415": (no_gzip, "http-415", "set compression: none"),
    "417": (status(417), "http-417", "417"),
    "early 403": (early(403), "http-403", "check the secret"),
}


@pytest.mark.parametrize("backend", ["splunk", "elasticsearch"])
def test_what_somebody_has_to_mend(bench: Workbench, stage: Stage, results: Results, backend: str) -> None:
    """Held as a configuration failure: nothing is delivered, nothing buried, and no token goes to another host."""
    elsewhere = Peer(stage, HEC())
    peers: dict[str, Peer] = {}
    targets = [bench.file(**without_timeout())]
    for number, (play, _, _) in enumerate(HELD.values()):
        name = f"{backend}-{number}"
        peers[name] = Peer(stage, BACKENDS[backend].store(), elsewhere=f"127.0.0.1:{elsewhere.port}")
        peers[name].habit = play
        targets.append(make_target(bench, backend, name, peers[name].port))
    finished = bench.run_export(bench.make_config(targets), results(COUNT), "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    for number, (title, (_, code, words)) in enumerate(HELD.items()):
        name = f"{backend}-{number}"
        target = finished.targets[name]
        assert (target["delivered"], target["deadLetters"]) == (0, 0), (title, target)
        assert peers[name].store.received.total() == 0, title
        assert words in target["lastFailure"], (title, target["lastFailure"])
        lines = [line for line in finished.logs if line.get("target") == name and "class" in line]
        assert {(line["class"], line["code"]) for line in lines} == {("configuration", code)}, (title, lines)
    assert elsewhere.connections == 0
    assert finished.targets["file"]["complete"]


def test_syslog_connections_break(bench: Workbench, stage: Stage, results: Results) -> None:
    """Resets after many different amounts of data: nothing is missing, and what came again is no more than was open."""
    sinks = [SyslogSink(stage) for _ in range(6)]
    for number, sink in enumerate(sinks):
        sink.breaks = Breaks(list(range(1 + number, 12, 3))).fall
    targets = [
        {
            "name": f"syslog-{number}",
            "backend": "syslog",
            "format": "json",
            "endpoint": f"tcp://127.0.0.1:{sink.port}",
            "grace": "100ms",
            "batch": SETTINGS["batch"],
            "retry": SETTINGS["retry"],
        }
        for number, sink in enumerate(sinks)
    ]
    finished = bench.run_export(bench.make_config([*targets, bench.file(**without_timeout())]), results(COUNT))
    assert finished.code == OK, finished
    for number, sink in enumerate(sinks):
        target = finished.targets[f"syslog-{number}"]
        assert (target["taken"], target["delivered"], target["deadLetters"]) == (COUNT, COUNT, 0)
        assert sink.resets and not sink.faults
        assert sink.store.received.keys() == set(uids(results(COUNT)))
        for record in records(results(COUNT)):
            assert without_stamp(sink.store.records[record["metadata"]["uid"]]) == as_exported(record)
    assert_file_has_each_once(results(COUNT), bench.archive)
    assert archived(bench.archive) == uids(results(COUNT)), "the file keeps the order"


class Breaks:
    """Breaks a connection after so many pieces, then the next one after as many as follow in the list."""

    def __init__(self, pieces: list[int]) -> None:
        self._pieces = pieces
        self._seen = 0

    def fall(self) -> bool:
        """Whether it breaks now."""
        self._seen += 1
        if not self._pieces or self._seen < self._pieces[0]:
            return False
        self._pieces.pop(0)
        self._seen = 0
        return True


def test_compression_can_be_switched_off(bench: Workbench, stage: Stage, results: Results) -> None:
    """As the 415 demands."""
    peers = {name: Peer(stage, BACKENDS[name].store()) for name in ("splunk", "elasticsearch")}
    for peer in peers.values():
        peer.habit = no_gzip
    targets = [make_target(bench, name, name, peer.port, compression="none") for name, peer in peers.items()]
    finished = bench.run_export(bench.make_config(targets), results(COUNT))
    assert finished.code == OK, finished
    for name, peer in peers.items():
        assert assert_contract(finished, results(COUNT), name, peer) == 0


def test_some_records_are_refused(bench: Workbench, stage: Stage, results: Results) -> None:
    """The poison ones alone are buried, the busy ones alone are sent again."""
    source = results(COUNT)
    peers: dict[str, Peer] = {}
    for name in ("splunk", "elasticsearch"):
        store = BACKENDS[name].store()
        issued = BACKENDS[name].identities(source)
        store.poison = {issued[0], issued[24], issued[25], issued[130], issued[131], issued[-1]}
        store.busy = set(issued[40:300:7])
        peers[name] = Peer(stage, store)
    targets = [make_target(bench, name, name, peer.port) for name, peer in peers.items()]
    finished = bench.run_export(bench.make_config(targets), source)
    assert finished.code == DEAD_LETTERS, finished
    for name, peer in peers.items():
        assert assert_contract(finished, source, name, peer, dead=6) == 0
    bulk = peers["elasticsearch"].store
    assert not bulk.busy
    assert bulk.received.total() == COUNT + len(range(40, 300, 7)), "only the busy ones came twice"
