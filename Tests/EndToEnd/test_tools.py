"""The commands that send nothing: encode, generate, validate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import as_exported, records, uids, without_stamp
from exporter import BAD_SETUP, DEAD_LETTERS, OK, Workbench

Results = Callable[[int], Path]


def test_encode_keeps_everything(bench: Workbench, results: Results) -> None:
    """Record for record what went in, without what changes in the cluster, with the exporter's stamp."""
    source = results(1_000)
    finished = bench.run("encode", "--format", "json", "--cluster-name", "prod-east", "--input", source)
    assert (finished.code, finished.stderr) == (OK, "")
    encoded = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [without_stamp(record) for record in encoded] == [as_exported(record) for record in records(source)]
    stamps = [record["sidereal"]["export"] for record in encoded]
    assert {stamp["cluster"] for stamp in stamps} == {"prod-east"}
    assert all(0 <= stamp["shard"] < 256 for stamp in stamps)
    assert "exportStatus" not in finished.stdout


def test_encode_is_deterministic_and_reads_pipes(bench: Workbench, results: Results) -> None:
    """The same bytes from a file and from a pipe."""
    from_file = bench.run("encode", "--format", "json", "--input", results(1_000))
    with (
        results(1_000).open("rb") as file,
        subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat,
    ):
        from_pipe = bench.run("encode", "--format", "json", stdin=cat.stdout)
    assert from_file.code == from_pipe.code == OK
    assert from_file.stdout == from_pipe.stdout


def test_encode_reports_bad_lines_and_goes_on(bench: Workbench) -> None:
    """Line by line on standard error, exit 3, the others on standard output."""
    good = bench.generate(6)
    lines = good.read_bytes().splitlines()
    mixed = bench.write(
        "mixed.ndjson",
        b"\n".join([lines[0], b"{", lines[1], b"", b'{"metadata":{}}', *lines[2:5], b"null", lines[5]]),
    )
    finished = bench.run("encode", "--format", "json", "--input", mixed)
    assert finished.code == DEAD_LETTERS, finished
    errors = finished.stderr.splitlines()
    assert [error.split(":")[:2] for error in errors] == [[str(mixed), number] for number in ("2", "5", "9")]
    assert all(error.split(":", 2)[2].strip() for error in errors)
    encoded = [json.loads(line)["metadata"]["uid"] for line in finished.stdout.splitlines()]
    assert encoded == uids(good)


def test_encode_says_what_is_wrong(bench: Workbench) -> None:
    """An unknown format, a file that is not there."""
    unknown = bench.run("encode", "--format", "xml", "--input", bench.generate(1))
    assert unknown.code == 64, unknown
    assert "xml" in unknown.stderr and "json" in unknown.stderr
    missing = bench.directory / "no-such.ndjson"
    absent = bench.run("encode", "--format", "json", "--input", missing)
    assert absent.code == BAD_SETUP, absent
    assert str(missing) in absent.stderr and "No such file" in absent.stderr


def test_encode_of_nothing(bench: Workbench) -> None:
    """Nothing."""
    finished = bench.run("encode", "--format", "json", "--input", bench.write("empty", b""))
    assert (finished.code, finished.output) == (OK, "")


def test_generate_is_deterministic(bench: Workbench) -> None:
    """The seed decides; a longer run begins as a shorter one; every record is another."""
    first = bench.generate(1_000, "first.ndjson", seed=7)
    again = bench.generate(1_000, "again.ndjson", seed=7)
    longer = bench.generate(1_500, "longer.ndjson", seed=7)
    other = bench.generate(1_000, "other.ndjson", seed=8)
    assert first.read_bytes() == again.read_bytes()
    assert longer.read_bytes().startswith(first.read_bytes())
    assert first.read_bytes() != other.read_bytes()
    known = uids(longer) + uids(other)
    assert len(set(known)) == len(known) == 2_500
    printed = bench.run("generate", "--count", "1000", "--seed", "7")
    assert printed.stdout.encode() == first.read_bytes()


@pytest.mark.parametrize("count", ["-1", "many", ""])
def test_generate_refuses_counts_that_are_none(bench: Workbench, count: str) -> None:
    """A usage error."""
    finished = bench.run("generate", f"--count={count}")
    assert finished.code == 64, finished
    assert "--count" in finished.stderr or "count" in finished.stderr


def test_validate_a_good_file(bench: Workbench) -> None:
    """A table of targets, and a JSON answer without problems."""
    config = bench.make_config([bench.splunk(8088), bench.elasticsearch(9200), bench.file()])
    finished = bench.run("validate", "--config", config, "--secrets", bench.secrets)
    assert finished.code == OK, finished
    for name in ("splunk", "elasticsearch", "file"):
        assert name in finished.stdout
    assert f"{config} is valid" in finished.stdout
    answer = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--json")
    assert answer.code == OK
    parsed = json.loads(answer.stdout)
    assert (parsed["valid"], parsed["problems"]) == (True, [])


def test_validate_a_bad_file_as_json(bench: Workbench) -> None:
    """Each problem with file, line, column, key, message and hint; they are the ones that `run` reports."""
    config = bench.write(
        "bad.yaml",
        "tls: {required: false}\nexport:\n  targets:\n"
        "    - name: soc\n      backend: splank\n      format: json\n      endpoint: https://a.example.com:8088\n"
        "    - name: two\n      backend: splunk\n      format: json\n      endpoint: b.example.com:8088\n"
        "      secretRef: nowhere\n",
    )
    answer = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--json")
    assert answer.code == BAD_SETUP, answer
    parsed = json.loads(answer.stdout)
    assert parsed["valid"] is False
    places = [(problem["line"], problem["key"]) for problem in parsed["problems"]]
    assert places == [(5, "export.targets[0].backend"), (11, "export.targets[1].endpoint")]
    assert all(problem["file"] == str(config) and problem["column"] > 1 for problem in parsed["problems"])
    assert all(problem["message"] and problem["hint"] for problem in parsed["problems"])
    run = bench.run_export(config, bench.generate(1))
    assert run.code == BAD_SETUP
    for problem in parsed["problems"]:
        assert problem["message"] in run.stderr


def test_validate_finds_missing_secrets(bench: Workbench) -> None:
    """With the path of the file that is wanted."""
    config = bench.make_config([bench.splunk(8088) | {"secretRef": "nowhere"}])
    finished = bench.run("validate", "--config", config, "--secrets", bench.secrets)
    assert finished.code == BAD_SETUP, finished
    assert str(bench.secrets / "nowhere" / "token") in finished.stderr


def test_version_and_help(bench: Workbench) -> None:
    """On standard output, with success; every command explains itself."""
    assert bench.run("--version").code == OK
    for command in ([], ["run"], ["validate"], ["encode"], ["generate"], ["sandbox"]):
        finished = bench.run(*command, "--help")
        assert finished.code == OK, finished
        assert "USAGE:" in finished.stdout and finished.stderr == ""
