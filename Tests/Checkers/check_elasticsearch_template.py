#!/usr/bin/env python3
"""Holds documents of _bulk, as the exporter writes them, against deploy/siem/elasticsearch-index-template.json.

Usage: check_elasticsearch_template.py FORMAT ENCODED

A document whose value does not fit its field's type is rejected by Elasticsearch, so none may. For generated records
(--complete) every field must also be mapped: what is not cannot be searched.
"""
import json
import pathlib
import sys

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "deploy/siem/elasticsearch-index-template.json"
# Lucene refuses a longer term; Elasticsearch then rejects the document.
MAX_TERM = 32766
# Longer names cannot be searched below a `flattened` field: the limit that docs/formats.md states. No API server lets a
# label or annotation have such a name.
MAX_FLATTENED_KEY = 16_000


def scalars(value):
    return [leaf for item in value for leaf in scalars(item)] if isinstance(value, list) else [value]


def flattened_fault(path, field, value, depth=1):
    if isinstance(value, list):
        return next(filter(None, (flattened_fault(path, field, item, depth) for item in value)), None)
    if isinstance(value, dict):
        if depth > field.get("depth_limit", 20):
            return f"{path} is nested deeper than depth_limit"
        for key, item in value.items():
            fault = flattened_fault(f"{path}.{key}", field, item, depth + 1)
            if fault:
                return fault
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    term = len(path.encode()) + 1 + len(text.encode("utf-8", "surrogatepass"))
    if len(path.encode()) > MAX_FLATTENED_KEY:
        return None
    if len(text) <= field["ignore_above"] and term > MAX_TERM:
        return f"{path[:100]} is one immense term"
    return None


def fault(path, field, value, missing):
    kind = field.get("type", "object")
    if kind == "flattened":
        if any(not isinstance(item, dict) for item in scalars(value) if item is not None):
            return f"{path} must be an object"
        return flattened_fault(path, field, value)
    for item in scalars(value):
        if item is None:
            continue
        if kind in ("object", "nested"):
            if not isinstance(item, dict):
                return f"{path} must be an object"
            for key, inner in item.items():
                known = field.get("properties", {}).get(key)
                if known is None:
                    if field.get("dynamic") != "false":
                        return f"{path}.{key} would be mapped by what comes first"
                    missing.add(f"{path}.{key}".lstrip("."))
                else:
                    found = fault(f"{path}.{key}".lstrip("."), known, inner, missing)
                    if found:
                        return found
        elif isinstance(item, dict):
            return f"{path} must not be an object"
        elif kind == "keyword" and field.get("index", True):
            if len(str(item)) <= field["ignore_above"] and len(str(item).encode()) > MAX_TERM:
                return f"{path} is one immense term"
        elif kind in ("long", "integer", "byte") and not isinstance(item, int) and not field.get("ignore_malformed"):
            return f"{path} must be a whole number"
    return None


def main():
    complete = "--complete" in sys.argv
    form, encoded = [word for word in sys.argv[1:] if not word.startswith("--")]
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    mappings = template["template"]["mappings"]
    failures = count = 0
    missing = set()
    with open(encoded, encoding="utf-8", newline="\n") as lines:
        for count, line in enumerate(lines, 1):
            if form in ("json", "ocsf"):
                document = {"@timestamp": "2026-01-01T00:00:00.000000000Z", **json.loads(line)}
            else:
                event = {"id": "u", "kind": "event", "outcome": "success", "original": line}
                document = {"@timestamp": "2026-01-01T00:00:00.000000000Z", "message": line, "event": event}
            found = fault("", mappings, document, missing)
            if found:
                failures += 1
                if failures <= 5:
                    print(f"{encoded}:{count}: {found}", file=sys.stderr)
    if complete and missing:
        print(f"{form}: not mapped: {', '.join(sorted(missing))}", file=sys.stderr)
        failures += len(missing)
    print(f"{count} documents, {failures} faults")
    sys.exit(1 if failures or not count else 0)


if __name__ == "__main__":
    main()
