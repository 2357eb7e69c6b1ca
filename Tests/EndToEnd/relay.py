"""Stands between one worker and one receiver: tells what passed and when, holds answers, can be unreachable."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.connect()

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
        """Listens, the first time at a port of the kernel's choice, later at the same again."""
        relay = self

        class Handler(_Handler):
            owner = relay

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def cut(self) -> None:
        """Nobody can connect any more, and connections are closed."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.drop()
        self._server.server_close()
        self._server = None

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
    text, at = body.decode(), 0
    decoder = json.JSONDecoder()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        while at < len(text) and text[at].isspace():
            at += 1
        if "event" in value:
            yield str(value["event"]["metadata"]["uid"])
        for action in ("create", "index"):
            if "_id" in value.get(action, {}):
                yield str(value[action]["_id"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def drop(self) -> None:
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It was closed before.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed, or our own closing."""


class _Handler(BaseHTTPRequestHandler):
    owner: Relay
    protocol_version = "HTTP/1.1"
    # Head and body leave in one segment.
    wbufsize = 1 << 16

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

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""
