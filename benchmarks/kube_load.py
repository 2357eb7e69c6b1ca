"""What the benchmark of Kubernetes does to an API server: many requests over kept connections, and one watch with a clock."""

from __future__ import annotations

import http.client
import itertools
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

UID = re.compile(rb'"uid":"([0-9a-f-]{36})"')
EXPORTED = b'"exportStatus":"Exported"'
VERSION = re.compile(rb'"resourceVersion":"(\d+)"')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """Where an API server is, and as whom to speak to it."""

    port: int
    authority: Path
    pair: tuple[Path, Path] | None = None
    token: str = ""
    agent: str = "creator"
    """API servers keep for each field who set it last, by this name; whoever is another one costs them more."""

    def connect(self, seconds: float | None = 60) -> ssl.SSLSocket:
        """A new connection of HTTP/1.1 over TLS."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if self.pair:
            context.load_cert_chain(*self.pair)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """The bytes of a request."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nUser-Agent: {self.agent}/1\r\n"
        head += f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


@dataclass(frozen=True)
class Answer:
    """Of a request: its status, and the version of the object that is in it, if there is one."""

    code: int
    version: str


def _answer(connection: ssl.SSLSocket) -> Answer:
    text = b""
    while (end := text.find(b"\r\n\r\n")) < 0:
        text += _piece(connection)
    length = LENGTH.search(text, 0, end)
    if length:
        while len(text) < end + 4 + int(length[1]):
            text += _piece(connection)
    else:
        # In chunks; JSON has no carriage return in it.
        while not text.endswith(b"\r\n0\r\n\r\n"):
            text += _piece(connection)
    version = VERSION.search(text, end)
    return Answer(int(text[9:12]), version[1].decode() if version else "")


def _piece(connection: ssl.SSLSocket) -> bytes:
    piece = connection.recv(1 << 16)
    if not piece:
        raise ConnectionError("the API server has closed a connection")
    return piece


def send(caller: Caller, requests: Sequence[bytes], threads: int, rate: float | None = None) -> list[Answer]:
    """Sends all, `threads` at once over as many kept connections; with `rate`, so many a second, late ones at once."""
    numbers = itertools.count()
    answers: list[Answer | None] = [None] * len(requests)
    began = time.monotonic()

    def work() -> None:
        with caller.connect() as connection:
            while (number := next(numbers)) < len(requests):
                if rate:
                    time.sleep(max(0.0, began + number / rate - time.monotonic()))
                connection.sendall(requests[number])
                answers[number] = _answer(connection)

    with ThreadPoolExecutor(threads) as pool:
        for running in [pool.submit(work) for _ in range(threads)]:
            running.result()
    return [answer for answer in answers if answer]


class Sender:
    """Sends from a process of its own: what it computes delays nobody's clock."""

    def __init__(self, processors: Set[int]) -> None:
        """It has these processors."""
        # A process that is forked has those of the first server of forks, whatever its parent has by now.
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("forkserver"), initializer=os.sched_setaffinity,
                                         initargs=(0, processors))
        self.pid = self._pool.submit(os.getpid).result()

    def close(self) -> None:
        """Ends the process."""
        self._pool.shutdown()

    def send(self, caller: Caller, requests: Sequence[bytes], threads: int = 8, rate: float | None = None) -> list[Answer]:
        """As :func:`send`; every answer has to be a good one."""
        answers = self._pool.submit(send, caller, requests, threads, rate).result()
        bad = [answer.code for answer in answers if answer.code >= 300]
        if bad or len(answers) < len(requests):
            raise SystemExit(f"{len(bad)} of {len(requests)} requests were refused, the first with {bad[:1]}")
        return answers


@dataclass
class Seen:
    """What a watch has shown, by the monotonic clock of whoever reads it (nanoseconds' resolution), as it arrived."""

    created: dict[bytes, float] = field(default_factory=dict)
    exported: dict[bytes, float] = field(default_factory=dict)
    patches: list[float] = field(default_factory=list)

    def delays(self) -> list[float]:
        """Seconds from created to exported, sorted."""
        return sorted(self.exported[uid] - at for uid, at in self.created.items() if uid in self.exported)


class Observer:
    """A watch of all results. API servers end one that is not served in time, as on a busy machine: then it goes on."""

    def __init__(self, caller: Caller, path: str, since: str) -> None:
        self.seen = Seen()
        self.error = ""
        self.resumed = 0
        self._caller, self._path, self._since = caller, path, since
        self._at: list[tuple[int, Callable[[], None]]] = []
        self._open()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _open(self) -> None:
        self._socket = self._caller.connect(None)
        target = f"{self._path}?watch=1&resourceVersion={self._since}&timeoutSeconds=7200"
        self._socket.sendall(self._caller.request("GET", target))

    def close(self) -> None:
        """Ends it."""
        self.error = self.error or "closed"
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def reset(self) -> None:
        """Forgets what was seen."""
        self.seen, self._at = Seen(), []

    def when_patched(self, count: int, do: Callable[[], None]) -> None:
        """Has something done as soon as so many patches were seen."""
        self._at.append((count, do))

    def _run(self) -> None:
        try:
            while not self.error:
                self._read()
                self._socket.close()
                self.resumed += 1
                self._open()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = self.error or str(error)

    def _read(self) -> None:
        answer = http.client.HTTPResponse(self._socket)  # type: ignore[arg-type]
        answer.begin()
        if answer.status != 200:
            raise OSError(f"the watch is refused: {answer.status}")
        while line := answer.readline():
            self._take(line, time.monotonic())

    def _take(self, line: bytes, now: float) -> None:
        found, version = UID.search(line), VERSION.search(line)
        if found is None or version is None:
            raise OSError(f"the watch cannot go on: {line[:200]!r}")
        self._since = version[1].decode()
        seen = self.seen
        if line.startswith(b'{"type":"ADDED"'):
            seen.created[found[1]] = now
        elif line.startswith(b'{"type":"MODIFIED"'):
            seen.patches.append(now)
            if EXPORTED in line:
                seen.exported.setdefault(found[1], now)
            while self._at and len(seen.patches) >= self._at[0][0]:
                self._at.pop(0)[1]()
