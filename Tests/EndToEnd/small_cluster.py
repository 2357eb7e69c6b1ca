"""A cluster of real processes on loopback: members to kill and stop, and what the shared directory says."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from evidence import duplicates
from exporter import Running, Target, Workbench, wait_until
from ports import free_port

Json = dict[str, Any]
Lines = list[Json]

MAKER = Path(__file__).resolve().parents[2] / "deploy" / "local" / "peer-certificates"
# What the sandbox calls what the configuration calls otherwise.
SANDBOX_NAMES = {"splunk": "hec", "elasticsearch": "elasticsearch"}
# Short, and long enough for a machine that is busy.
LEASE = {"duration": "3s", "renewDeadline": "2s", "retryPeriod": "400ms"}
WORKER_LEASE = "3s"
PATIENCE = 60.0
# So many records may be under way from a worker to a target.
BATCH, CONCURRENCY = 100, 2
IN_FLIGHT = BATCH * CONCURRENCY
STOCK = 12_000
# The machine's proxy is none of the tests' business.
_direct = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Count:
    """What became of the issued records at one target."""

    issued: set[str]
    """What was put into the results directory, as this target calls it."""
    told: set[str]
    """What the status log calls delivered."""
    dead: set[str]
    """What the status log calls given up."""
    received: Counter[str]
    """How often the receiver took each."""

    @property
    def repeated(self) -> int:
        """Arrivals beyond the first of each."""
        return duplicates(self.received)


class SmallCluster:
    """Coordinators `c0`, `c1`… and workers `w0`, `w1`… that share a directory, and the receivers they deliver to."""

    def __init__(
        self, bench: Workbench, coordinators: int = 2, workers: int = 2, settings: Json | None = None, **audit: Any
    ) -> None:
        """Prepares all and starts nothing. `settings` replace keys of the section `cluster`, `audit` is the section."""
        self.bench = bench
        self.coordinators = [f"c{number}" for number in range(coordinators)]
        self.workers = [f"w{number}" for number in range(workers)]
        self.directory = bench.directory / "cluster"
        self.shared = self.directory / "shared"
        self.results = self.shared / "results"
        self.peers = self.directory / "peers"
        self.results.mkdir(parents=True)
        (self.directory / "output").mkdir()
        self.sandbox = bench.sandbox()
        self.ports = {name: free_port() for name in self.coordinators}
        self.endpoints = {name: free_port() for name in self.coordinators + self.workers}
        self.certify(*self.coordinators, *self.workers)
        self.values: Json = {
            "global": {"impactLevel": "high", "clusterName": "end-to-end"},
            "audit": audit,
            # Receivers on loopback; the members speak mutual TLS all the same.
            "tls": {"required": False},
            "cluster": {
                "coordinators": [f"127.0.0.1:{port}" for port in self.ports.values()],
                "shards": 64,
                "lease": LEASE,
                "workerLease": WORKER_LEASE,
                "releaseDeadline": "3s",
            }
            | (settings or {}),
            "export": {"targets": self.targets(self.sandbox.hec_port, self.sandbox.elasticsearch_port)},
        }
        self.runs: dict[str, list[Running]] = {name: [] for name in self.coordinators + self.workers}
        self._paused: set[str] = set()
        self._stock: list[bytes] = []
        self._issued: dict[str, list[bytes]] = {}
        self._issuing = threading.Lock()

    # Members

    def certify(self, *names: str, authority: str = "ca", days: int = 7) -> None:
        """Gives members new certificates and keys by an authority, which is made if there is none of that name."""
        members = [f"{'coordinator' if name.startswith('c') else 'worker'}/{name}" for name in names]
        environment = os.environ | {"AUTHORITY": authority, "DAYS": str(days)}
        made = subprocess.run([MAKER, self.peers, *members], env=environment, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr

    def targets(self, hec: int, elasticsearch: int) -> list[Target]:
        """Both targets at these ports."""
        settings: Target = {
            "batch": {"maxAge": "100ms", "maxRecords": BATCH},
            "concurrency": {"min": CONCURRENCY, "max": CONCURRENCY},
        }
        return [self.bench.splunk(hec, **settings), self.bench.elasticsearch(elasticsearch, **settings)]

    def start(self, *names: str, targets: Sequence[Target] | None = None, secrets: Path | None = None) -> None:
        """Starts members, for the first time or again; with `targets` or `secrets` of their own if they are given."""
        for name in names:
            values = self.values | ({"export": {"targets": list(targets)}} if targets else {})
            config = self.directory / f"{name}.yaml"
            config.write_text(json.dumps(values, indent=2))  # JSON is YAML.
            arguments: list[str | Path] = ["--config", config, "--identity", name]
            arguments += ["--peer-certificates", self.peers / name, "--endpoint", f"127.0.0.1:{self.endpoints[name]}"]
            if name in self.coordinators:
                address = f"127.0.0.1:{self.ports[name]}"
                arguments += [*self.home(name), "--listen", address, "--advertise", address]
                command: list[str | Path] = [self.bench.program, "coordinator", *arguments]
            else:
                arguments += ["--secrets", secrets or self.bench.secrets, "--state", self.directory / "state" / name]
                command = [self.bench.program, "worker", *arguments]
            self.runs[name].append(self.launch(name, command))

    def launch(self, name: str, command: list[str | Path]) -> Running:
        """Starts a process of a member."""
        return Running(command, self.directory / "output", environment=self.bench.environment)

    def home(self, name: str) -> list[str | Path]:
        """Options that tell a coordinator where the cluster is kept."""
        assert name in self.coordinators
        return ["--standalone", self.shared]

    def start_all(self) -> None:
        """Starts every member and waits until the cluster works."""
        self.start(*self.coordinators, *self.workers)
        self.wait_ready()

    def process(self, name: str) -> Running:
        """The last process of a member."""
        return self.runs[name][-1]

    def kill(self, *names: str) -> None:
        """kill -9, all before the first is waited for."""
        for name in names:
            self._paused.discard(name)
            if self.process(name).is_running:
                self.process(name).send(signal.SIGKILL)
        for name in names:
            self.process(name).kill()

    def pause(self, name: str) -> None:
        """SIGSTOP; returns when every thread of the process stands, and none of them with the directory's lock.

        Who is stopped within the lock keeps it, and nobody can take over (docs/standalone.md). It is held for so short
        a time that this takes more than one attempt only rarely.
        """
        self._paused.add(name)
        number = self.process(name).process.pid
        tasks = Path(f"/proc/{number}/task")
        while True:
            self.process(name).send(signal.SIGSTOP)
            wait_until(lambda: {_state(task / "stat") for task in tasks.iterdir()} == {"T"}, f"{name} stands", PATIENCE)
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            inode = f":{(self.shared / '.lock').stat().st_ino}"
            if not any(line[4] == str(number) and line[5].endswith(inode) for line in locks):
                return
            self.process(name).send(signal.SIGCONT)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._paused.discard(name)
        self.process(name).send(signal.SIGCONT)

    def close(self) -> None:
        """Ends everything."""
        for name, runs in self.runs.items():
            for running in runs:
                if running.is_running and name in self._paused:
                    running.send(signal.SIGCONT)
                running.kill()

    def memory(self, name: str) -> int:
        """Resident bytes of a member's process."""
        text = Path(f"/proc/{self.process(name).process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS:"))

    def logs(self, name: str) -> Lines:
        """What a member has logged, over all its processes."""
        text = "".join(running.stderr for running in self.runs[name])
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def said(self, name: str, message: str, **about: str) -> Lines:
        """Log lines of a member whose text holds `message`; `about` are parts of their other values."""
        return [
            line
            for line in self.logs(name)
            if message in line["message"] and all(part in str(line.get(key)) for key, part in about.items())
        ]

    # Results

    def issue(self, count: int) -> str:
        """Puts a new file of results in place, whole; its name."""
        with self._issuing:
            if len(self._stock) < count:
                made = self.bench.generate(max(STOCK, count), "stock.ndjson", seed=len(self._issued) + 1)
                self._stock += made.read_bytes().splitlines(keepends=True)
            lines, self._stock = self._stock[:count], self._stock[count:]
            name = f"{len(self._issued):06}.ndjson"
            self._issued[name] = lines
            draft = self.directory / name
            draft.write_bytes(b"".join(lines))
            draft.rename(self.results / name)
            return name

    @contextmanager
    def flow(self, count: int = 60, pause: float = 0.2) -> Iterator[None]:
        """Issues `count` results every `pause` seconds meanwhile."""
        self.issue(count)
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(pause):
                self.issue(count)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def identities(self, target: str, name: str) -> list[str]:
        """What a target calls each record of an issued file, in order."""
        records = map(json.loads, self._issued[name])
        if target == "splunk":
            return [record["metadata"]["uid"] for record in records]
        return [record["spec"]["probe"]["id"] for record in records]

    # What the shared directory says

    def lease(self) -> Json:
        """`lease.json`; empty before there is one."""
        return self._read(self.shared / "lease.json")

    def gate(self) -> Json:
        """`gate.json`; empty before there is one."""
        return self._read(self.shared / "gate.json")

    def gate_term(self) -> int:
        """The term in which the gate was written; 0 before."""
        return int(self.gate().get("annotations", {}).get("export.sidereal.cloud/gate-term", 0))

    def alerts(self) -> dict[str, Json]:
        """The alerts by name."""
        return {path.stem: self._read(path) for path in sorted((self.shared / "alerts").glob("*.json"))}

    @staticmethod
    def _read(path: Path) -> Json:
        try:
            value: Json = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        return value

    def acknowledge(self, **spec: Any) -> None:
        """A person acknowledges every alert, with what the person writes, as docs/standalone.md says."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        filled = {"acknowledged": True, "acknowledgedBy": "operator@example.gov", "acknowledgedAt": now}
        for name, alert in self.alerts().items():
            alert["spec"] |= filled | {"remediationAction": "the receiver was restarted"} | spec
            draft = self.shared / "alerts" / f".{name}.draft"
            draft.write_text(json.dumps(alert))
            draft.rename(self.shared / "alerts" / f"{name}.json")

    def status_log(self) -> Lines:
        """The lines of `status.log` so far; a last one that is being written is left out."""
        try:
            lines = (self.shared / "status.log").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def leader(self) -> str | None:
        """Who leads by the lease; it may be dead by now."""
        return str(self.lease().get("holderIdentity", "")).split("/")[0] or None

    def wait_leader(self, other_than: str | None = None) -> str:
        """Waits for a leader that works, perhaps for another one."""

        def leads() -> bool:
            name = self.leader()
            if name is None or name == other_than or not self.process(name).is_running:
                return False
            return bool(self.status(name).get("coordinator", {}).get("role") == "leader")

        wait_until(leads, f"a coordinator leads that is not {other_than}", PATIENCE)
        name = self.leader()
        assert name is not None
        return name

    # What members show

    def ask(self, name: str, path: str, seconds: float = 5) -> str:
        """What a member's endpoint answers, whatever the code; empty if it does not."""
        try:
            with _direct.open(f"http://127.0.0.1:{self.endpoints[name]}{path}", timeout=seconds) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return str(error.read().decode())
        except OSError:
            return ""

    def status(self, name: str | None = None) -> Json:
        """`/v1/status` of a member, the leader unless it is named; empty if it does not answer."""
        text = self.ask(name or self.leader() or self.coordinators[0], "/v1/status")
        document: Json = json.loads(text) if text else {}
        return document

    def metric(self, name: str, series: str) -> float | None:
        """A series of a member's metrics, such as `sidereal_cluster_gate_state{state="open"}`."""
        for line in self.ask(name, "/metrics").splitlines():
            if line.rpartition(" ")[0] == series:
                return float(line.rpartition(" ")[2])
        return None

    def shards_of(self, worker: str) -> int:
        """How many shards a worker holds by the leader's word."""
        for entry in self.status().get("workers", []):
            if entry["identity"] == worker:
                return int(entry["shards"])
        return 0

    def gate_state(self) -> str:
        """The gate by the leader's word."""
        return str(self.status().get("gate", {}).get("state", ""))

    def wait_ready(self, *workers: str) -> None:
        """Until somebody leads, each of these workers has shards, no shard has no owner, and the gate is open."""
        named = workers or tuple(self.workers)

        def ready() -> bool:
            status = self.status()
            held = {entry["identity"]: entry["shards"] for entry in status.get("workers", [])}
            return (
                status.get("coordinator", {}).get("role") == "leader"
                and status["gate"]["state"] == "open"
                and all(held.get(name, 0) > 0 for name in named)
                and all(shard["state"] == "owned" for shard in status["shards"])
            )

        wait_until(ready, lambda: f"the cluster works; its status is {self.status() | {'history': None}}", PATIENCE)

    # The count

    def wait_settled(self) -> None:
        """Until the status log calls every issued file finished at every target."""

        def settled() -> bool:
            done = {line["file"] for line in self.status_log() if "finished" in line}
            return set(self._issued) <= done

        wait_until(settled, lambda: f"everything is settled; {self.status() | {'history': None}}", PATIENCE)

    def count(self, target: str) -> Count:
        """What was told, issued and received, read in this order, so that nothing looks false because it is new."""
        log, files = self.status_log(), dict(self._issued)
        names = {name: self.identities(target, name) for name in files}
        starts = {name: [0, *itertools.accumulate(map(len, lines))][:-1] for name, lines in files.items()}
        told: dict[str, set[str]] = {"delivered": set(), "dead": set()}
        for entry in log:
            if entry.get("target") != target:
                continue
            pairs = list(zip(starts[entry["file"]], names[entry["file"]], strict=True))
            for kind, found in told.items():
                for start, end in entry.get(kind, []):
                    found.update(identity for at, identity in pairs if start <= at < end)
        # A finished file has every record settled; what was not given up was delivered.
        for entry in log:
            if target in entry.get("finished", []):
                told["delivered"].update(set(names[entry["file"]]) - told["dead"])
        issued = {identity for found in names.values() for identity in found}
        return Count(issued, told["delivered"], told["dead"], self.sandbox.ids(SANDBOX_NAMES[target]))

    def assert_nothing_lost_or_false(self) -> dict[str, Count]:
        """Every issued record is at every target and told as delivered, nothing else is; the counts."""
        counts = {target: self.count(target) for target in SANDBOX_NAMES}
        for target, count in counts.items():
            there = set(count.received)
            assert not count.issued - there, f"{target}: {len(count.issued - there)} of {len(count.issued)} are lost"
            assert not there - count.issued, f"{target}: {len(there - count.issued)} were never issued"
            assert not count.told - there, f"{target}: {len(count.told - there)} are told and are not there"
            assert not count.dead, f"{target}: {len(count.dead)} were given up"
            assert count.told == count.issued, f"{target}: {len(count.issued - count.told)} are told by nobody"
        return counts

    def assert_told_is_received(self) -> None:
        """Whatever is told as delivered by now is there: told is read before received."""
        for target in SANDBOX_NAMES:
            count = self.count(target)
            false = count.told - set(count.received)
            assert not false, f"{target}: {len(false)} are told as delivered and are not there"


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "T"  # A thread that has ended.
