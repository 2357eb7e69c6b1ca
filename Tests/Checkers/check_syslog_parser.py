#!/usr/bin/env python3
"""Has syslog-rfc5424-parser 0.3.2 parse each line, and compares what it found with the line.

Set up once, then usable without a network:

    python3 -m venv syslog && syslog/bin/pip install syslog-rfc5424-parser==0.3.2
    syslog/bin/python Tests/Checkers/check_syslog_parser.py messages.txt

The parser leaves escapes in values as they are and keeps the last of repeated parameters. It takes the quote after an
escaped backslash for an escaped quote, so it cannot judge a line with a value that ends in a backslash; such lines are
counted apart. Exit 1 when a line was rejected or read differently.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from syslog_lines import Line, read
from syslog_rfc5424_parser import ParseError, SyslogMessage


def fault(line: Line) -> str | None:
    """What is wrong with one line; None if nothing is."""
    try:
        parsed = SyslogMessage.parse(line.text)
    except ParseError as error:
        return str(error)
    found = {name: re.sub(r"\\([\"\\\]])", r"\1", value) for name, value in parsed.sd.get(line.element, {}).items()}
    pairs = [
        ("priority", int(parsed.facility) * 8 + int(parsed.severity), line.priority),
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
    judged = [line for line in lines if not any(value.endswith("\\") for _, value in line.params)]
    rejected = 0
    for line in judged:
        problem = fault(line)
        if problem:
            rejected += 1
            print(f"{arguments.file}:{line.number}: {problem}", file=sys.stderr)
    print(f"{len(judged)} messages, {rejected} rejected; {len(lines) - len(judged)} not judged")
    return 1 if rejected or not judged else 0


if __name__ == "__main__":
    sys.exit(main())
