#!/usr/bin/env python3
"""Applies deploy/siem/splunk to encoded lines as Splunk's search-time extraction would, with Python's expressions.

Usage: check_splunk_conf.py FORMAT ENCODED RECORDS

Every line must give its record's identity, and the fields together must be the whole line: what an expression skips
would be missing from every search.
"""
import configparser
import json
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/siem/splunk"
# Format: (header, pairs, field of the header that holds the pairs, fields with the probe's id and the resource's uid)
RULES = {
    "cef": ("sidereal_cef_header", "sidereal_cef_extension", "cef_extension", "externalId", "siderealUid"),
    "leef": ("sidereal_leef_header", "sidereal_leef_attributes", "leef_attributes", "probeId", "uid"),
    "syslog": ("sidereal_syslog_header", "sidereal_syslog_parameters", "syslog_sd", "probeId", "uid"),
}


def read(name):
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=True)
    parser.optionxform = str
    parser.read_string((FOLDER / name).read_text(encoding="utf-8"))
    return parser


def expression(stanza):
    return re.compile(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", stanza["REGEX"]), re.ASCII)


def rebuilt(form, pairs):
    if form == "cef":
        return " ".join(f"{key}={value}" for key, value in pairs)
    if form == "leef":
        return "\t".join(f"{key}={value}" for key, value in pairs)
    return None


def check(form, line, record, header, pairs, source, probe_key, uid_key):
    found = header.match(line)
    if not found:
        return "the header does not match"
    text = found.group(source)
    fields = pairs.findall(text)
    whole = rebuilt(form, fields)
    if whole is not None and whole != text:
        return f"the pairs leave something out: {whole[:300]!r}"
    if form == "syslog" and not re.fullmatch(r"(\[[^ \]=\"]{1,32}\])+", pairs.sub("", text)):
        return f"the parameters leave something out: {pairs.sub('', text)[:300]!r}"
    values = {}
    for key, value in fields:
        values.setdefault(key, []).append(value)
    for key, wanted in ((probe_key, record["spec"]["probe"]["id"]), (uid_key, record["metadata"]["uid"])):
        plain = [re.sub(r"\\(.)", r"\1", value) if form != "leef" else value for value in values.get(key, [])]
        if plain != [wanted]:
            return f"{key} is {plain}, expected {wanted!r}"
    return None


def main():
    form, encoded, records = sys.argv[1:4]
    props, transforms = read("props.conf"), read("transforms.conf")
    for stanza in props.sections():
        for name in filter(None, re.split(r"[,\s]+", props[stanza].get("REPORT-sidereal", ""))):
            if name not in transforms:
                sys.exit(f"props.conf: {stanza} names {name}, which transforms.conf lacks")
    stanza = props[f"sidereal:proberesult:{form}"]
    prefix = re.compile(stanza["TIME_PREFIX"], re.ASCII)
    rule = RULES.get(form)
    failures = count = 0
    with open(encoded, encoding="utf-8", newline="\n") as lines, open(records, encoding="utf-8", newline="\n") as inputs:
        for count, (line, record) in enumerate(zip(lines, inputs, strict=True), 1):
            line = line.removesuffix("\n")
            fault = None if prefix.search(line) else "TIME_PREFIX does not match"
            if rule and not fault:
                names = rule[:2]
                fault = check(form, line, json.loads(record), *(expression(transforms[n]) for n in names), *rule[2:])
            if fault:
                failures += 1
                if failures <= 5:
                    print(f"{encoded}:{count}: {fault}: {line[:400]!r}", file=sys.stderr)
    print(f"{count} lines, {failures} faults")
    sys.exit(1 if failures or not count else 0)


if __name__ == "__main__":
    main()
