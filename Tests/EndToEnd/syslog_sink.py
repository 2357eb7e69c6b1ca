"""A syslog receiver on loopback that counts octets (RFC 6587 3.4.1, RFC 5425 4.3) and can be made to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable

from peers import HEC, LINGER_ZERO, Stage, Store

CHUNK = 1 << 14


class SyslogSink:
    """Takes records in the format `json` behind an RFC 5424 header."""

    def __init__(self, stage: Stage) -> None:
        self.store: Store = HEC()
        # Asked after each piece that was read; true resets the connection.
        self.breaks: Callable[[], bool] = lambda: False
        self.connections = 0
        self.resets = 0
        self.faults: list[Exception] = []
        server = stage.wait_for(stage.listen(self._serve, 0, None))
        self.port: int = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        unread = b""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(CHUNK):
                unread = self._take(unread + data)
                if self.breaks():
                    self.resets += 1
                    # What a receiver leaves unread when it dies is lost, however long ago TCP acknowledged it: no
                    # exporter can know. This one reads before it dies, as one that is not overloaded has.
                    for _ in range(64):
                        with contextlib.suppress(TimeoutError):
                            unread = self._take(unread + await asyncio.wait_for(reader.read(CHUNK), 0.005))
                            continue
                        break
                    connection = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
                    writer.transport.abort()
                    return
        writer.close()

    def _take(self, data: bytes) -> bytes:
        """Stores every whole message; what is left."""
        try:
            while b" " in data[:8]:
                count, rest = data.split(b" ", 1)
                if len(rest) < int(count):
                    break
                message, data = rest[: int(count)], rest[int(count) :]
                # Seven fields of the header, and no structured data.
                record = json.loads(message.split(b" ", 7)[7])
                uid = record["metadata"]["uid"]
                self.store.received[uid] += 1
                self.store.records[uid] = record
        except (ValueError, KeyError, IndexError) as fault:
            self.faults.append(fault)
        return data
