"""What goes wrong in a cluster, one fault after the other, each mended after a while."""

from __future__ import annotations

import signal
import time

from clustertools.members import COORDINATORS, TARGETS, WORKERS, Cluster
from clustertools.wires import RESET, SILENT, SILENT_DOWN, SILENT_UP

KINDS = ["kill leader", "kill worker", "kill", "stop leader", "stop worker", "outage", "errors",
         "cut leader", "cut worker", "cut from a target"]


class Chaos:
    """All kinds of faults in turn, in an order that is drawn anew for each round; each is mended after a while."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.counts: dict[str, int] = {}
        # Of the cuts among them, how they were made.
        self.cuts: dict[str, int] = {}
        self.deck: list[str] = []
        self.mend: list[tuple[float, str, str]] = []

    def step(self, now: float) -> None:
        """Mends what is due; begins a new fault if not too much is broken."""
        for item in [item for item in self.mend if item[0] <= now]:
            self.mend.remove(item)
            self.end(item[1], item[2])
        if len(self.mend) >= 3:
            return
        random = self.cluster.random
        busy = {name for _, _, name in self.mend}
        members = [name for name in COORDINATORS + WORKERS if name not in busy]
        if not self.deck:
            self.deck = random.sample(KINDS, len(KINDS))
        kind = self.deck.pop()
        leader = self.cluster.leader()
        if kind in ("outage", "errors"):
            target = random.choice(list(TARGETS))
            if kind == "outage":
                self.cluster.fault(target, outageMs=random.randint(2_000, 8_000))
            else:
                self.cluster.fault(target, failRate=random.choice([0, 0.2]), resetRate=random.choice([0, 0.05]),
                                   commitThenResetRate=random.choice([0, 0.05]))
            return self.note(kind, target)
        if kind == "cut from a target":
            return self.cut(kind, f"{random.choice(WORKERS)} > {random.choice(list(TARGETS))}", busy, now)
        chosen = {"leader": leader, "worker": random.choice(WORKERS)}.get(kind.split()[-1], random.choice(members))
        if chosen is None or chosen not in members:
            return
        if kind.startswith("cut"):
            label = chosen if kind == "cut leader" else f"{chosen} > coordinators"
            return self.cut(kind, label, busy, now)
        if kind.startswith("stop"):
            # Longer than any lease, now and then.
            self.cluster.processes[chosen].send_signal(signal.SIGSTOP)
            self.cluster.stopped.add(chosen)
            self.mend.append((now + random.uniform(1, 9), "resume", chosen))
        else:
            self.cluster.kill(chosen)
            self.mend.append((now + random.uniform(0.5, 5), "start", chosen))
        self.note(kind, chosen)

    def cut(self, kind: str, label: str, busy: set[str], now: float) -> None:
        """Cuts what has this label, in one of the ways in which networks fail."""
        if label in busy or self.cluster.wires is None:
            return
        how = self.cluster.random.choice([SILENT, SILENT, SILENT_UP, SILENT_DOWN, RESET])
        self.cluster.wires.cut(label, how)
        self.mend.append((now + self.cluster.random.uniform(1, 12), "mend", label))
        self.cuts[how] = self.cuts.get(how, 0) + 1
        self.note(kind, f"{label}, {how}")

    def end(self, what: str, name: str) -> None:
        """Mends one fault."""
        if what == "start":
            self.cluster.start(name)
        elif what == "resume":
            self.cluster.resume(name)
        elif self.cluster.wires is not None:
            self.cluster.wires.mend(name)

    def note(self, kind: str, name: str) -> None:
        """Counts and tells a fault."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        print(f"  {time.strftime('%T')} {kind}: {name}", flush=True)

    def heal(self) -> None:
        """Mends everything."""
        for _, what, name in self.mend:
            self.end(what, name)
        self.mend = []
        for target in TARGETS:
            self.cluster.fault(target, failRate=0, resetRate=0, commitThenResetRate=0, outageMs=0)
        for name in COORDINATORS + WORKERS:
            if self.cluster.processes[name].poll() is not None:
                print(f"  {name} had ended with {self.cluster.processes[name].returncode} by itself", flush=True)
                self.counts["ended by itself"] = self.counts.get("ended by itself", 0) + 1
                self.cluster.start(name)
