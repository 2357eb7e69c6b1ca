"""A cluster whose members live on hosts of their own: real processes, mutual TLS over a network, and receivers over TLS."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from authority import Authority
from clustertools.oracle import Count, Oracle
from exporter import PASSWORD, RETRY, TOKEN, USERNAME, Running, generate, wait_until
from namespaces import Host, Mount, Network
from sandbox import Sandbox

ROOT = Path(__file__).parents[2]
COORDINATORS = ["c0", "c1", "c2"]
WORKERS = ["w0", "w1", "w2"]
SIEM = "siem"
SHARDS = 64
PORT = 7443
ENDPOINT = "127.0.0.1:8080"
# The gate halts after max(4 leases, 2 worker leases) without a worker, and the leader resigns after a quarter more.
LEASE = {"duration": "3s", "renewDeadline": "2s", "retryPeriod": "400ms"}
WORKER_LEASE = 4.5
# For whatever takes a few leases; many times that, for machines that have other things to do.
PATIENCE = 90.0
# Results for all tests of a cluster.
SUPPLY = 30_000


class HostsCluster:
    """Three coordinators that share a directory, each by a mount of its own; three workers; one host with receivers."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.network = Network()
        self.shared = directory / "shared"
        self.processes: dict[str, Running] = {}
        self.mounts: dict[str, Mount] = {}
        self._lines: list[bytes] = []
        self._files = 0
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        for name in [SIEM, *COORDINATORS, *WORKERS]:
            self.network.host(name)
        members = [f"coordinator/{name}" for name in COORDINATORS] + [f"worker/{name}" for name in WORKERS]
        subprocess.run([ROOT / "deploy/local/peer-certificates", self.directory / "peers", *members], check=True)
        (self.shared / "results").mkdir(parents=True)
        self._lines = generate(self.program, SUPPLY, self.directory / "supply").read_bytes().splitlines(keepends=True)
        siem = self.host(SIEM)
        authority = Authority(self.directory, "receivers")
        certificate, key = authority.issue(SIEM, f"IP:{siem.address}")
        with siem.entered():
            self._sandbox = Sandbox(
                self.program, self.directory, "--host", "0.0.0.0", "--tls-cert", str(certificate), "--tls-key", str(key),
                "--token", TOKEN, "--username", USERNAME, "--password", PASSWORD,
            )  # fmt: skip
        secrets = {"splunk": {"token": TOKEN}, "elasticsearch": {"username": USERNAME, "password": PASSWORD}}
        for name, keys in secrets.items():
            (self.directory / "secrets" / name).mkdir(parents=True)
            for key_name, value in (keys | {"ca.crt": authority.text}).items():
                (self.directory / "secrets" / name / key_name).write_text(value)
        ports = {"splunk": self._sandbox.hec_port, "elasticsearch": self._sandbox.elasticsearch_port}
        targets = [
            {"name": name, "backend": name, "format": "json", "secretRef": name, "retry": RETRY, "timeout": "1s"}
            | {"endpoint": f"https://{siem.address}:{port}", "batch": {"maxAge": "100ms", "maxRecords": 50}}
            for name, port in ports.items()
        ]
        values: dict[str, Any] = {
            "global": {"impactLevel": "high", "clusterName": "hosts"},
            "cluster": {
                "shards": SHARDS,
                "coordinators": [f"{self.host(name).address}:{PORT}" for name in COORDINATORS],
                "lease": LEASE,
                "workerLease": f"{WORKER_LEASE * 1_000:.0f}ms",
                "releaseDeadline": "3s",
            },
            "export": {"targets": targets},
        }
        # JSON is YAML.
        (self.directory / "sidereal.yaml").write_text(json.dumps(values, indent=2))
        for name in COORDINATORS + WORKERS:
            self._start(name)

    def host(self, name: str) -> Host:
        """Where a member lives."""
        return self.network.hosts[name]

    def _start(self, name: str) -> None:
        role = "coordinator" if name in COORDINATORS else "worker"
        common: list[str | Path] = [
            *(self.program, role, "--config", self.directory / "sidereal.yaml", "--identity", name),
            *("--peer-certificates", self.directory / "peers" / name, "--endpoint", ENDPOINT),
        ]
        if name in COORDINATORS:
            address = f"{self.host(name).address}:{PORT}"
            self.mounts[name] = Mount(self.shared, self.directory / f"store-{name}")
            places: list[str | Path] = ["--standalone", self.directory / f"store-{name}"]
            command = self.mounts[name].command(*common, *places, "--listen", address, "--advertise", address)
        else:
            state = self.directory / f"state-{name}"
            command = [*common, "--secrets", self.directory / "secrets", "--state", state]
        logs = self.directory / f"log-{name}"
        logs.mkdir()
        with self.host(name).entered():
            self.processes[name] = Running(command, logs)
        if name in COORDINATORS:
            self.mounts[name].pid = self.processes[name].process.pid

    def close(self) -> None:
        """Ends everything."""
        for running in self.processes.values():
            running.kill()
        if self._sandbox:
            self._sandbox.close()
        self.network.close()

    # What goes in

    def issue(self, count: int) -> str:
        """A new file of results, put in place whole; its name."""
        with self._lock:
            assert count <= len(self._lines), "the supply is used up; raise SUPPLY"
            lines, self._lines = self._lines[:count], self._lines[count:]
            self._files += 1
            name = f"{self._files:06}.ndjson"
        made = self.directory / name
        made.write_bytes(b"".join(lines))
        made.rename(self.shared / "results" / name)
        return name

    def await_delivery(self, count: int = 0) -> None:
        """Issues `count` more, and waits until everything that there is by now was called finished."""
        if count:
            self.issue(count)
        files = self.oracle.files()
        wait_until(lambda: self.oracle.is_finished(files), "every file is settled", PATIENCE)

    # What it is like

    def status(self, name: str) -> dict[str, Any]:
        """What a coordinator's endpoint says."""
        with self.host(name).entered(), urlopen(f"http://{ENDPOINT}/v1/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
        return status

    def lease(self) -> tuple[str, int]:
        """Who leads by the lease, and in which term; nobody if it is free."""
        lease = json.loads((self.shared / "lease.json").read_text())
        return lease["holderIdentity"].split("/")[0], lease["term"]

    def leader(self) -> tuple[str, int]:
        """Waits until somebody leads and has workers or not; who, and in which term."""
        found: list[tuple[str, int]] = []

        def leads() -> bool:
            try:
                name, term = self.lease()
                status = self.status(name)
            except (OSError, ValueError, KeyError):
                return False
            if status["coordinator"]["role"] != "leader" or status["leader"]["term"] != term:
                return False
            found.append((name, term))
            return True

        wait_until(leads, "somebody leads", PATIENCE)
        return found[-1]

    def follows(self, name: str) -> str:
        """Whom a coordinator takes for the leader; nobody if it knows none."""
        found: str = self.status(name).get("leader", {}).get("name", "")
        return found.split("/")[0]

    def shards(self) -> Counter[str]:
        """How many shards each worker owns, by the leader; "" for those without an owner."""
        status = self.status(self.leader()[0])
        names = [worker["identity"] for worker in status.get("workers", [])]
        return Counter(names[shard["owner"]] if shard["state"] == "owned" else "" for shard in status["shards"])

    def queued(self, worker: str) -> float:
        """Batches that wait at a worker or are under way, by its own metrics."""
        with self.host(worker).entered(), urlopen(f"http://{ENDPOINT}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r"^sidereal_export_queue_batches\{.*\} ([0-9.e+]+)$", text, re.M)
        assert found, text
        return sum(map(float, found))

    def await_owners(self, names: list[str]) -> None:
        """Waits until these workers own all shards, each of them some."""
        wait_until(lambda: self.shards().keys() == set(names), f"{', '.join(names)} own all shards", PATIENCE)

    def log(self, name: str) -> list[dict[str, Any]]:
        """What a member logged."""
        lines = self.processes[name].stderr.splitlines(keepends=True)
        whole = [line for line in lines if line.startswith("{") and line.endswith("\n")]
        return [json.loads(line, object_pairs_hook=_members) for line in whole]

    def said(self, name: str, words: str) -> int:
        """How often a member logged a message that begins so."""
        return sum(line["message"].startswith(words) for line in self.log(name))

    # The gate, as a scheduler sees it

    def gate(self) -> dict[str, Any]:
        """Its record."""
        try:
            record: dict[str, Any] = json.loads((self.shared / "gate.json").read_text())
        except FileNotFoundError:
            return {"holderIdentity": "", "annotations": {}}
        return record

    def admits(self) -> bool:
        """Whether a probe may run now."""
        record = self.gate()
        if not record["holderIdentity"]:
            return False
        renewed = datetime.fromisoformat(record["renewTime"])
        return (datetime.now(UTC) - renewed).total_seconds() < float(record["leaseDurationSeconds"])

    def alerts(self) -> dict[str, dict[str, Any]]:
        """All that were ever raised, by name."""
        return {path.stem: json.loads(path.read_text())["spec"] for path in (self.shared / "alerts").glob("*.json")}

    def acknowledge(self) -> None:
        """A person looks at every alert."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for path in (self.shared / "alerts").glob("*.json"):
            alert = json.loads(path.read_text())
            alert["spec"] |= {"acknowledged": True, "acknowledgedBy": "operator@example.gov", "acknowledgedAt": now}
            alert["spec"]["remediationAction"] = "mended the network"
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(alert))
            fresh.rename(path)

    def heal(self) -> None:
        """Mends the network; waits until all workers own shards and the gate is open, acknowledged if it takes that."""
        self.network.mend()
        self.await_owners(WORKERS)

        def opens() -> bool:
            self.acknowledge()
            return self.admits()

        wait_until(opens, "the gate opens", PATIENCE)

    # What came out

    @property
    def oracle(self) -> Oracle:
        """Who counts."""
        return Oracle(self.shared, self._received)

    def _received(self) -> dict[str, Counter[str]]:
        assert self._sandbox is not None
        with self.host(SIEM).entered():
            return {"splunk": self._sandbox.ids("hec"), "elasticsearch": self._sandbox.ids("elasticsearch")}

    def assert_nothing_lost_or_false(self) -> dict[str, Count]:
        """Everything that was issued is there, and what is told is true."""
        counts = self.oracle.count()
        for target, count in counts.items():
            words = f"{target}: {len(count.lost)} lost, {len(count.false)} false, {len(count.strange)} never issued"
            assert count.is_good and not count.dead and count.issued, words
        return counts

    def slow(self, milliseconds: int) -> None:
        """Answers of the receivers come so late."""
        assert self._sandbox is not None
        with self.host(SIEM).entered():
            for target in ("hec", "elasticsearch"):
                self._sandbox.fault(target, latencyMs=milliseconds)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a name stands twice, and readers take either: {pairs}"
    return found


class Flow:
    """Results that come in all the time, in files of 40 about every fifth of a second, while its `with` lasts."""

    def __init__(self, cluster: HostsCluster) -> None:
        self._cluster = cluster
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._fault: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._ending.wait(0.2):
                self._cluster.issue(40)
        except BaseException as fault:  # noqa: BLE001
            self._fault = fault

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        if kind is None and self._fault is not None:
            raise self._fault
