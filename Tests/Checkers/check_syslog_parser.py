#!/usr/bin/env python3
r"""Has syslog-rfc5424-parser 0.3.2 parse each line, and compares what it found with the line.

Set up once, then usable without a network:

    python3 -m venv syslog && syslog/bin/pip install syslog-rfc5424-parser==0.3.2
    syslog/bin/python Tests/Checkers/check_syslog_parser.py messages.txt

The parser leaves escapes in values as they are and keeps the last of repeated parameters. Its string token,
`"(?:(?:\\"|[^"]))*"` of lark 0.6.7, takes a quote for escaped whenever a backslash stands before it, also if that backslash
is itself escaped. The smallest message that shows it is

    <0>1 - - - - - [a b="\\" c="d"]

RFC 5424, section 6.3.3, has '"', '\' and ']' escaped by a backslash, so the value of b is one backslash and its end the quote
after it; the parser reads on to the next quote and refuses the line. A line with such a value is therefore given to it with
an underscore in the place of each last escaped backslash, and everything else of it is judged; check_rsyslog.py judges the
lines as they are. The check fails when more lines than the known kind need this, or when the parser no longer has the defect.

Exit 1 when a line was rejected or read differently.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from syslog_lines import PARAM, Line, parse, plain, read
from syslog_rfc5424_parser import ParseError, SyslogMessage

DEFECT = r'<0>1 - - - - - [a b="\\" c="d"]'
# Of hostile records, about one in eight has such a value; more would mean that something else is hidden.
MOST_REPLACED = 0.2


def has_defect() -> bool:
    """Whether the parser still refuses the smallest message."""
    try:
        SyslogMessage.parse(DEFECT)
    except ParseError:
        return True
    return False


def without_last_backslashes(data: str) -> str:
    """The structured data with an underscore for each escaped backslash that ends a value."""

    def mended(param: re.Match[str]) -> str:
        return f' {param[1]}="{param[2][:-2]}_"' if param[2].endswith("\\") else param[0]

    return PARAM.sub(mended, data)


def fault(line: Line) -> str | None:
    """What is wrong with one line; None if nothing is."""
    try:
        parsed = SyslogMessage.parse(line.text)
    except ParseError as error:
        return str(error)
    found = {name: plain(value) for name, value in parsed.sd.get(line.element, {}).items()}
    pairs = [
        ("priority", int(parsed.facility) * 8 + int(parsed.severity), line.priority),
        ("TIMESTAMP", parsed.timestamp, line.time),
        ("HOSTNAME", parsed.hostname, line.host),
        ("APP-NAME", parsed.appname, line.app),
        ("PROCID", str(parsed.procid), line.procid),
        ("MSGID", parsed.msgid, line.msgid),
        ("structured data", found, dict(line.params)),
        ("message", parsed.msg, "\ufeff" + line.message),
    ]
    return next((f"{what}: read {got!r}, sent {sent!r}" for what, got, sent in pairs if got != sent), None)


def main() -> int:
    """Checks a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="one message per line")
    arguments = parser.parse_args()
    lines = read(arguments.file)
    if not has_defect():
        raise SystemExit("this parser reads a last backslash rightly: judge all lines as they are, and mend this script")
    replaced = rejected = 0
    for line in lines:
        judged = line
        if any(value.endswith("\\") for _, value in line.params):
            replaced += 1
            judged = parse(line.text.replace(line.data, without_last_backslashes(line.data), 1), line.number)
        problem = fault(judged)
        if problem:
            rejected += 1
            print(f"{arguments.file}:{line.number}: {problem}", file=sys.stderr)
    print(f"{len(lines)} messages, {rejected} rejected; {replaced} without the backslash that ends a value")
    if replaced > MOST_REPLACED * len(lines):
        raise SystemExit(f"{replaced} of {len(lines)} were not judged as they are, more than the known kind")
    return 1 if rejected or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
