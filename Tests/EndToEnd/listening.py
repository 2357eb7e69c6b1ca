"""What look-alikes of receivers on loopback have in common: a port that is kept over deaths, and connections that can be cut."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ports import free_port

# With lingering for zero seconds, closing sends RST (socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)


class Listening:
    """An HTTP server on loopback that can stop and come back at the same port."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, waits: bool) -> None:
        """`waits`: whether a stop waits for the requests that are being answered."""
        self._handler = handler
        self._waits = waits
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        # Not of the kernel's choice: that one may be a connection's when this comes back.
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Listens, always at the same port."""
        self._server = _Server(("127.0.0.1", self.port), self._handler)
        self._server.block_on_close = self._waits
        self._server.daemon_threads = not self._waits
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self, *, resets: bool) -> None:
        """Nobody can connect any more. Connections end, with `resets` in the middle of whatever they carry."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.drop(resets)
        self._server.server_close()
        self._server = None


class QuietHandler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 and logs nothing: what matters is in the one who listens."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in one segment: two would wait for each other (Nagle, delayed acknowledgement).
    wbufsize = 1 << 16

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""


def json_values(text: str) -> Iterator[Any]:
    """The values in a text, one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        while at < len(text) and text[at].isspace():
            at += 1
        yield value


class _Server(ThreadingHTTPServer):
    # As a real server, so that the same port can be bound at once after a death.
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def drop(self, resets: bool) -> None:
        for connection in self._connections:
            try:
                if resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It was closed before.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or our own closing."""
