"""What the figures are held against."""

from __future__ import annotations

from dataclasses import dataclass

from .cases import THREE, Case
from .rows import Row

SINGLE_GZIP, SINGLE_PLAIN = 3.0, 2.0
TLS_RATIO, THREE_RATIO, CLUSTER_RATIO = 1.25, 2.2, 1.5
GROWTH = 1.25
PEAK_MB = 150.0
START_MS, BINARY_MB = 150.0, 40.0


@dataclass(frozen=True)
class Goal:
    """A figure and the most that it may be."""

    what: str
    found: float
    most: float

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.found <= self.most

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.what}: {self.found:.2f} (goal: at most {self.most:g}){'' if self.met else ' MISSED'}"


def goals(rows: list[Row], start_ms: float | None, binary_mb: float | None) -> list[Goal]:
    """Those for which there are figures."""
    by_case = {row.case: row for row in rows}
    one, found = by_case.get(Case()), []

    def ratio(what: str, over: Case, under: Case, most: float) -> None:
        if over in by_case and under in by_case:
            found.append(Goal(what, by_case[over].cost / by_case[under].cost, most))

    for case, most in [(Case(), SINGLE_GZIP), (Case(packed=False), SINGLE_PLAIN)]:
        if case in by_case:
            found.append(Goal(f"{case.name}: CPU-s per million", by_case[case].cost, most))
    ratio("TLS to none, gzip", Case(tls=True), Case(), TLS_RATIO)
    ratio("TLS to none, plain", Case(tls=True, packed=False), Case(packed=False), TLS_RATIO)
    ratio("three targets to one", Case(THREE), Case(), THREE_RATIO)
    peaks = [row.peak_mb for row in rows if not row.case.workers]
    if peaks:
        found.append(Goal("peak of one process, MB", max(peaks), PEAK_MB))
    members = [row for row in rows if row.case.workers and row.case.but(workers=0, mutual=True) == Case()]
    if one:
        found += [Goal(f"{row.case.name}: to the single process", row.cost / one.cost, CLUSTER_RATIO) for row in members]
    same = sorted((row for row in members if row.case.mutual), key=lambda row: row.case.workers)
    if len(same) > 1:
        found.append(Goal("most workers to fewest, for a result", same[-1].cost / same[0].cost, GROWTH))
    if start_ms is not None:
        found.append(Goal("start to first result delivered, ms", start_ms, START_MS))
    if binary_mb is not None:
        found.append(Goal("binary without symbols, MB", binary_mb, BINARY_MB))
    return found
