"""Relays between members on loopback, so that links can be cut without root: silently, in one direction, or by resets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

# What passes in one step.
CHUNK = 64 << 10
# With lingering for zero seconds, closing sends RST (socket(7)).
LINGER_ZERO = struct.pack("ii", 1, 0)

# Ways in which a link is cut: for whoever dialled, what it sends is "up", and what it gets is "down".
SILENT, SILENT_UP, SILENT_DOWN, RESET = "silent", "silent up", "silent down", "reset"
BLOCKED = {SILENT: {"up", "down"}, SILENT_UP: {"up"}, SILENT_DOWN: {"down"}, RESET: set[str]()}


class Wires:
    """All relays, on a thread of their own.

    A connection has labels: the relay's name (`c0`), and the process that dialled with that and with the relay's group
    (`w1 > c0`, `w1 > coordinators`). Whoever cuts a label cuts every connection that has it, those that stand and those to
    come. After a silent cut whatever waited goes
    on its way, as it does where packets are sent again.
    """

    def __init__(self, processes: Callable[[], dict[str, int]]) -> None:
        """`processes`: pids by name, of those who may dial."""
        self._processes = processes
        self._cuts: dict[str, str] = {}
        self._links: set[_Link] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        # Aborted connections are what this is for.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def relay(self, name: str, group: str, port: int) -> int:
        """Opens a relay to 127.0.0.1:`port`; its own port."""
        return int(self._run(self._listen(name, group, port)))

    def cut(self, label: str, kind: str) -> None:
        """Cuts everything that has this label."""
        self._run(self._set(label, kind))

    def mend(self, label: str) -> None:
        """Takes the cut of this label away."""
        self._run(self._set(label, None))

    def close(self) -> None:
        """Ends all of it."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self, name: str, group: str, port: int) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            dialler = owner(writer.get_extra_info("peername")[1], self._processes())
            link = _Link({name, f"{dialler} > {name}", f"{dialler} > {group}"}, self._cuts)
            self._links.add(link)
            try:
                await link.run(reader, writer, port)
            finally:
                self._links.discard(link)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=CHUNK)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _set(self, label: str, kind: str | None) -> None:
        self._cuts.pop(label, None)
        if kind is not None:
            self._cuts[label] = kind
        for link in list(self._links):
            link.look()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Transports close in steps of the loop.
        await asyncio.sleep(0.02)


class _Link:
    """One connection."""

    def __init__(self, labels: set[str], cuts: dict[str, str]) -> None:
        self._labels = labels
        self._cuts = cuts
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Event()

    def look(self) -> None:
        """The cuts have changed."""
        self._changed.set()
        self._changed = asyncio.Event()
        if RESET in self._kinds():
            self._abort()

    def _kinds(self) -> Iterable[str]:
        return [kind for label, kind in self._cuts.items() if label in self._labels]

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """Carries what comes until one side has ended."""
        self._writers.append(writer)
        pumps: list[asyncio.Task[None]] = []
        try:
            if RESET in self._kinds():
                return self._abort()
            # The kernel has accepted; further it does not get.
            await self._passage("up")
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
            self._writers.append(far_writer)
            pumps.append(asyncio.ensure_future(self._pump(reader, far_writer, "up")))
            pumps.append(asyncio.ensure_future(self._pump(far_reader, writer, "down")))
            await asyncio.gather(*pumps)
        except OSError:
            # Whoever is behind is gone, and whoever dialled is to see that.
            self._abort()
        finally:
            for pump in pumps:
                pump.cancel()
            for each in self._writers:
                each.close()

    async def _passage(self, direction: str) -> None:
        while any(direction in BLOCKED[kind] for kind in self._kinds()):
            await self._changed.wait()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        while True:
            await self._passage(direction)
            data = await reader.read(CHUNK)
            # The cut may have come while nothing did.
            await self._passage(direction)
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def _abort(self) -> None:
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            writer.transport.abort()


def owner(port: int, processes: dict[str, int]) -> str:
    """Which of the processes has the end 127.0.0.1:`port` of a TCP connection; empty if none has (proc(5))."""
    local = f"0100007F:{port:04X}"
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == local and words[9] != "0":
            inode = words[9]
    if not inode:
        return ""
    for name, pid in processes.items():
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return name
    return ""
