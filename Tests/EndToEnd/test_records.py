"""Records that are wrong, and inputs that are unusual: each is reported or understood, and costs no other record."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from evidence import (
    archived,
    assert_delivered_everywhere,
    assert_elasticsearch_has_each_once,
    uids,
)
from exporter import DEAD_LETTERS, OK, Workbench

MEBIBYTE = 1 << 20


def errors_of(stderr: str, name: str) -> list[str]:
    """What was said about lines of the input `name`."""
    said = [json.loads(line) for line in stderr.splitlines()]
    return [entry["message"] for entry in said if entry["message"].startswith(name)]


def with_outcome(line: bytes, outcome: str) -> bytes:
    """A result with another outcome."""
    record = json.loads(line)
    record["spec"]["result"]["outcome"] = outcome
    return json.dumps(record).encode()


def without_uid(line: bytes) -> bytes:
    """A result without its identity."""
    record = json.loads(line)
    del record["metadata"]["uid"]
    return json.dumps(record).encode()


def test_bad_records_in_the_middle(bench: Workbench) -> None:
    """Each is named by line and field, exit 3; the others reach every target in order; nothing is said twice."""
    good = bench.generate(2_000, "good.ndjson")
    lines = good.read_bytes().splitlines()
    mixed = lines.copy()
    bad: dict[int, tuple[bytes, str]] = {
        5: (b"{not json", "byte"),
        500: (without_uid(lines[0]), "metadata.uid"),
        501: (with_outcome(lines[1], "Maybe"), "spec.result.outcome"),
        1_200: (b"[1,2,3]", "object"),
        1_500: (b"\x00\xff\xfe", "byte"),
        2_006: (lines[2][:200], "byte"),
    }
    for number in sorted(bad):
        mixed.insert(number - 1, bad[number][0])
    source = bench.write("mixed.ndjson", b"".join(line + b"\n" for line in mixed))
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox))
    finished = bench.run_export(config, source)
    assert finished.code == DEAD_LETTERS, finished
    errors = errors_of(finished.stderr, str(source))
    assert [error.split(":")[1] for error in errors] == [str(number) for number in sorted(bad)]
    for number, error in zip(sorted(bad), errors, strict=True):
        assert bad[number][1] in error, error
    assert finished.summary["refused"] == len(bad)
    assert {target["delivered"] for target in finished.targets.values()} == {2_000}
    assert_delivered_everywhere(good, sandbox, bench.archive)
    assert archived(bench.archive) == uids(good), "order"
    again = bench.run_export(config, source)
    assert again.code == DEAD_LETTERS, "what an earlier run refused is not forgotten"
    assert (again.summary["refused"], again.summary["refusedEarlier"]) == (0, len(bad))
    assert errors_of(again.stderr, str(source)) == []
    assert again.summary["refused"] == 0
    assert sandbox.ids("hec").total() == 2_000


def test_records_of_one_mebibyte_and_more(bench: Workbench) -> None:
    """The bound itself is accepted, one byte more is refused; what follows is not harmed."""
    lines = bench.generate(5).read_bytes().splitlines()

    def padded(line: bytes, size: int) -> bytes:
        record = json.loads(line)
        record["spec"]["result"]["detail"] = ""
        empty = len(json.dumps(record).encode())
        record["spec"]["result"]["detail"] = "x" * (size - empty)
        return json.dumps(record).encode()

    largest = padded(lines[1], MEBIBYTE)
    huge = [padded(lines[2], MEBIBYTE + 1), padded(lines[3], 5 * MEBIBYTE)]
    source = bench.write("large.ndjson", b"\n".join([lines[0], largest, *huge, lines[4], b""]))
    sandbox = bench.sandbox()
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox)), source)
    assert finished.code == DEAD_LETTERS, finished
    errors = errors_of(finished.stderr, str(source))
    assert [error.split(":")[1] for error in errors] == ["3", "4"]
    assert all("at most 1048576" in error for error in errors)
    kept = bench.write("kept.ndjson", b"\n".join([lines[0], largest, lines[4], b""]))
    assert_delivered_everywhere(kept, sandbox, bench.archive)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("crlf", lambda lines: b"\r\n".join(lines) + b"\r\n"),
        ("blank lines", lambda lines: b"\n\n  \n\t\r\n" + b"\n\n".join(lines) + b"\n \n\n"),
        ("no last newline", lambda lines: b"\n".join(lines)),
        ("byte order mark", lambda lines: b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n"),
        (
            "spaces around",
            lambda lines: b"\n".join(b"  " + line + b" \t" for line in lines) + b"\n",
        ),
    ],
)
def test_unusual_files(bench: Workbench, name: str, build: Callable[[list[bytes]], bytes]) -> None:
    """All of this is the same three hundred results."""
    plain = bench.generate(300)
    source = bench.write("unusual.ndjson", build(plain.read_bytes().splitlines()))
    config = bench.make_config([bench.file()])
    finished = bench.run_export(config, source)
    assert finished.code == OK, (name, finished)
    assert archived(bench.archive) == uids(plain)
    assert bench.run_export(config, source).targets["file"]["taken"] == 0


def test_directory_of_inputs(bench: Workbench) -> None:
    """Its NDJSON files by name; others are left alone; a new one is found by the next run."""
    source = bench.directory / "in"
    source.mkdir()
    whole = bench.generate(900).read_bytes().splitlines(keepends=True)
    for name, part in (
        ("b.jsonl", whole[300:600]),
        ("a.ndjson", whole[:300]),
        ("c.json", whole[600:700]),
    ):
        (source / name).write_bytes(b"".join(part))
    (source / "notes.txt").write_text("not a result")
    (source / "empty.ndjson").touch()
    sandbox = bench.sandbox()
    config = bench.make_config([bench.elasticsearch(sandbox.elasticsearch_port), bench.file()])
    first = bench.run_export(config, source)
    assert first.code == OK, first
    assert first.summary["inputs"] == 4
    assert archived(bench.archive) == uids(bench.directory / "results.ndjson")[:700]
    (source / "d.ndjson").write_bytes(b"".join(whole[700:]))
    second = bench.run_export(config, source)
    assert second.code == OK, second
    assert {target["delivered"] for target in second.targets.values()} == {200}
    assert archived(bench.archive) == uids(bench.directory / "results.ndjson")
    assert_elasticsearch_has_each_once(bench.directory / "results.ndjson", sandbox)


def test_bad_record_of_a_directory_names_its_file(bench: Workbench) -> None:
    """With the line in that file."""
    source = bench.directory / "in"
    source.mkdir()
    bench.generate(10).rename(source / "a.ndjson")
    (source / "b.ndjson").write_bytes(b"\n\n{}\n")
    finished = bench.run_export(bench.make_config([bench.file()]), source)
    assert finished.code == DEAD_LETTERS, finished
    assert len(errors_of(finished.stderr, f"{source}/b.ndjson:3:")) == 1


def test_empty_input(bench: Workbench) -> None:
    """Success, and the summary says why there is so little in it."""
    source = bench.write("empty.ndjson", b"")
    finished = bench.start_export(bench.make_config([bench.file()]), source).wait()
    assert finished.code == OK, finished
    assert finished.stdout == "The input is empty: nothing to export.\n"


def test_input_of_blank_lines(bench: Workbench) -> None:
    """No record, no mistake."""
    source = bench.write("blank.ndjson", b"\n\n \n")
    finished = bench.run_export(bench.make_config([bench.file()]), source)
    assert finished.code == OK, finished
    assert finished.targets["file"]["taken"] == finished.summary["refused"] == 0


def test_empty_directory(bench: Workbench) -> None:
    """As an empty file."""
    source = bench.directory / "in"
    source.mkdir()
    finished = bench.start_export(bench.make_config([bench.file()]), source).wait()
    assert finished.code == OK, finished
    assert "nothing to export" in finished.stdout


def test_appended_input_goes_on_where_it_stopped(bench: Workbench) -> None:
    """Only what is new is sent, also when the first run ended in a line without newline."""
    whole = bench.generate(1_000, "whole.ndjson")
    lines = whole.read_bytes().splitlines()
    source = bench.write("growing.ndjson", b"\n".join(lines[:400]))
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox))
    assert bench.run_export(config, source).code == OK
    with source.open("ab") as file:
        file.write(b"\n" + b"\n".join(lines[400:]) + b"\n")
    second = bench.run_export(config, source)
    assert second.code == OK, second
    assert {target["delivered"] for target in second.targets.values()} == {600}
    assert {target["deliveredEarlier"] for target in second.targets.values()} == {400}
    assert_delivered_everywhere(whole, sandbox, bench.archive)
    assert sandbox.ids("hec").total() == 1_000


def test_replaced_input_starts_anew(bench: Workbench) -> None:
    """The same path with other content is another input."""
    source = bench.generate(100, "source.ndjson", seed=1)
    first = uids(source)
    config = bench.make_config([bench.file()])
    assert bench.run_export(config, source).code == OK
    bench.generate(100, "source.ndjson", seed=2)
    assert bench.run_export(config, source).code == OK
    assert archived(bench.archive) == first + uids(source)
