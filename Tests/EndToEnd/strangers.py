"""Who else may come to a cluster's ports: clients and servers with certificates of all kinds, that say what they like."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

HELLO, WELCOME = 0x03, 0x05


def frame(kind: int, payload: bytes, version: int = 0) -> bytes:
    """A frame without flags (PROTOCOL.md, "Frames")."""
    return struct.pack(">IBBH", 4 + len(payload), version, kind, 0) + payload


def _name(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def hello(identity: str, lowest: int = 1, highest: int = 1) -> bytes:
    """A worker's introduction that is complete."""
    payload = struct.pack(">BB", lowest, highest) + _name(identity) + os.urandom(16)
    payload += struct.pack(">HQQB", 1, 1 << 24, 0, 2) + _name("splunk") + _name("elasticsearch") + struct.pack(">I", 0)
    return frame(HELLO, payload)


def welcome(version: int) -> bytes:
    """A leader's answer."""
    payload = struct.pack(">BQ", version, 1) + _name("c9") + struct.pack(">IHIB", 2_000, 64, 3_000, 2)
    return frame(WELCOME, payload + _name("splunk") + _name("elasticsearch") + struct.pack(">I", 1_000))


class Caller:
    """A connection to `port`, with the certificate of a directory if one is given, or without TLS."""

    def __init__(self, port: int, mine: Path | None = None, *, tls: bool = True, trusted: Path | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.address = "{}:{}".format(*plain.getsockname())
        self.refusal = ""
        self._socket: socket.socket = plain
        if not tls:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if trusted is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(trusted)
        if mine is not None:
            context.load_cert_chain(mine / "tls.crt", mine / "tls.key")
        try:
            self._socket = context.wrap_socket(plain)
        except OSError as error:
            plain.close()
            self.refusal = str(error)

    @property
    def serial(self) -> int:
        """Serial number of the certificate that the other side shows, if the caller trusts it."""
        assert isinstance(self._socket, ssl.SSLSocket)
        shown = self._socket.getpeercert()
        assert shown
        return int(str(shown["serialNumber"]), 16)

    def say(self, content: bytes) -> None:
        """Sends, if the other side still listens."""
        with suppress(OSError):
            self._socket.sendall(content)

    def hear(self) -> bytes:
        """Everything until the other side hangs up, which has to happen within a minute."""
        heard = b""
        try:
            while piece := self._socket.recv(1 << 16):
                heard += piece
        except TimeoutError:
            raise AssertionError("nobody hung up within a minute") from None
        except OSError as error:
            self.refusal = self.refusal or str(error)
        return heard

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()


class Imposter:
    """Listens where a leader should, with the certificate of a directory, or without TLS; `play` has each connection."""

    def __init__(self, mine: Path | None, play: Callable[[socket.socket], None], trusted: Path | None = None) -> None:
        self._mine = mine
        self._play = play
        self._trusted = trusted
        # Serial numbers of the certificates that callers showed.
        self.serials: list[int] = []
        self.calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _context(self) -> ssl.SSLContext | None:
        """Made for each connection, as its files may change."""
        if self._mine is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._mine / "tls.crt", self._mine / "tls.key")
        if self._trusted is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self._trusted)
        return context

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.calls += 1
            self._open.append(plain)
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError):
            context = self._context()
            if context is None:
                return self._play(plain)
            with context.wrap_socket(plain, server_side=True) as secured:
                if shown := secured.getpeercert():
                    self.serials.append(int(str(shown["serialNumber"]), 16))
                self._play(secured)
