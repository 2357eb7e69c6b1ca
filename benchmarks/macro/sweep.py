"""How the cost of a result grows with what may grow: its size, batches, targets, workers, and what waits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from members import Members

from .cases import THREE, Case, configure
from .inputs import Input, generated
from .measure import Figure, check, cluster, launched, median, single
from .progress import say
from .rows import grouped

PADDINGS = (0, 1_200, 3_600, 8_400)
BATCHES = (100, 500, 2_000, 10_000)
TARGETS = (("elasticsearch",), ("elasticsearch", "splunk"), THREE)
PART = 0.3
"""Of a backlog, the part at its beginning and at its end whose rates are compared."""
FILE_RECORDS = 10_000
"""Of each of the inputs of a backlog, which are all the same file under many names."""


@dataclass(frozen=True)
class Point:
    """The cost at one value of what grows."""

    what: str
    value: str
    cost: float
    """CPU seconds for a million results."""
    rate: float
    megabytes: float
    """A second."""
    peak_mb: float

    @property
    def cells(self) -> list[str]:
        """As `HEADS` says."""
        return [self.value, f"{self.cost:.2f}", grouped(self.rate), f"{self.megabytes:.0f}",
                f"{self.peak_mb:.0f}"]


HEADS = ["", "CPU-s/million", "records/s", "MB/s", "peak MB"]


def _point(what: str, value: str, results: Input, figures: list[Figure]) -> Point:
    figure = median(figures)
    return Point(what, value, figure.total / results.records * 1e6, results.records / figure.seconds,
                 results.megabytes / figure.seconds, max(figure.peak.values()) / 1e6)


def swept(program: Path, directory: Path, warm: int, count: int, workers: list[int], rounds: int) -> list[Point]:
    """All of them but the backlog."""
    found: list[Point] = []

    def measure(what: str, value: str, results: Input, once: Callable[[], Figure]) -> None:
        say(f"{what}: {value}")
        found.append(_point(what, value, results, [once() for _ in range(rounds)]))

    for padding in PADDINGS:
        # As many bytes for each size, at least a fifth of the records.
        share = max(0.2, 1_220 / (1_220 + padding))
        results = generated(program, directory, round(warm * share), round(count * share), padding)
        measure("size of a record", f"{results.bytes_per_record} bytes", results, partial(single, program, Case(), results))
    results = generated(program, directory, warm, count)
    for batch in BATCHES:
        case = Case(batch=batch)
        measure("records of a batch", str(batch), results, partial(single, program, case, results))
    for targets in TARGETS:
        case = Case(targets)
        measure("targets", ", ".join(targets), results, partial(single, program, case, results))
    for number in workers:
        case = Case(workers=number)
        measure("workers", str(number), results, partial(cluster, program, case, results))
    return found


@dataclass(frozen=True)
class Sample:
    """What was delivered by a time, and the memory then."""

    seconds: float
    records: int
    resident: int


@dataclass(frozen=True)
class Backlog:
    """How a process fared with many results waiting."""

    records: int
    rate_first: float
    rate_last: float
    memory_first: float
    """MB, the most while the first part was delivered."""
    memory_last: float

    @property
    def drift(self) -> float:
        """The rate at the end to that at the beginning."""
        return self.rate_last / self.rate_first


def read(samples: list[Sample], records: int, part: float = PART) -> Backlog:
    """What the samples say: the first tenth, in which memory is filled for the first time, is left out."""
    def between(low: float, high: float) -> list[Sample]:
        return [sample for sample in samples if low * records <= sample.records <= high * records]

    first, last = between(0.1, 0.1 + part), between(1 - part, 1)
    if len(first) < 2 or len(last) < 2:
        raise SystemExit(f"{records} records are delivered too soon to compare the beginning with the end; take more")

    def rate(some: list[Sample]) -> float:
        return (some[-1].records - some[0].records) / (some[-1].seconds - some[0].seconds)

    return Backlog(records, rate(first), rate(last), max(sample.resident for sample in first) / 1e6,
                   max(sample.resident for sample in last) / 1e6)


def backlog(program: Path, directory: Path, records: int) -> Backlog:
    """Exports that many, which all lie there at the start, by `run`."""
    results = generated(program, directory, 0, FILE_RECORDS)
    place = directory / "backlog"
    place.mkdir()
    files = max(1, records // FILE_RECORDS)
    for number in range(files):
        os.link(results.counted, place / f"{number:06}.ndjson")
    with Members(program) as members:
        members.receive()
        configure(members, Case())
        process = launched(members, place)
        samples: list[Sample] = []
        began = time.monotonic()
        while process.poll() is None:
            samples.append(Sample(time.monotonic() - began, members.arrivals()["elasticsearch"].records,
                                  resident(process.pid)))
            time.sleep(0.1)
        if members.processes.pop("run").returncode != 0:
            raise SystemExit(f"backlog: {(members.directory / 'run.log').read_text()}")
        check(members, Case(), files * FILE_RECORDS)
    return read(samples, files * FILE_RECORDS)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds now."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
