"""Bad weather on every backend at once: resets, refusals, poison, an outage, secrets that change. Nothing may be missing.

SOAK_SECONDS says how long; `make soak` asks for five minutes. The seed is printed and SOAK_SEED repeats it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

from evidence import as_exported, assert_each_once, probe_ids, records, uids, without_stamp
from exporter import DEAD_LETTERS, Finished, Running, Target, Workbench
from peers import HEC, S3, Bulk, Exchange, Peer, Stage
from plays import status
from syslog_sink import SyslogSink

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
SEED = int(os.environ.get("SOAK_SEED", str(random.randrange(1 << 32))))
RATE = 400  # records a second
SLICES = 20  # a second
MAX_MEMORY_KB = 512 << 10
SETTINGS: dict[str, Any] = {
    "batch": {"maxRecords": 20, "maxAge": "200ms"},
    "retry": {"initial": "50ms", "max": "500ms", "window": "24h"},
}
POISON = 0.001


class Weather:
    """What comes over a peer, request by request."""

    def __init__(self, peer: Peer, rng: random.Random) -> None:
        self.peer = peer
        self.rng = rng
        self.is_out = False
        self.seen: Counter[str] = Counter()
        # Records that were stored without an answer.
        self.unanswered = 0
        peer.habit = self.play

    async def play(self, exchange: Exchange) -> None:
        """One in a hundred is reset somewhere, two are put off."""
        if self.is_out:
            self.seen["outage"] += 1
            exchange.reset()
            return
        luck = self.rng.random()
        if luck < 0.02:
            self.seen["429"] += 1
            await status(429)(exchange)
        elif luck < 0.03:
            self.seen["reset"] += 1
            await self._reset(exchange)
        else:
            await exchange.send(await exchange.commit())

    async def _reset(self, exchange: Exchange) -> None:
        await exchange.read_head()
        if self.rng.random() < 0.5:
            await exchange.reader.readexactly(int(exchange.length * self.rng.random()))
        else:
            before = self.peer.store.received.total()
            data = await exchange.commit()
            self.unanswered += self.peer.store.received.total() - before
            await exchange.send(data[: int(len(data) * self.rng.random())])
            await asyncio.sleep(0.01)
        exchange.reset()


def test_soak(bench: Workbench, stage: Stage) -> None:
    """Conservation: issued = delivered + dead + pending for every target, none unissued, none altered."""
    print(f"SOAK_SECONDS={SECONDS:g} SOAK_SEED={SEED}")
    rng = random.Random(SEED)
    source = bench.generate(int(RATE * SECONDS), seed=SEED)
    peers = {"splunk": Peer(stage, HEC()), "elasticsearch": Peer(stage, Bulk()), "s3": Peer(stage, S3())}
    weather = {name: Weather(peer, rng) for name, peer in peers.items()}
    sink = SyslogSink(stage)
    sink.breaks = lambda: weather["splunk"].is_out or rng.random() < 0.01
    issued = {"splunk": uids(source), "elasticsearch": probe_ids(source)}
    for name, identities in issued.items():
        peers[name].store.poison = {identity for identity in identities if rng.random() < POISON} | {identities[7]}
    running = start(bench, peers, sink)
    began = time.monotonic()
    feed(bench, running, source, peers, weather)
    fed = time.monotonic() - began
    memory = peak_memory(running)
    assert running.process.stdin is not None
    running.process.stdin.close()
    finished = running.wait(120 + SECONDS)
    print(f"fed in {fed:.1f} s, at its end after {time.monotonic() - began:.1f} s")
    report(finished, peers, weather, sink, memory)
    assert finished.code == DEAD_LETTERS, finished
    for name, peer in peers.items():
        assert not peer.faults, (name, peer.faults)
        assert_conserved(finished, source, name, peer)
    splunk = peers["splunk"].store
    assert splunk.received.total() - len(splunk.received) <= weather["splunk"].unanswered, "only those may come twice"
    assert not sink.faults
    assert_each_once(uids(source), Counter(sink.store.received.keys()), "syslog")
    assert finished.targets["syslog"]["delivered"] == len(uids(source))
    lines = Counter(uid for path in sorted(bench.archive.glob("*.ndjson")) for uid in uids(path))
    assert lines == Counter(uids(source)), "the file has each once"
    assert all(wind.seen["429"] and wind.seen["outage"] for wind in weather.values())
    assert memory < MAX_MEMORY_KB


def start(bench: Workbench, peers: dict[str, Peer], sink: SyslogSink) -> Running:
    """The exporter with a target of every backend, reading from a pipe."""
    for key, value in (("accessKeyId", "AKIDEXAMPLE"), ("secretAccessKey", "secret-access-key")):
        bench.secret("aws", key, value)
    targets: list[Target] = [
        bench.splunk(peers["splunk"].port, **SETTINGS),
        bench.elasticsearch(peers["elasticsearch"].port, **SETTINGS),
        bench.s3(peers["s3"].port, "audit", **SETTINGS),
        {
            "name": "syslog",
            "backend": "syslog",
            "format": "json",
            "endpoint": f"tcp://127.0.0.1:{sink.port}",
        }
        | SETTINGS
        | {"batch": {"maxRecords": 200, "maxAge": "200ms"}},
        bench.file(**SETTINGS),
    ]
    return bench.start_export(bench.make_config(targets), "-", "--json", stdin=PIPE)


def feed(bench: Workbench, running: Running, source: Path, peers: dict[str, Peer], weather: dict[str, Weather]) -> None:
    """Writes the records at an even pace; an outage in the middle, and two rotations."""
    pipe = running.process.stdin
    assert pipe is not None
    lines = source.read_bytes().splitlines(keepends=True)
    steps = int(SECONDS * SLICES)
    began = time.monotonic()
    for step in range(steps):
        for wind in weather.values():
            wind.is_out = 0.4 <= step / steps < 0.5
        if step in (steps // 4, steps * 3 // 4):
            rotate(bench, peers, f"credential-{step}")
        pipe.write(b"".join(lines[len(lines) * step // steps : len(lines) * (step + 1) // steps]))
        pipe.flush()
        time.sleep(max(0.0, began + (step + 1) / SLICES - time.monotonic()))


def rotate(bench: Workbench, peers: dict[str, Peer], value: str) -> None:
    """New credentials for Splunk and Elasticsearch, in the secret first; the old ones end at once."""
    bench.mounted_secret("hec", token=value)
    bench.mounted_secret("es", username="elastic", password=value)
    peers["splunk"].store.credentials = {f"Splunk {value}"}
    pair = base64.b64encode(f"elastic:{value}".encode()).decode()
    peers["elasticsearch"].store.credentials = {f"Basic {pair}"}


def assert_conserved(finished: Finished, source: Path, name: str, peer: Peer) -> None:
    """The sums of one target, and every record's content."""
    identify: Callable[[Path], list[str]] = probe_ids if name == "elasticsearch" else uids
    issued, store, target = identify(source), peer.store, finished.targets[name]
    dead = len(store.poison)
    assert target["taken"] == len(issued) == target["delivered"] + target["deadLetters"], target
    assert target["deadLetters"] == dead, (target, dead)
    assert store.stored.keys() == set(issued) - store.poison, name
    if name != "splunk":
        assert set(store.stored.values()) == {1}, f"{name} recognises what it has"
    for identity, record in zip(issued, records(source), strict=True):
        if identity not in store.poison:
            assert without_stamp(store.records[identity]) == as_exported(record), (name, identity)


def peak_memory(running: Running) -> int:
    """Kibibytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.process.pid}/status").read_text())
    assert found
    return int(found[1])


def report(
    finished: Finished, peers: dict[str, Peer], weather: dict[str, Weather], sink: SyslogSink, memory: int
) -> None:
    """What happened, for those who watch."""
    for name, target in finished.targets.items():
        wind = dict(weather[name].seen) if name in weather else {}
        store = peers[name].store if name in peers else sink.store if name == "syslog" else None
        twice = store.received.total() - len(store.received) if store else 0
        print(
            f"{name}: taken {target['taken']}, delivered {target['delivered']}, dead {target['deadLetters']},"
            f" retries {target['retries']}, came again {twice}, weather {wind}"
        )
    print(f"syslog: {sink.connections} connections, {sink.resets} resets; peak memory {memory} kB")
