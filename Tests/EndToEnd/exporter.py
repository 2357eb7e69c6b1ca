"""Runs the program as a user would: configuration files, secrets, arguments, output, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sandbox import Sandbox

OK, BAD_SETUP, DEAD_LETTERS, UNDELIVERED = 0, 2, 3, 4
TOKEN = "3d1f2c4b-secret-token-of-the-tests"
PASSWORD = "p4ss-secret-word-of-the-tests"
USERNAME = "elastic"
# Short, so that a test of retries takes seconds.
RETRY = {"initial": "200ms", "max": "1s", "window": "24h"}
TIMEOUT_SECONDS = 120.0

Target = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """What a process that ended left behind. A code below zero is a signal."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything it said."""
        return self.stdout + self.stderr

    @property
    def summary(self) -> dict[str, Any]:
        """The summary of `run --json`, which is all of standard output."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, self
        summary: dict[str, Any] = json.loads(lines[0])
        return summary

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """The targets of the summary by name."""
        return {target["name"]: target for target in self.summary["targets"]}

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Standard error as JSON, line by line."""
        return [json.loads(line) for line in self.stderr.splitlines()]


def wait_until(
    condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = 30.0, pause: float = 0.02
) -> None:
    """Polls until `condition` holds; `what` says in the failure what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            missing = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {seconds} s in vain: {missing}")
        time.sleep(pause)


class Running:
    """A started process whose output goes to files, so that it never waits for a reader."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        directory: Path,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._stdout = directory / f"{time.monotonic_ns()}.out"
        self._stderr = self._stdout.with_suffix(".err")
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [str(a) for a in arguments], stdin=stdin, stdout=out, stderr=err, env=environment
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def stdout(self) -> str:
        """What it has said so far on standard output."""
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        """What it has said so far on standard error."""
        return self._stderr.read_text()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> Finished:
        """Waits for its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s; it said:\n{self.stderr[-4000:]}") from None
        return Finished(code, self._stdout.read_text(), self._stderr.read_text())

    def kill(self) -> None:
        """Ends it with SIGKILL, if it runs, and waits for that."""
        if self.is_running:
            self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


def generate(program: Path, count: int, path: Path, seed: int = 1) -> Path:
    """Writes `count` synthetic results to `path`."""
    arguments: list[str | Path] = [program, "generate", "--count", str(count), "--seed", str(seed), "--output", path]
    subprocess.run(arguments, check=True, timeout=TIMEOUT_SECONDS)
    return path


def project(directory: Path, **values: str) -> None:
    """Writes a volume as the kubelet does: `key -> ..data/key`, and `..data` is a link that a rename replaces."""
    version = directory / f"..{time.monotonic_ns()}"
    version.mkdir(parents=True)
    for key, value in values.items():
        (version / key).write_text(value)
    draft = directory / "..data_tmp"
    draft.symlink_to(version.name)
    old = (directory / "..data").resolve()
    draft.rename(directory / "..data")
    for key in values:
        link = directory / key
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(f"..data/{key}")
    if old.name != "..data":
        shutil.rmtree(old)


class Workbench:
    """A directory with secrets and state, and the processes that work on it."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.secrets = directory / "secrets"
        self.state = directory / "state"
        self.archive = directory / "archive"
        self.secret("hec", "token", TOKEN)
        self.secret("es", "username", USERNAME)
        self.secret("es", "password", PASSWORD)
        # Of the processes; a proxy of the machine is none of the tests' business.
        self.environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._outputs = directory / "outputs"
        self._outputs.mkdir()
        self._running: list[Running] = []
        self._sandboxes: list[Sandbox] = []

    def close(self) -> None:
        """Ends everything that was started."""
        for running in self._running:
            running.kill()
        for sandbox in self._sandboxes:
            sandbox.close()

    def secret(self, ref: str, key: str, value: str) -> Path:
        """Writes a key of a secret as Kubernetes does: replaced by renaming, never half written."""
        path = self.secrets / ref / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{key}.draft")
        draft.write_text(value)
        draft.rename(path)
        return path

    def mounted_secret(self, ref: str, **values: str) -> None:
        """Writes a secret as the kubelet does."""
        project(self.secrets / ref, **values)

    def sandbox(self, *options: str) -> Sandbox:
        """Starts the look-alikes, with the credentials that the secrets hold."""
        credentials = ("--token", TOKEN, "--username", USERNAME, "--password", PASSWORD)
        sandbox = Sandbox(self.program, self.directory, *credentials, *options)
        self._sandboxes.append(sandbox)
        return sandbox

    def generate(self, count: int, name: str = "results.ndjson", seed: int = 1) -> Path:
        """Writes synthetic results into the test's directory, where the test may change them."""
        return generate(self.program, count, self.directory / name, seed)

    def splunk(self, port: int, **settings: Any) -> Target:
        """A target `splunk` on loopback."""
        endpoint = f"http://127.0.0.1:{port}"
        return self._target("splunk", endpoint, {"secretRef": "hec"} | settings)

    def elasticsearch(self, port: int, **settings: Any) -> Target:
        """A target `elasticsearch` on loopback."""
        endpoint = f"http://127.0.0.1:{port}"
        return self._target("elasticsearch", endpoint, {"secretRef": "es"} | settings)

    def s3(self, port: int, bucket: str, **settings: Any) -> Target:
        """A target `s3` on loopback."""
        place = {"secretRef": "aws", "bucket": bucket, "region": "us-east-1"}
        return self._target("s3", f"http://127.0.0.1:{port}", place | settings)

    def file(self, directory: Path | None = None, **settings: Any) -> Target:
        """A target `file`."""
        return self._target("file", f"file://{directory or self.archive}", settings)

    def all_three(self, sandbox: Sandbox, **settings: Any) -> list[Target]:
        """A target of each backend."""
        hec, elasticsearch = sandbox.hec_port, sandbox.elasticsearch_port
        return [
            self.splunk(hec, **settings),
            self.elasticsearch(elasticsearch, **settings),
            self.file(**settings),
        ]

    @staticmethod
    def _target(backend: str, endpoint: str, settings: Target) -> Target:
        target: Target = {
            "name": backend,
            "backend": backend,
            "format": "json",
            "endpoint": endpoint,
            "retry": RETRY,
        }
        return target | settings

    def make_config(self, targets: Sequence[Target], name: str = "sidereal.yaml", **sections: Any) -> Path:
        """Writes a configuration. JSON is YAML too."""
        values = {"tls": {"required": False}, "export": {"targets": list(targets)}} | sections
        return self.write(name, json.dumps(values, indent=2))

    def write(self, name: str, text: str | bytes) -> Path:
        """Writes a file into the test's directory."""
        path = self.directory / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def start(self, *arguments: str | Path, stdin: int | IO[bytes] | None = subprocess.DEVNULL) -> Running:
        """Starts the program with `arguments`."""
        running = Running([self.program, *arguments], self._outputs, stdin, self.environment)
        self._running.append(running)
        return running

    def run(self, *arguments: str | Path, stdin: int | IO[bytes] | None = subprocess.DEVNULL) -> Finished:
        """Runs the program to its end."""
        return self.start(*arguments, stdin=stdin).wait()

    def start_export(
        self,
        config: Path,
        source: str | Path,
        *options: str | Path,
        state: Path | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    ) -> Running:
        """Starts `run`."""
        arguments: list[str | Path] = [
            "run",
            "--config",
            config,
            "--input",
            source,
            "--secrets",
            self.secrets,
        ]
        return self.start(*arguments, "--state", state or self.state, *options, stdin=stdin)

    def run_export(
        self,
        config: Path,
        source: str | Path,
        *options: str | Path,
        state: Path | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        seconds: float = TIMEOUT_SECONDS,
    ) -> Finished:
        """Runs `run --json` to its end."""
        return self.start_export(config, source, "--json", *options, state=state, stdin=stdin).wait(seconds)


def is_root() -> bool:
    """Whether file systems can be mounted."""
    return os.geteuid() == 0
