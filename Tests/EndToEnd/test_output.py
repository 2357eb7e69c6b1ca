"""What people and programs see: the table, the JSON summary, logs, progress bars; and what nobody may see."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

from evidence import files_with, uids
from exporter import DEAD_LETTERS, OK, PASSWORD, TOKEN, UNDELIVERED, USERNAME, Workbench
from terminal import at_terminal

Results = Callable[[int], Path]
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def table_of(text: str) -> list[str]:
    """The lines of the summary's table: header, rule, one line per target."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("target "))
    end = next(number for number in range(start, len(lines)) if not lines[number])
    return lines[start:end]


def assert_aligned(table: list[str], targets: int) -> None:
    """Columns are as wide as the rule says, and separated by two spaces in every line."""
    assert len(table) == 2 + targets
    columns = [(match.start(), match.end()) for match in re.finditer("─+", table[1])]
    assert len(columns) == 7
    for line in table:
        padded = line.ljust(columns[-1][1])
        for (_, end), (start, _) in zip(columns, columns[1:], strict=False):
            assert padded[end:start] == "  ", table
    for line in table[2:]:
        padded = line.ljust(columns[-1][1])
        # Names to the left, numbers to the right.
        assert padded[0] != " "
        assert all(padded[end - 1] != " " for _, end in columns[1:]), table


def test_table(bench: Workbench, results: Results) -> None:
    """One aligned line per target, and one sentence that says how it ended."""
    sandbox = bench.sandbox()
    config = bench.make_config([*bench.all_three(sandbox), bench.file(bench.directory / "b", name="a-longer-name")])
    finished = bench.start_export(config, results(2_000)).wait()
    assert finished.code == OK, finished
    table = table_of(finished.stdout)
    assert_aligned(table, targets=4)
    assert all("2 000 of 2 000" in line for line in table[2:])
    assert "Everything is delivered." in finished.stdout


def test_table_of_an_incomplete_run(bench: Workbench, results: Results) -> None:
    """It says which target lacks what and why, and that the same command goes on."""
    sandbox = bench.sandbox()
    sandbox.fault("hec", failRate=1)
    config = bench.make_config(bench.all_three(sandbox))
    finished = bench.start_export(config, results(200), "--deadline", "1s").wait()
    assert finished.code == UNDELIVERED, finished
    assert_aligned(table_of(finished.stdout), targets=3)
    assert "the same command goes on where this one stopped" in finished.stdout
    assert re.search(r"^splunk: not everything delivered: .*503", finished.stdout, re.MULTILINE)
    assert "elasticsearch: not" not in finished.stdout


def test_json_summary_adds_up(bench: Workbench, results: Results) -> None:
    """taken = delivered + dead letters, for every target, with retries and dead letters about."""
    lines = results(2_000).read_bytes().splitlines()
    record = json.loads(lines[1_000])
    record["spec"]["result"]["detail"] = "x" * 60_000
    lines[1_000] = json.dumps(record).encode()
    lines.insert(5, b"no record")
    source = bench.write("mixed.ndjson", b"\n".join(lines) + b"\n")
    sandbox = bench.sandbox("--max-body", "50000")
    sandbox.fault("hec", failRate=0.2)
    retry = {"initial": "10ms", "max": "50ms", "window": "24h"}
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox, retry=retry)), source)
    assert finished.code == DEAD_LETTERS, finished
    summary = finished.summary
    assert (summary["inputs"], summary["refused"], summary["delivered"]) == (1, 1, False)
    assert summary["inputBytes"] == source.stat().st_size
    assert 1 << 20 < summary["peakMemoryBytes"] < 1 << 30
    assert [target["name"] for target in summary["targets"]] == ["splunk", "elasticsearch", "file"]
    for target in summary["targets"]:
        assert target["taken"] == target["delivered"] + target["deadLetters"] == 2_000, target
        assert target["complete"] is True and target["deliveredEarlier"] == 0
        assert target["bytes"] > 0 and target["batches"] > 0
    assert finished.targets["splunk"]["deadLetters"] == finished.targets["elasticsearch"]["deadLetters"] == 1
    assert finished.targets["file"]["deadLetters"] == 0
    assert len(sandbox.ids("hec")) == finished.targets["splunk"]["delivered"]


def test_peak_memory_is_our_own(bench: Workbench, results: Results) -> None:
    """The program that starts us may be large; we stay inside our bounds."""
    ours = bytearray(b"x") * (300 << 20)
    finished = bench.run_export(bench.make_config([bench.file()]), results(20_000))
    assert finished.code == OK, finished
    assert len(ours) > 2 * finished.summary["peakMemoryBytes"] > 20 << 20


def test_logs_are_json_lines(bench: Workbench) -> None:
    """Retries, refused records, dead letters, giving up: every line parses and has time, level and message."""
    lines = bench.generate(100).read_bytes().splitlines()
    source = bench.write("mixed.ndjson", b"\n".join([b'{"a":"\\u0000\xc3\xa4"', *lines, b'\x1b[31m red"quote']))
    sandbox = bench.sandbox()
    sandbox.fault("hec", failRate=1)
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox)), source, "--deadline", "6s")
    assert finished.code == UNDELIVERED, finished
    assert len(finished.logs) > 4
    for entry in finished.logs:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
        assert entry["level"] in {"info", "notice", "warning", "error"}
        assert entry["message"]
        assert all(isinstance(value, str) for value in entry.values())
    assert "\x1b" not in finished.output
    # Every few seconds a line per target, so that a log shows life.
    progress = [entry for entry in finished.logs if entry["message"] == "progress"]
    assert {entry["target"] for entry in progress} == {"splunk", "elasticsearch", "file"}


def test_secrets_are_nowhere(bench: Workbench) -> None:
    """Not in output, ledger, dead letters or archive; neither plainly nor as they travel."""
    lines = bench.generate(200).read_bytes().splitlines()
    source = bench.write("mixed.ndjson", b"\n".join([*lines[:100], b"bad", *lines[100:]]) + b"\n")
    sandbox = bench.sandbox("--max-body", "30000")
    sandbox.fault("hec", failRate=0.5, status=403)
    sandbox.fault("elasticsearch", failRate=0.5, status=401)
    config = bench.make_config(bench.all_three(sandbox))
    validated = bench.run("validate", "--config", config, "--secrets", bench.secrets)
    first = bench.run_export(config, source, "--deadline", "4s")
    assert first.code in (DEAD_LETTERS, UNDELIVERED)
    # The second run has credentials that are wrong throughout.
    bench.secret("hec", "token", "another-secret-token")
    bench.secret("es", "password", "another-secret-word")
    second = bench.start_export(config, source, "--deadline", "1s").wait()
    basic = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    needles = [TOKEN, PASSWORD, basic, "another-secret-token", "another-secret-word"]
    for needle in needles:
        assert needle not in validated.output + first.output + second.output
        assert files_with(bench.state, needle) == []
        assert files_with(bench.archive, needle) == []


def test_terminal_session(bench: Workbench, results: Results) -> None:
    """Progress bars that move, a message for people when a target fails, and the table at the end."""
    sandbox = bench.sandbox("--latency", "30ms")
    sandbox.fault("elasticsearch", outageMs=1_500)
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 200}))
    arguments: list[str | Path] = ["run", "--config", config, "--input", results(5_000), "--secrets", bench.secrets]
    code, shown = at_terminal([bench.program, *arguments, "--state", bench.state], columns=110)
    assert code == OK, shown
    bars = re.findall(r"splunk +\[([█·]{20})\] +(\d+) %", shown)
    percents = [int(percent) for _, percent in bars]
    assert percents == sorted(percents) and percents[0] < percents[-1], "it moves, and forward only"
    for bar, percent in bars:
        assert bar.count("█") == int(percent) // 5
    assert "retrying: http-503" in shown
    assert '{"time"' not in shown, "people are not shown JSON"
    lines = CONTROL_SEQUENCE.sub("", shown).replace("\r\n", "\n")
    assert all(len(line) < 110 for line in lines.splitlines() if "%" in line)
    assert_aligned(table_of(lines), targets=3)
    assert "Everything is delivered." in lines
    # The bars are gone before the table is written: the last thing done to them is to clear them.
    assert shown.rindex("\x1b[0J") > shown.rindex("█")


def test_nothing_but_the_summary_on_standard_output(bench: Workbench, results: Results) -> None:
    """So that `run --json | jq` works while logs go elsewhere."""
    finished = bench.run_export(bench.make_config([bench.file()]), results(200))
    assert finished.code == OK
    assert list(finished.summary["targets"][0]) == list(finished.targets["file"])
    assert len(uids(results(200))) == finished.targets["file"]["delivered"]
