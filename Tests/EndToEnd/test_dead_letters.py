"""What was given up: seen, tried again, discarded; also beside a running exporter. And nobody's words are obeyed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws import Moto, object_keys, s3_target, stored_uids
from evidence import archived, assert_delivered_everywhere, assert_each_once, duplicates, records, uids
from exporter import (
    BAD_SETUP,
    DEAD_LETTERS,
    OK,
    RETRY,
    TOKEN,
    UNDELIVERED,
    Finished,
    Running,
    Target,
    Workbench,
    wait_until,
)
from peers import Stage
from receiver import Receiver
from s3_proxy import Answer, Request, S3Proxy
from syslog_sink import SyslogSink, reset_at
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


def start_retry(bench: Workbench, config: Path) -> Running:
    """A retry that is under way."""
    return bench.start("dead-letters", "retry", "--config", config, "--secrets", bench.secrets, "--state", bench.state)


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
        assert (
            before - 1 < time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone < time.time() + 1
        )

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


def test_input_that_is_not_one_result_a_line(bench: Workbench, results: Results) -> None:
    """What kubectl prints, and an object over many lines: said once how to make lines of it, and not of a bad field."""
    items = [json.loads(line) for line in results(3).read_bytes().splitlines()]
    config = bench.make_config([bench.file()])

    def hints(name: str, text: str) -> int:
        finished = bench.run_export(config, bench.write(name, text.encode() + b"\n"))
        assert finished.code == DEAD_LETTERS, finished
        return sum("jq -c '.items[]'" in line["message"] for line in finished.logs)

    assert hints("list.ndjson", json.dumps({"kind": "List", "items": items})) == 1
    assert hints("pretty.ndjson", json.dumps(items[0], indent=2)) == 1
    items[0]["spec"]["probe"]["id"] = "x"
    assert hints("field.ndjson", json.dumps(items[0])) == 0


def test_the_same_run_again_does_not_hide_them(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Nothing is left to send, but not everything was delivered: said until the letters are gone."""
    source = bench.write("mixed.ndjson", results(COUNT).read_bytes() + b"no record\n")
    receiver.poison = {uids(results(COUNT))[place] for place in (3, 30)}
    config = bench.make_config([bench.splunk(receiver.port), bench.file()])
    assert bench.run_export(config, source).code == DEAD_LETTERS
    again = bench.run_export(config, source)
    assert again.code == DEAD_LETTERS, again
    summary = again.summary
    assert (summary["delivered"], summary["refused"], summary["refusedEarlier"]) == (False, 0, 1)
    counts = {name: (target["deadLetters"], target["deadLettersEarlier"]) for name, target in again.targets.items()}
    assert counts == {"splunk": (0, 2), "file": (0, 0)}
    shown = bench.start_export(config, source).wait()
    assert shown.code == DEAD_LETTERS and "Everything is delivered." not in shown.stdout, shown
    assert "from earlier runs of this input, and not tried again: splunk 2, no valid probe result 1." in shown.stdout
    assert "dead-letters list --state" in shown.stdout
    # Another input is not to blame for them.
    assert bench.run_export(config, bench.generate(5, "other.ndjson", seed=5)).code == OK
    receiver.poison = set()
    assert retry(bench, config, "--target", "splunk").code == OK
    assert letters(bench, "discard", "--intake", "--yes").code == OK
    mended = bench.run_export(config, source)
    assert mended.code == OK and mended.summary["delivered"] is True, mended


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
    arguments: list[str | Path] = [bench.program, "dead-letters", "discard", "--all", "--state", bench.state]
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
        at: list[str | Path] = [bench.program, "dead-letters", *command, "--state", bench.state]
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


# ----- trying again


def retry(bench: Workbench, config: Path, *arguments: str | Path) -> Finished:
    """Runs `dead-letters retry --json`."""
    return letters(bench, "retry", "--config", config, "--secrets", bench.secrets, "--json", *arguments)


def test_retried_once_the_receiver_is_mended(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """They arrive once, leave the dead letters, and what remains says who tried them."""
    config, bad = poisoned(bench, receiver, results(COUNT), 0, 17, 18, 59)
    entries = listed(bench)
    receiver.poison = set()
    finished = retry(bench, config)
    assert finished.code == OK, finished
    summary = finished.summary
    assert (summary["selected"], summary["delivered"], summary["refusedAgain"]) == (4, 4, 0)
    assert [target["name"] for target in summary["targets"]] == ["splunk"]
    assert_each_once(uids(results(COUNT)), receiver.uids, "splunk")
    assert listed(bench) == []
    removed = json.loads(letters(bench, "list", "--removed", "--json").stdout)["removed"]
    assert [(letter["id"], letter["uid"], letter["outcome"]) for letter in removed] == [
        (entry["id"], entry["uid"], "delivered") for entry in entries
    ]
    logged = [entry for entry in finished.logs if entry["message"] == "dead letter delivered"]
    assert sorted(entry["uid"] for entry in logged) == sorted(bad)
    assert archived(bench.archive) == uids(results(COUNT)), "the file had them already"
    assert retry(bench, config).summary["selected"] == 0
    assert retry(bench, config, "--target", "splunk").code == OK
    mistaken = letters(bench, "retry", "--config", config, "--secrets", bench.secrets, "--target", "splnk")
    assert mistaken.code == BAD_SETUP and "is called splnk; there are splunk, file" in mistaken.stderr
    # The export goes on as if they had been delivered at once.
    again = bench.run_export(config, results(COUNT))
    assert again.code == OK, again
    assert (again.targets["splunk"]["taken"], again.targets["splunk"]["deliveredEarlier"]) == (0, COUNT)
    assert [path.name for path in bench.state.iterdir() if "retry" in path.name] == []


def test_refused_again_keeps_the_letter(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """With one more attempt and the new reason; the others are delivered all the same."""
    config, bad = poisoned(bench, receiver, results(COUNT), 5, 6, 7)
    before = {entry["uid"]: entry for entry in listed(bench)}
    receiver.poison = {bad[1]}
    receiver.complaint = "still no event"
    finished = retry(bench, config)
    assert finished.code == DEAD_LETTERS, finished
    assert (finished.summary["delivered"], finished.summary["refusedAgain"]) == (2, 1)
    (left,) = listed(bench)
    old = before[bad[1]]
    assert (left["id"], left["uid"]) == (old["id"], bad[1])
    assert left["attempts"] > old["attempts"] and "still no event" in left["reason"]
    assert left["firstAttempt"] == old["firstAttempt"] and left["lastAttempt"] > old["lastAttempt"]
    assert_each_once([uid for uid in uids(results(COUNT)) if uid != bad[1]], receiver.uids, "splunk")


def test_only_those_that_were_meant(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Numbers and filters restrict; people get a table and a line of what is left."""
    config, bad = poisoned(bench, receiver, results(COUNT), 5, 6, 7)
    receiver.poison = set()
    assert retry(bench, config, "2").code == OK
    assert [entry["uid"] for entry in listed(bench)] == [bad[0], bad[2]]
    assert retry(bench, config, "--target", "archive").summary["selected"] == 0
    missing = retry(bench, config, "1", "2")
    assert missing.code == BAD_SETUP and "dead letter 2 is gone: delivered" in missing.stderr, missing
    receiver.poison = {bad[2]}
    finished = letters(bench, "retry", "--config", config, "--secrets", bench.secrets)
    assert finished.code == DEAD_LETTERS, finished
    assert "1 delivered, 1 refused again" in finished.stdout
    assert f"dead-letters list --state {bench.state}" in finished.stdout
    assert re.search(r"^splunk +1 of 2", finished.stdout, re.M)


def test_what_cannot_be_tried_is_said(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """No such target any more; not kept whole; and the rest is tried."""
    source = results(COUNT)
    long = b'{"a": "' + b"x" * (1 << 20) + b'"}\n'
    mixed = bench.write("mixed.ndjson", source.read_bytes() + long)
    receiver.poison = {uids(source)[5], uids(source)[6]}
    old = bench.make_config([bench.splunk(receiver.port), bench.splunk(receiver.port, name="old")], "old.yaml")
    assert bench.run_export(old, mixed).code == DEAD_LETTERS
    assert len(listed(bench)) == 5
    receiver.poison = set()
    config = bench.make_config([bench.splunk(receiver.port)])
    finished = retry(bench, config)
    assert finished.code == DEAD_LETTERS, finished
    assert finished.summary["delivered"] == 2
    kept = {(entry["code"], entry.get("target"), entry["count"]) for entry in finished.summary["notTried"]}
    assert kept == {("no-such-target", "old", 2), ("cut", None, 1)}
    text = letters(bench, "retry", "--config", config, "--secrets", bench.secrets).stdout
    assert "discard --target old" in text and "export it again from its source" in text
    assert (
        sorted((entry.get("target"), entry["cut"]) for entry in listed(bench, "--target", "old"))
        == [("old", False)] * 2
    )
    assert listed(bench, "--intake")[0]["cut"] is True


def test_intake_after_the_limits_were_raised(bench: Workbench, results: Results) -> None:
    """Valid by now: to every target, once; what is still invalid stays, with one more attempt."""
    sandbox = bench.sandbox()
    found = records(results(COUNT))
    for record in found[::3]:
        record["spec"]["result"]["detail"] = "x" * 5_000
    clean = bench.write("clean.ndjson", b"".join(json.dumps(record).encode() + b"\n" for record in found))
    source = bench.write("mixed.ndjson", clean.read_bytes() + b"not json\n")
    targets = [bench.splunk(sandbox.hec_port), bench.elasticsearch(sandbox.elasticsearch_port), bench.file()]
    small = bench.make_config(targets, "small.yaml", limits={"maxRecordBytes": "4KiB"})
    first = bench.run_export(small, source)
    assert first.code == DEAD_LETTERS, first
    refused = listed(bench)
    assert len(refused) == len(found[::3]) + 1 and all(entry["intake"] for entry in refused)
    config = bench.make_config(targets)
    finished = retry(bench, config)
    assert finished.code == DEAD_LETTERS, finished
    count = len(refused) - 1
    assert (finished.summary["delivered"], finished.summary["refusedAgain"]) == (3 * count, 1)
    (left,) = listed(bench)
    assert left["intake"] and left["attempts"] == refused[-1]["attempts"] + 1
    assert_delivered_everywhere(clean, sandbox, bench.archive)
    assert_each_once(uids(clean), sandbox.ids("hec"), "splunk")
    removed = json.loads(letters(bench, "list", "--removed", "--json", "--limit", "1000").stdout)["removed"]
    assert sum(letter["outcome"] == "readmitted" for letter in removed) == count
    assert sum(letter["outcome"] == "delivered" for letter in removed) == 3 * count


def test_retried_beside_a_running_exporter(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """All but files, which have one writer; and two people do not retry at once."""
    source = results(COUNT)
    receiver.poison = {uids(source)[5]}
    bench.archive.write_text("a file where a directory should be")
    config = bench.make_config([bench.splunk(receiver.port), bench.file(retry=RETRY | {"window": "1s"})])
    assert bench.run_export(config, source, "--deadline", "20s").code == DEAD_LETTERS
    bench.archive.unlink()
    assert len(listed(bench, "--target", "file")) == COUNT
    receiver.poison = set()
    sandbox = bench.sandbox("--latency", "50ms")
    more = bench.generate(400, "more.ndjson", seed=9)
    slow = bench.make_config(
        [bench.elasticsearch(sandbox.elasticsearch_port, batch={"maxRecords": 5}, concurrency={"max": 1})], "more.yaml"
    )
    running = bench.start_export(slow, more, "--json")
    wait_until(lambda: sandbox.stats("elasticsearch")["requests"] > 2, "the exporter exports")
    finished = retry(bench, config)
    assert running.is_running, "all of that happened beside it"
    assert finished.code == DEAD_LETTERS, finished
    assert finished.summary["delivered"] == 1
    (kept,) = finished.summary["notTried"]
    assert (kept["code"], kept["count"]) == ("exporter-writes-file", COUNT)
    assert f"pid {running.process.pid}" in kept["reason"]
    assert_each_once(uids(source), receiver.uids, "splunk")
    exported = running.wait()
    assert exported.code == OK, exported
    assert not [entry for entry in exported.logs if entry["level"] == "error"]
    assert retry(bench, config).code == OK
    assert archived(bench.archive) == uids(source)
    assert listed(bench) == []


def test_two_retries_at_once(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """The second one is told who is at it; so is a person who would discard."""
    config, _ = poisoned(bench, receiver, results(COUNT), 5)
    receiver.poison = set()
    receiver.is_hanging = True
    before = receiver.requests
    first = start_retry(bench, config)
    wait_until(lambda: receiver.requests > before, "the first retry sends")
    second = retry(bench, config)
    third = letters(bench, "discard", "1", "--yes")
    for refused in (second, third):
        assert refused.code == BAD_SETUP and f"pid {first.process.pid}" in refused.stderr, refused
    assert len(listed(bench)) == 1, "looking is allowed"
    first.kill()


def test_an_outage_does_not_keep_letters_from_other_targets(
    bench: Workbench, results: Results, receiver: Receiver
) -> None:
    """More letters of a dead target than are tried at once lie before one of another target, which is delivered."""
    # Four times the queue, 4 MiB, are tried at once: 16 of these fill that.
    small = {"limits": {"maxQueuedBytesPerTarget": "1MiB"}}
    large = records(results(COUNT))[:20]
    for record in large:
        record["spec"]["result"]["detail"] = "x" * (256 << 10)
    many = bench.write("many.ndjson", b"".join(json.dumps(record).encode() + b"\n" for record in large))
    receiver.poison = set(uids(many))
    refused = bench.make_config([bench.splunk(receiver.port, name="down")], "refused.yaml", **small)
    assert bench.run_export(refused, many).code == DEAD_LETTERS
    poisoned(bench, receiver, results(COUNT), 59)
    receiver.poison = set()
    dead = Receiver(TOKEN)
    dead.die()
    down = bench.splunk(dead.port, name="down")
    config = bench.make_config([down, bench.splunk(receiver.port)], "both.yaml", **small)
    finished = retry(bench, config, "--deadline", "500ms")
    assert finished.code == UNDELIVERED, finished
    assert (finished.summary["delivered"], finished.summary["undelivered"]) == (1, 20)
    assert listed(bench, "--target", "splunk") == []
    assert_each_once(uids(results(COUNT)), receiver.uids, "splunk")
    shown = letters(bench, "retry", "--config", config, "--secrets", bench.secrets, "--deadline", "500ms")
    assert shown.code == UNDELIVERED, shown
    assert re.search(r"^down: [45] dead letters not tried any more", shown.stdout, re.M), shown


def test_undelivered_stays(bench: Workbench, results: Results, receiver: Receiver) -> None:
    """Nobody answers: after the deadline the letters are as they were."""
    config, _ = poisoned(bench, receiver, results(COUNT), 5, 6)
    before = listed(bench)
    receiver.die()
    finished = retry(bench, config, "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert (finished.summary["delivered"], finished.summary["undelivered"]) == (0, 2)
    assert listed(bench) == before


@pytest.mark.parametrize("seed", range(4))
def test_killed_retries_lose_nothing(bench: Workbench, results: Results, receiver: Receiver, seed: int) -> None:
    """kill -9 at moments of chance: a letter is listed until it has arrived, and in the end all have, once if known."""
    source = results(COUNT)
    everything = uids(source)
    sandbox = bench.sandbox("--latency", "20ms")
    receiver.poison = set(everything)
    small = {"batch": {"maxRecords": 1}}
    broken = bench.make_config([bench.splunk(receiver.port, **small)], "broken.yaml")
    assert bench.run_export(broken, source).code == DEAD_LETTERS
    config = bench.make_config([bench.splunk(sandbox.hec_port, **small)])
    moments = random.Random(seed)
    kills = 0
    for _ in range(6):
        running = start_retry(bench, config)
        time.sleep(0.05 + moments.random() * 0.4)
        kills += running.is_running
        running.kill()
        left = {entry["uid"] for entry in listed(bench)}
        arrived = sandbox.ids("hec")
        assert left | arrived.keys() == set(everything), "none is lost"
        # What arrived and is listed is what was under way at a kill: a batch each time.
        assert duplicates(arrived) <= kills
    assert kills > 0
    assert retry(bench, config).code == OK
    assert listed(bench) == []
    arrived = sandbox.ids("hec")
    assert set(arrived) == set(everything) and duplicates(arrived) <= kills


# ----- to receivers of every kind


def given_up(bench: Workbench, source: Path, *targets: Target) -> None:
    """Makes every record of `source` a dead letter of these targets, which nobody can reach."""
    dead = Receiver(TOKEN)
    dead.die()
    place = f"127.0.0.1:{dead.port}"
    lost = [
        target | {"endpoint": f"{str(target['endpoint']).split(':')[0]}://{place}", "retry": RETRY | {"window": "1s"}}
        for target in targets
    ]
    finished = bench.run_export(bench.make_config(lost, "lost.yaml"), source)
    assert finished.code == DEAD_LETTERS, finished
    assert len(listed(bench, "--limit", "1000")) == len(targets) * len(uids(source))


def assert_retried(bench: Workbench, finished: Finished, source: Path, *names: str) -> None:
    """All of them were delivered, once each by the sums, and none is left."""
    assert finished.code == OK, finished
    expected = uids(source)
    assert [target["name"] for target in finished.summary["targets"]] == list(names)
    assert (finished.summary["selected"], finished.summary["delivered"]) == (len(names) * len(expected),) * 2
    assert listed(bench) == []


def test_retried_to_every_kind_of_receiver(bench: Workbench, stage: Stage, moto: Moto, results: Results) -> None:
    """S3 with its locks, syslog over a connection that breaks, and Splunk with acknowledgements; counted in metrics."""
    source = results(COUNT)
    bucket = moto.bucket()
    sandbox = bench.sandbox("--acknowledge")
    sandbox.fault("hec", ackDelayMs=300)
    sink = SyslogSink(stage, [reset_at(30_000)])
    targets = [
        s3_target(bench, moto, bucket),
        bench.splunk(sandbox.hec_port, acknowledge=True),
        {
            "name": "soc",
            "backend": "syslog",
            "format": "json",
            "endpoint": f"tcp://127.0.0.1:{sink.port}",
            "retry": RETRY,
        },
    ]
    given_up(bench, source, *targets)
    path = bench.directory / "retry.prom"
    finished = retry(bench, bench.make_config(targets), "--metrics", path)
    assert_retried(bench, finished, source, "s3", "splunk", "soc")
    assert_each_once(uids(source), stored_uids(moto, bucket), "s3")
    held = {name: target["deadLetters"] for name, target in finished.targets.items()}
    assert held == {"s3": 0, "splunk": 0, "soc": 0}
    hec = sandbox.stats("hec")
    assert_each_once(uids(source), sandbox.ids("hec"), "splunk")
    assert hec["ackConfirmed"] == finished.targets["splunk"]["batches"] > 0
    assert sink.resets == 1 and not sink.faults
    assert sink.store.received.keys() == set(uids(source))
    text = path.read_text()
    for name in held:
        assert f'sidereal_export_records_delivered_total{{target="{name}"}} {COUNT}\n' in text
    assert "sidereal_export_dead_letters_kept 0\n" in text


def test_an_upload_whose_answer_was_lost_is_recognised(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results
) -> None:
    """kill -9 after S3 has the object and before anybody heard of it: the next retry makes no second one."""
    source = results(COUNT)
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, port=proxy.port)
    given_up(bench, source, target)
    config = bench.make_config([target])
    # The answer to an upload comes once this is set.
    goes_on = threading.Event()

    def withhold(request: Request, answer: Answer) -> Answer:
        if request.is_upload:
            goes_on.wait(30)
        return answer

    proxy.after = withhold
    running = start_retry(bench, config)
    wait_until(lambda: object_keys(moto, bucket) != [], "the object is there")
    running.kill()
    goes_on.set()
    assert len(listed(bench, "--limit", "1000")) == COUNT, "nobody has heard of it"
    assert_retried(bench, retry(bench, config), source, "s3")
    assert len(object_keys(moto, bucket)) == 1
    assert_each_once(uids(source), stored_uids(moto, bucket), "s3")


def test_letters_wait_for_their_acknowledgement(bench: Workbench, results: Results) -> None:
    """What an indexer took and does not confirm stays a dead letter."""
    source = results(COUNT)
    sandbox = bench.sandbox("--acknowledge")
    target = bench.splunk(sandbox.hec_port, acknowledge=True, acknowledgeTimeout="5s")
    given_up(bench, source, target)
    config = bench.make_config([target])
    sandbox.fault("hec", ackFalseRate=1)
    refused = retry(bench, config, "--deadline", "2s")
    assert refused.code == UNDELIVERED, refused
    assert (refused.summary["delivered"], refused.summary["undelivered"]) == (0, COUNT)
    assert sandbox.stats("hec")["recordsReceived"] == COUNT
    assert len(listed(bench, "--limit", "1000")) == COUNT
    sandbox.fault("hec", ackFalseRate=0)
    assert_retried(bench, retry(bench, config), source, "splunk")
    assert set(sandbox.ids("hec")) == set(uids(source))
