"""The members of a cluster on this machine, their directory, and what was issued."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clustertools.memory import Peaks
from clustertools.oracle import Oracle, Received
from clustertools.watch import Archive, Watch
from clustertools.wires import Wires

TARGETS = {"splunk": "hec", "elasticsearch": "elasticsearch"}
COORDINATORS = ["c0", "c1", "c2"]
WORKERS = ["w0", "w1", "w2", "w3"]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _open_alerts(directory: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = [(path, json.loads(path.read_text())) for path in (directory / "shared" / "alerts").glob("*.json")]
    return [(path, alert) for path, alert in found if not alert["spec"].get("acknowledged")]


def acknowledge(directory: Path) -> int:
    """Says of every alert of a cluster that a person has looked at it: how many were open."""
    opened = _open_alerts(directory)
    for path, alert in opened:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        alert["spec"].update(acknowledged=True, acknowledgedBy="operator@example.gov", acknowledgedAt=now,
                             remediationAction="looked at it")
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(alert))
        fresh.rename(path)
    return len(opened)


class Cluster:
    """The processes.

    For chaos, links between members and to receivers lead over relays, and can be cut; and workers write files besides,
    whose lines can be held against what was issued.
    """

    def __init__(self, program: Path, directory: Path, seed: int, is_for_chaos: bool = False) -> None:
        self.program = program
        self.directory = directory
        self.random = random.Random(seed)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopped: set[str] = set()
        self.issued = 0
        self.files = 0
        self.sandbox = ""
        self.peaks = Peaks()
        self.listens = {name: free_port() for name in COORDINATORS}
        self.endpoints = {name: free_port() for name in COORDINATORS}
        self.wires = Wires(self.pids) if is_for_chaos else None
        self._oracle = Oracle(directory / "shared", self.received)
        self.archive = Archive(directory / "archive", self._oracle.is_unaltered) if is_for_chaos else None
        # Where others reach each coordinator.
        self.peers = {name: self.reach(name, port) for name, port in self.listens.items()}

    def prepare(self) -> None:
        """Certificates, sandbox, secrets, configuration."""
        members = [f"coordinator/{name}" for name in COORDINATORS] + [f"worker/{name}" for name in WORKERS]
        maker = Path(__file__).parents[1] / "peer-certificates"
        subprocess.run([maker, self.directory / "peers", *members], check=True, stdout=subprocess.DEVNULL)
        (self.directory / "shared" / "results").mkdir(parents=True)
        ready = self.directory / "ready"
        self.launch("sandbox", ["sandbox", "--username", "elastic", "--password", "demo", "--token", "demo-token",
                                "--ready-file", ready])
        self.wait(lambda: ready.exists() and ready.stat().st_size > 0, 20, "the sandbox did not start")
        ports = json.loads(ready.read_text())
        self.sandbox = f"http://127.0.0.1:{ports['hecPort']}"
        for name, keys in {"splunk": {"token": "demo-token"},
                             "elasticsearch": {"username": "elastic", "password": "demo"}}.items():
            secret = self.directory / "secrets" / name
            secret.mkdir(parents=True)
            for key, value in keys.items():
                (secret / key).write_text(value)
        common = {"format": "json", "retry": {"initial": "200ms", "max": "3s", "window": "24h"},
                  "batch": {"maxAge": "200ms"}, "timeout": "5s"}
        targets = [
            {"name": name, "backend": name, "secretRef": name,
             "endpoint": f"http://127.0.0.1:{self.reach(name, ports[TARGETS[name] + 'Port'])}", **common}
            for name in TARGETS
        ]
        if self.archive:
            targets.append({"name": "archive", "backend": "file", "format": "json", "batch": {"maxAge": "200ms"},
                            "endpoint": f"file://{self.directory}/archive"})
        values = {
            "global": {"impactLevel": "high", "clusterName": "local"},
            "tls": {"required": False},  # plain http to loopback; members speak mutual TLS all the same
            "cluster": {
                "coordinators": [f"127.0.0.1:{port}" for port in self.peers.values()],
                "lease": {"duration": "3s", "renewDeadline": "2s", "retryPeriod": "400ms"},
                "workerLease": "4500ms",
            },
            "export": {"targets": targets},
        }
        # JSON is YAML.
        (self.directory / "sidereal.yaml").write_text(json.dumps(values, indent=2))

    def reach(self, name: str, port: int) -> int:
        """Where others reach what listens on `port`."""
        group = "coordinators" if name in COORDINATORS else "targets"
        return self.wires.relay(name, group, port) if self.wires else port

    def pids(self) -> dict[str, int]:
        """Of the workers, who dial."""
        return {name: process.pid for name, process in list(self.processes.items()) if name in WORKERS}

    def look(self) -> None:
        """Notes how much memory everybody has."""
        for name, process in self.processes.items():
            if process.poll() is None:
                role = "coordinator" if name in COORDINATORS else "worker" if name in WORKERS else "sandbox"
                self.peaks.look(role, name, process.pid)

    def launch(self, name: str, arguments: list[object]) -> None:
        """Starts a process whose output goes to NAME.log."""
        with (self.directory / f"{name}.log").open("ab") as log:
            command = [str(self.program), *map(str, arguments)]
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start(self, name: str) -> None:
        """Starts a member, for the first time or again."""
        common = ["--config", self.directory / "sidereal.yaml", "--identity", name,
                  "--peer-certificates", self.directory / "peers" / name]
        if name in COORDINATORS:
            self.launch(name, ["coordinator", *common, "--standalone", self.directory / "shared", "--listen",
                               f"127.0.0.1:{self.listens[name]}", "--advertise", f"127.0.0.1:{self.peers[name]}",
                               "--endpoint", f"127.0.0.1:{self.endpoints[name]}"])
        else:
            self.launch(name, ["worker", *common, "--secrets", self.directory / "secrets", "--state",
                               self.directory / "state" / name, "--endpoint", "127.0.0.1:0"])

    def issue(self, count: int) -> None:
        """A new file of results, put in place whole."""
        self.files += 1
        name = f"{self.files:06}.ndjson"
        made = self.directory / name
        subprocess.run([self.program, "generate", "--count", str(count), "--seed", str(self.files), "--output", made],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made.rename(self.directory / "shared" / "results" / name)
        self.issued += count

    def end(self) -> None:
        """Ends every process, and the wires."""
        for name in list(self.processes):
            self.resume(name)
        for signal_number, seconds in [(signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0)]:
            alive = [process for process in self.processes.values() if process.poll() is None]
            for process in alive:
                process.send_signal(signal_number)
            limit = time.monotonic() + seconds
            while time.monotonic() < limit and any(process.poll() is None for process in alive):
                time.sleep(0.05)
        if self.wires:
            self.wires.close()
            self.wires = None

    def wait(self, holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Waits until `holds()`; else says why it ends."""
        limit = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > limit:
                raise SystemExit(f"{otherwise}; logs are in {self.directory}")
            time.sleep(0.1)

    # Faults

    def resume(self, name: str) -> None:
        """Lets a stopped process go on."""
        if name in self.stopped:
            self.stopped.discard(name)
            if self.processes[name].poll() is None:
                self.processes[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """kill -9, also of a stopped one."""
        self.look()
        self.stopped.discard(name)
        self.processes[name].kill()
        self.processes[name].wait()

    def fault(self, target: str, **values: float) -> None:
        """Has a receiver misbehave."""
        body = json.dumps({"target": TARGETS[target], **values}).encode()
        request = urllib.request.Request(f"{self.sandbox}/sandbox/fault", body, method="POST")
        urllib.request.urlopen(request, timeout=10).read()

    def acknowledge(self) -> int:
        """A person looks at the alerts: how many were open."""
        return acknowledge(self.directory)

    def alerts(self) -> set[str]:
        """Names of those that nobody has acknowledged."""
        return {path.stem for path, _ in _open_alerts(self.directory)}

    def leader(self) -> str | None:
        """Who leads, by the shared lease."""
        try:
            lease = json.loads((self.directory / "shared" / "lease.json").read_text())
        except (OSError, ValueError):
            return None
        text = json.dumps(lease)
        return next((name for name in COORDINATORS if f'"{name}/' in text or f'"{name}"' in text), None)

    def received(self) -> Received:
        """For each target, how often each record is there."""
        found: dict[str, dict[str, int]] = {target: {} for target in TARGETS}
        names = {value: key for key, value in TARGETS.items()}
        with urllib.request.urlopen(f"{self.sandbox}/sandbox/ids", timeout=60) as answer:
            for line in answer:
                entry = json.loads(line)
                found[names[entry["target"]]][entry["id"]] = entry["count"]
        if self.archive:
            found["archive"] = dict(self.archive.look())
        return found

    def absent(self, target: str, names: set[str]) -> set[str]:
        """Which of these records the target does not have."""
        if target not in TARGETS:
            assert self.archive
            return names - self.archive.look().keys()
        address = f"{self.sandbox}/sandbox/absent?target={TARGETS[target]}"
        request = urllib.request.Request(address, "\n".join(names).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return {line.decode() for line in answer.read().splitlines()}

    def oracle(self) -> Oracle:
        """Who counts."""
        return self._oracle

    def watch(self) -> Watch:
        """Who looks meanwhile."""
        return Watch(self._oracle, self.absent)
