"""A second HEC, written from Splunk's documentation and not from ours: it can die, be reborn and hang."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from typing import Any

from listening import Listening, QuietHandler, json_values


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
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._listening = Listening(Handler, waits=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listening.port

    def start(self) -> None:
        """Listens again, at the same port."""
        self._released.clear()
        self._listening.start()

    def die(self) -> None:
        """Stops listening and resets every connection, in the middle of whatever it carries."""
        self._released.set()
        self._listening.stop(resets=True)

    def take(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Stores the events of a body up to the first bad one; the answer's status and body."""
        with self._lock:
            self.bodies.append(body)
            for number, envelope in enumerate(json_values(body.decode())):
                uid = envelope["event"]["metadata"]["uid"]
                if uid in self.poison:
                    answer = {
                        "text": self.complaint,
                        "code": 6,
                        "invalid-event-number": number,
                    }
                    return 400, answer
                self.uids[uid] += 1
        return 200, {"text": "Success", "code": 0}

    def wait_until_released(self) -> None:
        """Keeps a request without an answer until the server dies."""
        self._released.wait()


class _Handler(QuietHandler):
    owner: Receiver

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
