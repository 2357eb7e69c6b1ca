"""Which rate to try next, and what a rate needs: decisions without a machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

CORES_PER_WORKER = 1.0
RESERVE = 0.3


class Search:
    """The highest rate that holds: doubles from `start` until one does not, then halves the gap until it is `precision`.

    If `start` itself does not hold, it goes down by halves, not below `least`.
    """

    def __init__(self, start: int, least: int = 100, most: int = 10_000_000, precision: float = 0.1) -> None:
        self.low = 0
        """The highest rate that held."""
        self.high: int | None = None
        """The lowest one that did not."""
        self._start, self._least, self._most, self._precision = start, least, most, precision

    @property
    def rate(self) -> int | None:
        """The next one to try; None if it is known well enough."""
        if self.high is None:
            return None if self.low >= self._most else min(self.low * 2, self._most) or self._start
        if self.high - self.low <= self._precision * self.high or self.high <= self._least:
            return None
        if self.low == 0:
            return max(self.high // 2, self._least)
        middle = (self.low + self.high) // 2
        return middle if self.low < middle < self.high else None

    def told(self, rate: int, holds: bool) -> None:
        """What became of a try."""
        if holds:
            self.low = max(self.low, rate)
            if self.high is not None and self.high <= self.low:
                self.high = None
        else:
            self.high = rate if self.high is None else min(self.high, rate)
            # One that held before and does not any more did not hold.
            self.low = min(self.low, rate - 1) if self.low >= rate else self.low


@dataclass(frozen=True)
class Window:
    """Some seconds at one rate."""

    rate: int
    seconds: float
    issued: int
    backlog_before: int
    backlog_after: int
    p99: float | None
    """Milliseconds."""
    keeps_up: bool
    """The generator did."""
    worker_cpu: float
    """Seconds of all workers."""
    coordinator_cpu: float

    def trouble(self, most_p99: float) -> str | None:
        """Why the rate does not hold; None if it does."""
        if not self.keeps_up:
            return "the generator itself cannot keep up"
        # What a file of the generator holds, or a batch, comes and goes; what grows beyond that does not come down again.
        growth = self.backlog_after - self.backlog_before
        if growth > 0.05 * self.issued + 0.2 * self.rate:
            return f"the backlog grows by {growth / self.seconds:,.0f} a second"
        if self.p99 is None:
            return "nothing arrived"
        if self.p99 > most_p99:
            return f"p99 is {self.p99:,.0f} ms"
        return None


@dataclass(frozen=True)
class Needs:
    """What a rate needs."""

    rate: int
    workers_by_cpu: int
    """If each has `CORES_PER_WORKER` cores of its own."""
    workers_by_rate: int
    """If they stand as those that were measured, all on cores that they share."""
    coordinator_cores: float


def needs(rate: int, *, held: int, workers: int, worker_cpu: float, coordinator_cpu: float,
          reserve: float = RESERVE) -> Needs:
    """What `rate` needs, where `workers` held `held`, and a result cost so many CPU seconds of workers and coordinator.

    `reserve` is the part of every core that stays free: for what comes in bursts, and for the shards of a worker that died.
    """
    usable = 1 - reserve
    return Needs(
        rate, max(1, math.ceil(rate * worker_cpu / (CORES_PER_WORKER * usable))),
        max(1, math.ceil(rate / (held / workers * usable))) if held else 0, rate * coordinator_cpu / usable)
