"""The files of the status page before a cluster that the test makes up, served as the endpoint serves them."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "Sources" / "StatusEndpoint" / "Page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
TARGETS = [
    ("soc-splunk", "splunk", "json"),
    ("search", "elasticsearch", "ocsf"),
    ("archive", "s3", "json"),
    ("qradar", "syslog", "leef"),
]
GATE_REASONS = {
    "halted": "search: 6 attempts in a row failed at all workers, the last one with 503 Service Unavailable; the oldest record waits for 16 min",
    "degraded": "search: the oldest record waits for 16 min",
    "recovering": "search has accepted records again for 40 s; the backlog of 12 400 records has to fall below 1 000",
}


def policy() -> str:
    """The content policy as the endpoint's source has it."""
    source = (FOLDER.parent / "Reply.swift").read_text()
    text = source.split("contentPolicy =\n")[1].split("\n}")[0]
    return "".join(part for index, part in enumerate(text.split('"')) if index % 2)


def sick(breaker: str = "open") -> Json:
    """A target that fails at a worker."""
    return {
        "breaker": breaker,
        "consecutiveFailures": 6,
        "failure": "HTTP 503 Service Unavailable from https://es:9200",
        "inFlight": 0,
        "limit": 1,
        "latencyMicroseconds": 40_000,
        "queuedBytes": 800_000,
        "oldestMilliseconds": 61_000,
    }


def well() -> Json:
    """One that does not."""
    return {
        "breaker": "closed",
        "consecutiveFailures": 0,
        "inFlight": 2,
        "limit": 4,
        "latencyMicroseconds": 12_000,
        "queuedBytes": 200_000,
        "successMilliseconds": 300,
    }


def cluster(workers: int = 4, shards: int = 256, gate: str = "open") -> Json:
    """A cluster in which something of everything is going on."""
    people: list[Json] = []
    for index in range(workers):
        state = {1: "draining", 3: "lost"}.get(index, "live") if gate != "open" or workers > 4 else "live"
        targets = [well() for _ in TARGETS]
        if gate in ("halted", "degraded") or index == 2:
            targets[1] = sick("open" if index != 2 else "halfOpen")
        people.append(
            {
                "identity": f"worker-{index}",
                "address": f"10.42.{index // 250}.{index % 250 + 2}:51{index:03d}"[:22],
                "state": state,
                "reason": {"lost": "silent for 14 s", "draining": "its pod is being replaced"}.get(state, ""),
                "program": "0.1.0",
                "shards": 0,
                "fairShards": shards / workers if state == "live" else 0,
                "capacity": 4,
                "bytesInHand": 1_400_000 + 9_000 * index,
                "heardMilliseconds": 14_000 if state == "lost" else 400 + 37 * (index % 40),
                "targets": targets,
            }
        )
    held: list[Json] = []
    for index in range(shards):
        owner = (index * 7 + index // 11) % workers
        if gate != "open" and index % 53 == 5:
            held.append({"state": "unowned", "epoch": 11, "unownedMilliseconds": 6_200})
            continue
        people[owner]["shards"] += 1
        held.append(
            {
                "state": "revoking" if people[owner]["state"] == "draining" else "owned",
                "owner": owner,
                "epoch": 12 + index % 3,
            }
        )
    return {
        "version": 1, "time": "", "cluster": "prod-east", "history": None,
        "coordinator": {"name": "coordinator-0", "address": "10.42.0.1:7443", "role": "leader", "program": "0.1.0", "upMilliseconds": 7_940_000},
        "leader": {"name": "coordinator-0", "address": "10.42.0.1:7443", "endpoint": "http://10.42.0.1:8080", "term": 7,
                   "sinceMilliseconds": 7_900_000, "renewedMilliseconds": 1_200},
        "gate": {"state": gate, "reason": GATE_REASONS.get(gate, ""), "sinceMilliseconds": 254_000, "failClosed": gate != "degraded",
                 "needsAcknowledgement": gate in ("halted", "recovering"), "ageLimitMilliseconds": 900_000,
                 **({} if gate == "open" else {"episode": "7-1", "alert": "siem-export-degraded-7-1"})},
        "feed": {"files": 3, "waitingFiles": 2, "unreadFiles": 0, "trouble": "", "records": 18_412, "bytes": 24_100_000, "maxBytes": 67_108_864, "oldestMilliseconds": 3_100},
        "shards": held, "workers": people,
        "targets": [
            {"name": name, "backend": backend, "format": form, "delivered": 9_120_344 - 210_000 * index, "deliveredBytes": 11_000_000_000,
             "dead": 3 if index == 1 else 0, "failures": 218 if index == 1 else index, "consecutiveFailures": 24 if index == 1 and gate == "halted" else 0,
             "backlog": 214_300 if index == 1 and gate != "open" else 900 * index + 120, "oldestMilliseconds": 961_000 if index == 1 and gate != "open" else 2_300,
             "successMilliseconds": 961_000 if index == 1 and gate == "halted" else 210, "recordsPerSecond": 0 if index == 1 and gate == "halted" else 10_412.3 - 900 * index,
             "bytesPerSecond": 12_800_000 - 1_000_000 * index, "latencyMicroseconds": 12_400 + 9_000 * index,
             "breaker": "open" if index == 1 and gate == "halted" else "halfOpen" if index == 1 else "closed",
             "openBreakers": (workers if gate == "halted" else 1) if index == 1 else 0, "reporting": workers, "inFlight": 7, "limit": 16, "queuedBytes": 3_400_000,
             **({"failure": "HTTP 503 Service Unavailable from https://es:9200"} if index == 1 else {})}
            for index, (name, backend, form) in enumerate(TARGETS)
        ],
    }  # fmt: skip


def history(status: Json, now: float, count: int = 180) -> Json:
    """Samples of the last 15 minutes: a gap, and an outage of the second target in which the gate was halted."""
    samples = []
    noise = random.Random(7)
    level = [1.0 for _ in status["targets"]]
    for index in range(count):
        if 60 <= index < 66:
            continue
        shut = 96 <= index < 132
        level = [max(0.3, min(1.6, 1 + 0.85 * (value - 1) + noise.gauss(0, 0.09))) for value in level]
        wave = level
        rates = [10_000 * w for w in wave]
        if shut and len(rates) > 1:
            rates[1] = 0
        samples.append({
            "number": index + 1, "unixMilliseconds": int(now * 1000) - (count - 1 - index) * 5_000, "gate": "halted" if shut else "open",
            "workers": 4, "unownedShards": 0, "bytesInHand": 24_000_000, "recordsPerSecond": rates, "bytesPerSecond": [r * 1_200 for r in rates],
            "latencyMicroseconds": [int(12_000 * w) for w in wave], "failures": [0 for _ in wave],
            "backlog": [(index - 95) * 6_000 if 96 <= index < 132 and t == 1 else int(900 * w) for t, w in enumerate(wave)],
            "oldestMilliseconds": [2_000 for _ in wave],
        })  # fmt: skip
    return {
        "intervalMilliseconds": 5_000,
        "targets": [target["name"] for target in status["targets"]],
        "samples": samples,
    }


class StatusPage:
    """Serves the page; the test changes `status` and calls `tell()`."""

    def __init__(self, status: Json) -> None:
        self.status = status
        self.refuses_listeners = False
        self._listeners: list[queue.Queue[bytes | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

            def do_GET(self) -> None:
                outer._serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def document(self, *, with_history: bool) -> Json:
        """The status as of now."""
        now = time.time()
        document = {key: value for key, value in self.status.items() if key != "history"}
        document["time"] = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if with_history:
            document["history"] = history(self.status, now)
        return document

    def tell(self) -> None:
        """Sends the status to all who listen."""
        for listener in self._listeners:
            listener.put(event("status", self.document(with_history=False)))

    def hang_up(self) -> None:
        """Ends all streams."""
        for listener in self._listeners:
            listener.put(None)
        self._listeners = []

    def close(self) -> None:
        """Ends it."""
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        if path == "/v1/events" and not self.refuses_listeners:
            return self._stream(request)
        if path == "/v1/status":
            return self._answer(request, "application/json", json.dumps(self.document(with_history=True)).encode())
        file = FOLDER / ("index.html" if path == "/" else path[1:])
        if file.parent == FOLDER and file.is_file():
            return self._answer(request, TYPES[file.suffix] + "; charset=utf-8", file.read_bytes())
        return self._answer(request, "application/json", b"{}", 503 if path == "/v1/events" else 404)

    def _answer(self, request: BaseHTTPRequestHandler, kind: str, body: bytes, code: int = 200) -> None:
        request.send_response(code)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Security-Policy", policy())
        request.end_headers()
        request.wfile.write(body)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        listener: queue.Queue[bytes | None] = queue.Queue()
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        request.wfile.write(b"retry: 300\n\n" + event("history", history(self.status, time.time())))
        request.wfile.write(event("pace", {"milliseconds": 1000}) + event("status", self.document(with_history=False)))
        self._listeners.append(listener)
        while (piece := listener.get()) is not None:
            try:
                request.wfile.write(piece)
            except OSError:
                return


def event(name: str, data: Json) -> bytes:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
