"""Whoever counts in `make cluster-chaos` is counted on: each thing that may go wrong has to count against the cluster."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from clustertools.oracle import IDENTITIES, Count, Oracle
from clustertools.watch import Archive, Watch


class Play:
    """A cluster of which only the directory is there: two records in a file, and what is told of them."""

    def __init__(self, directory: Path) -> None:
        self.shared = directory / "shared"
        (self.shared / "results").mkdir(parents=True)
        self.records = [
            {"metadata": {"uid": f"uid-{n}", "resourceVersion": "1"},
             "spec": {"probe": {"id": f"probe-{n}"}, "audit": {"exportStatus": "Pending"}, "detail": {"value": n}}}
            for n in range(2)
        ]  # fmt: skip
        lines = [json.dumps(record) + "\n" for record in self.records]
        (self.shared / "results" / "a.ndjson").write_text("".join(lines))
        self.ends = [0, len(lines[0]), len(lines[0] + lines[1])]
        self.received: dict[str, Counter[str]] = {target: Counter() for target in IDENTITIES}
        self.oracle = Oracle(self.shared, lambda: self.received)
        self.archive = Archive(directory / "archive", self.oracle.is_unaltered)
        self.watch = Watch(self.oracle, lambda target, names: names - self.received[target].keys())

    def tell(self, file: str = "a.ndjson", **facts: object) -> None:
        """A line of the log."""
        with (self.shared / "status.log").open("a") as log:
            log.write(json.dumps({"term": 1, "file": file, **facts}) + "\n")

    def settle(self, kind: str, target: str, number: int) -> None:
        """One record is delivered, or given up."""
        facts: dict[str, Any] = {kind: [self.ends[number : number + 2]]}
        self.tell(target=target, **facts)

    def arrive(self, target: str, *numbers: int) -> None:
        """Records are there."""
        self.received[target].update(IDENTITIES[target](self.records[number]) for number in numbers)

    def write(self, name: str, *lines: object) -> None:
        """Whole lines, and one that is being written, in the file of a worker."""
        place = self.shared.parent / "archive" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a") as file:
            file.write("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))

    def count(self, target: str) -> Count:
        """What is counted by now."""
        return self.oracle.count()[target]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Nothing is told and nothing is there."""
    return Play(tmp_path)


def exported(record: dict[str, Any], **changes: object) -> dict[str, Any]:
    """As it is to arrive, and what the exporter adds."""
    spec = {key: value for key, value in record["spec"].items() if key != "audit"}
    return {"metadata": {"uid": record["metadata"]["uid"]}, "spec": spec | changes, "sidereal": {"export": {"shard": 3}}}


def test_all_is_well(play: Play) -> None:
    """Nothing counts against a cluster that did what it should, also twice."""
    for target in IDENTITIES:
        play.arrive(target, 0, 1, 1)
        play.settle("delivered", target, 0)
    play.tell(finished=list(IDENTITIES))
    assert play.watch.look() == {} and play.oracle.is_finished()
    for target in IDENTITIES:
        count = play.count(target)
        assert count.is_good and (len(count.issued), count.duplicates) == (2, 1)


def test_what_is_told_too_early_stays_false(play: Play) -> None:
    """It is there at the end, and was not when it was told: by a fact, or by a file that is finished."""
    play.arrive("splunk", 0)
    play.settle("delivered", "splunk", 0)
    play.settle("delivered", "elasticsearch", 0)
    assert play.watch.look() == {"elasticsearch": {"probe-0"}}
    play.tell(finished=["splunk"])
    assert play.watch.look() == {"splunk": {"uid-1"}}
    for target in IDENTITIES:
        play.arrive(target, 0, 1)
    play.tell(finished=["splunk", "elasticsearch"])
    assert play.watch.look() == {}
    assert play.watch.false == {"elasticsearch": {"probe-0"}, "splunk": {"uid-1"}}
    assert not play.count("splunk").false, "the count alone does not see it"


def test_a_log_that_was_made_short_is_read_anew(play: Play) -> None:
    """What it said before is known; what only the new one says is looked at."""
    play.arrive("splunk", 0)
    play.settle("delivered", "splunk", 0)
    assert play.watch.look() == {}
    (play.shared / "status.log").rename(play.shared / "old")
    play.settle("delivered", "splunk", 0)
    play.settle("delivered", "splunk", 1)
    assert play.watch.look() == {"splunk": {"uid-1"}}


def test_what_is_given_up_counts_unless_it_was_meant_to_be(play: Play) -> None:
    """And it is neither lost nor told falsely."""
    play.arrive("splunk", 0)
    play.settle("dead", "splunk", 1)
    assert play.watch.look() == {}
    play.tell(finished=["splunk"])
    assert play.watch.look() == {}
    count = play.count("splunk")
    assert (count.lost, count.false, count.dead, count.is_good) == (set(), set(), {"uid-1"}, False)
    count.planted = {"uid-1"}
    assert count.is_good


def test_losses_and_strangers_count(play: Play) -> None:
    """As they always did."""
    play.arrive("splunk", 0)
    assert play.count("splunk").lost == {"uid-1"} and not play.count("splunk").is_good
    play.arrive("splunk", 1)
    assert play.count("splunk").is_good
    play.received["splunk"]["somebody"] += 1
    assert play.count("splunk").strange == {"somebody"} and not play.count("splunk").is_good


def test_contents_are_compared(play: Play) -> None:
    """Whole lines, as they come, in files that are renamed; the identity alone is not enough."""
    first, second = (exported(record) for record in play.records)
    play.write("w0/archive-000001.ndjson.open", first, '{"metadata"')
    assert play.archive.look() == {"uid-0": 1}
    play.write("w0/archive-000001.ndjson.open", ': {"uid": "uid-1"}}\n')
    (play.shared.parent / "archive/w0/archive-000001.ndjson.open").rename(
        play.shared.parent / "archive/w0/archive-000001.ndjson")  # fmt: skip
    assert play.archive.look() == {"uid-0": 1, "uid-1": 1} and play.archive.altered == {"uid-1"}
    play.write("w1/archive-000001.ndjson.open", second, exported(play.records[0], detail={"value": 9}))
    assert play.archive.look() == {"uid-0": 2, "uid-1": 2} and play.archive.altered == {"uid-0", "uid-1"}
    play.received["archive"] = play.archive.there
    count = play.count("archive")
    assert count.is_good
    count.altered = play.archive.altered
    assert not count.is_good


def test_what_nobody_could_look_at_names_no_file(play: Play) -> None:
    """A fact about a file that was not readable says nothing that could be held against anything."""
    play.tell(file="", target="splunk", delivered=[[0, 1]])
    assert play.watch.look() == {} and play.count("splunk").false == set()
