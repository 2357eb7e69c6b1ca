#!/usr/bin/env python3
"""Writes probe results that are valid and hostile, as NDJSON: what every encoder must survive.

The same seed gives the same records. Text of every troublesome class stands in every string, each character spelt in one
of the ways JSON has for it; maps come out of order, white space between tokens, unknown fields everywhere.
"""
import argparse
import functools
import json
import random
import re
import sys

PIECES = (
    ["a", "Z", "0", "word", " ", "   ", "=", "\\", "|", "^", "\n", "\r", "\r\n", "\t", "\0", "\x01", "\x0b", "\x0c"]
    + ["\x1b[31m", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\xa0", "\xad", "é", "ß", "\u0130", "e\u0301\u0323"]
    + ["\u2028", "\u2029", "\u200b", "\u200d", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\ufffd"]
    + ["\ufffe", "\uffff", "\ue000", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"]
    + ["\U0001f3f4\U000e0067\U000e007f", "\U0010ffff", "漢字", "עברית", "نص", "\"", "'", "`", "<", ">", "&", "]", "]]>"]
    + ["[", "{", "}", ",", ";", ":", "/", "%s%n", "${jndi:x}", "$(x)", " msg=x", "key=value", "cs1=", "\\n", "\\="]
    + ["\\|", "\\u0000", "\\\"", "CEF:0|a|b|", "LEEF:2.0|a|", "<13>1 - - -", "x09", "null", "true", "\tsev=10"]
)
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
OUTCOMES = ["Pass", "Fail", "Detected", "Undetected", "Blocked", "Rejected", "Accepted", "NotApplicable", "BackendUnreachable", "NotEnforced", "Indeterminate", "TamperedResult"]
PROFILES = ["rbac", "netpol", "admission", "secret", "detection", "acme.gov/egress"]
FRAMEWORKS = ["nist-800-53", "cmmc", "cjis", "irs-1075", "hipaa", "nist-800-171", "kubernetes-stig", "acme-baseline"]
RECORDS_PER_LONG_TEXT = 50
LONE = object()  # stands for an escape that is half of a surrogate pair
MUST = frozenset(map(chr, range(0x20))) | {'"', "\\"}  # what JSON has no other spelling for than an escape
MUST_EXPRESSION = re.compile(r'["\\\x00-\x1f]')
ANY_EXPRESSION = re.compile(r".", re.DOTALL)


class Raw(str):
    """JSON text that is written as it is."""


@functools.cache
def units(char, form):
    """A character as one escape, or as two that are a surrogate pair."""
    data = char.encode("utf-16-be")
    return "".join(form % int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))


class Writer:
    def __init__(self, rng):
        self.rng = rng

    def string(self, parts):
        """A JSON string; `parts` is text, or a list of text and LONE."""
        random_share = self.rng.random
        style = self.rng.choice(("raw", "raw", "mixed", "escaped"))
        form = self.rng.choice(("\\u%04x", "\\u%04X"))

        def spelt(found):
            char = found[0]
            if style == "mixed" and char not in MUST and random_share() < 0.7:
                return char
            return SHORT[char] if char in SHORT and random_share() < 0.5 else units(char, form)

        expression = MUST_EXPRESSION if style == "raw" else ANY_EXPRESSION
        out = []
        for part in [parts] if isinstance(parts, str) else parts:
            if part is LONE:
                out.append(form % self.rng.randrange(0xD800, 0xE000) + "x")
            else:
                out.append(expression.sub(spelt, part))
        return '"' + "".join(out) + '"'

    def space(self):
        return self.rng.choice(("", "", "", " ", "  ", "\t"))

    def value(self, value):
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, Text):
            return self.string(value.parts)
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, dict):
            members = [
                self.space() + self.key(key) + self.space() + ":" + self.space() + self.value(item) + self.space()
                for key, item in value.items()
            ]
            return "{" + ",".join(members) + "}"
        if isinstance(value, list):
            return "[" + ",".join(self.space() + self.value(item) + self.space() for item in value) + "]"
        return json.dumps(value)

    def key(self, key):
        return self.string(key) if self.rng.random() < 0.3 else json.dumps(key, ensure_ascii=False)


class Text:
    """Text that may hold lone surrogate escapes."""

    def __init__(self, parts):
        self.parts = parts


class Hostile:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.writer = Writer(self.rng)
        self.records = 0
        self.texts_before_long = -1

    def parts(self):
        rng = self.rng
        self.texts_before_long -= 1
        if self.texts_before_long == 0:
            return self.long_parts()
        kind = rng.random()
        if kind < 0.06:
            return [""]
        if kind < 0.35:
            return ["plain text " + str(rng.randrange(1000))]
        if kind < 0.38:
            size = rng.choice((31, 32, 48, 63, 64, 100, 255, 256, 512, 1017, 1023, 4000)) + rng.randrange(-3, 4)
            return ["".join(rng.choice("xé漢\U0001f600=\\|") for _ in range(size))]
        parts = [rng.choice(PIECES) for _ in range(rng.randrange(1, 9))]
        if rng.random() < 0.1:
            parts.insert(rng.randrange(len(parts) + 1), LONE)
        return parts

    def long_parts(self):
        """60 KB in UTF-8. A whole sentence repeats, or the lines alone would keep a checker busy for minutes."""
        sentence = self.rng.choices(PIECES, k=40) + ["漢字 and plain text " * 8]
        size = sum(len(piece.encode()) for piece in sentence)
        return sentence * (60_000 // size + 1)

    def text(self):
        return Text(self.parts())

    def keys(self, count):
        found = {}
        for _ in range(count):
            plain = "".join(part for part in self.parts() if part is not LONE)
            found[plain] = None
        return list(found)

    def label_map(self):
        return {key: self.text() for key in self.keys(self.rng.randrange(0, 5))}

    def control(self):
        return self.text() if self.rng.random() < 0.2 else f"AC-{self.rng.randrange(30)}({self.rng.randrange(9)})"

    def controls(self):
        return [self.control() for _ in range(self.rng.randrange(0, 5))]

    def mappings(self):
        names = self.rng.sample(FRAMEWORKS, self.rng.randrange(0, 5))
        if self.rng.random() < 0.2:
            names += self.keys(2)
        return {name: self.controls() for name in dict.fromkeys(names)}

    def unknown(self, depth=0):
        rng = self.rng
        kind = rng.randrange(7 if depth < 4 else 5)
        if kind == 0:
            return rng.choice((None, True, False))
        if kind == 1:
            return Raw(rng.choice(("0", "-0", "1.50", "1e400", "-12345678901234567890", "0.1E-7")))
        if kind < 5:
            return self.text()
        if kind == 5:
            return [self.unknown(depth + 1) for _ in range(rng.randrange(4))]
        return {key: self.unknown(depth + 1) for key in self.keys(rng.randrange(4))}

    def uuid(self):
        digits = f"{self.rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def time(self):
        rng = self.rng
        year = rng.choice((1, 1969, 1999, 2300, 9999)) if rng.random() < 0.2 else 2026
        fraction = rng.choice(("", ".1", ".123", ".000001", ".123456789", ".999999999"))
        zone = rng.choice(("Z", "Z", "Z", "+02:00", "-11:30"))
        return Raw(
            f'"{year:04}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:'
            f'{rng.randrange(60):02}:{rng.randrange(60):02}{fraction}{zone}"'
        )

    def some(self, members, optional):
        """Adds optional members and unknown ones, then puts all of them in any order."""
        for key, make in optional.items():
            kind = self.rng.random()
            if kind < 0.7:
                members[key] = make()
            elif kind < 0.75:
                members[key] = None
        if self.rng.random() < 0.2:
            for key in self.keys(2):
                members["x" + key] = self.unknown()
        order = list(members.items())
        self.rng.shuffle(order)
        return dict(order)

    def annotations(self):
        found = self.label_map()
        if self.rng.random() < 0.5:
            found["export.sidereal.cloud/targets"] = "pending"
        return found

    def record(self):
        rng = self.rng
        self.records += 1
        if self.records % RECORDS_PER_LONG_TEXT == 0:
            self.texts_before_long = rng.randrange(1, 25)
        uid = self.uuid() if rng.random() < 0.8 else "".join(rng.choice("aZ09-=|]:;,<>'^%") for _ in range(20))
        metadata = {"uid": Raw(json.dumps(uid))}
        optional = {"name": self.text, "namespace": self.text, "labels": self.label_map}
        optional |= {"annotations": self.annotations, "creationTimestamp": self.text}
        profile = rng.choice(PROFILES)
        if rng.random() < 0.3:
            parts = self.parts()
            profile = Text(parts) if parts != [""] else "p"
        probe = {"id": Raw(json.dumps(self.uuid())), "profile": profile, "targetNamespace": self.text()}
        result = {
            "outcome": Raw(json.dumps(rng.choice(OUTCOMES))),
            "controlEffectiveness": Raw(rng.choice(('"Effective"', '"Ineffective"', '"Degraded"', '"Compromised"'))),
            "integrityStatus": Raw(rng.choice(('"Verified"', '"Verified"', '"TamperedResult"'))),
        }
        texts = ("crosswalkVersion", "mitreAttackId", "detail", "verificationMode")
        result_optional = dict.fromkeys(texts, self.text)
        result_optional |= {"nistControls": self.controls, "controlMappings": self.mappings}
        duration = rng.choice((0, 1, 1234, 59_999, -1, 2**63 - 1, -(2**63) + 1))
        execution = {"timestamp": self.time(), "durationMs": duration, "jobName": self.text()}
        spec = {
            "probe": self.some(probe, {"aoAuthorizationRef": self.text}),
            "result": self.some(result, result_optional),
            "execution": self.some(execution, {}),
            "audit": {"exportStatus": Raw(rng.choice(('"Pending"', '"Failed"')))},
        }
        root = {"metadata": self.some(metadata, optional), "spec": self.some(spec, {})}
        root |= {"apiVersion": Raw('"sidereal.cloud/v1alpha1"'), "kind": Raw('"SiderealProbeResult"')}
        return self.writer.value(self.some(root, {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many records (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the generator (default 1)")
    options = parser.parse_args()
    hostile = Hostile(options.seed)
    for _ in range(options.count):
        sys.stdout.buffer.write(hostile.record().encode() + b"\n")


if __name__ == "__main__":
    main()
