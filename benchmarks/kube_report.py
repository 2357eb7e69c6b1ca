"""What the benchmark of Kubernetes has found, as a table, and what it is to be."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]

LEAST_RATIO = 0.95
MOST_CPU_SHARE = 0.10
MOST_REQUESTS = 2.0
MOST_P99_SECONDS = 5.0
MOST_MB = 150
MOST_CORES = 0.9


@dataclass
class Goal:
    """A figure, and what it is to be."""

    what: str
    found: float
    bound: float
    is_most: bool = True

    @property
    def is_met(self) -> bool:
        """Whether it is on the right side."""
        return self.found <= self.bound if self.is_most else self.found >= self.bound


def ratio(rounds: list[Figures]) -> float:
    """The exporter's patches a second in relation to the bare client's, each the median over rounds: of two that follow one
    another the second may have it easier, and each is second as often as first."""
    def rate(who: str) -> float:
        return statistics.median(entry[who]["patchesPerSecond"] for entry in rounds)

    return rate("exporter") / rate("bare")


def middle(rounds: list[Figures], key: str) -> float:
    """The median over rounds."""
    return statistics.median(entry[key] for entry in rounds)


def table(report: Figures) -> None:
    """Prints what was found, aligned."""
    print(f"kube-apiserver {report['server']}, {report['load']}; the watch was resumed {report['watchResumed']} times")
    for row in report.get("delay", []):
        print(f"delay, {row['rate']}/s{'':<8} p50 {row['p50']:>6.2f} s   p99 {row['p99']:>6.2f} s   highest"
              f" {row['highest']:>6.2f} s   created {row['createdPerSecond']}/s, {row['patchesPerResult']} patches for a result")
        print(f"{'':<20} cores: {', '.join(f'{role} {value}' for role, value in row['cores'].items())}"
              f"{' (all there are: no goal)' if is_saturated(row) else ''}")
        print(f"{'':<20} requests for a result: {', '.join(f'{key} {value}' for key, value in row['requests'].items())}")
    if "patches" in report:
        print(f"patches: {report['processors']}")
    for number, row in enumerate(report.get("patches", []), 1):
        for who in ("bare", "exporter"):
            spent = ", ".join(f"{role} {value}" for role, value in row[who]["millisecondsPerPatch"].items() if value)
            print(f"patches, round {number}    {who:<9} {row[who]['patchesPerSecond']:>7.1f}/s   API server and etcd busy"
                  f" {row[who]['serverBusy']:.0%}; CPU ms for each: {spent}")
        print(f"{'':<20} {row['patchesPerResult']:.2f} for a result; requests:"
              f" {', '.join(f'{key} {value}' for key, value in row['requests'].items())}")
    if row := report.get("memory"):
        print(f"memory, {row['pending']}{'':<5} coordinator {row['heldMB']} MB while nobody takes any, {row['peakMB']} MB at the"
              f" end ({row['delivered']} delivered); worker {row['workerMB']} MB; kube-apiserver {row['apiServerMB']} MB")


def is_saturated(row: Figures) -> bool:
    """Whether API server, etcd and exporter took all the CPU there is, and results had to wait for that."""
    return sum(value for role, value in row["cores"].items() if role != "load client") > MOST_CORES * (os.cpu_count() or 1)


def goals(report: Figures) -> list[Goal]:
    """What the figures are to be."""
    found = [Goal(f"seconds to Exported at {row['rate']}/s, p99", row["p99"], MOST_P99_SECONDS)
             for row in report.get("delay", []) if not is_saturated(row)]
    if rounds := report.get("patches"):
        found += [Goal("patches a second in relation to the bare client's", ratio(rounds), LEAST_RATIO, False),
                  Goal("coordinators' CPU in relation to kube-apiserver's", middle(rounds, "cpuShare"), MOST_CPU_SHARE),
                  Goal("patches for a result", middle(rounds, "patchesPerResult"), MOST_REQUESTS)]
    if row := report.get("memory"):
        found.append(Goal("coordinator MB", row["peakMB"], MOST_MB))
    return found
