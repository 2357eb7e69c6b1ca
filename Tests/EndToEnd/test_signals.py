"""Pipes and signals: what was taken from a pipe is kept, what is in hand leaves first, a second signal is obeyed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evidence import (
    archived,
    assert_at_least_once,
    assert_delivered_everywhere,
    assert_each_once,
    assert_file_has_each_once,
    duplicates,
    uids,
)
from exporter import DEAD_LETTERS, OK, TOKEN, UNDELIVERED, Running, Workbench, wait_until
from receiver import Receiver

STOP_SECONDS = 25.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that the test controls."""
    made = Receiver(TOKEN)
    yield made
    made.die()


def feed(running: Running, data: bytes) -> None:
    """Writes into the standard input of a started export."""
    assert running.process.stdin is not None
    running.process.stdin.write(data)
    running.process.stdin.flush()


def spooled(bench: Workbench) -> bytes:
    """What was taken from pipes and is kept below the state directory."""
    return b"".join(path.read_bytes() for path in sorted((bench.state / "spool").glob("*.ndjson")))


def test_pipe(bench: Workbench, results: Callable[[int], Path]) -> None:
    """All of it is exported, and nothing of it stays behind."""
    source = results(5_000)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox))
    # A pipe and not the file: `cat` stands for whoever produces results.
    with source.open("rb") as stdin, subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE) as producer:
        finished = bench.run_export(config, "-", stdin=producer.stdout)
    assert finished.code == OK, finished
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == 0
    assert spooled(bench) == b""


def test_pipe_killed_in_the_middle(bench: Workbench) -> None:
    """What the pipe had given is finished by a later run, without the producer."""
    whole = bench.generate(4_000, "whole.ndjson")
    lines = whole.read_bytes().splitlines(keepends=True)
    sandbox = bench.sandbox("--latency", "100ms")
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 100}))
    running = bench.start_export(config, "-", stdin=subprocess.PIPE)
    first = b"".join(lines[:2_500])
    feed(running, first)
    wait_until(lambda: spooled(bench) == first, "the spool holds what was written")
    wait_until(lambda: sandbox.stats("hec")["uniqueIDs"] > 200, "some of it is delivered")
    running.kill()
    assert sandbox.stats("hec")["uniqueIDs"] < 2_500, "killed in the middle"
    finished = bench.run_export(config, "-", stdin=subprocess.DEVNULL)
    assert finished.code == OK, finished
    given = bench.write("given.ndjson", first)
    assert_delivered_everywhere(given, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) <= 100
    assert spooled(bench) == b""
    # The producer goes on with the rest.
    rest = bench.write("rest.ndjson", b"".join(lines[2_500:]))
    with rest.open("rb") as stdin:
        assert bench.run_export(config, "-", stdin=stdin).code == OK
    assert_delivered_everywhere(whole, sandbox, bench.archive)


def test_pipe_killed_in_the_middle_of_a_record(bench: Workbench) -> None:
    """The torn record is reported and kept as a dead letter; it is no part of any target."""
    lines = bench.generate(20).read_bytes().splitlines(keepends=True)
    config = bench.make_config([bench.file()])
    running = bench.start_export(config, "-", stdin=subprocess.PIPE)
    torn = b"".join(lines[:10]) + lines[10][:100]
    feed(running, torn)
    wait_until(lambda: spooled(bench) == torn, "the spool holds what was written")
    running.kill()
    finished = bench.run_export(config, "-")
    assert finished.code == DEAD_LETTERS, finished
    assert ".ndjson:11: " in finished.stderr
    assert archived(bench.archive) == uids(bench.write("given.ndjson", b"".join(lines[:10])))
    assert bench.run_export(config, "-").code == OK


def test_terminated_in_the_middle(bench: Workbench, results: Callable[[int], Path]) -> None:
    """In time, with what was in hand delivered; the next run brings the rest and repeats nothing."""
    source = results(20_000)
    sandbox = bench.sandbox("--latency", "50ms")
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 500}))
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: sandbox.stats("hec")["uniqueIDs"] > 1_000, "some of it is delivered")
    asked = time.monotonic()
    running.send(signal.SIGTERM)
    first = running.wait(STOP_SECONDS)
    print(f"stopped after {time.monotonic() - asked:.1f} s")
    assert first.code == UNDELIVERED, first
    assert "stopping" in first.stderr
    hec = first.targets["splunk"]
    assert 1_000 < hec["delivered"] < 20_000
    # What was taken was delivered: nothing in hand was dropped.
    assert hec["delivered"] == hec["taken"] == sandbox.stats("hec")["uniqueIDs"]
    second = bench.run_export(config, source)
    assert second.code == OK, second
    assert hec["delivered"] + second.targets["splunk"]["delivered"] == 20_000
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == duplicates(sandbox.ids("elasticsearch")) == 0


def test_partial_batches_leave_first(bench: Workbench) -> None:
    """Ten records wait for a batch to fill; SIGTERM sends them instead of dropping them."""
    source = bench.generate(10)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox, batch={"maxAge": "10m"}))
    running = bench.start_export(config, "-", stdin=subprocess.PIPE)
    feed(running, source.read_bytes())
    wait_until(lambda: spooled(bench) == source.read_bytes(), "the spool holds what was written")
    time.sleep(0.5)
    assert sandbox.stats("hec")["requests"] == 0, "the batch is not full and not old"
    running.send(signal.SIGTERM)
    running.wait(STOP_SECONDS)
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert bench.run_export(config, "-").code == OK
    assert sandbox.ids("hec").total() == 10
    assert spooled(bench) == b""


def test_interrupt_is_as_good(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Ctrl-C: all of a small input is in hand already, so all of it is delivered and the run a success."""
    source = results(1_000)
    sandbox = bench.sandbox("--latency", "100ms")
    config = bench.make_config([bench.splunk(sandbox.hec_port, batch={"maxRecords": 100})])
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: sandbox.stats("hec")["uniqueIDs"] > 200, "some of it is delivered")
    running.send(signal.SIGINT)
    finished = running.wait(STOP_SECONDS)
    assert finished.code == OK, finished
    assert "stopping" in finished.stderr
    assert_each_once(uids(source), sandbox.ids("hec"), "splunk")


def test_terminated_while_a_receiver_hangs(
    bench: Workbench, results: Callable[[int], Path], receiver: Receiver
) -> None:
    """It waits for the answer as long as it may, then ends in time; no answer is no delivery."""
    receiver.is_hanging = True
    source = results(200)
    config = bench.make_config([bench.splunk(receiver.port), bench.file()])
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: receiver.requests == 1, "a request hangs")
    wait_until(
        lambda: bench.archive.exists() and len(archived(bench.archive)) == 200,
        "the file has everything",
    )
    running.send(signal.SIGTERM)
    finished = running.wait(STOP_SECONDS)
    assert finished.code == UNDELIVERED, finished
    assert finished.targets["splunk"]["delivered"] == 0
    assert finished.targets["file"]["delivered"] == 200
    receiver.die()
    receiver.is_hanging = False
    receiver.start()
    assert bench.run_export(config, source).code == OK
    assert_at_least_once(uids(source), receiver.uids, "splunk")
    assert_file_has_each_once(source, bench.archive)


def test_second_signal_ends_at_once(bench: Workbench, results: Callable[[int], Path], receiver: Receiver) -> None:
    """A person who is in a hurry does not wait for a receiver that hangs; nothing is lost by it."""
    receiver.is_hanging = True
    source = results(200)
    config = bench.make_config([bench.splunk(receiver.port), bench.file()])
    running = bench.start_export(config, source)
    wait_until(lambda: receiver.requests == 1, "a request hangs")
    running.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in running.stderr, "the first signal is acknowledged")
    asked = time.monotonic()
    running.send(signal.SIGTERM)
    finished = running.wait(5)
    assert time.monotonic() - asked < 2
    assert finished.code == 128 + signal.SIGTERM, finished
    receiver.die()
    receiver.is_hanging = False
    receiver.start()
    assert bench.run_export(config, source).code == OK
    assert_at_least_once(uids(source), receiver.uids, "splunk")
    assert_each_once(uids(source), Counter(archived(bench.archive)), "file")


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_nobody_reads_the_output(bench: Workbench, results: Callable[[int], Path]) -> None:
    """`run | head` exports everything all the same."""
    source = results(1_000)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox))
    writing = closed_pipe()
    arguments: list[str | Path] = [
        bench.program,
        "run",
        "--config",
        config,
        "--input",
        source,
        "--secrets",
        bench.secrets,
    ]
    try:
        done = subprocess.run(
            [*arguments, "--state", bench.state],
            stdout=writing,
            stderr=writing,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.returncode == OK
    assert_delivered_everywhere(source, sandbox, bench.archive)


@pytest.mark.parametrize("arguments", [["generate", "--count", "100000"], ["encode", "--format", "json"]])
def test_filters_end_quietly_when_nobody_reads(
    bench: Workbench, results: Callable[[int], Path], arguments: list[str]
) -> None:
    """As every filter: no message, no crash."""
    writing = closed_pipe()
    try:
        with results(5_000).open("rb") as stdin:
            done = subprocess.run(
                [bench.program, *arguments],
                stdin=stdin,
                stdout=writing,
                stderr=subprocess.PIPE,
                timeout=60,
            )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (OK, b"")


def test_order_of_a_pipe_is_kept(bench: Workbench) -> None:
    """Records leave in the order they came, also when they come in drops."""
    source = bench.generate(50)
    config = bench.make_config([bench.file(batch={"maxAge": "50ms"})])
    running = bench.start_export(config, "-", "--json", stdin=subprocess.PIPE)
    for line in source.read_bytes().splitlines(keepends=True):
        # In two pieces: a read rarely ends where a record does.
        feed(running, line[:200])
        feed(running, line[200:])
        time.sleep(0.005)
    assert running.process.stdin is not None
    running.process.stdin.close()
    finished = running.wait()
    assert finished.code == OK, finished
    assert archived(bench.archive) == uids(source)
