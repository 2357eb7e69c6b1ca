"""Hosts of a network of their own, on this machine: a network namespace each, on one bridge, whose links a test cuts.

A cut is silent, as a firewall or a dead switch is: frames are sent and nobody gets them. It is made for one pair of hosts and
one direction, by a wrong hardware address of the peer that the kernel is told to believe (ip-neighbour(8)); so it holds
for connections that stand as well as for new ones, and needs no packet filter.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Set to 1 where namespaces cannot be made: the tests that need them are then left out, by name.
WAIVER = "SIDEREAL_WITHOUT_NAMESPACES"
# Of RFC 2544, section 14: for tests of networks, and routed nowhere.
SUBNET = "198.18.77"
NOBODY = "02:00:00:00:de:ad"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def obstacle() -> str | None:
    """Why no namespace can be made here; nil if one can."""
    try:
        network = Network()
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        return f"network namespaces cannot be made here (it takes root with CAP_NET_ADMIN, and iproute2): {said}"
    network.close()
    return None


class Host:
    """One of them. Loopback is its own, so ports are free whatever others listen on."""

    def __init__(self, network: Network, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._network = network
        self.namespace = f"{network.prefix}-{name}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread's sockets are made there meanwhile, and processes that it starts live there."""
        with open("/proc/thread-self/ns/net") as before:
            with open(f"/run/netns/{self.namespace}") as there:
                _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    def ip(self, *arguments: str) -> str:
        """Runs `ip` there."""
        return _ip("-n", self.namespace, *arguments)

    def bytes_from(self, other: Host) -> dict[str, int]:
        """For each TCP connection from `other` that stands here, what it brought, as this host's kernel counts."""
        shown = subprocess.run(
            ["ip", "netns", "exec", self.namespace, "ss", "-tinOH", "dst", other.address],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        counts: dict[str, int] = {}
        for line in shown.splitlines():
            received = [word for word in line.split() if word.startswith("bytes_received:")]
            counts[" ".join(line.split()[3:5])] = int(received[0].split(":")[1]) if received else 0
        return counts


class Network:
    """Hosts on a bridge. The bridge lives in a namespace too, so that nothing of this machine's network changes."""

    def __init__(self) -> None:
        self.prefix = f"sidereal-{os.getpid()}-{next(_numbers)}"
        self.hosts: dict[str, Host] = {}
        self._bridge = f"{self.prefix}-bridge"
        self._made: list[str] = []
        self._cuts: set[tuple[str, str]] = set()
        _remove_orphans()
        try:
            self._add(self._bridge)
            _ip("-n", self._bridge, "link", "add", "name", "bridge", "type", "bridge")
            _ip("-n", self._bridge, "link", "set", "bridge", "up")
        except BaseException:
            self.close()
            raise

    def host(self, name: str) -> Host:
        """Adds one."""
        number = len(self.hosts) + 1
        host = Host(self, name, f"{SUBNET}.{number}")
        self._add(host.namespace)
        port = f"port{number}"
        _ip(
            "-n",
            self._bridge,
            "link",
            "add",
            "name",
            port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            host.namespace,
        )
        _ip("-n", self._bridge, "link", "set", port, "master", "bridge", "up")
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "lo", "up")
        host.ip("link", "set", "eth0", "up")
        self.hosts[name] = host
        return host

    def cut_one_way(self, sender: str, receiver: str) -> None:
        """Nothing that `sender` sends to `receiver` arrives."""
        there = self.hosts[receiver].address
        self.hosts[sender].ip("neighbour", "replace", there, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")
        self._cuts.add((sender, receiver))

    def cut(self, one: str, *others: str) -> None:
        """Nothing passes between `one` and any of the others."""
        for other in others:
            self.cut_one_way(one, other)
            self.cut_one_way(other, one)

    def mend(self) -> None:
        """Everything passes again."""
        for sender, receiver in sorted(self._cuts):
            self.hosts[sender].ip("neighbour", "delete", self.hosts[receiver].address, "dev", "eth0")
        self._cuts.clear()

    def close(self) -> None:
        """Removes it all. Processes that live there have to have ended."""
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self._made = []

    def _add(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)


class Mount:
    """A directory that one process sees at a path of its own, in a mount namespace that ends with it, and may lose.

    Behind it `beneath` lies empty: that is what the process finds when its mount is gone, and nobody else.
    """

    def __init__(self, source: Path, beneath: Path) -> None:
        self.source = source
        self.beneath = beneath
        self.pid = 0
        beneath.mkdir()

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """`arguments` with the directory mounted first. The process keeps its pid."""
        script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"]
        return [*unshare, self.source, self.beneath, *arguments]

    def lose(self) -> None:
        """It is gone, also for files that are opened from here on."""
        self._enter("umount", "--lazy", self.beneath)

    def regain(self) -> None:
        """It is there again."""
        self._enter("mount", "--bind", self.source, self.beneath)

    def freeze(self) -> None:
        """It can be read and not written."""
        # Made read-only where nobody writes yet: what is open for writing in a mount keeps it from becoming so.
        aside = self.beneath.with_name(f"{self.beneath.name}-read-only")
        aside.mkdir(exist_ok=True)
        self._enter("mount", "--bind", self.source, aside)
        self._enter("mount", "-o", "remount,bind,ro", aside)
        self._enter("mount", "--move", aside, self.beneath)

    def thaw(self) -> None:
        """It can be written again."""
        # At once, whoever is reading there.
        self._enter("umount", "--lazy", self.beneath)

    def _enter(self, *command: str | Path) -> None:
        assert self.pid > 0, "the process has not been started"
        enter: list[str | Path] = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--", *command]
        subprocess.run(enter, check=True, capture_output=True, text=True)


def _remove_orphans() -> None:
    """What a process left that was killed before it could clean up."""
    for path in Path("/run/netns").glob("sidereal-*-*"):
        if not Path("/proc", path.name.split("-")[1]).exists():
            subprocess.run(["ip", "netns", "delete", path.name], check=False, capture_output=True)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
