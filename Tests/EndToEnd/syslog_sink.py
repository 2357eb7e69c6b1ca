"""A syslog receiver on loopback that counts octets (RFC 6587 3.4.1, RFC 5425 4.3) and can be made to misbehave.

A play is one connection's fate, in the hands of a `Line`. It reads from the system as much as it wants and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from peers import HEC, LINGER_ZERO, Stage, Store
from ports import free_port

CHUNK = 1 << 14
LinePlay = Callable[["Line"], Awaitable[None]]


class SyslogSink:
    """Takes records in the format `json` behind an RFC 5424 header."""

    def __init__(self, stage: Stage, plays: Iterable[LinePlay] = ()) -> None:
        self.store: Store = HEC()
        # For one connection after the other; those after that are served honestly.
        self.plays = deque(plays)
        # Asked after each piece that an honest connection has read; true resets it.
        self.breaks: Callable[[], bool] = lambda: False
        self.lines: list[Line] = []
        self.resets = 0
        self.faults: list[Exception] = []
        self.port = free_port()
        self._open: set[asyncio.Task[None]] = set()
        stage.wait_for(self.listen())

    @property
    def connections(self) -> int:
        """How many came."""
        return len(self.lines)

    async def listen(self) -> None:
        """Takes connections, always at the same port."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    def deafen(self) -> None:
        """Takes no more connections."""
        self._accepting.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                connection, _ = await loop.sock_accept(listener)
                connection.setblocking(False)
                task = loop.create_task(self._serve(connection))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        finally:
            listener.close()

    async def _serve(self, connection: socket.socket) -> None:
        line = Line(self, connection)
        self.lines.append(line)
        try:
            await (self.plays.popleft() if self.plays else honest)(line)
        except (OSError, asyncio.CancelledError):
            pass
        except Exception as fault:  # noqa: BLE001
            self.faults.append(fault)
        finally:
            connection.close()


class Line:
    """One connection and what came over it."""

    def __init__(self, sink: SyslogSink, connection: socket.socket) -> None:
        self.sink = sink
        self.connection = connection
        # Of whole records, in their order.
        self.uids: list[str] = []
        self._unread = b""

    async def take(self, count: int = CHUNK) -> int:
        """Reads up to `count` bytes, and stores what is whole; how many there were, 0 at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.connection, count)
        self._unread = self._store(self._unread + data)
        return len(data)

    def take_waiting(self) -> None:
        """Stores what the system has, until it has no more: nothing that was acknowledged before is left unread."""
        with contextlib.suppress(BlockingIOError):
            while data := self.connection.recv(CHUNK):
                self._unread = self._store(self._unread + data)

    async def take_all(self, count: int) -> None:
        """Reads `count` bytes, unless the end comes before."""
        while count > 0 and (got := await self.take(min(count, CHUNK))):
            count -= got

    def reset(self) -> None:
        """Ends it with RST."""
        self.sink.resets += 1
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.connection.close()

    def _store(self, data: bytes) -> bytes:
        """Stores every whole message; what is left."""
        while b" " in data[:8]:
            count, rest = data.split(b" ", 1)
            if len(rest) < int(count):
                break
            message, data = rest[: int(count)], rest[int(count) :]
            # Seven fields of the header, and no structured data.
            record = json.loads(message.split(b" ", 7)[7])
            uid = record["metadata"]["uid"]
            self.uids.append(uid)
            self.sink.store.received[uid] += 1
            self.sink.store.records[uid] = record
        return data


async def honest(line: Line) -> None:
    """Reads all there is."""
    while await line.take():
        if line.sink.breaks():
            # What a receiver leaves unread when it dies is lost, however long ago TCP acknowledged it: no exporter can
            # know. This one dies with nothing unread, as one that is not overloaded has.
            line.take_waiting()
            return line.reset()


def reset_at(offset: int) -> LinePlay:
    """RST after so many bytes."""

    async def play(line: Line) -> None:
        await line.take_all(offset)
        line.reset()

    return play


def close_at(offset: int) -> LinePlay:
    """FIN after so many bytes, and reads on; who sends must take it for the end all the same."""

    async def play(line: Line) -> None:
        await line.take_all(offset)
        line.connection.shutdown(socket.SHUT_WR)
        line.sink.resets += 1
        while await line.take():
            pass

    return play


def reset_after(seconds: float) -> LinePlay:
    """Works for a while, so that much of what came is past its grace, and dies."""

    async def play(line: Line) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(honest(line), seconds)
        line.reset()

    return play


def leaves(offset: int, seconds: float) -> LinePlay:
    """Goes away after so many bytes: nobody listens for a while."""

    async def play(line: Line) -> None:
        await line.take_all(offset)
        line.sink.deafen()
        line.reset()
        await asyncio.sleep(seconds)
        await line.sink.listen()

    return play


def byte_by_byte(count: int) -> LinePlay:
    """A slow loris: takes single bytes for a while, out of a small buffer, and never refuses anything."""

    async def play(line: Line) -> None:
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(count):
            await line.take(1)
            if number % 10 == 0:
                await asyncio.sleep(0.002)
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        await honest(line)

    return play


def talks(size: int) -> LinePlay:
    """Sends what nobody asked for, and works."""

    async def play(line: Line) -> None:
        await line.take_all(2_000)
        await asyncio.get_running_loop().sock_sendall(line.connection, b"?" * size)
        await honest(line)

    return play


def babbles(size: int) -> LinePlay:
    """The same with more than a syslog receiver ever says: who sends must end it."""

    async def play(line: Line) -> None:
        line.sink.resets += 1
        await talks(size)(line)

    return play
