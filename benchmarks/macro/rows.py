"""Rows of figures, as text, Markdown and JSON."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from members import load

from .cases import Case
from .measure import Delays, Figure

Json = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """The figures of one case."""

    case: Case
    figure: Figure
    records: int
    megabytes: float
    delays: Delays
    steady: int = 0
    """Results a second while delays were measured."""

    @property
    def cost(self) -> float:
        """CPU seconds for a million results."""
        return self.figure.total / self.records * 1e6

    @property
    def peak_mb(self) -> float:
        """Of the largest process."""
        return max(self.figure.peak.values()) / 1e6

    @property
    def json(self) -> Json:
        """For programs."""
        million = self.records / 1e6
        return {
            "case": self.case.name, "targets": list(self.case.targets), "gzip": self.case.packed, "tls": self.case.tls,
            "workers": self.case.workers, "cpuSecondsPerMillion": round(self.cost, 3),
            "cpuSecondsPerMillionByRole": {role: round(value / million, 3) for role, value in self.figure.cpu.items()},
            "recordsPerSecond": round(self.records / self.figure.seconds),
            "megabytesPerSecond": round(self.megabytes / self.figure.seconds, 1),
            "steadyRate": self.steady, "p50Milliseconds": self.delays.milliseconds(50), "p99Milliseconds": self.delays.milliseconds(99),
            "peakMB": {role: round(value / 1e6, 1) for role, value in self.figure.peak.items()},
            "startCPUSeconds": round(self.figure.start, 3),
            "sinkCPUSecondsPerMillion": round(self.figure.sink / million, 3),
        }

    @property
    def cells(self) -> list[str]:
        """As `HEADS` says."""
        million = self.records / 1e6
        parts = "" if not self.case.workers else ", ".join(
            f"{role} {value / million:.2f}" for role, value in self.figure.cpu.items())
        p50, p99 = (span(self.delays.milliseconds(part)) for part in (50, 99))
        steady = grouped(self.steady) if self.delays.records else "–"
        peaks = " / ".join(f"{value / 1e6:.0f}" for value in self.figure.peak.values())
        return [self.case.name, f"{self.cost:.2f}", grouped(self.records / self.figure.seconds),
                f"{self.megabytes / self.figure.seconds:.0f}", p50, p99, steady, peaks, f"{self.figure.sink / million:.2f}" if self.case.services else "–", parts]


HEADS = ["case", "CPU-s/million", "records/s", "MB/s", "p50", "p99", "at records/s", "peak MB", "sink's CPU-s/million", "of these"]
LEFT = {"case", "route", "targets", "of these", "sender", ""}
"""Columns of words; all others are numbers."""


def grouped(number: float) -> str:
    """Rounded, its digits in groups."""
    return f"{number:,.0f}".replace(",", " ")


def span(milliseconds: float | None) -> str:
    """A time for people."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def text_table(heads: list[str], rows: list[list[str]]) -> str:
    """Aligned."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for row in [heads, ["─" * width for width in widths], *rows]:
        cells = [cell.ljust(width) if head in LEFT else cell.rjust(width)
                 for head, cell, width in zip(heads, row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """For documents."""
    marks = ["---" if head in LEFT else "---:" for head in heads]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, marks, *rows])


def machine() -> str:
    """Where and when this is measured."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{datetime.date.today()}, {os.cpu_count()} CPUs ({model}), Linux {platform.release()}, {load()}"
