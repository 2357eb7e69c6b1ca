"""Patches by the exporter beside those of a bare client, at an API server whose processors neither of them uses."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime

from kube_bench import AT_ONCE, COORDINATORS, Bench, per_result, say  # first: it knows where the others are
from kube_client import MERGE, RESULTS, place
from kube_report import Figures


class Phase:
    """Patches a second, and who computes how much, between the 5th and the 95th percentile of patches."""

    def __init__(self, bench: Bench, count: int) -> None:
        self.bench = bench
        self.marks: list[tuple[float, int, dict[str, float]]] = []
        bench.observer.reset()
        self.seen = bench.observer.seen
        for part in (0.05, 0.95):
            bench.observer.when_patched(int(count * part), self.mark)

    def mark(self) -> None:
        """Notes where everybody is."""
        self.marks.append((time.monotonic(), len(self.seen.patches), self.bench.cpu()))

    def figures(self) -> Figures:
        """What was between."""
        (began, first, before), (ended, last, after) = self.marks
        used = {role: round(after[role] - before[role], 2) for role in after}
        busy = (used["kube-apiserver"] + used["etcd"]) / (ended - began) / len(self.bench.processors.server)
        return {"patchesPerSecond": round((last - first) / (ended - began), 1), "cpuSeconds": used,
                "serverBusy": round(busy, 3),
                "millisecondsPerPatch": {role: round(1000 * value / (last - first), 3) for role, value in used.items()}}


def bare_client(bench: Bench, count: int, namespace: str) -> Figures:
    """Patches by a client that does nothing else."""
    bench.stop_coordinators()
    say(f"{count} results for the bare client")
    objects = bench.fill(count, namespace)
    marks = json.dumps({"search": "delivered", "splunk": "delivered"}, separators=(",", ":"))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def body(version: str) -> bytes:
        # As long as a uid: the server does not compare it.
        notes = {"export.sidereal.cloud/targets": marks, "export.sidereal.cloud/targets-of": str(uuid.UUID(int=0))}
        metadata = {"resourceVersion": version, "annotations": notes}
        document = {"metadata": metadata, "spec": {"audit": {"exportStatus": "Exported", "exportedAt": now}}}
        return json.dumps(document, separators=(",", ":")).encode()

    made = [bench.account.request("PATCH", place(RESULTS, namespace, name), body(version), MERGE) for name, version in objects]
    phase = Phase(bench, count)
    bench.sender.send(bench.account, made, AT_ONCE)
    bench.wait(lambda: len(phase.seen.patches) == count, 60, "the watch lags")
    found = phase.figures()
    say(f"bare client: {found['patchesPerSecond']} patches/s")
    bench.remove(objects, namespace)
    return found


def exporter(bench: Bench, count: int, namespace: str) -> Figures:
    """Patches by the exporter, which finds a backlog."""
    bench.stop_coordinators()
    say(f"{count} results for the exporter")
    objects = bench.fill(count, namespace)
    phase = Phase(bench, count)
    requests = bench.requests()
    for name in COORDINATORS:
        bench.members.coordinator(name)
    bench.wait(lambda: len(phase.seen.exported) == count, 600, f"{len(phase.seen.exported)} of {count} are exported")
    time.sleep(1)
    found = phase.figures()
    found["patchesPerResult"] = len(phase.seen.patches) / count
    found["requests"] = per_result(requests, bench.requests(), count)
    say(f"exporter: {found['patchesPerSecond']} patches/s, {found['patchesPerResult']:.2f} for a result")
    bench.remove(objects, namespace)
    bench.wait_ready()
    return found


def patches(bench: Bench, count: int, number: int) -> Figures:
    """The exporter on a backlog beside a bare client; in every other round it is the exporter that comes first."""
    say(f"patches, round {number}")
    if number % 2:
        bare = bare_client(bench, count, f"bare-{number}")
        found = exporter(bench, count, f"backlog-{number}")
    else:
        found = exporter(bench, count, f"backlog-{number}")
        bare = bare_client(bench, count, f"bare-{number}")
    used = found["cpuSeconds"]
    return {"bare": bare, "exporter": found, "ratio": found["patchesPerSecond"] / bare["patchesPerSecond"],
            "cpuShare": used["coordinators"] / used["kube-apiserver"],
            "patchesPerResult": found.pop("patchesPerResult"), "requests": found.pop("requests")}


def all_patches(bench: Bench, count: int, rounds: int) -> list[Figures]:
    """All rounds, after one by each that does not count: an API server that has just been started is slower."""
    say("patches that do not count")
    bare_client(bench, count // 2, "bare-0")
    exporter(bench, count // 2, "backlog-0")
    return [patches(bench, count, number + 1) for number in range(rounds)]
