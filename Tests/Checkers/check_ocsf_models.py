#!/usr/bin/env python3
"""Holds each line against the Compliance Finding of py-ocsf-models 0.10.0 (OCSF 1.5.0), stricter in what it requires.

Set up once, then usable without a network. It needs an environment of its own:

    python3 -m venv models && models/bin/pip install py-ocsf-models==0.10.0
    models/bin/python Tests/Checkers/check_ocsf_models.py events.ndjson

Exit 1 when a line was rejected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding


def fault(line: str) -> str | None:
    """What is wrong with one event; None if nothing is."""
    try:
        ComplianceFinding.model_validate(json.loads(line))
    except ValueError as error:
        return str(error)
    return None


def main() -> int:
    """Checks a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="one event per line")
    arguments = parser.parse_args()
    rejected = 0
    count = 0
    for number, line in enumerate(arguments.file.read_bytes().split(b"\n")[:-1], start=1):
        count += 1
        problem = fault(line.decode())
        if problem:
            rejected += 1
            print(f"{arguments.file}:{number}: {problem}", file=sys.stderr)
    print(f"{count} events, {rejected} rejected")
    return 1 if rejected or not count else 0


if __name__ == "__main__":
    sys.exit(main())
