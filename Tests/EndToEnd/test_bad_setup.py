"""What cannot work is refused at once, with exit code 2 and words that say what, where and how to mend it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import archived, uids
from exporter import BAD_SETUP, OK, UNDELIVERED, Finished, Workbench, wait_until

GOOD = """\
tls: {required: false}
export:
  targets:
    - name: out
      backend: file
      format: json
      endpoint: file://%s
"""


def refused(bench: Workbench, config: Path, *words: str, source: Path | None = None) -> Finished:
    """Runs, expects a refusal with all of `words`, and that nothing was begun."""
    finished = bench.run_export(config, source or bench.generate(3))
    assert finished.code == BAD_SETUP, finished
    assert finished.stdout == ""
    for word in words:
        assert word in finished.stderr, finished.stderr
    assert not bench.archive.exists()
    return finished


def test_no_configuration_file(bench: Workbench) -> None:
    """The path is named."""
    missing = bench.directory / "no-such.yaml"
    refused(bench, missing, str(missing), "cannot read the file", "No such file", "is the path right?")


def test_configuration_that_is_a_directory(bench: Workbench) -> None:
    """Not taken for an empty file."""
    refused(bench, bench.directory, "Is a directory")


def test_yaml_syntax(bench: Workbench) -> None:
    """The line of the mistake."""
    config = bench.write("bad.yaml", "export:\n  targets:\n    - name: [unclosed\n")
    refused(bench, config, "bad.yaml:", "1 mistake in")


def test_every_mistake_at_once(bench: Workbench) -> None:
    """File, line, column, key, and a hint for each."""
    config = bench.write(
        "bad.yaml",
        "tls: {required: false}\nexport:\n  targets:\n"
        "    - {name: a, backend: splank, format: json, endpoint: 'https://a.example.com:8088', secretRef: hec}\n"
        "    - {name: b, backend: splunk, format: jsn, endpoint: 'https://b.example.com:8088', secretRef: hec}\n"
        "    - {name: c, backend: splunk, format: json, endpoint: 'c.example.com:8088', secretRef: hec}\n"
        "    - {name: d, backend: splunk, format: json, endpoint: 'http://d.example.com:8088', secretRef: hec}\n"
        "    - {name: e, backend: file, format: json, endpoint: 'file:///tmp/x', bathc: {maxRecords: 1}}\n",
    )
    finished = refused(
        bench,
        config,
        ":4:",
        "`splank`",
        "`splunk`",
        ":5:",
        "`jsn`",
        "`json`",
        ":6:",
        "has no scheme",
        "https://c.example.com:8088",
        ":7:",
        "plain http is refused",
        ":8:",
        "`batch`",
        "5 mistakes in",
    )
    hints = [line for line in finished.stderr.splitlines() if "hint: " in line]
    assert len(hints) >= 5 and all(line.startswith("    hint: ") for line in hints)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("splunk.example.com:8088", "has no scheme"),
        ("http://splunk.example.com:8088", "plain http is refused"),
        ("http://127.0.0.1.example.com:8088", "plain http is refused"),
        ("https://user:hunter2-in-url@splunk.example.com:8088", "credentials do not belong"),
        ("https://splunk.example.com:99999", "is not a port"),
    ],
)
def test_endpoints_that_are_refused(bench: Workbench, endpoint: str, words: str) -> None:
    """One by one; what stands before an `@` is not repeated."""
    target = bench.splunk(1) | {"endpoint": endpoint}
    finished = refused(bench, bench.make_config([target]), "export.targets[0].endpoint", words)
    assert "hunter2-in-url" not in finished.output


def test_plain_http_needs_the_flag(bench: Workbench) -> None:
    """On loopback, too."""
    config = bench.make_config([bench.splunk(8088)], tls={"required": True})
    refused(bench, config, "plain http is refused while `tls.required` is true")


def test_secret_that_is_missing(bench: Workbench) -> None:
    """The file that is wanted is named."""
    config = bench.make_config([bench.splunk(8088) | {"secretRef": "nowhere"}])
    refused(bench, config, "the secret lacks `token`", str(bench.secrets / "nowhere" / "token"))


def test_secret_that_is_empty(bench: Workbench) -> None:
    """An empty token would be refused by Splunk with words that do not help."""
    bench.secret("blank", "token", "\n")
    refused(
        bench,
        bench.make_config([bench.splunk(8088) | {"secretRef": "blank"}]),
        "`token` cannot be used",
        "empty",
    )


def test_input_that_does_not_exist(bench: Workbench) -> None:
    """The path is named."""
    missing = bench.directory / "no-such.ndjson"
    refused(
        bench,
        bench.make_config([bench.file()]),
        f"cannot read {missing}",
        "No such file",
        source=missing,
    )


def test_input_below_a_file(bench: Workbench) -> None:
    """The system's reason is told."""
    below = bench.generate(1, "plain.ndjson") / "results.ndjson"
    refused(
        bench,
        bench.make_config([bench.file()]),
        f"cannot read {below}",
        "Not a directory",
        source=below,
    )


def test_state_directory_below_a_file(bench: Workbench) -> None:
    """It cannot be made, and nothing is exported without it."""
    bench.state = bench.write("plain", "") / "state"
    refused(
        bench,
        bench.make_config([bench.file()]),
        str(bench.state),
        "Not a directory",
        "state directory",
    )


def test_command_line_mistakes(bench: Workbench) -> None:
    """Usage errors have the code of sysexits(3h), so that they differ from bad configurations."""
    for arguments in (
        ["run"],
        ["run", "--config"],
        ["export"],
        ["run", "--config", "x", "--deadline", "soon"],
    ):
        finished = bench.run(*arguments)
        assert finished.code == 64, finished
        assert "Usage:" in finished.stderr


def test_two_runs_with_one_state_directory(bench: Workbench, results: Callable[[int], Path]) -> None:
    """The second is told who holds it, and the first is not disturbed."""
    sandbox = bench.sandbox("--latency", "300ms")
    source = results(1_000)
    config = bench.make_config([bench.splunk(sandbox.hec_port, batch={"maxRecords": 100})])
    first = bench.start_export(config, source, "--json")
    wait_until(lambda: sandbox.stats("hec")["requests"] > 0, "the first run exports")
    second = bench.run_export(config, source)
    assert second.code == BAD_SETUP, second
    assert f"pid {first.process.pid}" in second.stderr
    assert str(bench.state) in second.stderr
    assert first.wait().code == OK
    counts = sandbox.ids("hec")
    assert counts.total() == len(counts) == 1_000


def damage_nothing_of_a_ledger(path: Path) -> None:
    """A file that never was a ledger."""
    path.write_bytes(b"This is not a ledger, and it is longer than a page of SQLite. " * 200)


def cut_ledger(path: Path) -> None:
    """As a disk that lost its end."""
    path.write_bytes(path.read_bytes()[:100])


def flip_bits(path: Path) -> None:
    """As a disk that turned bits of every page but the first."""
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 7):
        data[at] ^= 0x55
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [damage_nothing_of_a_ledger, cut_ledger, flip_bits])
def test_damaged_ledger(bench: Workbench, damage: Callable[[Path], None]) -> None:
    """Never taken for an empty one: that would send everything again."""
    source = bench.generate(100)
    config = bench.make_config([bench.file()])
    assert bench.run_export(config, source).code == OK
    ledger = bench.state / "ledger.db"
    damage(ledger)
    damaged = ledger.read_bytes()
    finished = bench.run_export(config, source)
    assert finished.code == BAD_SETUP, finished
    for words in (str(ledger), "is damaged", "aside"):
        assert words in finished.stderr, finished.stderr
    assert ledger.read_bytes() == damaged, "evidence is not overwritten"
    assert archived(bench.archive) == uids(source)


def test_ledger_of_a_newer_version(bench: Workbench) -> None:
    """It is left alone."""
    config, source = bench.make_config([bench.file()]), bench.generate(100)
    assert bench.run_export(config, source).code == OK
    ledger = bench.state / "ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    finished = bench.run_export(config, source)
    assert finished.code == BAD_SETUP, finished
    assert "schema version 99" in finished.stderr and "newer program" in finished.stderr
    # So does a worker that a rollback has made older than its ledger; it does not get as far as its leader.
    before = ledger.read_bytes()
    refused_worker = bench.run(
        "worker", "--config", config, "--secrets", bench.secrets, "--state", bench.state, "--coordinator", "127.0.0.1:9"
    )
    assert refused_worker.code == BAD_SETUP, refused_worker
    assert f"the ledger {ledger} has schema version 99" in refused_worker.stderr, refused_worker.stderr
    assert "newer program" in refused_worker.stderr and ledger.read_bytes() == before


def test_ledger_of_another_program(bench: Workbench) -> None:
    """Someone else's database is not ours to write to."""
    bench.state.mkdir()
    ledger = bench.state / "ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = ledger.read_bytes()
    refused(bench, bench.make_config([bench.file()]), "another program", "Choose another")
    assert ledger.read_bytes() == before


def test_output_file_that_lost_what_was_delivered(bench: Workbench) -> None:
    """Somebody cut the file that is still written: nothing is added over the gap in silence."""
    source = bench.generate(100)
    nobody = bench.splunk(1, name="nobody")
    running = bench.start_export(bench.make_config([bench.file(), nobody]), source)
    wait_until(lambda: bench.archive.exists() and len(archived(bench.archive)) == 100, "the file has everything")
    # The commit follows the file's sync at once.
    time.sleep(1)
    running.kill()
    (written,) = bench.archive.glob("*.ndjson.open")
    written.write_bytes(written.read_bytes()[:500])
    config = bench.make_config([bench.file()])
    more = bench.generate(110)
    assert more.read_bytes().startswith(source.read_bytes())
    finished = bench.run_export(config, more, "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    assert "cut, removed or replaced" in json.dumps(finished.summary)
    assert len(written.read_bytes()) == 500


def test_finished_files_are_their_readers(bench: Workbench) -> None:
    """A collector that takes files away disturbs nothing, and never sees a name twice."""
    bench.generate(100)
    config = bench.make_config([bench.file()])
    taken: list[str] = []
    for count in (100, 110, 120):
        finished = bench.run_export(config, bench.generate(count))
        assert finished.code == OK, finished
        for path in bench.archive.iterdir():
            taken.append(path.name)
            path.rename(bench.directory / path.name)
    assert len(taken) == len(set(taken)) == 3, taken
    assert all(name.endswith(".ndjson") for name in taken)


def test_fips_without_a_provider(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Refused before anything is read or sent, with what was found and how to get a provider; `--connect` says the same.

    Without it the file may be meant for another machine: it is valid, with a note.
    """
    bench.environment["OPENSSL_MODULES"] = str(bench.directory / "none")
    config = bench.make_config([bench.file()], **{"global": {"fips": True}})  # type: ignore[arg-type]
    refused = bench.run_export(config, results(100))
    tried = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    told = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect", "--json")
    for finished in (refused, tried, told):
        assert finished.code == BAD_SETUP, finished
        for words in ("global.fips", "active providers: default", "openssl fipsinstall", "fips-mode-setup"):
            assert words in finished.output
    noted = bench.run("validate", "--config", config, "--secrets", bench.secrets)
    assert noted.code == OK, noted
    assert "note: on this machine `run` would refuse to start: FIPS mode is required" in noted.stderr
    assert not bench.archive.exists()
