"""Holds what is told against what is there, again and again while the cluster runs."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from clustertools.oracle import IDENTITIES, Oracle

# Of a target and names of records, those that are not there.
Absent = Callable[[str, set[str]], set[str]]


class Watch:
    """What was ever told as delivered before it was there.

    That it comes later mends nothing: whoever believed it could have removed the result.
    """

    def __init__(self, oracle: Oracle, absent: Absent) -> None:
        self._oracle = oracle
        self._absent = absent
        self._true: dict[str, set[str]] = defaultdict(set)
        self._dead: dict[str, set[str]] = defaultdict(set)
        self.false: dict[str, set[str]] = defaultdict(set)
        self.looks = 0

    def look(self) -> dict[str, set[str]]:
        """What was told falsely since the last look, by target."""
        self.looks += 1
        # In this order: what is told before it is there is found.
        told = self._oracle.told(self._oracle.fresh())
        found = {}
        for target, names in told.items():
            self._dead[target] |= names["dead"]
            # What was given up says so in earlier lines than the one that finishes its file.
            fresh = names["delivered"] - self._true[target] - self._dead[target]
            missing = self._absent(target, fresh) if fresh else set()
            self._true[target] |= fresh - missing
            if missing - self.false[target]:
                found[target] = missing - self.false[target]
            self.false[target] |= missing
        return found


class Archive:
    """The files of a file target, in a directory for each worker, read on as they grow."""

    def __init__(self, directory: Path, is_unaltered: Callable[[bytes], bool]) -> None:
        self._directory = directory
        self._is_unaltered = is_unaltered
        # By inode, as an open file is renamed when it is finished.
        self._read: dict[int, int] = {}
        self.there: Counter[str] = Counter()
        self.altered: set[str] = set()

    def look(self) -> Counter[str]:
        """What is there by now."""
        # A file that got its final name meanwhile is read under that.
        while not self._look():
            pass
        return self.there

    def _look(self) -> bool:
        is_whole = True
        for path in sorted(self._directory.glob("*/*.ndjson*")):
            try:
                with path.open("rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    file.seek(self._read.get(inode, 0))
                    data = file.read()
            except FileNotFoundError:
                is_whole = False
                continue
            whole = data[: data.rfind(b"\n") + 1]
            self._read[inode] = self._read.get(inode, 0) + len(whole)
            for line in whole.splitlines():
                uid = IDENTITIES["archive"](json.loads(line))
                self.there[uid] += 1
                if not self._is_unaltered(line):
                    self.altered.add(uid)
        return is_whole
