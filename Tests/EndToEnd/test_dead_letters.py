"""What was given up: seen, tried again, discarded; also beside a running exporter. And nobody's words are obeyed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from evidence import uids
from exporter import BAD_SETUP, DEAD_LETTERS, OK, TOKEN, Finished, Workbench, wait_until
from receiver import Receiver
from terminal import at_terminal

COUNT = 60
# What a hostile receiver may say: rename the window, clear the screen, go red by a single C1 character, write a second
# line that looks like ours, and turn the direction of what follows.
HOSTILE = "bad \x1b]0;pwned\x07\x1b[2J\u009b31m\nEverything is delivered.\u202e end"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
OUR_CURSOR = re.compile(r"\x1b\[\d+A\x1b\[0J")
Results = Callable[[int], Path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that the test controls."""
    made = Receiver(TOKEN)
    yield made
    made.die()


def letters(bench: Workbench, command: str, *arguments: str | Path) -> Finished:
    """Runs a command about the dead letters of the bench's state directory."""
    return bench.run("dead-letters", command, *arguments, "--state", bench.state)


def listed(bench: Workbench, *arguments: str) -> list[dict[str, Any]]:
    """The dead letters as `list --json` tells them."""
    finished = letters(bench, "list", "--json", *arguments)
    assert finished.code == OK, finished
    entries: list[dict[str, Any]] = json.loads(finished.stdout)["deadLetters"]
    return entries


def poisoned(bench: Workbench, receiver: Receiver, source: Path, *places: int) -> tuple[Path, list[str]]:
    """Exports `source` to a Splunk that refuses the records at `places`; the configuration and their uids."""
    bad = [uids(source)[place] for place in places]
    receiver.poison = set(bad)
    config = bench.make_config([bench.splunk(receiver.port), bench.file()])
    finished = bench.run_export(config, source)
    assert finished.code == DEAD_LETTERS, finished
    return config, bad


def test_listed_and_shown(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """With the reason, the attempts and the record itself; filters restrict; pages follow each other."""
    source = results(COUNT)
    before = time.time()
    _, bad = poisoned(bench, receiver, source, 3, 30, 59)
    entries = listed(bench)
    assert [entry["uid"] for entry in entries] == bad
    lines = source.read_bytes().splitlines(keepends=True)
    for entry, place in zip(entries, (3, 30, 59), strict=True):
        assert (entry["target"], entry["code"]) == ("splunk", "hec-6") and entry["attempts"] >= 1
        assert "Invalid data format" in entry["reason"]
        assert entry["input"] == str(source.resolve())
        assert entry["position"] == sum(len(line) for line in lines[:place])
        assert entry["cut"] is False
        stamp = entry["lastAttempt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
        assert before - 1 < time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone < time.time() + 1

    shown = letters(bench, "show", str(entries[1]["id"]), "--json")
    assert shown.code == OK, shown
    whole = json.loads(shown.stdout)
    record = whole["record"].encode()
    assert record.rstrip(b"\n") == lines[30].rstrip(b"\n")
    assert whole["sha256"] == hashlib.sha256(record).hexdigest()
    text = letters(bench, "show", str(entries[1]["id"])).stdout
    assert json.loads(text[text.index("{") :]) == json.loads(lines[30])
    raw = letters(bench, "show", "--raw", *(str(entry["id"]) for entry in entries))
    assert raw.stdout.encode() == lines[3] + lines[30] + lines[59]

    assert listed(bench, "--target", "splunk", "--since", "1h", "--reason", "DATA format") == entries
    assert listed(bench, "--since", "2999-01-01T00:00:00Z") == []
    assert listed(bench, "--intake") == []
    assert listed(bench, str(entries[2]["id"])) == entries[2:]
    page = json.loads(letters(bench, "list", "--json", "--limit", "2").stdout)
    assert (page["total"], page["deadLetters"]) == (3, entries[:2])
    assert listed(bench, "--after", str(page["next"])) == entries[2:]


def test_table_is_aligned_and_says_how_many(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """For people: columns, a total, and what to do when there is more or nothing."""
    poisoned(bench, receiver, results(COUNT), 1, 2, 3)
    finished = letters(bench, "list", "--limit", "2")
    assert finished.code == OK, finished
    header, rule, *rows = finished.stdout.splitlines()
    assert header.split("  ")[0].strip() == "id" and set(rule) <= {"─", " "}
    starts = [match.start() for match in re.finditer("─+", rule)]
    for row in rows[:2]:
        assert all(start == 0 or row[start - 2 : start] == "  " for start in starts)
    assert "3 dead letters" in finished.stdout and "--after 2" in finished.stdout
    code, shown = at_terminal([bench.program, "dead-letters", "list", "--state", bench.state], columns=90)
    assert code == OK
    assert all(len(line) <= 90 for line in shown.replace("\r\n", "\n").splitlines())
    nothing = letters(bench, "list", "--target", "nothing")
    assert "splunk" in nothing.stdout and nothing.code == OK


def test_intake_keeps_what_is_no_result(bench: Workbench, results: Results) -> None:
    """Refused before any target, bytes that are no text included."""
    bad = b'{"a": \xff\xfe\x1b[31m}'
    source = bench.write("bad.ndjson", results(COUNT).read_bytes() + bad + b"\n")
    assert bench.run_export(bench.make_config([bench.file()]), source).code == DEAD_LETTERS
    (entry,) = listed(bench, "--intake")
    assert entry["intake"] is True and entry["code"] == "invalid-record"
    whole = json.loads(letters(bench, "show", "1", "--json").stdout)
    assert whole["sha256"] == hashlib.sha256(bad).hexdigest()
    assert "record" not in whole and whole["recordBase64"]


def test_discarded_with_a_trail(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Only with --yes where nobody can be asked; what remains proves what went, by whom and why."""
    _, bad = poisoned(bench, receiver, results(COUNT), 5, 6, 7)
    refused = letters(bench, "discard", "1")
    assert refused.code == BAD_SETUP and "--yes" in refused.stderr, refused
    assert bad[0] in refused.stderr, "it says what would go"
    assert len(listed(bench)) == 3

    record = json.loads(letters(bench, "show", "1", "--json").stdout)
    finished = letters(bench, "discard", "1", "--yes", "--note", "CHG-4711")
    assert finished.code == OK, finished
    (line,) = finished.logs
    wanted = {"uid": bad[0], "target": "splunk", "note": "CHG-4711", "sha256": record["sha256"], "code": "hec-6"}
    assert line.items() >= wanted.items() and "Invalid data format" in line["reason"]
    assert [entry["uid"] for entry in listed(bench)] == bad[1:]
    (gone,) = json.loads(letters(bench, "list", "--removed", "--json").stdout)["removed"]
    assert gone.items() >= wanted.items()
    assert gone["outcome"] == "discarded" and "uid" in gone["removedBy"]
    shown = letters(bench, "show", "1")
    assert shown.code == OK and "discarded" in shown.stdout and record["sha256"] in shown.stdout

    every = json.loads(letters(bench, "discard", "--target", "splunk", "--yes", "--json").stdout)["discarded"]
    assert [entry["uid"] for entry in every] == bad[1:]
    assert listed(bench) == []
    assert "nothing was discarded" in letters(bench, "discard", "--all", "--yes").stdout
    # Discarding is no order to send it again.
    again = bench.run_export(bench.make_config([bench.splunk(receiver.port), bench.file()]), results(COUNT))
    assert again.code == OK and again.targets["splunk"]["taken"] == 0


@pytest.mark.parametrize(("typed", "code", "left"), [("yes\n", 0, 0), ("y\n", 1, 1), ("\n", 1, 1), ("\x04", 1, 1)])
def test_discard_asks_at_a_terminal(
    bench: Workbench, results: Results, receiver: Receiver, typed: str, code: int, left: int
) -> None:
    """Only the whole word counts."""
    poisoned(bench, receiver, results(COUNT), 5)
    arguments = [bench.program, "dead-letters", "discard", "--all", "--state", bench.state]
    ended, shown = at_terminal(arguments, typed=typed)
    assert ended == code, shown
    assert "Type yes" in shown
    assert len(listed(bench)) == left


def test_looked_at_and_discarded_beside_a_running_exporter(
    bench: Workbench, results: Results, receiver: Receiver
) -> None:
    """As by `kubectl exec` in a worker's pod; the exporter notices nothing, and delivers the rest."""
    source = results(COUNT)
    _, bad = poisoned(bench, receiver, source, 5, 6)
    sandbox = bench.sandbox("--latency", "50ms")
    more = bench.generate(400, "more.ndjson", seed=9)
    config = bench.make_config(
        [bench.elasticsearch(sandbox.elasticsearch_port, batch={"maxRecords": 5}, concurrency={"max": 1})], "more.yaml"
    )
    running = bench.start_export(config, more, "--json")
    wait_until(lambda: sandbox.stats("elasticsearch")["requests"] > 2, "the exporter exports")
    assert [entry["uid"] for entry in listed(bench)] == bad
    assert letters(bench, "show", "1").code == OK
    discarded = letters(bench, "discard", "1", "--yes")
    assert discarded.code == OK, discarded
    assert running.is_running, "all of that happened beside it"
    assert [entry["uid"] for entry in listed(bench)] == bad[1:]
    finished = running.wait()
    assert finished.code == OK, finished
    assert not [entry for entry in finished.logs if entry["level"] == "error"]
    assert finished.targets["elasticsearch"]["delivered"] == 400
    assert [entry["uid"] for entry in listed(bench)] == bad[1:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "7"], ["no dead letter 7", "near it: 1"]),
        (["discard", "1", "7", "--yes"], ["no dead letter 7", "Nothing was discarded"]),
        (["list", "--state", "/no/such/directory"], ["/no/such/directory", "--state"]),
        (["show", "1", "--state", "/no/such/directory"], ["/no/such/directory", "--state"]),
        (["discard", "1", "--yes", "--state", "/no/such/directory"], ["/no/such/directory", "--state"]),
    ],
)
def test_mistakes_are_told(
    bench: Workbench, results: Results, receiver: Receiver, arguments: list[str], words: list[str]
) -> None:
    """One line that says what is wrong and what to do; nothing is made or changed."""
    poisoned(bench, receiver, results(COUNT), 5)
    state = [] if "--state" in arguments else ["--state", str(bench.state)]
    finished = bench.run("dead-letters", *arguments, *state)
    assert finished.code == BAD_SETUP, finished
    (line,) = finished.stderr.splitlines()
    assert all(word in line for word in words), line
    assert len(listed(bench)) == 1
    assert not Path("/no/such/directory").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["discard"],
        ["discard", "1", "--all"],
        ["discard", "0"],
        ["list", "--since", "soon"],
        ["list", "--intake", "--target", "x"],
        ["list", "--limit", "0"],
        ["show"],
    ],
)
def test_unclear_orders_are_refused(bench: Workbench, arguments: list[str]) -> None:
    """Nothing is guessed."""
    finished = bench.run("dead-letters", *arguments)
    assert finished.code == 64, finished
    assert "Usage:" in finished.stderr


def test_words_of_a_receiver_are_shown_and_not_obeyed(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """On a terminal, in logs, tables and JSON: its control characters arrive nowhere as such."""
    receiver.complaint = HOSTILE
    source = results(COUNT)
    receiver.poison = {uids(source)[5]}
    config = bench.make_config([bench.splunk(receiver.port)])
    arguments: list[str | Path] = [bench.program, "run", "--config", config, "--input", source]
    code, shown = at_terminal([*arguments, "--secrets", bench.secrets, "--state", bench.state])
    assert code == DEAD_LETTERS
    outputs = {"run": OUR_CURSOR.sub("", shown)}
    for command in (["list"], ["list", "--json"], ["show", "1"], ["show", "1", "--json"], ["discard", "1"]):
        at = [bench.program, "dead-letters", *command, "--state", bench.state]
        outputs[" ".join(command)] = at_terminal(at, columns=2_000, typed="no\n")[1]
        outputs["plain " + " ".join(command)] = letters(bench, *command).output
    log = bench.run_export(config, source, state=bench.directory / "other")
    outputs["log"] = log.output
    for name, output in outputs.items():
        plain = output.replace("\r\n", "\n")
        assert not CONTROLS.search(plain), (name, plain)
        assert "\nEverything is delivered.\u202e" not in plain
        if "run" not in name:
            assert "\\u001b]0;pwned\\u0007" in plain, name
    assert json.loads(letters(bench, "list", "--json").stdout)["deadLetters"][0]["reason"].count("\x1b") == 2
