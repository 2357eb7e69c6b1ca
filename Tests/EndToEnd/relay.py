"""Stands between one worker and one receiver: tells what passed and when, holds answers, can be unreachable."""

from __future__ import annotations

import gzip
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from listening import Listening, QuietHandler, json_values

HOP_HEADERS = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclass(frozen=True)
class Passage:
    """A request with records."""

    began: float
    """When its head was read, by the monotonic clock."""
    identities: list[str]
    """What the receiver calls the records in it."""


@dataclass(frozen=True)
class Answer:
    """What the receiver said."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes


class Relay:
    """Listens until closed. Requests go to the receiver at `upstream` as they are."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._waiting = 0
        self._passages: list[Passage] = []
        relay = self

        class Handler(_Handler):
            owner = relay

        self._listening = Listening(Handler, waits=False)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listening.port

    @property
    def passages(self) -> list[Passage]:
        """The requests so far, whether answered or not."""
        with self._lock:
            return list(self._passages)

    @property
    def waiting(self) -> int:
        """Requests that the receiver has answered and whose answers are held."""
        with self._lock:
            return self._waiting

    def hold(self) -> None:
        """From now on the receiver gets requests, and the worker no answers."""
        self._open.clear()

    def release(self) -> None:
        """All answers go out."""
        self._open.set()

    def connect(self) -> None:
        """Listens again, at the same port."""
        self._listening.start()

    def cut(self) -> None:
        """Nobody can connect any more, and connections are closed."""
        self._listening.stop(resets=False)

    def close(self) -> None:
        """Ends it."""
        self.release()
        self.cut()

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Asks the receiver."""
        began = time.monotonic()
        if body:
            plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
            with self._lock:
                self._passages.append(Passage(began, list(_identities(plain))))
        with closing(http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        if not self._open.is_set():
            with self._lock:
                self._waiting += 1
            self._open.wait()
            with self._lock:
                self._waiting -= 1
        return answer


def _identities(body: bytes) -> Iterator[str]:
    """The uid of each event of a HEC, or the _id of each action of a bulk request."""
    for value in json_values(body.decode()):
        if "event" in value:
            yield str(value["event"]["metadata"]["uid"])
        for action in ("create", "index"):
            if "_id" in value.get(action, {}):
                yield str(value[action]["_id"])


class _Handler(QuietHandler):
    owner: Relay

    def do_GET(self) -> None:
        """As the others."""
        self._pass()

    def do_POST(self) -> None:
        """Records."""
        self._pass()

    def do_PUT(self) -> None:
        """Templates."""
        self._pass()

    def do_HEAD(self) -> None:
        """Without a body in the answer."""
        self._pass()

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        answer = self.owner.pass_on(self.command, self.path, dict(self.headers.items()), body)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)
