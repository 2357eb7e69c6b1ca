"""A second HEC, written from Splunk's documentation and not from ours: it can die, be reborn and hang."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# With lingering for zero seconds, closing sends RST (socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)


class Receiver:
    """Accepts events on loopback. `uids` outlives deaths of the server, as an index does."""

    def __init__(self, token: str) -> None:
        self.token = token
        # A token that is being replaced, still accepted.
        self.old_token: str | None = None
        self.last_token = ""
        # Requests that were refused for their token.
        self.strangers = 0
        # Seconds before an answer.
        self.latency = 0.0
        self.uids: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        # Events that are refused as malformed, wherever they stand.
        self.poison: set[str] = set()
        # What it says about them.
        self.complaint = "Invalid data format"
        # Requests are read, stored and never answered.
        self.is_hanging = False
        self.requests = 0
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listens on a port of the kernel's choice, later on the same one again."""
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._released.clear()
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def die(self) -> None:
        """Stops listening and resets every connection, in the middle of whatever it carries."""
        if self._server is None or self._thread is None:
            return
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.reset_connections()
        self._server.server_close()
        self._server = None

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Stores the events of a body up to the first bad one; the answer's status and body."""
        text = body.decode()
        decoder = json.JSONDecoder()
        at = number = 0
        with self._lock:
            self.bodies.append(body)
            while at < len(text):
                envelope, at = decoder.raw_decode(text, at)
                while at < len(text) and text[at].isspace():
                    at += 1
                uid = envelope["event"]["metadata"]["uid"]
                if uid in self.poison:
                    answer = {
                        "text": self.complaint,
                        "code": 6,
                        "invalid-event-number": number,
                    }
                    return 400, answer
                self.uids[uid] += 1
                number += 1
        return 200, {"text": "Success", "code": 0}

    def wait_until_released(self) -> None:
        """Keeps a request without an answer until the server dies."""
        self._released.wait()


class _Server(ThreadingHTTPServer):
    # As a real server, so that the same port can be bound at once after a death.
    allow_reuse_address = True
    block_on_close = True
    daemon_threads = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def reset_connections(self) -> None:
        for connection in self._connections:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It was closed before.

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that was killed, or our own reset.
        return


class _Handler(BaseHTTPRequestHandler):
    owner: Receiver
    protocol_version = "HTTP/1.1"
    # Head and body leave in one segment: two would wait for each other (Nagle, delayed acknowledgement).
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        """Health."""
        self._answer(200, {"text": "HEC is healthy", "code": 17})

    def do_POST(self) -> None:
        """Events."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.owner.requests += 1
        if self.headers["Authorization"] not in (f"Splunk {self.owner.token}", f"Splunk {self.owner.old_token}"):
            self.owner.strangers += 1
            return self._answer(403, {"text": "Invalid token", "code": 4})
        self.owner.last_token = self.headers["Authorization"].removeprefix("Splunk ")
        time.sleep(self.owner.latency)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status, answer = self.owner.take(body)
        if self.owner.is_hanging:
            self.owner.wait_until_released()
            return
        self._answer(status, answer)

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent: what matters is in the receiver."""
