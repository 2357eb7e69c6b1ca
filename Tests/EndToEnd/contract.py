"""What the contract suite plays to whom, and what must hold at the end whatever was played."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evidence import archived, as_exported, assert_file_has_each_once, probe_ids, records, uids, without_stamp
from evidence import finished as are_finished
from exporter import Finished, Target, Workbench
from indexer import Indexer, QuestionedIndexer
from peers import HEC, S3, Bulk, Peer, Play, Store, answer
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
from syslog_sink import LinePlay, SyslogSink, babbles, byte_by_byte, close_at, leaves, reset_after, reset_at, talks

COUNT, BATCH = 500, 25
# Batches of syslog under way at once.
WINDOW = 5
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
    # Requests that plays are for, and that come before the first of a record.
    greetings: int = 0
    # Of the target, besides those of the suite.
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def acknowledges(self) -> bool:
        """Whether an answer is only the promise of one."""
        return "acknowledge" in self.settings


# Batches wait for the indexer side by side; requests still go one after the other.
WAITING: dict[str, Any] = {"acknowledge": True, "acknowledgeTimeout": "5s", "concurrency": {"min": 24, "max": 24}}
BACKENDS = {
    "splunk": Backend(HEC, uids, False),
    "splunk-acknowledged": Backend(Indexer, uids, False, settings=WAITING),
    # The plays are on the questions for acknowledgements; the first one is whether the token acknowledges at all.
    "splunk-asked": Backend(QuestionedIndexer, uids, False, greetings=1, settings=WAITING),
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


# Syslog has connections instead of requests: these are for one after the other. Sizes are of a stream in which a record has
# about 1.7 kB.
LINES: dict[str, tuple[LinePlay, ...]] = {
    "reset within the request's head": tuple(reset_at(offset) for offset in (1, 3, 4, 5, 30)),
    "reset within the request's body": (
        *(reset_at(offset) for offset in (300, 1_700, 20_000, 42_000, 61_111, 100_000)),
        reset_after(1.2),
    ),
    "accepted and dropped": (reset_at(0), close_at(0)) * 2,
    "refused before the end": tuple(close_at(offset) for offset in (1, 3_000, 50_000)),
    "refused for now": (leaves(30_000, 0.3), leaves(0, 0.3)),
    "odd and whole": (byte_by_byte(3_000),),
    "one answer too many": (babbles(70_000), talks(100)),
}

# What has no meaning for a backend, or is played elsewhere because it needs another peer.
NO_ANSWER = "the protocol has no answers; what counts is that the connection lives on"
NO_PEER = "a directory: nobody answers, and nobody drops a connection"
SPARED: dict[str, dict[str, str]] = {
    "splunk-asked": {
        "compression can be switched off": "as with splunk-acknowledged: questions are not compressed",
        "some records are refused": "a question is about requests, not records",
        "what somebody has to mend": "a refused question is asked again, and never an acknowledgement: test_acknowledgement",
    },
    "s3": {
        "unreadable": "the status alone is the answer",
        "some records are refused": "an object is taken as a whole or not at all",
        "compression can be switched off": "an object is a file with a name that says so, not a compressed body",
        "what somebody has to mend": "with the service's own error codes, and a real signer: test_s3_faults",
    },
    "syslog": dict.fromkeys(
        ("reset within the answer", "answer cut short", "wrong length", "larger than the bound", "unreadable"),
        NO_ANSWER,
    )
    | {
        "committed and silent": "silence is how receivers are; one that stops reading: SyslogBackendTests, 30 s in a clock of"
        " the test's",
        "some records are refused": NO_ANSWER,
        "what somebody has to mend": "only TLS refuses: test_syslog",
        "compression can be switched off": "the protocol has no compression",
    },
    "file": dict.fromkeys(
        (
            "reset within the request's head",
            "reset within the answer",
            "answer cut short",
            "accepted and dropped",
            "committed and silent",
            "odd and whole",
            "one answer too many",
            "wrong length",
            "larger than the bound",
            "unreadable",
        ),
        NO_PEER,
    )
    | {
        "some records are refused": "a file takes any line",
        "compression can be switched off": "it is off unless asked for; gzip files: test_kill, test_output",
    },
}
# Plays that tests of their own are for, and the backends that they are played to.
REFUSERS = ["splunk", "splunk-acknowledged", "elasticsearch"]
SINGLE: dict[str, list[str]] = {
    "what somebody has to mend": REFUSERS,
    "some records are refused": REFUSERS,
    "compression can be switched off": REFUSERS,
}


def families_of(backend: str) -> dict[str, Family]:
    """What a backend that speaks HTTP goes through."""
    families = FAMILIES if backend == "s3" else FAMILIES | {"unreadable": UNREADABLE}
    if backend != "splunk-asked":
        return families
    # All that waits is asked for at once, and an answer that is lost costs 5 s.
    return {title: replace(family, plays=family.plays[:1]) for title, family in families.items()}


def without_timeout() -> dict[str, Any]:
    """For targets that wait for nobody."""
    return {key: value for key, value in SETTINGS.items() if key in ("batch", "retry")}


def kind_of(name: str) -> str:
    """The backend of a target's name."""
    return re.sub(r"-\d+$", "", name)


def make_target(bench: Workbench, name: str, port: int, **settings: Any) -> Target:
    """A target of the suite."""
    kind = kind_of(name)
    given = SETTINGS | BACKENDS[kind].settings | {"name": name} | settings
    if kind == "s3":
        for key, value in (("accessKeyId", "AKIDEXAMPLE"), ("secretAccessKey", "secret-access-key")):
            bench.secret("aws", key, value)
        return bench.s3(port, "audit", **given)
    return (bench.elasticsearch if kind == "elasticsearch" else bench.splunk)(port, **given)


def make_syslog(sink: SyslogSink, name: str) -> Target:
    """A target `syslog` of the suite: so many batches are in their grace at once."""
    target = {
        "name": name,
        "backend": "syslog",
        "format": "json",
        "endpoint": f"tcp://127.0.0.1:{sink.port}",
        "concurrency": {"min": WINDOW, "max": WINDOW},
    }
    return target | without_timeout()


def assert_sums(finished: Finished, name: str, issued: list[str], dead: int = 0) -> None:
    """Issued = delivered + dead, and nothing pending; with what a run that was killed had done."""
    target = finished.targets[name]
    left = len(issued) - target["deliveredEarlier"]
    assert (target["taken"], target["deadLetters"]) == (left, dead), target
    assert target["delivered"] == left - dead, target


def assert_unaltered(source: Path, kept: dict[str, dict[str, Any]], identities: Callable[[Path], list[str]]) -> None:
    """Every record that is kept is the one of its identity, and was issued."""
    issued = dict(zip(identities(source), records(source), strict=True))
    assert kept.keys() <= issued.keys(), "nothing that was never issued"
    for identity, record in kept.items():
        assert without_stamp(record) == as_exported(issued[identity]), identity


def assert_contract(finished: Finished, source: Path, name: str, peer: Peer, dead: int = 0) -> int:
    """Sums, order and bytes of one target; how many records arrived more than once."""
    backend, store = BACKENDS[kind_of(name)], peer.store
    issued = backend.identities(source)
    assert_sums(finished, name, issued, dead)
    expected = set(issued) - store.poison
    assert store.stored.keys() == expected, (name, len(store.stored), len(expected))
    assert store.received.keys() - store.poison <= expected, "nothing that was never issued"
    place = {identity: number for number, identity in enumerate(issued)}
    for request in store.requests:
        order = [place[identity] for identity in request]
        assert order == sorted(set(order)), f"{name}: out of order within a request"
    assert_unaltered(source, store.records, backend.identities)
    return store.stored.total() - len(store.stored)


def assert_stream(finished: Finished, source: Path, name: str, sink: SyslogSink) -> None:
    """The same of a syslog target: whole batches follow each other on a connection, in any order, each in its own."""
    issued = uids(source)
    assert_sums(finished, name, issued)
    assert not sink.faults
    assert sink.store.received.keys() == set(issued), (name, len(sink.store.received))
    assert_unaltered(source, sink.store.records, uids)
    place = {uid: number for number, uid in enumerate(issued)}
    for line in sink.lines:
        order = [place[uid] for uid in line.uids]
        for before, after in zip([-1, *order], order, strict=False):
            assert after == before + 1 or (after % BATCH, (before + 1) % BATCH) == (0, 0), f"{name}: out of order"
    repeated = sink.store.received.total() - len(issued)
    assert repeated <= sink.resets * WINDOW * BATCH, f"{name}: more than what was open came again"


def assert_archive(finished: Finished, source: Path, archive: Path) -> None:
    """The same of a file target, which has no excuse for a record that is there twice."""
    assert_sums(finished, "file", uids(source))
    assert_file_has_each_once(source, archive)
    assert archived(archive) == uids(source), "in order"
    assert are_finished(archive)
