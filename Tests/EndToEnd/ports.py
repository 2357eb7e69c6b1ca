"""Ports on loopback that several may ask for at the same time, and that stay theirs while they are dead."""

from __future__ import annotations

import os
import random
import socket

# Below those that the kernel takes for connections (ip_local_port_range begins at 32768). Processes that share the tests
# choose among different ones: between a choice and its use nobody listens there.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = iter(random.sample(range(16_000 + _NUMBER, 32_000, _WORKERS), 16_000 // _WORKERS))


def free_port() -> int:
    """A port that is free, given to nobody else, and below those that the kernel takes for connections."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
