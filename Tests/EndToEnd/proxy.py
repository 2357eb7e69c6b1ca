"""A CONNECT proxy on loopback (RFC 9110, 9.3.6) that tells what was asked of it and what passed through."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

from peers import Stage

CHUNK = 1 << 16


class Proxy:
    """`names` tells where a `host:port` really is."""

    def __init__(self, stage: Stage, names: dict[str, int], tls: tuple[Path, Path] | None = None) -> None:
        self.names = names
        # User and password it demands, or none.
        self.credentials: tuple[str, str] | None = None
        # Called before each 407.
        self.on_refused: Callable[[], None] | None = None
        # Status it answers every CONNECT with, instead of connecting.
        self.refusal: int | None = None
        # The head of each request.
        self.heads: list[str] = []
        # What came from the clients, after their heads.
        self.passed = bytearray()
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
        server = stage.wait_for(stage.listen(self._serve, 0, context))
        self.port: int = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            method, place, _ = head.split("\r\n")[0].split(" ")
            status = self._judge(method, place, head)
            if status != 200:
                writer.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
                await writer.drain()
            else:
                await self._tunnel(place, reader, writer)
        writer.close()

    def _judge(self, method: str, place: str, head: str) -> int:
        if self.refusal:
            return self.refusal
        if self.credentials:
            pair = base64.b64encode(":".join(self.credentials).encode()).decode()
            if f"Proxy-Authorization: Basic {pair}\r\n" not in head:
                if self.on_refused:
                    self.on_refused()
                return 407
        if method != "CONNECT":
            return 405
        return 200 if place in self.names else 502

    async def _tunnel(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.names[place])
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(self._pump(reader, back, self.passed), self._pump(there, writer, None))
        finally:
            back.close()

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, copy: bytearray | None) -> None:
        while data := await source.read(CHUNK):
            if copy is not None:
                copy += data
            sink.write(data)
            await sink.drain()
        sink.close()
