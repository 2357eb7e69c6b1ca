"""Receivers that misbehave in every way their real counterparts do: everything arrives, and nothing too often."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evidence import (
    archived,
    assert_at_least_once,
    assert_delivered_everywhere,
    assert_each_once,
    duplicates,
    uids,
)
from exporter import DEAD_LETTERS, OK, TOKEN, UNDELIVERED, Workbench
from receiver import Receiver

COUNT = 2_000
# Many small requests, so that rates have something to work on.
SETTINGS = {
    "batch": {"maxRecords": 50},
    "retry": {"initial": "10ms", "max": "100ms", "window": "24h"},
}
Results = Callable[[int], Path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that the test controls."""
    made = Receiver(TOKEN)
    yield made
    made.die()


@pytest.mark.parametrize(
    "faults",
    [
        {"failRate": 0.3},
        {"failRate": 0.3, "status": 429},
        {"failRate": 0.3, "status": 500},
        {"resetRate": 0.1},
        {"failRate": 0.2, "resetRate": 0.1, "latencyMs": 5},
    ],
    ids=lambda faults: " ".join(f"{key}={value}" for key, value in faults.items()),
)
def test_refusals(bench: Workbench, results: Results, faults: dict[str, float]) -> None:
    """Refused before anything was stored: retried, and there once at every target, HEC too."""
    sandbox = bench.sandbox()
    for target in ("hec", "elasticsearch"):
        sandbox.fault(target, **faults)
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox, **SETTINGS)), results(COUNT))
    assert finished.code == OK, finished
    for target in ("hec", "elasticsearch"):
        stats = sandbox.stats(target)
        assert stats["failuresInjected"] + stats["resetsInjected"] > 0
    assert finished.targets["splunk"]["retries"] > 0
    assert_delivered_everywhere(results(COUNT), sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == 0


def test_single_documents_are_refused(bench: Workbench, results: Results) -> None:
    """200 with a few 429 inside: only those few are sent again."""
    sandbox = bench.sandbox()
    sandbox.fault("elasticsearch", itemFailRate=0.05)
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox, **SETTINGS)), results(COUNT))
    assert finished.code == OK, finished
    stats = sandbox.stats("elasticsearch")
    assert stats["itemFailuresInjected"] > 0
    assert stats["duplicates"] == 0, "what was stored is not sent again"
    assert_delivered_everywhere(results(COUNT), sandbox, bench.archive)


def test_answers_lost_after_the_commit(bench: Workbench, results: Results) -> None:
    """The outcome is unknown, so it is sent again: Elasticsearch knows its ids, HEC stores that batch twice."""
    sandbox = bench.sandbox()
    for target in ("hec", "elasticsearch"):
        sandbox.fault(target, commitThenResetRate=0.1)
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox, **SETTINGS)), results(COUNT))
    assert finished.code == OK, finished
    hec, elasticsearch = sandbox.stats("hec"), sandbox.stats("elasticsearch")
    assert hec["resetsInjected"] > 0 and elasticsearch["resetsInjected"] > 0
    assert_delivered_everywhere(results(COUNT), sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == hec["resetsInjected"] * 50


def test_everything_at_once(bench: Workbench, results: Results) -> None:
    """All faults together."""
    sandbox = bench.sandbox("--latency", "3ms")
    faults = {"failRate": 0.3, "resetRate": 0.1, "commitThenResetRate": 0.1}
    sandbox.fault("hec", **faults)
    sandbox.fault("elasticsearch", itemFailRate=0.05, **faults)
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox, **SETTINGS)), results(COUNT))
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(COUNT), sandbox, bench.archive)


def test_retry_after_is_a_floor(bench: Workbench, results: Results) -> None:
    """The receiver asks for two seconds, though our own back-off would be 10 ms."""
    sandbox = bench.sandbox()
    sandbox.fault("hec", failRate=1, status=429, retryAfter=2, outageMs=0)
    finished = bench.run_export(
        bench.make_config([bench.splunk(sandbox.hec_port, **SETTINGS)]),
        results(200),
        "--deadline",
        "3s",
    )
    assert finished.code == UNDELIVERED, finished
    assert sandbox.stats("hec")["requests"] <= 3


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_bodies_that_are_too_large_are_halved(bench: Workbench, results: Results, compression: str) -> None:
    """413: until they fit, without loss and without burying anything."""
    sandbox = bench.sandbox("--max-body", "20000")
    hec = bench.splunk(sandbox.hec_port, compression=compression)
    elasticsearch = bench.elasticsearch(sandbox.elasticsearch_port, compression=compression)
    source = results(COUNT)
    finished = bench.run_export(bench.make_config([hec, elasticsearch, bench.file()]), source)
    assert finished.code == OK, finished
    assert sandbox.stats("hec")["requestsRefused"] > 0 and sandbox.stats("elasticsearch")["requestsRefused"] > 0
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == 0


def test_record_that_fits_into_no_body(bench: Workbench) -> None:
    """A record of its own size cannot be halved: it alone becomes a dead letter, and says why."""
    lines = bench.generate(100).read_bytes().splitlines()
    record = json.loads(lines[50])
    record["spec"]["result"]["detail"] = "x" * 30_000
    lines[50] = json.dumps(record).encode()
    source = bench.write("large.ndjson", b"\n".join(lines) + b"\n")
    rest = [uid for uid in uids(source) if uid != record["metadata"]["uid"]]
    sandbox = bench.sandbox("--max-body", "20000")
    config = bench.make_config([bench.splunk(sandbox.hec_port), bench.file()])
    finished = bench.run_export(config, source)
    assert finished.code == DEAD_LETTERS, finished
    splunk = finished.targets["splunk"]
    assert (splunk["taken"], splunk["delivered"], splunk["deadLetters"]) == (100, 99, 1)
    assert_each_once(rest, sandbox.ids("hec"), "splunk")
    assert archived(bench.archive) == uids(source)
    assert "413" in finished.stderr


def test_poison_event(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """The events before it are stored already and not sent again; it alone is buried; those behind it are sent."""
    source = results(COUNT)
    expected = uids(source)
    receiver.poison = {expected[0], expected[777], expected[778], expected[-1]}
    config = bench.make_config([bench.splunk(receiver.port), bench.file()])
    finished = bench.run_export(config, source)
    assert finished.code == DEAD_LETTERS, finished
    splunk = finished.targets["splunk"]
    assert (splunk["taken"], splunk["delivered"], splunk["deadLetters"]) == (COUNT, COUNT - 4, 4)
    assert_each_once([uid for uid in expected if uid not in receiver.poison], receiver.uids, "splunk")
    assert archived(bench.archive) == expected, "another target's poison is no concern of the file"
    assert "code 6" in finished.stderr
    again = bench.run_export(config, source)
    assert again.code == DEAD_LETTERS, "what an earlier run gave up is not forgotten"
    assert (again.targets["splunk"]["taken"], again.targets["splunk"]["deadLettersEarlier"]) == (0, 4)


def test_every_event_is_poison(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Isolation ends, even if nothing is good."""
    source = results(200)
    receiver.poison = set(uids(source))
    finished = bench.run_export(bench.make_config([bench.splunk(receiver.port)]), source)
    assert finished.code == DEAD_LETTERS, finished
    assert finished.targets["splunk"]["deadLetters"] == 200
    assert not receiver.uids


def test_a_receiver_that_is_not_splunk(bench: Workbench, results: Results) -> None:
    """Wrong port: an answer that is no HEC answer never counts as success."""
    sandbox = bench.sandbox()
    config = bench.make_config([bench.splunk(sandbox.elasticsearch_port)])
    finished = bench.run_export(config, results(200), "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    splunk = finished.targets["splunk"]
    assert (splunk["delivered"], splunk["deadLetters"]) == (0, 0)
    assert splunk["lastFailure"]


def test_two_receivers_agree(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """The bodies are what an independent reader of HEC's format expects."""
    source = results(COUNT)
    finished = bench.run_export(bench.make_config([bench.splunk(receiver.port, index="audit")]), source)
    assert finished.code == OK, finished
    assert_at_least_once(uids(source), receiver.uids, "splunk")
    envelope, _ = json.JSONDecoder().raw_decode(receiver.bodies[0].decode())
    assert set(envelope) == {"time", "host", "source", "sourcetype", "index", "event"}
    assert envelope["index"] == "audit"
    assert all(len(body) <= 900_000 for body in receiver.bodies)
