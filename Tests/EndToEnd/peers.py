"""Receivers whose every byte is the test's: honest ones that remember what they got, and plays that make them otherwise.

A `Stage` is an event loop on a thread of its own and carries any number of peers. A `Peer` follows a queue of plays, one for
each request, and is honest once it is empty. What it got lies in its `Store`, which knows one protocol.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
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
# Status, body and further fields of an answer.
Reply = tuple[int, bytes, tuple[str, ...]]


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

    # Whether it stores bodies as they come.
    keeps_encoding: bool = False
    # How the requests begin that plays are for; others are always answered honestly.
    plays_on: str = ""

    def answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Takes a request's content and answers."""
        raise NotImplementedError

    def is_known(self, authorization: str) -> bool:
        """Whether these credentials are good."""
        return authorization in self.credentials

    @property
    def stored(self) -> Counter[str]:
        """How often the receiver has each record."""
        return self.received

    def take(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Checks the credentials, unpacks, and answers."""
        if not self.is_known(fields.get("authorization", "")):
            self.strangers += 1
            return reply(401, {"error": {"type": "security_exception", "reason": "who is that?"}})
        if fields.get("content-encoding") == "gzip" and not self.keeps_encoding:
            body = gzip.decompress(body)
        return self.answer(method, path, fields, body)


@dataclass
class HEC(Store):
    """Splunk's HTTP Event Collector, by its documentation."""

    credentials: set[str] = field(default_factory=lambda: {f"Splunk {TOKEN}"})

    def answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Stores the events up to the first bad one."""
        if path != "/services/collector/event":
            return reply(404, {"text": "The requested URL was not found on this server.", "code": 404})
        text, at = body.decode(), 0
        self.requests.append([])
        while at < len(text):
            envelope, at = json.JSONDecoder().raw_decode(text, at)
            at += len(text[at:]) - len(text[at:].lstrip())
            uid = envelope["event"]["metadata"]["uid"]
            if uid in self.poison:
                number = len(self.requests[-1])
                return reply(400, {"text": "Invalid data format", "code": 6, "invalid-event-number": number})
            self.received[uid] += 1
            self.records[uid] = envelope["event"]
            self.requests[-1].append(uid)
        return reply(200, {"text": "Success", "code": 0})


@dataclass
class Bulk(Store):
    """Elasticsearch's `_bulk` with `create`."""

    credentials: set[str] = field(
        default_factory=lambda: {"Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()}
    )

    def answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Looks at each document by itself."""
        if path == "/":
            return reply(200, {"version": {"number": "8.15.0"} | self.version})
        if path.startswith("/_index_template/"):
            return self._template(method, path.removeprefix("/_index_template/"), body)
        if path.split("?")[0] != "/_bulk":
            return reply(404, {"error": {"type": "resource_not_found_exception", "reason": f"no handler for {path}"}})
        assert body.endswith(b"\n")
        lines = [json.loads(line) for line in body.splitlines()]
        self.indices |= {action["create"]["_index"] for action in lines[::2]}
        self.requests.append([action["create"]["_id"] for action in lines[::2]])
        items = [self._create(*pair) for pair in zip(self.requests[-1], lines[1::2], strict=True)]
        return reply(200, {"errors": any(i["create"]["status"] != 201 for i in items), "items": items})

    def _template(self, method: str, name: str, body: bytes) -> Reply:
        if self.may_manage is False:
            reason = "action [indices:admin/index_template/put] is unauthorized"
            return reply(403, {"error": {"type": "security_exception", "reason": reason}})
        if method == "PUT":
            self.templates[name] = json.loads(body)
            self.installed.append(name)
            return reply(200, {"acknowledged": True})
        if name not in self.templates:
            reason = f"index template matching [{name}] not found"
            return reply(404, {"error": {"type": "resource_not_found_exception", "reason": reason}, "status": 404})
        return reply(200, {"index_templates": [{"name": name, "index_template": self.templates[name]}]})

    indices: set[str] = field(default_factory=set)
    # Further members of `version` in the answer to `GET /`.
    version: dict[str, str] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Names of templates as they were put.
    installed: list[str] = field(default_factory=list)
    may_manage: bool = True

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


@dataclass
class S3(Store):
    """A bucket with Object Lock, versions and KMS: one object for each key, never replaced."""

    plays_on: str = "PUT "
    keeps_encoding: bool = True
    objects: dict[str, tuple[bytes, list[str]]] = field(default_factory=dict)
    # When the lock of each ends, as the request said.
    locks: dict[str, str] = field(default_factory=dict)

    def is_known(self, authorization: str) -> bool:
        """Signatures are checked elsewhere, by a server that knows how."""
        return authorization.startswith("AWS4-HMAC-SHA256 ")

    @property
    def stored(self) -> Counter[str]:
        """The records of all objects."""
        return Counter(uid for _, uids in self.objects.values() for uid in uids)

    def answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Questions about the bucket, and objects."""
        key, _, query = path.partition("?")
        if method == "PUT":
            return self._put(key, fields, body)
        if method == "HEAD":
            body, _ = self.objects[key]
            return 200, b"", self._fields(body, self.locks[key])
        if method == "DELETE":
            return 204, b"", ()
        words = {
            "object-lock": "<L><ObjectLockEnabled>Enabled</ObjectLockEnabled></L>",
            "versioning": "<V><Status>Enabled</Status></V>",
            "uploads": "<U><UploadId>rehearsal</UploadId></U>",
        }
        return 200, words[query.rstrip("=")].encode(), ()

    def _put(self, key: str, fields: dict[str, str], body: bytes) -> Reply:
        assert fields["if-none-match"] == "*"
        assert fields["x-amz-checksum-sha256"] == _checksum(body)
        lines = [json.loads(line) for line in (gzip.decompress(body) if key.endswith(".gz") else body).splitlines()]
        identities = [line["metadata"]["uid"] for line in lines]
        self.requests.append(identities)
        self.received.update(identities)
        if key in self.objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", ()
        self.objects[key] = body, identities
        self.locks[key] = fields["x-amz-object-lock-retain-until-date"]
        self.records |= dict(zip(identities, lines, strict=True))
        return 200, b"", self._fields(body, self.locks[key])

    @staticmethod
    def _fields(body: bytes, until: str) -> tuple[str, ...]:
        return (
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-object-lock-mode: COMPLIANCE",
            f"x-amz-object-lock-retain-until-date: {until}",
            f"x-amz-checksum-sha256: {_checksum(body)}",
        )


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


class Peer:
    """One receiver."""

    def __init__(
        self,
        stage: Stage,
        store: Store,
        plays: Iterable[Play] = (),
        tls: ssl.SSLContext | None = None,
        elsewhere: str = "",
    ) -> None:
        self.store = store
        # Where redirects lead.
        self.elsewhere = elsewhere
        self.faults: list[Exception] = []
        # Requests with a field `Expect`.
        self.expectations = 0
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
                if not is_first or self.store.plays_on:
                    await exchange.read_head()
                is_first = False
                self.exchanges += 1
                await self._choose(exchange)(exchange)
                self.expectations += "expect" in exchange.fields
                if exchange.is_over:
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        except Exception as fault:  # noqa: BLE001
            # What the request held was not what the protocol demands.
            self.faults.append(fault)
        finally:
            writer.close()

    def _choose(self, exchange: Exchange) -> Play:
        if not exchange.head.startswith(self.store.plays_on.encode()):
            return honest
        return self.habit or (self.plays.popleft() if self.plays else honest)


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
        status, content, fields = self.peer.store.take(method, path, self.fields, self.body)
        data = answer(status, content, *fields)
        return data if method != "HEAD" else data.replace(b"Content-Length: 0\r\n", b"")

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


def reply(status: int, content: dict[str, Any]) -> Reply:
    """An answer in JSON."""
    return status, json.dumps(content).encode(), ()


def answer(status: int, body: bytes, *fields: str, version: str = "HTTP/1.1") -> bytes:
    """A whole answer with a length."""
    lines = [f"{version} {status} Status", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def honest(exchange: Exchange) -> None:
    """As the real one."""
    await exchange.send(await exchange.commit())
