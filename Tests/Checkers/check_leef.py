#!/usr/bin/env python3
"""Reads every line of a file after the grammar of LEEF 2.0 and fails on any that breaks it.

Rules from IBM's "QRadar LEEF guide": header of six fields, each closed by a pipe; delimiter one character or x/0x and
one to four hexadecimal digits; attributes key=value, keys alphanumeric and unique; EventID at most 255 characters;
devTime of 13 digits unless devTimeFormat is given; sev 1 to 10; identHostName only with identSrc.
"""
import argparse
import json
import re
import sys

DELIMITER = re.compile(r"0?x([0-9A-Fa-f]{1,4})\Z")
# Control characters, and the line and paragraph separators.
BREAKERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
KEY = re.compile(r"[A-Za-z0-9]+\Z")
ACCOUNT = {"resource", "policy", "realm", "domain"}


def delimiter_of(field):
    found = DELIMITER.match(field)
    if found:
        return chr(int(found.group(1), 16))
    if len(field) == 1:
        return field
    raise ValueError(f"delimiter field {field!r}")


def attributes_of(text, delimiter):
    found = {}
    for attribute in text.split(delimiter):
        key, equals, value = attribute.partition("=")
        if not equals:
            raise ValueError(f"attribute without '=': {attribute[:60]!r}")
        if not KEY.match(key):
            raise ValueError(f"key {key[:60]!r} is not alphanumeric")
        if key in found:
            raise ValueError(f"key {key} appears twice")
        if key in ACCOUNT:
            raise ValueError(f"key {key} has the meaning of a user's account")
        if value != value.strip(" ") or not value:
            raise ValueError(f"value of {key} is empty, or begins or ends with a space")
        found[key] = value
    return found


def check(line):
    text = line.decode("utf-8")
    fields = text.split("|", 6)
    if len(fields) != 7:
        raise ValueError(f"{len(fields) - 1} pipes, expected at least 6")
    version, vendor, product, release, event_id, delimiter_field, rest = fields
    if version != "LEEF:2.0":
        raise ValueError(f"begins with {version[:20]!r}")
    if not (vendor and product and release and event_id):
        raise ValueError("an empty header field")
    if len(event_id) > 255:
        raise ValueError("EventID longer than 255")
    delimiter = delimiter_of(delimiter_field)
    for found in BREAKERS.finditer(text):
        if found[0] != delimiter:
            raise ValueError(f"U+{ord(found[0]):04X} in the line")
    found = attributes_of(rest, delimiter)
    if "devTime" not in found:
        raise ValueError("no devTime")
    if not re.match(r"[0-9]{13}\Z", found["devTime"]) and "devTimeFormat" not in found:
        raise ValueError(f"devTime {found['devTime']!r} without devTimeFormat")
    if not re.match(r"([1-9]|10)\Z", found.get("sev", "")):
        raise ValueError(f"sev {found.get('sev')!r}")
    if "cat" not in found:
        raise ValueError("no cat")
    if "identHostName" in found and "identSrc" not in found:
        raise ValueError("identHostName without identSrc")
    for key in ("labels", "annotations", "extra", "exact"):
        if key in found and not isinstance(json.loads(found[key]), dict):
            raise ValueError(f"{key} is no JSON object")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="LEEF, one record per line")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        lines = file.read().split(b"\n")
    if lines.pop() != b"":
        sys.exit(f"{options.file}: the last line has no end")
    if not lines:
        sys.exit(f"{options.file}: no records")
    broken = 0
    for number, line in enumerate(lines, 1):
        try:
            check(line)
        except ValueError as error:
            broken += 1
            print(f"{number}: {error}: {line.decode(errors='backslashreplace')}")
    if broken:
        sys.exit(f"{broken} of {len(lines)} lines break the grammar")
    print(f"{len(lines)} lines accepted")


if __name__ == "__main__":
    main()
