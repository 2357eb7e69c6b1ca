"""Credentials change while the program runs: the new ones count from the next request on, without a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from evidence import assert_each_once, uids
from exporter import OK, TOKEN, UNDELIVERED, Running, Workbench, wait_until
from receiver import Receiver

COUNT = 2_000
SETTINGS = {"batch": {"maxRecords": 20}}
Results = Callable[[int], Path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that answers slowly enough to be changed in the middle of a run."""
    made = Receiver(TOKEN)
    made.latency = 0.02
    yield made
    made.die()


def swap_links(bench: Workbench, token: str) -> None:
    """As Kubernetes does."""
    bench.mounted_secret("hec", token=token)


def rename(bench: Workbench, token: str) -> None:
    """As an editor does."""
    bench.secret("hec", "token", token)


def start(bench: Workbench, receiver: Receiver, source: Path) -> Running:
    """A run that is under way."""
    running = bench.start_export(bench.make_config([bench.splunk(receiver.port, **SETTINGS)]), source, "--json")
    wait_until(lambda: receiver.requests > 10, "the first requests")
    return running


@pytest.mark.parametrize("write", [swap_links, rename])
def test_token_is_rotated_twice(
    bench: Workbench, results: Results, receiver: Receiver, write: Callable[[Workbench, str], None]
) -> None:
    """The old token is withdrawn at once; the refused request goes out again with the new one, and counts nothing."""
    write(bench, TOKEN)
    running = start(bench, receiver, results(COUNT))
    for number, token in enumerate(["second-token", "third-token"], start=1):
        receiver.old_token, receiver.token = receiver.token, token
        write(bench, token)
        receiver.old_token = None
        enough = receiver.requests + 10
        wait_until(lambda: receiver.requests > enough, f"requests after rotation {number}")  # noqa: B023
    finished = running.wait()
    assert finished.code == OK, finished
    splunk = finished.targets["splunk"]
    assert (splunk["delivered"], splunk["deadLetters"], splunk["retries"]) == (COUNT, 0, 0)
    assert 1 <= receiver.strangers <= 2, "one request each at the most went out with the old token"
    assert_each_once(uids(results(COUNT)), receiver.uids, "splunk")


def test_rotation_without_a_refusal_is_seen_within_five_seconds(
    bench: Workbench, results: Results, receiver: Receiver
) -> None:
    """Both tokens are good for a while, as they should be: nothing is refused, and the new one is in use soon."""
    swap_links(bench, TOKEN)
    receiver.latency = 0.05
    running = start(bench, receiver, results(COUNT))
    receiver.old_token, receiver.token = TOKEN, "second-token"
    swap_links(bench, "second-token")
    wait_until(lambda: receiver.last_token == "second-token", "the new token", seconds=5)
    receiver.old_token = None
    finished = running.wait()
    assert finished.code == OK, finished
    assert receiver.strangers == 0
    assert_each_once(uids(results(COUNT)), receiver.uids, "splunk")


def test_token_that_stays_wrong(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Unchanged on disk: refused once per attempt, a configuration failure that buries nothing."""
    receiver.token = "another-token"
    config = bench.make_config([bench.splunk(receiver.port, **SETTINGS)])
    finished = bench.run_export(config, results(COUNT), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    splunk = finished.targets["splunk"]
    assert (splunk["delivered"], splunk["deadLetters"]) == (0, 0)
    # The deadline may end an attempt that the receiver has refused by then.
    assert receiver.strangers - splunk["retries"] in (0, 1)
    assert "check the key token of the secret" in splunk["lastFailure"]
