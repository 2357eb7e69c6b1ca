"""Starts the program's look-alikes of HEC and Elasticsearch, and asks them what arrived."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 20.0


class Sandbox:
    """A running `sandbox`; also a context manager."""

    def __init__(self, program: Path, directory: Path, *options: str) -> None:
        ready = directory / f"ready-{time.monotonic_ns()}.json"
        self._log = ready.with_suffix(".log")
        self._is_tls = "--tls-cert" in options
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(program), "sandbox", "--ready-file", str(ready), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._await(ready)
        ports = json.loads(ready.read_text())
        self.hec_port: int = ports["hecPort"]
        self.elasticsearch_port: int = ports["elasticsearchPort"]

    def _await(self, ready: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        # It is renamed there when it is complete.
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AssertionError(f"the sandbox did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stats(self, target: str) -> dict[str, int]:
        """Counters of `hec` or `elasticsearch`."""
        counters: dict[str, int] = json.loads(self._request("GET", "/sandbox/stats"))[target]
        return counters

    def ids(self, target: str) -> Counter[str]:
        """How often each identity arrived at `hec` or `elasticsearch`."""
        counts: Counter[str] = Counter()
        for line in self._request("GET", f"/sandbox/ids?target={target}").splitlines():
            entry = json.loads(line)
            counts[entry["id"]] += entry["count"]
        return counts

    def stored(self) -> Counter[str]:
        """How many documents Elasticsearch holds under each `_id`, over all indices."""
        lines = self._request("GET", "/sandbox/ids?target=elasticsearch").splitlines()
        return Counter(json.loads(line)["id"] for line in lines)

    def fault(self, target: str, **values: float) -> None:
        """Sets how `target` misbehaves from now on; what is not named stays."""
        answer = json.loads(self._request("POST", "/sandbox/fault", json.dumps({"target": target} | values)))
        assert answer == {"acknowledged": True}, answer

    def _request(self, method: str, path: str, body: str | None = None) -> bytes:
        connection: http.client.HTTPConnection
        if self._is_tls:
            context: Any = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection("127.0.0.1", self.hec_port, timeout=30, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.hec_port, timeout=30)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()
