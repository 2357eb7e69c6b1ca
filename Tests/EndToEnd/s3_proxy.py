"""Stands between the exporter and moto: records every request, and misbehaves as told."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# With lingering for zero seconds, closing sends RST (socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """A request as it came; names of fields in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def signed(self) -> set[str]:
        """The fields that the signature covers."""
        found = re.search(r"SignedHeaders=([^,]+)", self.headers.get("authorization", ""))
        return set(found[1].split(";")) if found else set()

    @property
    def is_upload(self) -> bool:
        """Whether it stores an object."""
        return self.method == "PUT" and "?" not in self.target


@dataclass(frozen=True)
class Answer:
    """What is sent back. Without a status the connection is reset."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


RESET = Answer(None)


def refusal(status: int, code: str, message: str = "as told", **headers: str) -> Answer:
    """An error of S3."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class S3Proxy:
    """Listens on loopback. `before` may answer in the server's place; `after` may replace what it answered."""

    def __init__(self, upstream: int, certificate: tuple[Path, Path] | None = None) -> None:
        self.upstream = upstream
        self.requests: list[Request] = []
        self.before: Callable[[Request], Answer | None] = lambda request: None
        self.after: Callable[[Request, Answer], Answer] = lambda request, answer: answer
        # Fields that the server gets besides.
        self.added: Callable[[Request], dict[str, str]] = lambda request: {}
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def uploads(self) -> list[Request]:
        """The requests that store an object."""
        return [request for request in self.requests if request.is_upload]

    def take(self, request: Request) -> Answer:
        """Answers a request."""
        with self._lock:
            self.requests.append(request)
            told = self.before(request)
        if told is not None:
            return told
        answer = self._forward(request)
        with self._lock:
            return self.after(request, answer)

    def _forward(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            # As it is, `Host` above all: it is signed.
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in (request.headers | self.added(request)).items():
                if name != "connection":
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date")
            }
            if request.method == "HEAD":
                headers["Content-Length"] = response.getheader("Content-Length", "0")
            return Answer(response.status, body, headers)
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    owner: S3Proxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.owner.take(Request(self.command, self.path, headers, body))
        if answer.status is None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "date" for name in answer.headers):
            self.send_header("Date", self.date_time_string())
        if not any(name.lower() == "content-length" for name in answer.headers):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
