"""A real rsyslogd as the receiver of syslog over TLS, with a configuration of its own and nothing of the system's."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

from exporter import wait_until

PROGRAM = "/usr/sbin/rsyslogd"

# A direct queue and a file that is flushed after every message: what rsyslogd has read is in the file, so that a test
# that kills it looks at what was on the way, and not at what rsyslogd itself kept in memory.
CONFIGURATION = """
global(workDirectory="{directory}" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off"
  DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="{ca}"
  DefaultNetstreamDriverCertFile="{certificate}" DefaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" maxFrameSize="1000000" StreamDriver.Name="ossl" StreamDriver.Mode="1"
  StreamDriver.AuthMode="{mode}"{peers})
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="store" queue.type="Direct") {{
  action(type="omfile" file="{output}" template="raw" asyncWriting="off" flushOnTXEnd="on")
}}
input(type="imtcp" port="{port}" address="127.0.0.1" listenPortFileName="{directory}/port" ruleset="store")
"""


class Rsyslog:
    """One rsyslogd, which may be killed and started again on the same port."""

    def __init__(
        self,
        directory: Path,
        ca: Path,
        server: tuple[Path, Path],
        client_name: str | None = None,
    ) -> None:
        """With `client_name` only a client whose certificate carries that name is let in."""
        self._directory = directory
        self._directory.mkdir()
        self.output = directory / "stored.txt"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "directory": directory,
            "output": self.output,
            "ca": ca,
            "certificate": server[0],
            "key": server[1],
            "mode": "x509/name" if client_name else "anon",
            "peers": f' PermittedPeer=["{client_name}"]' if client_name else "",
        }
        self.start()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        configuration = self._directory / "rsyslog.conf"
        configuration.write_text(CONFIGURATION.format(port=self.port, **self._settings))
        port = self._directory / "port"
        port.unlink(missing_ok=True)
        log = self._directory / "log"
        with log.open("ab") as said:
            self._process = subprocess.Popen([PROGRAM, "-n", "-f", configuration, "-iNONE"], stdout=said, stderr=said)
        process = self._process
        wait_until(lambda: process.poll() is not None or self._listens(port), "rsyslogd listens")
        assert process.poll() is None, log.read_text()

    def _listens(self, port: Path) -> bool:
        """Whether it does. It writes down only a port that it chose itself."""
        if not self.port and port.exists() and port.read_text().strip():
            self.port = int(port.read_text())
        if not self.port:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it at once, and waits for that."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(30)

    @property
    def messages(self) -> list[bytes]:
        """What it has stored, in order. A last line without its end is not stored yet."""
        return self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []

    def wait_for(self, count: int) -> None:
        """Waits until it has stored so many messages."""
        wait_until(lambda: len(self.messages) >= count, f"{count} messages in {self.output}")


def assert_same_in_order(stored: list[bytes], expected: list[bytes]) -> None:
    """Byte for byte the same, each once and in order."""
    for number, (got, wanted) in enumerate(zip(stored, expected, strict=False)):
        assert got == wanted, f"message {number} of {len(expected)}: stored {got!r}, expected {wanted!r}"
    assert len(stored) == len(expected)


def assert_all_there(stored: list[bytes], expected: list[bytes]) -> int:
    """Every expected message is there unaltered, and no other. Returns how many came twice or more often."""
    counts = Counter(stored)
    missing = [message for message in expected if message not in counts]
    strange = counts.keys() - set(expected)
    assert not missing and not strange, (
        f"{len(missing)} of {len(expected)} are missing, {len(strange)} were never sent;"
        f" for example {missing[:1]} {sorted(strange)[:1]}"
    )
    return len(stored) - len(expected)
