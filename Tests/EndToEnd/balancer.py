"""A load balancer on loopback: connections go to one receiver until they are dropped, and then to the next."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from types import TracebackType
from typing import Self

PIECE = 1 << 16


class Balancer:
    """Listens until closed; also a context manager."""

    def __init__(self, *upstreams: int) -> None:
        self._upstreams = itertools.cycle(upstreams)
        self._upstream = next(self._upstreams)
        self._drops = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self._thread.join()

    def drop(self) -> None:
        """Ends every connection there is; the next ones go to another receiver, if there is one.

        A turn for each connection would do no less, but where a client opens two after each loss, the second always meets
        the receiver of before.
        """
        with self._lock:
            self._upstream = next(self._upstreams)
            self._drops += 1
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                upstream, drops = self._upstream, self._drops
            try:
                server = socket.create_connection(("127.0.0.1", upstream))
            except OSError:
                client.close()
                continue
            with self._lock:
                # Made while the others were dropped: it belongs to them.
                if self._drops != drops:
                    client.close()
                    server.close()
                    continue
                self.connections += 1
                self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(PIECE):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
