"""Runs one case and says what it cost."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from members import Arrivals, Members, cpu_seconds, peak_bytes

from .cases import SERVICES, Case, configure, output
from .inputs import Feeder, Input, lines_below

PATIENCE = 900.0
SETTLE = 1.5
"""Seconds of a steady stream that are left out: the start."""


@dataclass
class Figure:
    """One run: seconds and bytes for each role; several workers are summed up, their peak is the highest."""

    cpu: dict[str, float]
    peak: dict[str, int]
    seconds: float
    start: float = 0.0
    """CPU seconds of what came before those that count."""
    sink: float = 0.0
    """CPU seconds of the receivers."""

    @property
    def total(self) -> float:
        """CPU seconds of the exporter."""
        return sum(self.cpu.values())


@dataclass
class Delays:
    """How long results were under way, by microseconds."""

    counts: dict[int, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many."""
        return sum(self.counts.values())

    def milliseconds(self, part: float) -> float | None:
        """That many of a hundred took no longer; None if there are none."""
        wanted, seen = self.records * part / 100, 0
        for limit in sorted(self.counts):
            seen += self.counts[limit]
            if seen >= wanted:
                return limit / 1000
        return None

    def since(self, before: Delays) -> Delays:
        """Those that came after `before` was taken."""
        counts = {limit: count - before.counts.get(limit, 0) for limit, count in self.counts.items()}
        return Delays({limit: count for limit, count in counts.items() if count})


def slowest(now: dict[str, Arrivals], before: dict[str, Arrivals], services: list[str]) -> Delays:
    """Of the receiver where they were longest since `before`: what has arrived everywhere has arrived there."""
    found = [Delays(now[service].delays).since(Delays(before[service].delays)) for service in services]
    return max(found, key=lambda delays: delays.milliseconds(99) or 0.0, default=Delays())


def check(members: Members, case: Case, issued: int) -> None:
    """Ends with a message unless every receiver has exactly what was issued."""
    arrivals = members.arrivals()
    counts = {target: arrivals[SERVICES[target]].records for target in case.targets if target in SERVICES}
    if "file" in case.targets:
        counts["file"] = lines_below(output(members))
    wrong = {target: count for target, count in counts.items() if count != issued}
    if wrong:
        raise SystemExit(f"{case.name}: {issued} results were issued, and there arrived {wrong}")


# One process

def single(program: Path, case: Case, results: Input) -> Figure:
    """Exports by `run`: what the counted results need beyond those before them; of the time, their share of all of it, for a
    difference between two times is mostly what else happened on the machine."""
    first = exported(program, case, results.warm, results.warm_records)
    whole = exported(program, case, results.both, results.warm_records + results.records)
    share = results.records / (results.warm_records + results.records)
    return Figure({"run": whole.total - first.total}, whole.peak, whole.seconds * share, first.total,
                  whole.sink - first.sink)


def exported(program: Path, case: Case, results: Path, records: int) -> Figure:
    """Exports one file, or a directory of them, by `run`."""
    with Members(program) as members:
        members.receive(tls=case.tls)
        configure(members, case)
        sink = cpu_seconds(members.pid("sandbox"))
        began = time.monotonic()
        status, usage = ended(members, launched(members, results))
        seconds = time.monotonic() - began
        if status != 0:
            raise SystemExit(f"{case.name}: {(members.directory / 'run.log').read_text()}")
        check(members, case, records)
        return Figure({"run": usage.ru_utime + usage.ru_stime}, {"run": usage.ru_maxrss * 1024}, seconds,
                      sink=cpu_seconds(members.pid("sandbox")) - sink)


def launched(members: Members, results: Path | str) -> subprocess.Popen[bytes]:
    """`run` on its way."""
    return members.launch("run", ["run", "--config", members.config, "--input", results, "--secrets",
                                  members.directory / "secrets", "--state", members.directory / "state"])


def ended(members: Members, process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """How it ended, and what it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    del members.processes["run"]
    return process.returncode, usage


# A cluster

def start(members: Members, case: Case, *, steady: bool = False) -> list[str]:
    """Starts the receivers, a coordinator `c0` and the workers of `case`, waits until each has shards; their names."""
    names = [f"w{number}" for number in range(case.workers)]
    if case.mutual:
        members.certificates(["coordinator/c0", *(f"worker/{name}" for name in names)])
    members.receive(tls=case.tls)
    configure(members, case, steady=steady)
    members.coordinator("c0")
    for name in names:
        members.worker(name)

    def holds_shards() -> bool:
        found = members.status("c0").get("workers", [])
        return isinstance(found, list) and len(found) == case.workers and all(worker["shards"] > 0 for worker in found)

    members.wait(holds_shards, 60, "the workers have no shards")
    return ["c0", *names]


def cluster(program: Path, case: Case, results: Input) -> Figure:
    """Exports by a coordinator and some workers; counted from when they are warm until everything is settled."""
    with Members(program, tls=case.mutual) as members:
        everybody = start(members, case)
        names = everybody[1:]
        targets = len(case.targets)
        os.link(results.warm, members.shared / "results" / "a.ndjson")
        members.wait(lambda: members.delivered("c0") >= results.warm_records * targets, PATIENCE,
                     "the first were not delivered")
        used = {name: cpu_seconds(members.pid(name)) for name in [*everybody, "sandbox"]}
        began = time.monotonic()
        os.link(results.counted, members.shared / "results" / "b.ndjson")
        everything = results.warm_records + results.records
        members.wait(lambda: members.delivered("c0") >= everything * targets, PATIENCE, "not everything was delivered",
                     every=0.25)
        seconds = time.monotonic() - began
        now = {name: cpu_seconds(members.pid(name)) for name in used}
        figure = Figure(
            {"coordinator": now["c0"] - used["c0"], "worker": sum(now[name] - used[name] for name in names)},
            {"coordinator": peak_bytes(members.pid("c0")),
             "worker": max(peak_bytes(members.pid(name)) for name in names)},
            seconds, sum(used[name] for name in everybody), now["sandbox"] - used["sandbox"])
        if "file" in case.targets:
            members.stop(*names)
        check(members, case, everything)
        return figure


def median(figures: list[Figure]) -> Figure:
    """The one in the middle, by CPU seconds; the highest peaks."""
    middle = sorted(figures, key=lambda figure: figure.total)[(len(figures) - 1) // 2]
    peak = {role: max(figure.peak[role] for figure in figures) for role in middle.peak}
    return Figure(middle.cpu, peak, statistics.median(figure.seconds for figure in figures),
                  statistics.median(figure.start for figure in figures),
                  statistics.median(figure.sink for figure in figures))


# At a steady rate

def delays(program: Path, case: Case, rate: int, seconds: float) -> Delays:
    """From a result's time to its arrival, at a steady rate, without the first moments; none where no sink counts."""
    if not case.services:
        return Delays()
    with Members(program, tls=case.mutual and case.workers > 0) as members:
        if case.workers:
            start(members, case, steady=True)
            feeder = Feeder(program, members.shared / "results", "steady", rate, SETTLE + seconds, seed=7)
            feeder.start()
            time.sleep(SETTLE)
            before = members.arrivals()
            feeder.join()
            members.wait(lambda: members.delivered("c0") >= feeder.issued * len(case.targets), PATIENCE,
                         "the stream was not delivered")
        else:
            members.receive(tls=case.tls)
            configure(members, case, steady=True)
            made = subprocess.Popen([str(program), "generate", "--rate", str(rate), "--count",
                                     str(round(rate * (SETTLE + seconds)))], stdout=subprocess.PIPE)
            process = members.launch("run", ["run", "--config", members.config, "--input", "-", "--secrets",
                                             members.directory / "secrets", "--state", members.directory / "state"],
                                     stdin=made.stdout)
            assert made.stdout is not None
            made.stdout.close()
            time.sleep(SETTLE)
            before = members.arrivals()
            status, _ = ended(members, process)
            made.wait()
            if status != 0:
                raise SystemExit(f"{case.name}: {(members.directory / 'run.log').read_text()}")
        return slowest(members.arrivals(), before, case.services)


# Once

def start_milliseconds(program: Path, results: Path, rounds: int) -> float:
    """From the start of `run` to the arrival of its first result, the median."""
    found: list[float] = []
    for _ in range(rounds):
        with Members(program) as members:
            members.receive()
            configure(members, Case())
            began = time.monotonic_ns()
            status, _ = ended(members, launched(members, results))
            first = members.arrivals()["elasticsearch"].first
            if status != 0 or first is None:
                raise SystemExit(f"start: {(members.directory / 'run.log').read_text()}")
            found.append((first - began) / 1e6)
    return statistics.median(found)


def stripped_bytes(program: Path, directory: Path) -> int | None:
    """Size of the program without its symbols; None where there is no `strip`."""
    tool = shutil.which("strip") or shutil.which("llvm-strip")
    if tool is None:
        return None
    bare = directory / "stripped"
    subprocess.run([tool, "-o", bare, program], check=True)
    return bare.stat().st_size
