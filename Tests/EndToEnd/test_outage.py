"""Receivers that are away, refuse us or die: the others go on, and everything arrives in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evidence import (
    assert_at_least_once,
    assert_delivered_everywhere,
    assert_file_has_each_once,
    duplicates,
    files_of,
    uids,
)
from exporter import OK, TOKEN, UNDELIVERED, Workbench, wait_until
from receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that the test controls."""
    made = Receiver(TOKEN)
    yield made
    made.die()


def outlast(bench: Workbench, source: Path, count: int, outage_seconds: float) -> None:
    """Elasticsearch is away; HEC and the file finish meanwhile; then it catches up."""
    sandbox = bench.sandbox()
    # The queue is much smaller than the input: a target that is away must not fill it for the others.
    config = bench.make_config(bench.all_three(sandbox), limits={"maxQueuedBytesPerTarget": "6MiB"})
    assert source.stat().st_size > 3 * (6 << 20)
    sandbox.fault("elasticsearch", outageMs=outage_seconds * 1_000)
    began = time.monotonic()
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: sandbox.stats("hec")["uniqueIDs"] == count, "HEC has everything", outage_seconds)
    wait_until(lambda: len(archived_whole(bench)) == count, "the file has everything", outage_seconds)
    took = time.monotonic() - began
    assert took < outage_seconds, "the two must not wait for the third"
    assert sandbox.stats("elasticsearch")["uniqueIDs"] == 0
    assert running.is_running
    finished = running.wait(outage_seconds + 60)
    assert time.monotonic() - began >= outage_seconds
    print(f"two targets done after {took:.1f} s of an outage of {outage_seconds} s")
    assert finished.code == OK, finished
    assert finished.targets["elasticsearch"]["retries"] > 0
    assert finished.targets["splunk"]["retries"] == finished.targets["file"]["retries"] == 0
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == 0


def archived_whole(bench: Workbench) -> list[bytes]:
    """Whole lines of the file target while it is being written."""
    return [line for path in files_of(bench.archive) for line in path.read_bytes().split(b"\n")[:-1]]


def test_one_target_away_for_eight_seconds(bench: Workbench, results: Callable[[int], Path]) -> None:
    """The fast sibling of `test_one_target_away_for_a_minute`."""
    outlast(bench, results(20_000), 20_000, 8)


@pytest.mark.acceptance
def test_one_target_away_for_a_minute(bench: Workbench, results: Callable[[int], Path]) -> None:
    """A minute without Elasticsearch."""
    outlast(bench, results(100_000), 100_000, 60)


def test_a_receiver_that_dies_and_comes_back(
    bench: Workbench, results: Callable[[int], Path], receiver: Receiver
) -> None:
    """Connections are reset in the middle, the port is closed for a while, then the server is there again."""
    source = results(5_000)
    settings = {"batch": {"maxRecords": 50}}
    config = bench.make_config([bench.splunk(receiver.port, **settings), bench.file()])
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: receiver.requests > 10, "some batches arrive")
    receiver.die()
    before = len(receiver.uids)
    assert 0 < before < 5_000
    wait_until(lambda: '"code":"connect"' in running.stderr, "the refused connection is reported")
    receiver.start()
    finished = running.wait()
    assert finished.code == OK, finished
    assert finished.targets["splunk"]["retries"] > 0
    assert_at_least_once(uids(source), receiver.uids, "splunk")
    # Only what was in flight at the death has an unknown fate and is sent again.
    assert duplicates(receiver.uids) <= 50
    assert_file_has_each_once(source, bench.archive)


def test_a_refused_token_holds_everything(bench: Workbench, results: Callable[[int], Path]) -> None:
    """At the deadline: exit 4, and words that say which target, what code, what to do."""
    sandbox = bench.sandbox()
    bench.secret("hec", "token", "not-the-token")
    config = bench.make_config(bench.all_three(sandbox))
    source = results(1_000)
    finished = bench.run_export(config, source, "--deadline", "3s")
    assert finished.code == UNDELIVERED, finished
    splunk = finished.targets["splunk"]
    assert (splunk["taken"], splunk["delivered"], splunk["deadLetters"]) == (1_000, 0, 0)
    for words in ("403", "code 4", "Invalid token", "token of the secret"):
        assert words in splunk["lastFailure"], splunk
    refusals = [line for line in finished.logs if line.get("target") == "splunk" and line["level"] == "warning"]
    assert refusals and all(line["code"] == "hec-4" for line in refusals)
    assert any("giving up at the deadline" in line["message"] for line in finished.logs)
    assert finished.targets["elasticsearch"]["complete"] and finished.targets["file"]["complete"]
    assert "not-the-token" not in finished.output
    bench.secret("hec", "token", TOKEN)
    again = bench.run_export(config, source)
    assert again.code == OK, again
    assert again.targets["elasticsearch"]["delivered"] == again.targets["file"]["delivered"] == 0
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert duplicates(sandbox.ids("hec")) == 0


def test_a_mended_token_is_used_without_a_restart(bench: Workbench, results: Callable[[int], Path]) -> None:
    """The secret's file is read again."""
    sandbox = bench.sandbox()
    bench.secret("hec", "token", "not-the-token")
    config = bench.make_config(bench.all_three(sandbox))
    running = bench.start_export(config, results(1_000), "--json", "--deadline", "60s")
    wait_until(lambda: "hec-4" in running.stderr, "the refusal is reported")
    bench.secret("hec", "token", TOKEN)
    finished = running.wait()
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(1_000), sandbox, bench.archive)


def test_a_wrong_password_names_elasticsearch(bench: Workbench, results: Callable[[int], Path]) -> None:
    """401 is a setting to mend, not a reason to bury records."""
    sandbox = bench.sandbox()
    bench.secret("es", "password", "wrong-word-of-the-tests")
    config = bench.make_config([bench.elasticsearch(sandbox.elasticsearch_port)])
    finished = bench.run_export(config, results(200), "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    failure = finished.targets["elasticsearch"]["lastFailure"]
    assert "refused the credentials with 401" in failure and "check the secret" in failure
    assert "wrong-word" not in finished.output
    assert finished.targets["elasticsearch"]["deadLetters"] == 0
