"""What the syslog checkers expect of a line, read with nothing but the grammar of RFC 5424."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(
    r"<(?P<pri>0|[1-9][0-9]{0,2})>1 (?P<time>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) "
    r"(?P<procid>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    r"(?P<data>\[[^ =\]\"]{1,32}(?: [^ =\]\"]{1,32}=\"(?:[^\"\\\]]|\\[\"\\\]])*\")*\]) \ufeff(?P<message>.*)",
    re.DOTALL,
)
PARAM = re.compile(r" ([^ =\]\"]{1,32})=\"((?:[^\"\\\]]|\\[\"\\\]])*)\"", re.DOTALL)

CONTROL = re.compile(r"[\x00-\x1f]")
ESCAPE = re.compile(r"\\([\"\\\]])")


def plain(value: str) -> str:
    """A value without the escapes of section 6.3.3."""
    return ESCAPE.sub(r"\1", value) if "\\" in value else value


@dataclass(frozen=True)
class Line:
    """One message; values are without the escapes of section 6.3.3."""

    number: int
    text: str
    priority: int
    time: str
    host: str
    app: str
    procid: str
    msgid: str
    data: str
    element: str
    params: list[tuple[str, str]]
    message: str


def read(path: Path) -> list[Line]:
    """All lines of a file. A line that does not follow the grammar ends the program with its number."""
    return [parse(line.decode(), number) for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1)]


def parse(text: str, number: int) -> Line:
    """One line."""
    match = LINE.fullmatch(text)
    if not match or CONTROL.search(text):
        raise SystemExit(f"line {number}: not a message of RFC 5424: {text[:200]!r}")
    data = match["data"]
    return Line(
        number=number,
        text=text,
        priority=int(match["pri"]),
        time=match["time"],
        host=match["host"],
        app=match["app"],
        procid=match["procid"],
        msgid=match["msgid"],
        data=data,
        element=data[1:].split(" ", 1)[0].rstrip("]"),
        params=[(name, plain(value)) for name, value in PARAM.findall(data)],
        message=match["message"],
    )
