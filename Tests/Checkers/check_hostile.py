#!/usr/bin/env python3
"""Checks that the hostile records hold every kind of trouble in every field that takes text.

Usage: check_hostile.py RECORDS

The other checks prove something about a kind of character only if it really was there. Counts are of the values as a
JSON reader sees them, so it does not matter how a character was spelt.
"""
import json
import re
import sys
from collections import Counter

KINDS = {
    "quote": '"', "apostrophe": "'", "pipe": r"\|", "equals": "=", "backslash": r"\\", "bracket": r"\]", "CR": "\r",
    "LF": "\n", "TAB": "\t", "NUL": "\0", "C0": "[\x01-\x08\x0b\x0c\x0e-\x1f]", "DEL": "\x7f", "C1": "[\x80-\x9f]",
    "line separator": "[\u2028\u2029]", "bidi": "[\u200e\u202a-\u202e\u2066-\u2069]", "BOM": "\ufeff",
    "zero width joiner": "\u200d", "flag": "[\U0001f1e6-\U0001f1ff]{2}", "combining": "[\u0301\u0323]",
    "noncharacter": "[\ufffe\uffff]", "trailing backslash": r"\\\Z", "outer space": r"\A | \Z",
}
EXPRESSIONS = {name: re.compile(expression) for name, expression in KINDS.items()}
LONE = re.compile("[\ud800-\udfff]")
LONG = 60_000
FIELDS = 20
TEXTS = {
    "metadata": ["name", "namespace", "creationTimestamp"],
    "probe": ["profile", "targetNamespace", "aoAuthorizationRef"],
    "result": ["crosswalkVersion", "mitreAttackId", "detail", "verificationMode"],
    "execution": ["jobName"],
}


def texts(record):
    """Every text with the name of its field; members that the schema does not know are one field."""
    spec = record["spec"]
    sections = {"metadata": record["metadata"], **{name: spec[name] for name in ("probe", "result", "execution")}}
    for name, section in sections.items():
        for key, value in section.items():
            if key in TEXTS[name] and isinstance(value, str):
                yield f"{name}.{key}", value
            elif key in ("labels", "annotations"):
                for inner, text in value.items() if value else ():
                    yield f"{key}: key", inner
                    yield f"{key}: value", text
            elif key == "nistControls":
                yield from (("nistControls", text) for text in value or ())
            elif key == "controlMappings":
                for framework, controls in value.items() if value else ():
                    yield "controlMappings: key", framework
                    yield from (("controlMappings: control", text) for text in controls)
            elif key.startswith("x"):
                yield "unknown: key", key
                yield from (("unknown: value", text) for text in ([value] if isinstance(value, str) else ()))


def main():
    seen = Counter()
    fields = set()
    with open(sys.argv[1], encoding="utf-8", newline="\n") as lines:
        for line in lines:
            for field, text in texts(json.loads(line)):
                fields.add(field)
                for kind, expression in EXPRESSIONS.items():
                    if expression.search(text):
                        seen[field, kind] += 1
                seen[field, "empty"] += not text
                seen[field, "lone surrogate"] += bool(LONE.search(text))
                seen[field, "60 KB"] += len(text.encode("utf-8", "surrogatepass")) >= LONG
    # The schema has no empty profile; the generator gives keys no lone surrogates, as two keys could become the same.
    impossible = {("probe.profile", "empty"), ("unknown: key", "empty")}
    impossible |= {(field, "lone surrogate") for field in fields if field.endswith(": key")}
    kinds = [*KINDS, "empty", "lone surrogate", "60 KB"]
    missing = [pair for pair in ((field, kind) for field in sorted(fields) for kind in kinds) if not seen[pair]]
    missing = [f"{field} without {kind}" for field, kind in missing if (field, kind) not in impossible]
    print(f"{len(kinds)} kinds in {len(fields)} fields, the rarest in {min(n for n in seen.values() if n)} values")
    if missing or len(fields) != FIELDS:
        sys.exit("; ".join(missing) or f"{FIELDS} fields take text")


if __name__ == "__main__":
    main()
