"""The contract of every backend: whatever a receiver does, each record arrives unaltered and in order, and the sums agree.

A target of each backend goes through families of plays, with honest answers between them. At the end: issued = delivered +
dead + pending, what was received is what was delivered and what came twice, nothing arrived that was never issued, nothing
was altered. What has no meaning for a backend is listed in `SPARED`, with the reason.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from contract import (
    BACKENDS,
    BATCH,
    COUNT,
    FAMILIES,
    HELD,
    LINES,
    REFUSERS,
    SINGLE,
    SPARED,
    assert_archive,
    assert_contract,
    assert_stream,
    families_of,
    make_syslog,
    make_target,
    without_timeout,
)
from exporter import DEAD_LETTERS, OK, UNDELIVERED, Running, Workbench, wait_until
from file_plays import FILE_PLAYS
from peers import HEC, Peer, Stage, honest
from plays import no_gzip
from syslog_sink import SyslogSink

Results = Callable[[int], Path]
Mount = Callable[[str, int], Path]


def feed(running: Running, lines: list[bytes]) -> None:
    """Into its pipe."""
    assert running.process.stdin is not None
    running.process.stdin.write(b"".join(lines))
    running.process.stdin.flush()


def count_lines(archive: Path) -> int:
    """In all files, torn ones included."""
    return sum(path.read_bytes().count(b"\n") for path in archive.glob("*.ndjson*"))


def test_every_play_is_played_or_has_a_reason() -> None:
    """Nobody is left out in silence."""
    played = {name: {*families_of(name), *(t for t, names in SINGLE.items() if name in names)} for name in BACKENDS}
    played |= {"syslog": set(LINES), "file": set(FILE_PLAYS)}
    everything = {*FAMILIES, "unreadable", *SINGLE}
    for name, titles in played.items():
        spared = SPARED.get(name, {}).keys()
        assert titles.isdisjoint(spared), name
        assert titles | spared == everything, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_happens_everything_arrives(bench: Workbench, stage: Stage, results: Results, backend: str) -> None:
    """Each play is a failure of its own kind; what was stored comes twice only if the answer was lost."""
    kind, families = BACKENDS[backend], families_of(backend)
    peers: dict[str, Peer] = {}
    targets = [bench.file(**without_timeout())]
    for number, family in enumerate(families.values()):
        name = f"{backend}-{number}"
        plays = [play for one in family.plays for play in (one, honest)]
        peers[name] = Peer(stage, kind.store(), [honest] * kind.greetings + plays)
        # Where every answer comes in the end, only a slow machine would run out of time.
        patience = {"acknowledgeTimeout": "1m"} if backend == "splunk-asked" and not family.loses_answers else {}
        targets.append(make_target(bench, name, peers[name].port, timeout=family.timeout, **patience))
    finished = bench.run_export(bench.make_config(targets), results(COUNT), "--deadline", "40s")
    assert finished.code == OK, finished
    for number, (title, family) in enumerate(families.items()):
        name = f"{backend}-{number}"
        peer = peers[name]
        assert not peer.faults, (title, peer.faults)
        assert len(peer.plays) <= (backend == "splunk-asked"), f"{title}: {len(peer.plays)} plays are left"
        duplicates = assert_contract(finished, results(COUNT), name, peer)
        lost = len(family.plays) * BATCH if family.loses_answers and not kind.recognises else 0
        if kind.acknowledges:
            unconfirmed = finished.targets[name]["unconfirmed"]
            lost = unconfirmed + (lost if backend == "splunk-acknowledged" else 0)
            assert family.loses_answers or backend == "splunk-acknowledged" or not unconfirmed, title
        assert duplicates == lost, (title, duplicates, lost)
        if not (family.loses_answers or kind.acknowledges):
            assert peer.store.received.total() == COUNT, f"{title}: something was sent twice"
        assert peer.expectations == 0, "`Expect: 100-continue` is never sent, so nobody waits for it"
    assert finished.targets["file"]["complete"]


def test_whatever_connections_do_everything_arrives(bench: Workbench, stage: Stage, results: Results) -> None:
    """Syslog: resets after sampled numbers of bytes, polite ends, slow, talkative and absent receivers."""
    sinks = {f"syslog-{number}": SyslogSink(stage, plays) for number, plays in enumerate(LINES.values())}
    targets = [make_syslog(sink, name) for name, sink in sinks.items()]
    config = bench.make_config([*targets, bench.file(**without_timeout())])
    finished = bench.run_export(config, results(COUNT), "--deadline", "20s")
    assert finished.code == OK, finished
    for (name, sink), (title, plays) in zip(sinks.items(), LINES.items(), strict=True):
        assert not sink.plays, f"{title}: {len(sink.plays)} plays are left"
        assert_stream(finished, results(COUNT), name, sink)
        breaks = len(plays) - {"odd and whole": 1, "one answer too many": 1}.get(title, 0)
        assert sink.resets == breaks, title
        assert breaks or sink.store.received.total() == COUNT, f"{title}: something was sent twice"
    assert finished.targets["file"]["complete"]


@pytest.mark.parametrize("title", [title for plays in FILE_PLAYS.values() for title in plays])
def test_whatever_happens_to_a_directory_everything_is_in_it(
    bench: Workbench, small_disk: Mount, results: Results, title: str
) -> None:
    """A file target goes on by itself once its directory is mended, and has each record once, in order."""
    play = next(plays[title] for plays in FILE_PLAYS.values() if title in plays)
    lines = results(COUNT).read_bytes().splitlines(keepends=True)
    bench.archive = small_disk("disk", 4 << 20) / "archive"
    config = bench.make_config([bench.file(**without_timeout())])
    running = bench.start_export(config, "-", "--json", stdin=subprocess.PIPE)
    first = 0 if play.moment == "before" else COUNT // 2
    if first:
        feed(running, lines[:first])
        wait_until(lambda: count_lines(bench.archive) == first, "the first half is written")
    if play.moment == "killed":
        running.send(signal.SIGKILL)
        running.wait()
    with play.breaks(bench.archive):
        if play.moment == "killed":
            running = bench.start_export(config, "-", "--json", stdin=subprocess.PIPE)
        feed(running, lines[first:])
        wait_until(lambda: play.words in running.stderr, f"the exporter says {play.words}")
        if play.words:
            assert running.is_running
    assert running.process.stdin is not None
    running.process.stdin.close()
    finished = running.wait()
    assert finished.code == OK, finished
    assert_archive(finished, results(COUNT), bench.archive)


@pytest.mark.parametrize("backend", REFUSERS)
def test_what_somebody_has_to_mend(bench: Workbench, stage: Stage, results: Results, backend: str) -> None:
    """Held as a configuration failure: nothing is delivered, nothing buried, and no token goes to another host."""
    elsewhere = Peer(stage, HEC())
    peers: dict[str, Peer] = {}
    targets = [bench.file(**without_timeout())]
    for number, (play, _, _) in enumerate(HELD.values()):
        name = f"{backend}-{number}"
        peers[name] = Peer(stage, BACKENDS[backend].store(), elsewhere=f"127.0.0.1:{elsewhere.port}")
        peers[name].habit = play
        targets.append(make_target(bench, name, peers[name].port))
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


def test_compression_can_be_switched_off(bench: Workbench, stage: Stage, results: Results) -> None:
    """As the 415 demands."""
    peers = {name: Peer(stage, BACKENDS[name].store()) for name in REFUSERS}
    for peer in peers.values():
        peer.habit = no_gzip
    targets = [make_target(bench, name, peer.port, compression="none") for name, peer in peers.items()]
    finished = bench.run_export(bench.make_config(targets), results(COUNT))
    assert finished.code == OK, finished
    for name, peer in peers.items():
        assert assert_contract(finished, results(COUNT), name, peer) == 0


def test_some_records_are_refused(bench: Workbench, stage: Stage, results: Results) -> None:
    """The poison ones alone are buried, the busy ones alone are sent again."""
    source = results(COUNT)
    peers: dict[str, Peer] = {}
    for name in REFUSERS:
        store = BACKENDS[name].store()
        issued = BACKENDS[name].identities(source)
        store.poison = {issued[0], issued[24], issued[25], issued[130], issued[131], issued[-1]}
        store.busy = set(issued[40:300:7])
        peers[name] = Peer(stage, store)
    targets = [make_target(bench, name, peer.port) for name, peer in peers.items()]
    finished = bench.run_export(bench.make_config(targets), source)
    assert finished.code == DEAD_LETTERS, finished
    for name, peer in peers.items():
        # Of a request that is refused in the middle an indexer confirms nothing, and what was before comes again.
        assert assert_contract(finished, source, name, peer, dead=6) == finished.targets[name]["unconfirmed"]
        assert finished.targets[name]["unconfirmed"] == 0 or BACKENDS[name].acknowledges
    bulk = peers["elasticsearch"].store
    assert not bulk.busy
    assert bulk.received.total() == COUNT + len(range(40, 300, 7)), "only the busy ones came twice"
