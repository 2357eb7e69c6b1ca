"""The highest steady rate that a cluster holds."""

from __future__ import annotations

import time
from pathlib import Path

from members import Members, cpu_seconds

from .cases import Case
from .inputs import Feeder
from .measure import PATIENCE, SETTLE, check, slowest, start
from .plan import Window
from .progress import say


class Cluster:
    """A cluster that is tried at one rate after the other."""

    def __init__(self, program: Path, members: Members, case: Case, seconds: float) -> None:
        self._program, self._members, self._case, self._seconds = program, members, case, seconds
        self._names = start(members, case, steady=True)
        self._issued = 0
        self._windows = 0

    def window(self, rate: int, seconds: float | None = None) -> Window:
        """Some seconds at `rate`, and until everything is delivered."""
        seconds = seconds or self._seconds
        members = self._members
        self._windows += 1
        feeder = Feeder(self._program, members.shared / "results", f"{self._windows:04}", rate, SETTLE + seconds,
                        seed=1_000 + self._windows)
        feeder.start()
        time.sleep(SETTLE)
        before, used = members.arrivals(), self._cpu()
        issued, backlog = feeder.issued, self._backlog(feeder)
        began = time.monotonic()
        while time.monotonic() < began + seconds and feeder.is_alive():
            time.sleep(0.05)
        keeps_up = feeder.keeps_up
        backlog_after, issued_after = self._backlog(feeder), feeder.issued
        now, lasted = self._cpu(), time.monotonic() - began
        # Results of the window that are still under way are late too, so all are waited for before the delays are read.
        feeder.join(0.5)
        if feeder.is_alive():
            feeder.stop()
        self._issued += feeder.issued
        self._drain()
        delays = slowest(members.arrivals(), before, self._case.services)
        for path in feeder.files:
            path.unlink()
        return Window(rate, lasted, issued_after - issued, backlog, backlog_after, delays.milliseconds(99), keeps_up,
                      sum(now[name] - used[name] for name in self._names[1:]), now["c0"] - used["c0"])

    def close(self) -> None:
        """Counts once more."""
        check(self._members, self._case, self._issued)

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds(self._members.pid(name)) for name in self._names}

    def _backlog(self, feeder: Feeder) -> int:
        arrivals = self._members.arrivals()
        return self._issued + feeder.issued - min(arrivals[service].records for service in self._case.services)

    def _drain(self) -> None:
        wanted = self._issued * len(self._case.targets)
        self._members.wait(lambda: self._members.delivered("c0") >= wanted, PATIENCE, "the backlog was not delivered")
        # The leader notes a file as finished right after its last result.
        time.sleep(1.0)


def held(cluster: Cluster, rate: int, most_p99: float, seconds: float | None = None) -> tuple[bool, Window]:
    """Whether a rate holds, in one of two tries: a single hiccup of the machine is no limit of the cluster."""
    for attempt in (1, 2):
        window = cluster.window(rate, seconds)
        trouble = window.trouble(most_p99)
        p99 = "–" if window.p99 is None else f"{window.p99:,.0f} ms"
        say(f"{rate:>9,} results/s: p99 {p99}, backlog {window.backlog_before:,} → {window.backlog_after:,}, "
            f"{'holds' if trouble is None else trouble}")
        if trouble is None:
            return True, window
        if not window.keeps_up or attempt == 2:
            break
    return False, window
