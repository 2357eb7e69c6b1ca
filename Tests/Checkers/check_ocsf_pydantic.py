#!/usr/bin/env python3
"""Holds each line against OCSF 1.7.0 as pydantic-ocsf 3.0.0 knows it: class 2003, Compliance Finding.

Set up once, then usable without a network:

    python3 -m venv pydantic && pydantic/bin/pip install pydantic-ocsf==3.0.0
    pydantic/bin/python Tests/Checkers/check_ocsf_pydantic.py events.ndjson

The models let unknown attributes pass, so those are looked for here. Exit 1 when a line was rejected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ocsf.v1_7_0.events import ComplianceFinding
from pydantic import BaseModel, ValidationError


def unknown(model: BaseModel, place: str) -> list[str]:
    """Attributes the schema does not have, by path. What lies in `unmapped` is the source's own."""
    found = [f"{place}{name}: not in the schema" for name in model.model_extra or {}]
    for name in model.model_fields_set:
        if name == "unmapped":
            continue
        value = getattr(model, name, None)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                found += unknown(item, f"{place}{name}.")
    return found


def faults(line: str) -> list[str]:
    """What is wrong with one event."""
    try:
        event = json.loads(line)
        model = ComplianceFinding.model_validate(event)
    except (ValueError, ValidationError) as error:
        return [str(error)]
    return unknown(model, "")


def main() -> int:
    """Checks a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="one event per line")
    arguments = parser.parse_args()
    rejected = 0
    count = 0
    for number, line in enumerate(arguments.file.read_bytes().split(b"\n")[:-1], start=1):
        count += 1
        problems = faults(line.decode())
        rejected += bool(problems)
        for problem in problems:
            print(f"{arguments.file}:{number}: {problem}", file=sys.stderr)
    print(f"{count} events, {rejected} rejected")
    return 1 if rejected or not count else 0


if __name__ == "__main__":
    sys.exit(main())
