"""Counts from what was issued, what the receivers have, and what the status log says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By the names of targets, what each knows a record by: HEC shows the object's uid, Elasticsearch's _id is the probe's.
IDENTITIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "splunk": lambda record: str(record["metadata"]["uid"]),
    "elasticsearch": lambda record: str(record["spec"]["probe"]["id"]),
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

    @property
    def duplicates(self) -> int:
        """Arrivals beyond the first of each."""
        return sum(self.there.values()) - len(self.there)

    @property
    def is_good(self) -> bool:
        """Nothing is lost, told falsely, or made up."""
        return not (self.lost or self.false or self.strange)


class Oracle:
    """Of a cluster whose coordinators share a directory."""

    def __init__(self, shared: Path, received: Callable[[], Received]) -> None:
        self._results = shared / "results"
        self._log = shared / "status.log"
        self._received = received
        self._lines: dict[str, dict[int, dict[str, str]]] = {}

    def count(self) -> dict[str, Count]:
        """Everything, by target."""
        # In this order: what is told before it is there would be found.
        told = self._settled()
        received = self._received()
        counts = {}
        for target in IDENTITIES:
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
        found = []
        try:
            lines = self._log.read_bytes().splitlines()
        except OSError:
            return []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def names(self, file: str, target: str) -> dict[int, str]:
        """What the target knows each record of a file by, keyed by where its line begins."""
        if file not in self._lines:
            found, at = {}, 0
            for line in (self._results / file).read_bytes().splitlines(keepends=True):
                record = json.loads(line)
                found[at] = {name: identity(record) for name, identity in IDENTITIES.items()}
                at += len(line)
            self._lines[file] = found
        return {at: names[target] for at, names in self._lines[file].items()}

    def _settled(self) -> dict[str, dict[str, set[str]]]:
        """For each target, what the log calls delivered and dead."""
        told: dict[str, dict[str, set[str]]] = {t: {"delivered": set(), "dead": set()} for t in IDENTITIES}
        finished = set()
        for entry in self.entries():
            if "finished" in entry:
                finished.add(entry["file"])
            for kind in ("delivered", "dead"):
                for start, end in entry.get(kind, []):
                    names = self.names(entry["file"], entry["target"])
                    told[entry["target"]][kind].update(name for at, name in names.items() if start <= at < end)
        # A finished file has every record settled, and says no more which way.
        for name in finished:
            for target in IDENTITIES:
                told[target]["delivered"].update(set(self.names(name, target).values()) - told[target]["dead"])
        return told
