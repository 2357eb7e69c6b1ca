"""Everybody whom the benchmark of Kubernetes needs: an API server, an exporter's members, a sink, and a client that loads it."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "Tests" / "EndToEnd"), str(HERE.parent / "Tests" / "Chart")]

from api_server import SYSTEM, ApiServer, probe_result  # noqa: E402
from kube_client import RESULTS, place  # noqa: E402
from kube_load import Answer, Caller, Observer, Sender  # noqa: E402
from members import Members, cpu_seconds  # noqa: E402
from ports import free_port  # noqa: E402
from rules import COORDINATOR, install_rules  # noqa: E402

COORDINATORS = ["c0", "c1"]
TOKEN = "token-of-the-benchmark"
AT_ONCE = 8
PIECE = 5_000
COUNTED = re.compile(r'^apiserver_request_total\{(.*)\} (\S+)$', re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def say(text: str) -> None:
    """How far it is, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Processors:
    """Which of this machine's API server and etcd have, and which everybody else."""

    server: frozenset[int]
    others: frozenset[int]

    @classmethod
    def apart(cls) -> Self:
        """Half of them each; all for all if there is but one."""
        known = sorted(os.sched_getaffinity(0))
        half = len(known) // 2
        return cls(frozenset(known[:half] or known), frozenset(known[half:]))

    @classmethod
    def shared(cls) -> Self:
        """All for all."""
        known = frozenset(os.sched_getaffinity(0))
        return cls(known, known)

    def __str__(self) -> str:
        if self.server == self.others:
            return f"everybody shares {len(self.server)} CPUs"
        return f"API server and etcd have {len(self.server)} CPUs of their own, everybody else {len(self.others)}"


class Bench:
    """All processes, and what is done with them."""

    def __init__(self, members: Members, workers: int, processors: Processors) -> None:
        self.members = members
        self.processors = processors
        self.workers = [f"w{number}" for number in range(workers)]
        directory = members.directory / "kubernetes"
        directory.mkdir()
        # Whoever is started from here on has the same: no thread of theirs exists yet that would have others.
        os.sched_setaffinity(0, processors.server)
        try:
            self.server = ApiServer(directory, watch_seconds=7200)
        finally:
            os.sched_setaffinity(0, processors.others)
        try:
            self.start()
        except BaseException:
            self.server.close()
            raise

    def start(self) -> None:
        """Starts everybody, and waits until they work."""
        members, directory = self.members, self.members.directory / "kubernetes"
        install_rules(self.server)
        assert self.server.admin.pair is not None
        self.caller = Caller(self.server.port, self.server.authority, self.server.admin.pair)
        # As whom the exporter writes: its token and its rules take the API server some time, too.
        self.account = Caller(self.server.port, self.server.authority, token=self.server.token(COORDINATOR),
                              agent="bare-client")
        self.sender = Sender(self.processors.others)
        since = self.server.admin.call("GET", place(RESULTS), limit="1")["metadata"]["resourceVersion"]
        self.observer = Observer(self.caller, place(RESULTS), since)
        self.seeds = itertools.count(1)
        config = self.server.kubeconfig(directory / "coordinator.kubeconfig", COORDINATOR, door=False)
        members.home = ["--kubeconfig", config, "--context", "test", "--namespace", SYSTEM]
        members.certificates([f"coordinator/{name}" for name in COORDINATORS] + [f"worker/{name}" for name in self.workers])
        # Of those that the kernel gives to connections, one may be taken when its listener comes back.
        for name in COORDINATORS:
            members.addresses[name], members.endpoints[name] = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.hec, self.elasticsearch = free_port(), free_port()
        self.start_sink()
        for name in COORDINATORS:
            members.coordinator(name)
        for name in self.workers:
            members.worker(name)
        self.wait_ready()

    def close(self) -> None:
        """Ends everything; the members are ended first, by whoever made them."""
        self.members.end()
        self.observer.close()
        self.sender.close()
        self.server.close()
        os.sched_setaffinity(0, self.processors.server | self.processors.others)

    # Members

    def start_sink(self) -> None:
        """Starts the receivers, for the first time or again at their ports."""
        ready = self.members.directory / "ready"
        ready.unlink(missing_ok=True)
        options: list[object] = ["--hec-port", self.hec, "--elasticsearch-port", self.elasticsearch]
        self.members.launch("sandbox", ["sandbox", "--null", "--token", TOKEN, "--ready-file", ready, *options])
        self.members.wait(ready.exists, 30, "the sink did not start")
        secret = self.members.directory / "secrets" / "hec" / "token"
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(TOKEN)
        address = "http://127.0.0.1:"
        self.members.write([
            {"name": "search", "backend": "elasticsearch", "endpoint": f"{address}{self.elasticsearch}"},
            {"name": "splunk", "backend": "splunk", "endpoint": f"{address}{self.hec}", "secretRef": "hec"},
        ])

    def stop_coordinators(self) -> None:
        """Stops those that run."""
        self.members.stop(*(name for name in COORDINATORS if name in self.members.processes))

    def leader(self) -> str:
        """Who leads by its own word; empty if nobody says so."""
        for name in COORDINATORS:
            if name in self.members.processes:
                status = self.members.status(name)
                if status.get("coordinator", {}).get("role") == "leader":
                    return name
        return ""

    def wait_ready(self) -> None:
        """Until somebody leads and every worker has shards."""
        def ready() -> bool:
            found = self.members.status(self.leader()).get("workers", []) if self.leader() else []
            return sum(worker["shards"] > 0 for worker in found) == len(self.workers)

        self.wait(ready, 120, "the workers have no shards")

    def wait(self, holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """As the members wait; a watch that has ended ends it, too."""
        def step() -> bool:
            if self.observer.error:
                raise SystemExit(f"{otherwise}: the watch that measures has ended: {self.observer.error}")
            return holds()

        self.members.wait(step, seconds, otherwise, every=0.05)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by role; the load client's are also the bare client's."""
        alive = {name: cpu_seconds(process.pid) for name, process in self.members.processes.items()}
        used = {"coordinators": sum(alive.get(name, 0.0) for name in COORDINATORS),
                "workers": sum(alive.get(name, 0.0) for name in self.workers),
                "load client": cpu_seconds(self.sender.pid)}
        return used | {name: self.server.cpu_seconds(name) for name in ("kube-apiserver", "etcd")}

    # Results

    def requests(self) -> dict[str, float]:
        """What the API server has counted by now, by `VERB resource`."""
        counts: dict[str, float] = {}
        text = self.server.admin.request("GET", "/metrics")[1]["message"]
        for labels, value in COUNTED.findall(text):
            known = dict(LABEL.findall(labels))
            if known.get("resource") in (RESULTS, "leases"):
                key = f"{known['verb']} {known['resource']}"
                counts[key] = counts.get(key, 0.0) + float(value)
        return counts

    def creations(self, count: int, namespace: str) -> Iterator[list[bytes]]:
        """Requests that create new results, in pieces."""
        self.server.make_namespace(namespace)
        for _ in range(-(-count // PIECE)):
            made = self.members.directory / "generated.ndjson"
            subprocess.run([self.members.program, "generate", "--count", str(min(count, PIECE)), "--seed",
                            str(next(self.seeds)), "--output", made], check=True, capture_output=True)
            yield [self.caller.request("POST", place(RESULTS, namespace),
                                       json.dumps(probe_result(line, namespace)).encode())
                   for line in made.read_bytes().splitlines()]
            count -= PIECE

    def fill(self, count: int, namespace: str) -> list[tuple[str, str]]:
        """Creates results as fast as it goes; names and versions of the objects."""
        found: list[tuple[str, str]] = []
        began = time.monotonic()
        for piece in self.creations(count, namespace):
            answers: list[Answer] = self.sender.send(self.caller, piece, AT_ONCE)
            found += [(json.loads(request.split(b"\r\n\r\n", 1)[1])["metadata"]["name"], answer.version)
                      for request, answer in zip(piece, answers, strict=True)]
            say(f"{len(found)} of {count} results created, {len(found) / (time.monotonic() - began):.0f}/s")
        return found

    def remove(self, objects: list[tuple[str, str]], namespace: str) -> None:
        """Deletes results: a server without selectableFields would list them every time."""
        made = [self.caller.request("DELETE", place(RESULTS, namespace, name)) for name, _ in objects]
        self.sender.send(self.caller, made, AT_ONCE)


def per_result(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    """Requests for each result, without those of the load client."""
    counts = {key: after[key] - before.get(key, 0.0) for key in after}
    return {key: round(counts[key] / count, 4) for key in sorted(counts)
            if counts[key] > 0 and key.split()[0] not in ("POST", "DELETE", "WATCH")}
