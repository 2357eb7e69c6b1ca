"""Counts from what was issued, what the receivers have, and what the status log says."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By the names of targets, what each knows a record by: HEC shows the object's uid, Elasticsearch's _id is the probe's.
IDENTITIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "splunk": lambda record: str(record["metadata"]["uid"]),
    "elasticsearch": lambda record: str(record["spec"]["probe"]["id"]),
    "archive": lambda record: str(record["metadata"]["uid"]),
}
# For each target, how often each record is there.
Received = Mapping[str, Mapping[str, int]]


@dataclass
class Count:
    """One target's."""

    issued: set[str]
    there: Mapping[str, int]
    dead: set[str]
    # Neither there nor given up.
    lost: set[str]
    # Called delivered, and not there.
    false: set[str]
    # There, and never issued.
    strange: set[str]
    # There, and not what was issued.
    altered: Set[str] = frozenset()
    # To be refused, since somebody meant them to be.
    planted: Set[str] = frozenset()

    @property
    def duplicates(self) -> int:
        """Arrivals beyond the first of each."""
        return sum(self.there.values()) - len(self.there)

    @property
    def is_good(self) -> bool:
        """Nothing is lost, given up without having been meant to, told falsely, altered, or made up."""
        return not (self.lost or self.false or self.strange or self.altered or self.dead - self.planted)


class Oracle:
    """Of a cluster whose coordinators share a directory."""

    def __init__(self, shared: Path, received: Callable[[], Received]) -> None:
        self._results = shared / "results"
        self._log = shared / "status.log"
        self._received = received
        self._lines: dict[str, dict[int, dict[str, str]]] = {}
        # By uid, what is to arrive, as a number that stands for it.
        self._contents: dict[str, int] = {}
        # How far the log was read, and which file that was.
        self._read = (0, 0)

    def count(self) -> dict[str, Count]:
        """Everything, by target."""
        # In this order: what is told before it is there would be found.
        told = self.told(self.entries())
        received = self._received()
        counts = {}
        for target in received:
            names = [self.names(file, target).values() for file in self.files()]
            issued = {name for some in names for name in some}
            there, dead = received[target], told[target]["dead"]
            counts[target] = Count(
                issued, there, dead, lost=issued - there.keys() - dead,
                false=told[target]["delivered"] - there.keys(), strange=there.keys() - issued,
            )  # fmt: skip
        return counts

    def files(self) -> set[str]:
        """Names of the files that there are."""
        return {path.name for path in self._results.glob("*.ndjson")}

    def is_finished(self, files: set[str] | None = None) -> bool:
        """Whether the log calls these files finished, or all."""
        wanted = self.files() if files is None else files
        return wanted <= {entry["file"] for entry in self.entries() if "finished" in entry}

    def entries(self) -> list[dict[str, Any]]:
        """Lines of the log, in order; one that was never finished is left out."""
        try:
            return _parsed(self._log.read_bytes())
        except OSError:
            return []

    def fresh(self) -> list[dict[str, Any]]:
        """Lines of the log since the last time; all of them after it was made short."""
        try:
            with self._log.open("rb") as log:
                status = os.fstat(log.fileno())
                file, position = self._read
                if file != status.st_ino or status.st_size < position:
                    position = 0
                log.seek(position)
                data = log.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read = (status.st_ino, position + len(whole))
        return _parsed(whole)

    def is_unaltered(self, line: bytes) -> bool:
        """Whether a line that arrived is the record that was issued under its uid."""
        record = json.loads(line)
        uid = str(record["metadata"]["uid"])
        if uid not in self._contents:
            for file in self.files() - self._lines.keys():
                self.names(file, "splunk")
        # What the exporter adds.
        record.pop("sidereal", None)
        return self._contents.get(uid) == hash(json.dumps(record, sort_keys=True))

    def names(self, file: str, target: str) -> dict[int, str]:
        """What the target knows each record of a file by, keyed by where its line begins."""
        if file not in self._lines:
            found, at = {}, 0
            for line in (self._results / file).read_bytes().splitlines(keepends=True):
                record = json.loads(line)
                found[at] = {name: identity(record) for name, identity in IDENTITIES.items()}
                at += len(line)
                # What changes in the cluster is not exported.
                record["metadata"].pop("resourceVersion", None)
                record["spec"].pop("audit", None)
                self._contents[str(record["metadata"]["uid"])] = hash(json.dumps(record, sort_keys=True))
            self._lines[file] = found
        return {at: names[target] for at, names in self._lines[file].items()}

    def told(self, entries: list[dict[str, Any]]) -> dict[str, dict[str, set[str]]]:
        """For each target, what these lines call delivered and dead."""
        told: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"delivered": set(), "dead": set()})
        finished: list[tuple[str, str]] = []
        for entry in entries:
            finished += [(entry["file"], target) for target in entry.get("finished", [])]
            for kind in ("delivered", "dead"):
                # A file that nobody could look at has no name yet.
                for start, end in entry.get(kind, []) if entry["file"] else []:
                    names = self.names(entry["file"], entry["target"])
                    told[entry["target"]][kind].update(name for at, name in names.items() if start <= at < end)
        # A finished file has every record settled, and says no more which way.
        for name, target in finished:
            told[target]["delivered"].update(set(self.names(name, target).values()) - told[target]["dead"])
        return told


def _parsed(lines: bytes) -> list[dict[str, Any]]:
    found = []
    for line in lines.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
