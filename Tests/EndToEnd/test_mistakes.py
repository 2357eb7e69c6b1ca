"""Mistakes of whoever starts a member or asks one: each is answered with what, where, why and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from exporter import BAD_SETUP, Workbench

USAGE = 64
NO_ANSWER = 6
# Mistakes by name: arguments, exit code, and what has to be said. `{…}` are paths.
MISTAKES: dict[str, tuple[str, int, list[str]]] = {
    "no configuration": ("worker", USAGE, ["'--config <file>'", "See 'sidereal-export worker --help'"]),
    "a file that is not there": ("worker --config {none}", BAD_SETUP, ["No such file", "hint: is the path right?"]),
    "an option misspelt": ("worker --config {config} --stat x", USAGE, ["Did you mean '--state'?"]),
    "a level that is none": ("worker --config {config} --log loud", USAGE, ["'loud'", "- warning"]),
    "a name that is none": (
        "worker --config {config} --identity a/b",
        BAD_SETUP,
        ["--identity a/b", "1 to 200 letters"],
    ),
    "a secret that is missing": (
        "worker --config {config} --secrets {empty}",
        BAD_SETUP,
        [":6:", "`hec`", "\n    hint: put each into a file of that name, such as {empty}/hec/token"],
    ),
    "a state directory that cannot be": (
        "worker --config {config} --secrets {secrets} --state /proc/none",
        BAD_SETUP,
        ["/proc/none", "must be on a writable file system"],
    ),
    "a port that is none": (
        "worker --config {config} --secrets {secrets} --coordinator localhost:x",
        BAD_SETUP,
        ["--coordinator localhost:x", "a port from 1 to 65535"],
    ),
    "a coordinator elsewhere, without certificates": (
        "worker --config {config} --secrets {secrets} --coordinator example.com:7443",
        BAD_SETUP,
        ["not example.com:7443", "--peer-certificates"],
    ),
    "certificates that are not there": (
        "worker --config {config} --secrets {secrets} --peer-certificates {none}",
        BAD_SETUP,
        ["cannot read {none}/ca.crt", "ca.crt, tls.crt and tls.key"],
    ),
    "workers from everywhere, without certificates": (
        "coordinator --config {config} --standalone {state} --listen 0.0.0.0:0",
        BAD_SETUP,
        ["no certificates", "listen on 127.0.0.1"],
    ),
    "two mistakes": (
        "coordinator --config {config} --standalone {state} --listen :99999 --identity .",
        BAD_SETUP,
        ["--listen :99999", "--identity ."],
    ),
    "a directory that cannot be": (
        "coordinator --config {config} --standalone /proc/none --listen 127.0.0.1:0 --endpoint 127.0.0.1:0",
        BAD_SETUP,
        ["--standalone: cannot make the directory /proc/none", "local disk"],
    ),
    "an address without a scheme": (
        "status --coordinator 127.0.0.1:1",
        BAD_SETUP,
        ["write it like http://127.0.0.1:8080"],
    ),
    "nobody there": (
        "status --coordinator http://127.0.0.1:1",
        NO_ANSWER,
        ["GET 127.0.0.1:1", "no firewall is between. Is a coordinator's endpoint there?"],
    ),
    "no ledger": (
        "dead-letters list --state {none}",
        BAD_SETUP,
        ["{none}", "that the exporter was started with (--state)"],
    ),
    "a format that is none": ("encode --format xml", USAGE, ["'xml'", "'json', 'cef', 'leef', 'syslog' or 'ocsf'"]),
}
CONFIG = """\
global: {impactLevel: high}
tls: {required: false}
cluster: {coordinators: ["127.0.0.1:1"]}
export:
  targets:
    - {name: splunk, backend: splunk, endpoint: "http://127.0.0.1:8088", secretRef: hec}
"""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered(name: str, bench: Workbench) -> None:
    """By its exit code and in words, in lines that can be read, all of them on standard error."""
    arguments, code, words = MISTAKES[name]
    empty = bench.directory / "empty" / "hec"
    empty.mkdir(parents=True)
    places: dict[str, Path] = {
        "config": bench.write("sidereal.yaml", CONFIG),
        "none": bench.directory / "none",
        "empty": empty.parent,
        "secrets": bench.secrets,
        "state": bench.directory / "cluster",
    }
    finished = bench.run(*arguments.format(**places).split())
    assert (finished.code, finished.stdout) == (code, ""), finished
    for word in words:
        assert word.format(**places) in finished.stderr, finished.stderr
    # No escapes, no trace of the program's insides.
    assert not re.search(r"\\u[0-9a-f]{4}|Fatal error|\.swift\b|Optional\(|Error Domain", finished.stderr), (
        finished.stderr
    )
