#!/usr/bin/env python3
"""Feeds every line of a file to liblognorm's CEF parser and fails on any it refuses.

Needs `lognormalizer` (Debian: liblognorm-utils). Refused lines are printed with their number.
"""
import argparse
import json
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="CEF, one record per line")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        data = file.read()
    lines = data.split(b"\n")
    if lines.pop() != b"":
        sys.exit(f"{options.file}: the last line has no end")
    if not lines:
        sys.exit(f"{options.file}: no records")
    with tempfile.NamedTemporaryFile("w", suffix=".rb") as rulebase:
        rulebase.write("version=2\nrule=:%f:cef%\n")
        rulebase.flush()
        command = ["lognormalizer", "-r", rulebase.name, "-e", "json"]
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True)
    answers = done.stdout.split(b"\n")[:-1]
    if len(answers) != len(lines):
        sys.exit(f"{len(lines)} lines gave {len(answers)} answers: some record was split or lost")
    refused = 0
    for number, (line, answer) in enumerate(zip(lines, answers, strict=True), 1):
        if b"\r" in line or b'"unparsed-data"' in answer and "unparsed-data" in json.loads(answer):
            refused += 1
            print(f"{number}: {line.decode(errors='backslashreplace')}")
    if refused:
        sys.exit(f"{refused} of {len(lines)} lines refused")
    print(f"{len(lines)} lines accepted")


if __name__ == "__main__":
    main()
