"""Receivers whose every byte is the test's: honest ones that remember what they got, and plays that make them otherwise.

A `Stage` is an event loop on a thread of its own and carries any number of peers. A `Peer` follows a queue of plays, one for
each request, and is honest once it is empty. What it got lies in its `Store`, which knows one protocol.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from exporter import PASSWORD, TOKEN, USERNAME

# With lingering for zero seconds, closing sends RST (socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)
Play = Callable[["Exchange"], Awaitable[None]]


class Stage:
    """An event loop on a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # Refused handshakes and resets are what the tests are about.
        self.loop.set_exception_handler(lambda loop, context: None)
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs `work` there and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        """Ends everything on it."""
        self.wait_for(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def listen(self, serve: Any, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Listens on loopback."""
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls, limit=1 << 20)
        self._servers.append(server)
        return server

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = [task for task in asyncio.all_tasks(self.loop) if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Transports close in steps of the loop.
        await asyncio.sleep(0.02)


@dataclass
class Store:
    """What a receiver has. `receive` is called with every request that it accepts as a whole."""

    # Every arrival of each record, by the identity the receiver sees.
    received: Counter[str] = field(default_factory=Counter)
    # The record as it arrived last.
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The identities of each request, in their order.
    requests: list[list[str]] = field(default_factory=list)
    # Requests that were refused for their credentials.
    strangers: int = 0
    # Records that are refused for good.
    poison: set[str] = field(default_factory=set)
    # Records that are refused once each, as far as the protocol can say that of single ones.
    busy: set[str] = field(default_factory=set)
    credentials: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Takes a request's content; status and body of the answer."""
        raise NotImplementedError

    @property
    def stored(self) -> Counter[str]:
        """How often the receiver has each record."""
        return self.received

    def take(self, method: str, path: str, fields: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Checks the credentials, unpacks, and answers."""
        if fields.get("authorization") not in self.credentials:
            self.strangers += 1
            return 401, {"error": {"type": "security_exception", "reason": "who is that?"}}
        if fields.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return self.answer(method, path.split("?")[0], body)


@dataclass
class HEC(Store):
    """Splunk's HTTP Event Collector, by its documentation."""

    credentials: set[str] = field(default_factory=lambda: {f"Splunk {TOKEN}"})

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Stores the events up to the first bad one."""
        if path != "/services/collector/event":
            return 404, {"text": "The requested URL was not found on this server.", "code": 404}
        text, at = body.decode(), 0
        self.requests.append([])
        while at < len(text):
            envelope, at = json.JSONDecoder().raw_decode(text, at)
            at += len(text[at:]) - len(text[at:].lstrip())
            uid = envelope["event"]["metadata"]["uid"]
            if uid in self.poison:
                number = len(self.requests[-1])
                return 400, {"text": "Invalid data format", "code": 6, "invalid-event-number": number}
            self.received[uid] += 1
            self.records[uid] = envelope["event"]
            self.requests[-1].append(uid)
        return 200, {"text": "Success", "code": 0}


@dataclass
class Bulk(Store):
    """Elasticsearch's `_bulk` with `create`."""

    credentials: set[str] = field(
        default_factory=lambda: {"Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()}
    )

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Looks at each document by itself."""
        if path == "/":
            return 200, {"version": {"number": "8.15.0"}}
        if path != "/_bulk":
            return 404, {"error": {"type": "resource_not_found_exception", "reason": f"no handler for {path}"}}
        assert body.endswith(b"\n")
        lines = [json.loads(line) for line in body.splitlines()]
        self.requests.append([action["create"]["_id"] for action in lines[::2]])
        items = [self._create(*pair) for pair in zip(self.requests[-1], lines[1::2], strict=True)]
        return 200, {"errors": any(i["create"]["status"] != 201 for i in items), "items": items}

    @property
    def stored(self) -> Counter[str]:
        """One document for each `_id`."""
        return Counter(self.records.keys())

    def _create(self, identity: str, document: dict[str, Any]) -> dict[str, Any]:
        self.received[identity] += 1
        if identity in self.busy:
            self.busy.remove(identity)
            return {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}}}
        if identity in self.poison:
            return {"create": {"status": 400, "error": {"type": "document_parsing_exception", "reason": "no"}}}
        if identity in self.records:
            return {
                "create": {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "there"}}
            }
        self.records[identity] = {key: value for key, value in document.items() if key != "@timestamp"}
        return {"create": {"status": 201}}


class Peer:
    """One receiver."""

    def __init__(
        self, stage: Stage, store: Store, plays: Iterable[Play] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self.store = store
        self.plays = deque(plays)
        # Every connection plays this from its first byte on, for good.
        self.habit: Play | None = None
        self.connections = 0
        self.exchanges = 0
        self._server = stage.wait_for(stage.listen(self._serve, 0, tls))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_first = True
        try:
            while not reader.at_eof():
                exchange = Exchange(self, reader, writer)
                # On a new connection a play may come before the first byte; later ones begin with a request.
                if not is_first:
                    await exchange.read_head()
                is_first = False
                self.exchanges += 1
                play = self.habit or (self.plays.popleft() if self.plays else honest)
                await play(exchange)
                if exchange.is_over:
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Exchange:
    """One request and its answer, in the hands of a play."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body: bytes | None = None
        self.is_over = False

    @property
    def fields(self) -> dict[str, str]:
        """Header fields by lower-case name."""
        lines = self.head.decode().split("\r\n")[1:-2]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def length(self) -> int:
        """Of the body."""
        return int(self.fields.get("content-length", "0"))

    async def read_head(self) -> None:
        """Up to the empty line."""
        if not self.head:
            self.head = await self.reader.readuntil(b"\r\n\r\n")

    async def read(self) -> None:
        """Head and body."""
        await self.read_head()
        if self.body is None:
            self.body = await self.reader.readexactly(self.length)

    async def commit(self) -> bytes:
        """Reads the request, stores what it brings, and makes the honest answer."""
        await self.read()
        assert self.body is not None
        method, path, _ = self.head.decode().split("\r\n")[0].split(" ")
        status, content = self.peer.store.take(method, path, self.fields, self.body)
        return answer(status, json.dumps(content).encode())

    async def send(self, data: bytes) -> None:
        """Writes, and waits until it is away."""
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> None:
        """Closes as one should, after what was written."""
        self.is_over = True
        with contextlib.suppress(OSError):
            self.writer.close()
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.is_over = True
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.writer.transport.abort()


def answer(status: int, body: bytes, *fields: str, version: str = "HTTP/1.1") -> bytes:
    """A whole answer with a length."""
    lines = [f"{version} {status} Status", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def honest(exchange: Exchange) -> None:
    """As the real one."""
    await exchange.send(await exchange.commit())
