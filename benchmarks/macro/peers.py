"""This exporter beside others: the same file, the same sink, in the same run."""

from __future__ import annotations

import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from members import Members, cpu_seconds, peak_bytes

from .cases import Case
from .inputs import Input, for_targets
from .measure import median, single
from .progress import say
from .rows import grouped
from .senders import ROUTES, Route, Sender, senders

PATIENCE = 600.0


@dataclass(frozen=True)
class Result:
    """What one sender needed on one route."""

    sender: str
    route: Route
    cost: float
    """CPU seconds for a million records."""
    rate: float
    peak_mb: float
    ratio: float
    """To ours."""

    @property
    def cells(self) -> list[str]:
        """As `HEADS` says."""
        return [self.route.name, self.sender, f"{self.cost:.2f}", f"{self.ratio:.2f}",
                grouped(self.rate), f"{self.peak_mb:.0f}"]

    @property
    def json(self) -> dict[str, Any]:
        """For programs."""
        return {"route": self.route.name, "sender": self.sender, "cpuSecondsPerMillion": round(self.cost, 3),
                "ratio": round(self.ratio, 3), "recordsPerSecond": round(self.rate), "peakMB": round(self.peak_mb, 1)}


HEADS = ["route", "sender", "CPU-s/million", "ratio to ours", "records/s", "peak MB"]


def ours(route: Route) -> Case:
    """The case of ours that takes a route."""
    return Case((route.service,), packed=route.packed, tls=route.tls)


def measured(program: Path, whole: Input, short: Input, rounds: int) -> tuple[list[Result], list[str]]:
    """Every sender that is there on every route that it knows; and the names of those that are not."""
    everybody = senders()
    found: list[Result] = []
    for route in ROUTES:
        results = for_targets((route.service,), whole, short)
        say(f"sidereal-export: {route.name}")
        figure = median([single(program, ours(route), results) for _ in range(rounds)])
        mine = figure.total / results.records * 1e6
        found.append(Result("sidereal-export", route, mine, results.records / figure.seconds,
                            max(figure.peak.values()) / 1e6, 1.0))
        for sender in everybody:
            if not sender.program:
                continue
            costs = [cost for _ in range(rounds) if (cost := _one(program, sender, route, results))]
            if costs:
                cost, rate, peak = (statistics.median(values) for values in zip(*costs, strict=True))
                found.append(Result(f"{sender.name} {sender.version}", route, cost, rate, peak, cost / mine))
    return found, [sender.name for sender in everybody if not sender.program]


def _one(program: Path, sender: Sender, route: Route, results: Input) -> tuple[float, float, float] | None:
    """CPU seconds for a million records beyond those of the warm-up, records a second, peak; None for a strange route."""
    with Members(program) as members:
        members.receive(tls=route.tls)
        followed = members.directory / "followed.ndjson"
        configuration = sender.configure(members, route, followed)
        if configuration is None:
            return None
        say(f"{sender.name}: {route.name}")
        shutil.copyfile(results.warm, followed)
        process = sender.launch(members, configuration)

        def arrived() -> int:
            return members.arrivals()[route.service].records

        members.wait(lambda: arrived() >= results.warm_records, PATIENCE, f"{sender.name} did not send the first records")
        used, began = cpu_seconds(process.pid), time.monotonic()
        with followed.open("ab") as file, results.counted.open("rb") as more:
            shutil.copyfileobj(more, file, 1 << 20)
        everything = results.warm_records + results.records
        members.wait(lambda: arrived() >= everything, PATIENCE, f"{sender.name} did not send everything")
        seconds = time.monotonic() - began
        # What it does with the last answers counts as well, and so does a record too many.
        time.sleep(1.0)
        if arrived() != everything:
            raise SystemExit(f"{sender.name}, {route.name}: {everything} records were issued, and {arrived()} arrived")
        cost = (cpu_seconds(process.pid) - used) / results.records * 1e6
        return cost, results.records / seconds, peak_bytes(process.pid) / 1e6
