"""Members of a cluster on this machine, for the benchmarks: started, watched, ended; nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

HERTZ = os.sysconf("SC_CLK_TCK")
TOKEN = "5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a"
"""What a sink takes for HEC's token."""


@dataclass(frozen=True)
class Arrivals:
    """What came to a receiver."""

    records: int
    first: int | None
    """Nanoseconds of the monotonic clock, as the next."""
    last: int | None
    delays: dict[int, int]
    """How many records came so many microseconds after the time in them, or a little sooner."""


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system seconds of all threads (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def peak_bytes(pid: int) -> int:
    """Highest resident set."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def load() -> str:
    """What else the machine does, for whoever reads the figures."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"


class Members:
    """Processes of one cluster, its directory, a sink that only counts, and the configuration."""

    def __init__(self, program: Path, *, tls: bool = False, cluster: dict[str, object] | None = None) -> None:
        self.program = program
        self.tls = tls
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.directory = Path(tempfile.mkdtemp(prefix="sidereal-bench."))
        self.shared = self.directory / "shared"
        (self.shared / "results").mkdir(parents=True)
        (self.directory / "secrets").mkdir()
        self.config = self.directory / "sidereal.yaml"
        self.cluster = cluster or {}
        self.addresses: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.ports: dict[str, int] = {}
        self.authority: Path | None = None
        self.home: list[object] = ["--standalone", self.shared]
        """Options that tell a coordinator where the cluster is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Sink and configuration

    def sink(self, *, tls: bool = False) -> None:
        """Starts receivers that only count, and writes the configuration for one target, Elasticsearch with gzip."""
        self.receive(tls=tls)
        self.configure(self.ports["elasticsearch"])

    def receive(self, *, tls: bool = False) -> None:
        """Starts receivers that only count, and notes their ports; over TLS their authority is `server/ca.crt`."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        options: list[object] = []
        if tls:
            place = self.directory / "server"
            place.mkdir(exist_ok=True)
            options = ["--tls-cert", place / "ca.crt", "--tls-key", place / "key.pem"]
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=null", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                            place / "key.pem", "-out", place / "ca.crt"], check=True, stderr=subprocess.DEVNULL)
        self.launch("sandbox", ["sandbox", "--null", "--token", TOKEN, "--ready-file", ready, *options])
        self.wait(ready.exists, 20, "the sink did not start", every=0.01)
        found = json.loads(ready.read_text())
        self.ports = {name: found[f"{name}Port"] for name in ("hec", "elasticsearch", "s3", "syslog")}
        self.authority = self.directory / "server" / "ca.crt" if tls else None

    def arrivals(self) -> dict[str, Arrivals]:
        """What came to each of the receivers so far."""
        scheme = "https" if self.authority else "http"
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        url = f"{scheme}://127.0.0.1:{self.ports['hec']}/sandbox/arrivals"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            found = json.load(answer)
        return {name: Arrivals(value["records"], value["firstNanoseconds"], value["lastNanoseconds"],
                               {limit: count for limit, count in value["delays"]}) for name, value in found.items()}

    def configure(self, port: int) -> None:
        """Writes the configuration for a sink at `port`."""
        self.write([{"name": "search", "backend": "elasticsearch", "endpoint": f"http://127.0.0.1:{port}"}])

    def write(self, targets: list[dict[str, object]]) -> None:
        """Writes the configuration for these targets."""
        values = {"tls": {"required": False}, "cluster": self.cluster, "export": {"targets": targets}}
        self.config.write_text(json.dumps(values))  # JSON is YAML

    def certificates(self, names: list[str]) -> None:
        """Throw-away certificates for `coordinator/NAME` and `worker/NAME`."""
        maker = Path(__file__).parent.parent / "deploy" / "local" / "peer-certificates"
        subprocess.run([maker, self.directory / "peers", *names], check=True, stdout=subprocess.DEVNULL)

    # Processes

    def launch(self, name: str, arguments: list[object],
               stdin: int | IO[bytes] | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Starts a process whose output goes to NAME.log."""
        with (self.directory / f"{name}.log").open("ab") as log:
            command = [str(self.program), *map(str, arguments)]
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=stdin)
        self.processes[name] = process
        return process

    def peers(self, name: str) -> list[object]:
        """The options that show a member its certificates."""
        return ["--peer-certificates", self.directory / "peers" / name] if self.tls else []

    def coordinator(self, name: str) -> None:
        """Starts a coordinator, for the first time or again at its old address."""
        address = self.addresses.setdefault(name, f"127.0.0.1:{free_port()}")
        endpoint = self.endpoints.setdefault(name, f"127.0.0.1:{free_port()}")
        self.launch(name, ["coordinator", "--config", self.config, *self.home, "--identity", name,
                           "--listen", address, "--advertise", address, "--endpoint", endpoint, *self.peers(name)])

    def worker(self, name: str) -> None:
        """Starts a worker that knows all coordinators."""
        known = [item for address in self.addresses.values() for item in ("--coordinator", address)]
        self.launch(name, ["worker", "--config", self.config, "--secrets", self.directory / "secrets", "--state",
                           self.directory / "state" / name, "--identity", name, "--endpoint", "127.0.0.1:0", *known,
                           *self.peers(name)])

    def pid(self, name: str) -> int:
        """Of a running process."""
        return self.processes[name].pid

    def stop(self, *names: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends members, which may be started again."""
        gone = [self.processes.pop(name) for name in names]
        for process in gone:
            process.send_signal(number)
        for process in gone:
            process.wait(30)

    def end(self) -> None:
        """Ends every process."""
        for number, seconds in [(signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)]:
            alive = [process for process in self.processes.values() if process.poll() is None]
            for process in alive:
                process.send_signal(number)
            limit = time.monotonic() + seconds
            while time.monotonic() < limit and any(process.poll() is None for process in alive):
                time.sleep(0.05)

    def wait(self, holds: Callable[[], bool], seconds: float, otherwise: str, every: float = 0.1) -> None:
        """Waits until `holds()`; else ends with what the members said last."""
        limit = time.monotonic() + seconds
        while not holds():
            dead = [name for name, process in self.processes.items() if process.poll() not in (None, 0, -9, -15)]
            if time.monotonic() > limit or dead:
                last = "\n".join(
                    f"{log.stem}: {line}" for log in sorted(self.directory.glob("*.log"))
                    for line in log.read_text(errors="replace").splitlines()[-3:])
                raise SystemExit(f"{otherwise}{'; ended: ' + ', '.join(dead) if dead else ''}\n{last}")
            time.sleep(every)

    # What a coordinator shows

    def ask(self, name: str, path: str) -> str:
        """An answer of a coordinator's endpoint; empty if there is none."""
        try:
            with urllib.request.urlopen(f"http://{self.endpoints[name]}{path}", timeout=5) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            return ""

    def status(self, name: str) -> dict[str, object]:
        """`/v1/status`, or nothing."""
        text = self.ask(name, "/v1/status")
        return json.loads(text) if text else {}

    def delivered(self, name: str) -> int:
        """Records that are settled as accepted in this term, over all targets."""
        lines = self.ask(name, "/metrics").splitlines()
        return sum(int(float(line.split()[-1])) for line in lines
                   if line.startswith("sidereal_cluster_records_delivered_total"))
