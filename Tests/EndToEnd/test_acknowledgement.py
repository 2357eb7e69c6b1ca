"""Indexer acknowledgement: nothing counts as delivered before the indexer says that it has it, and says so once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from balancer import Balancer
from evidence import duplicates
from exporter import OK, UNDELIVERED, Finished, Target, Workbench, wait_until
from indexer import Indexer
from peers import Peer, Stage
from sandbox import Sandbox

COUNT = 2_000
BATCH = 100
BATCHES = COUNT // BATCH


def acknowledged(bench: Workbench, sandbox: Sandbox, **settings: Any) -> Target:
    """A target whose token acknowledges."""
    given = {"acknowledge": True, "acknowledgeTimeout": "5s", "batch": {"maxRecords": BATCH}} | settings
    return bench.splunk(sandbox.hec_port, **given)


def test_delivered_means_acknowledged(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Acknowledgements that take a while are waited for, with many requests waiting at once."""
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=700)
    config = bench.make_config([acknowledged(bench, sandbox)])
    running = bench.start_export(config, results(COUNT), "--json")
    wait_until(lambda: sandbox.stats("hec")["recordsReceived"] > BATCH, "two requests under way at once")
    ended = running.wait()
    assert ended.code == OK, ended
    target = ended.targets["splunk"]
    assert (target["delivered"], target["unconfirmed"], target["batches"]) == (COUNT, 0, BATCHES)
    hec = sandbox.stats("hec")
    assert (hec["uniqueIDs"], hec["duplicates"], hec["ackConfirmed"]) == (COUNT, 0, BATCHES)
    # All numbers that wait are asked for in one request.
    assert hec["ackPolls"] < BATCHES


def assert_sent_again(sandbox: Sandbox, ended: Finished) -> None:
    """Everything is there, and what is there twice was counted as such, and said."""
    assert ended.code == OK, ended
    ids = sandbox.ids("hec")
    assert len(ids) == COUNT
    unconfirmed = ended.targets["splunk"]["unconfirmed"]
    assert unconfirmed > 0
    assert duplicates(ids) == unconfirmed
    assert any("not acknowledged" in line["message"] for line in ended.logs)


def test_an_indexer_that_never_says_true(bench: Workbench, results: Callable[[int], Path]) -> None:
    """What is not acknowledged in time is sent again."""
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=50, ackFalseRate=1)
    config = bench.make_config([acknowledged(bench, sandbox)])
    running = bench.start_export(config, results(COUNT), "--json")
    wait_until(lambda: sandbox.stats("hec")["recordsReceived"] > 0, "something taken")
    sandbox.fault("hec", ackFalseRate=0)
    assert_sent_again(sandbox, running.wait())


def test_a_true_that_is_lost(bench: Workbench, results: Callable[[int], Path]) -> None:
    """A number is true once: if that answer is lost, no other comes."""
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=50)
    config = bench.make_config([acknowledged(bench, sandbox)])
    running = bench.start_export(config, results(COUNT), "--json")
    wait_until(lambda: sandbox.stats("hec")["recordsReceived"] > 0, "something taken")
    sandbox.fault("hec", ackLoseRate=1)
    told = sandbox.stats("hec")["ackConfirmed"]
    wait_until(lambda: sandbox.stats("hec")["ackConfirmed"] > told, "a true that is lost")
    sandbox.fault("hec", ackLoseRate=0)
    assert_sent_again(sandbox, running.wait())


def test_a_wish_for_less_is_heeded_before_the_acknowledgement(
    bench: Workbench, stage: Stage, results: Callable[[int], Path]
) -> None:
    """The first request hears it and is not confirmed yet: a batch that comes then waits all the same."""
    indexer = Indexer(is_busy=True, confirms=False)
    peer = Peer(stage, indexer)
    retry = {"initial": "4s", "max": "8s", "window": "24h"}
    target = bench.splunk(peer.port, acknowledge=True, retry=retry, batch={"maxRecords": BATCH})
    metrics = bench.directory / "slow.prom"
    config = bench.make_config([target])
    running = bench.start_export(config, "-", "--json", "--metrics", metrics, stdin=subprocess.PIPE)
    lines = results(2 * BATCH).read_bytes().splitlines(keepends=True)
    assert running.process.stdin is not None
    running.process.stdin.write(b"".join(lines[:BATCH]))
    running.process.stdin.flush()
    wait_until(lambda: len(indexer.requests) == 1, "the first request")
    # Its answer is under way still.
    time.sleep(0.5)
    running.process.stdin.write(b"".join(lines[BATCH:]))
    running.process.stdin.close()
    time.sleep(1.2)
    assert len(indexer.requests) == 1, "the pause is at least 2 s"
    indexer.is_busy, indexer.confirms = False, True
    finished = running.wait()
    assert finished.code == OK, finished
    assert not peer.faults
    assert (indexer.received.total(), finished.targets["splunk"]["unconfirmed"]) == (2 * BATCH, 0)
    assert 'outcomes_total{target="splunk",outcome="slow_down"} 1\n' in metrics.read_text()


def test_no_refusal_is_an_acknowledgement(bench: Workbench, results: Callable[[int], Path]) -> None:
    """With every question refused nothing counts as delivered, though the indexer has it all."""
    sandbox = bench.sandbox("--acknowledge")
    config = bench.make_config([acknowledged(bench, sandbox, acknowledgeTimeout="5m")])
    sandbox.fault("hec", ackRefuseRate=1)
    ended = bench.run_export(config, results(100), "--deadline", "4s")
    assert ended.code == UNDELIVERED, ended
    assert ended.targets["splunk"]["delivered"] == 0
    assert sandbox.stats("hec")["recordsReceived"] == 100
    # The next run asks for what the first one was given, and sends nothing twice.
    sandbox.fault("hec", ackRefuseRate=0)
    ended = bench.run_export(config, results(100))
    assert ended.code == OK, ended
    hec = sandbox.stats("hec")
    assert (hec["uniqueIDs"], hec["duplicates"]) == (100, 0)


def test_kill_before_the_acknowledgement(bench: Workbench, results: Callable[[int], Path]) -> None:
    """kill -9 with requests taken and not acknowledged: the next run asks for them instead of sending them again."""
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=1_500)
    config = bench.make_config(
        [acknowledged(bench, sandbox, acknowledgeTimeout="1m", concurrency={"min": 8, "max": 8})]
    )
    source = results(COUNT)

    def wait_for(count: int) -> None:
        wait_until(lambda: sandbox.stats("hec")["recordsReceived"] >= count, "requests taken")

    for _ in range(3):
        before = sandbox.stats("hec")["recordsReceived"]
        running = bench.start_export(config, source)
        wait_for(before + 4 * BATCH)
        assert running.is_running
        running.kill()
        # None of them can be acknowledged yet: what the ledger knows of them is only their numbers.
        assert sandbox.stats("hec")["ackConfirmed"] < BATCHES
    ended = bench.run_export(config, source)
    assert ended.code == OK, ended
    hec = sandbox.stats("hec")
    assert hec["uniqueIDs"] == COUNT
    # At each kill one request may have been on its way, taken without its number having come back.
    assert hec["duplicates"] <= 3 * BATCH, hec
    assert ended.targets["splunk"]["unconfirmed"] == 0


def test_restart_after_the_channel_has_expired(bench: Workbench, results: Callable[[int], Path]) -> None:
    """What the indexer has forgotten is sent again and told apart."""
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=60_000)
    config = bench.make_config([acknowledged(bench, sandbox)])
    running = bench.start_export(config, results(100))
    wait_until(lambda: sandbox.stats("hec")["recordsReceived"] == 100, "all taken")
    wait_until(lambda: sandbox.stats("hec")["ackPolls"] >= 2, "a question for the request")
    running.kill()
    sandbox.fault("hec", ackDelayMs=0, ackExpiryMs=1)
    ended = bench.start_export(config, results(100), "--json")
    wait_until(lambda: sandbox.stats("hec")["ackPolls"] >= 4, "questions for the old number")
    sandbox.fault("hec", ackExpiryMs=0)
    finished = ended.wait()
    assert finished.code == OK, finished
    assert finished.targets["splunk"]["unconfirmed"] == 100
    assert duplicates(sandbox.ids("hec")) == 100


def test_token_without_acknowledgement(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Said before anything is sent: nobody would ever confirm it."""
    sandbox = bench.sandbox()
    config = bench.make_config([acknowledged(bench, sandbox)])
    checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert checked.code != OK and "hec-14" in checked.output and "acknowledge: false" in checked.output, checked
    ended = bench.run_export(config, results(100), "--deadline", "1s")
    assert ended.code == UNDELIVERED, ended
    assert "acknowledge: false" in ended.targets["splunk"]["lastFailure"]
    assert sandbox.stats("hec")["recordsReceived"] == 0


def test_acknowledgements_that_cannot_be_asked_for(bench: Workbench) -> None:
    """A healthy token whose questions are refused or lost is not called good before the export."""
    sandbox = bench.sandbox("--acknowledge")
    config = bench.make_config([acknowledged(bench, sandbox)])
    arguments: list[str | Path] = ["validate", "--config", config, "--secrets", bench.secrets, "--connect"]
    assert bench.run(*arguments).code == OK
    sandbox.fault("hec", ackRefuseRate=1)
    refused = bench.run(*arguments)
    assert refused.code != OK and "hec-6" in refused.output, refused
    sandbox.fault("hec", ackRefuseRate=0, ackLoseRate=1)
    lost = bench.run(*arguments)
    assert lost.code == refused.code and "hec-6" not in lost.output, lost


def test_token_that_demands_acknowledgement(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Without `acknowledge` such a token refuses everything, and the message says what to set."""
    sandbox = bench.sandbox("--acknowledge")
    config = bench.make_config([bench.splunk(sandbox.hec_port)])
    checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert checked.code != OK and "hec-10" in checked.output and "acknowledge: true" in checked.output, checked
    ended = bench.run_export(config, results(100), "--deadline", "1s")
    assert ended.code == UNDELIVERED, ended
    assert ended.targets["splunk"]["deadLetters"] == 0


def test_connections_that_move_to_another_indexer(bench: Workbench, results: Callable[[int], Path]) -> None:
    """A number counts with the indexer that gave it: behind a balancer none is taken for another's."""
    sandboxes = [bench.sandbox("--acknowledge") for _ in range(2)]
    for sandbox in sandboxes:
        # Slow enough that every loss falls among requests, however late this process sees them.
        sandbox.fault("hec", ackDelayMs=400, latencyMs=50)

    def received() -> int:
        return sum(sandbox.stats("hec")["recordsReceived"] for sandbox in sandboxes)

    def wait_for(count: int) -> None:
        wait_until(lambda: received() >= count, "requests taken")

    with Balancer(*(sandbox.hec_port for sandbox in sandboxes)) as balancer:
        target = acknowledged(bench, sandboxes[0], endpoint=f"http://127.0.0.1:{balancer.port}")
        config = bench.make_config([target])
        running = bench.start_export(config, results(COUNT), "--json")
        for _ in range(3):
            wait_for(received() + 2 * BATCH)
            balancer.drop()
        ended = running.wait()
        # One connection at a time; without a loss there would have been one in all.
        assert 4 <= balancer.connections <= 12
    assert ended.code == OK, ended
    ids = sandboxes[0].ids("hec") + sandboxes[1].ids("hec")
    assert len(ids) == COUNT
    assert all(sandbox.stats("hec")["recordsReceived"] > 0 for sandbox in sandboxes)
    # What was on its way when a connection ended is unknown rather than unconfirmed: a batch each time.
    unconfirmed = ended.targets["splunk"]["unconfirmed"]
    assert 0 < duplicates(ids) <= unconfirmed + 3 * BATCH
    # Whatever counts as delivered was called true: as many requests as batches, and none by the other indexer.
    assert sum(sandbox.stats("hec")["ackConfirmed"] for sandbox in sandboxes) >= BATCHES
