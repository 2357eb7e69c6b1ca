#!/usr/bin/env python3
"""Sends each line to a real rsyslogd over TCP with octet counting (RFC 6587, RFC 5425) and compares what it stored.

Needs the Debian package rsyslog; nothing of the system's own configuration is read or changed:

    apt-get install rsyslog
    python3 Tests/Checkers/check_rsyslog.py messages.txt

mmpstrucdata lower-cases parameter names and keeps the last of repeated ones, so all of them are compared in the raw
structured data. Two bounds of rsyslog itself are known. It takes a header with a year after 2099 for another protocol's, so
such a line is sent with the year 2099 and judged in all else. And mmpstrucdata leaves structured data of 64 KiB or more
alone, so of such a line it is the raw structured data that is judged. Exit 1 when a message is missing or was read
differently.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from syslog_lines import Line, parse, read

START_SECONDS = 60
DRAIN_SECONDS = 300
LAST_YEAR = "2099"
LONGEST_DATA = 65_500

CONFIGURATION = """
global(workDirectory="{directory}" maxMessageSize="4m")
module(load="imtcp" maxFrameSize="4000000")
module(load="mmpstrucdata")
template(name="all" type="string" string="%jsonmesg%\\n")
ruleset(name="check") {{
  action(type="mmpstrucdata")
  action(type="omfile" file="{directory}/out.ndjson" template="all")
}}
input(type="imtcp" port="0" address="127.0.0.1" listenPortFileName="{directory}/port" ruleset="check")
"""


def start(program: str, directory: Path) -> subprocess.Popen[bytes]:
    """Runs rsyslogd in the foreground until it has said which port it was given."""
    configuration = directory / "rsyslog.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory))
    process = subprocess.Popen(
        [program, "-n", "-f", str(configuration), "-i", str(directory / "pid")],
        stdout=(directory / "log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        port = directory / "port"
        if port.exists() and port.read_text().strip():
            return process
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise SystemExit(f"{program} did not start: {(directory / 'log').read_text()}")


def wait_for(output: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Returns when the file has so many lines, or when it is hopeless."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while not output.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    with output.open("rb") as file:
        while count > 0 and time.monotonic() < deadline and process.poll() is None:
            count -= file.read().count(b"\n")
            time.sleep(0.1)


def stored(program: str, lines: list[Line]) -> list[dict[str, object]]:
    """What rsyslogd wrote for these lines."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        process = start(program, directory)
        try:
            port = int((directory / "port").read_text())
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for line in lines:
                    message = line.text.encode()
                    connection.sendall(b"%d %s" % (len(message), message))
            output = directory / "out.ndjson"
            wait_for(output, len(lines), process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        if not output.exists():
            raise SystemExit(f"nothing was stored: {(directory / 'log').read_text()}")
        return [json.loads(text) for text in output.read_bytes().split(b"\n")[:-1]]


def within_years(line: Line) -> Line:
    """The line, with the last year that rsyslog takes if its own is later."""
    if line.time[:4] <= LAST_YEAR:
        return line
    text = line.text.replace(line.time, LAST_YEAR + line.time[4:], 1)
    return parse(text, line.number)


def fault(line: Line, found: dict[str, object]) -> str | None:
    """How a stored message differs from the line; None if it does not."""
    variables = found.get("$!")
    elements = variables.get("rfc5424-sd") if isinstance(variables, dict) else None
    pairs = [
        ("PRI", str(found.get("pri")), str(line.priority)),
        ("TIMESTAMP", found.get("timereported"), line.time),
        ("HOSTNAME", found.get("hostname"), line.host),
        ("APP-NAME", found.get("app-name", found.get("programname")), line.app),
        ("PROCID", found.get("procid"), line.procid),
        ("MSGID", found.get("msgid"), line.msgid),
        ("raw structured data", found.get("structured-data"), line.data),
        ("MSG", str(found.get("msg")).lstrip(" ").removeprefix("\ufeff"), line.message),
    ]
    if len(line.data.encode()) < LONGEST_DATA:
        read_as = elements.get(line.element) if isinstance(elements, dict) else None
        pairs.append(("parsed structured data", read_as, {name.lower(): value for name, value in line.params}))
    return next((f"{what}: read {got!r}, sent {sent!r}" for what, got, sent in pairs if got != sent), None)


def main() -> int:
    """Checks a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="one message per line")
    parser.add_argument("--rsyslogd", default="/usr/sbin/rsyslogd", help="the program (default %(default)s)")
    arguments = parser.parse_args()
    lines = [within_years(line) for line in read(arguments.file)]
    found = stored(arguments.rsyslogd, lines)
    rejected = abs(len(lines) - len(found))
    if rejected:
        print(f"{arguments.file}: {len(lines)} messages sent, {len(found)} stored", file=sys.stderr)
    for line, message in zip(lines, found, strict=False):
        problem = fault(line, message)
        if problem:
            rejected += 1
            print(f"{arguments.file}:{line.number}: {problem}", file=sys.stderr)
    raw = sum(len(line.data.encode()) >= LONGEST_DATA for line in lines)
    print(f"{len(lines)} messages, {rejected} rejected; {raw} with structured data too long for mmpstrucdata")
    return 1 if rejected or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
