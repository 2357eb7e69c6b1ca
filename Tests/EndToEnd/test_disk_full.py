"""Disks that are full: said in plain words, nothing is marked delivered that is not written, and it goes on after."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from evidence import (
    archived,
    assert_delivered_everywhere,
    assert_each_once,
    assert_file_has_each_once,
    probe_ids,
    uids,
)
from exporter import BAD_SETUP, DEAD_LETTERS, OK, UNDELIVERED, Workbench, wait_until
from file_plays import fill

Mount = Callable[[str, int], Path]


def test_state_on_a_full_disk(bench: Workbench, small_disk: Mount) -> None:
    """Refused at the start: without a ledger nothing is sent."""
    disk = small_disk("disk", 64 << 10)
    fill(disk)
    bench.state = disk / "state"
    sandbox = bench.sandbox()
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox)), bench.generate(100))
    assert finished.code == BAD_SETUP, finished
    assert "No space left on device" in finished.stderr
    assert str(bench.state) in finished.stderr
    assert sandbox.stats("hec")["requests"] == 0 and not bench.archive.exists()


def test_ledger_runs_out_of_space(bench: Workbench, small_disk: Mount, results: Callable[[int], Path]) -> None:
    """The disk fills up while exporting: what was not committed is not reported as delivered, and comes again."""
    disk = small_disk("disk", 160 << 10)
    bench.state = disk / "state"
    source = results(5_000)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 20}))
    finished = bench.run_export(config, source, "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    assert "the disk is full" in finished.stderr and "free space" in finished.stderr
    for name, target in finished.targets.items():
        assert target["delivered"] < 5_000, name
        assert not target["complete"], name
    assert finished.targets["elasticsearch"]["delivered"] <= len(sandbox.stored())
    subprocess.run(["mount", "-o", "remount,size=8388608", disk], check=True)
    again = bench.run_export(config, source)
    assert again.code == OK, again
    for name, target in again.targets.items():
        assert target["delivered"] + finished.targets[name]["delivered"] == 5_000, name
    assert_delivered_everywhere(source, sandbox, bench.archive)


def test_ledger_has_no_room_for_refused_records(bench: Workbench, small_disk: Mount) -> None:
    """No target has anything to do, so none is overdue: the run ends at the deadline all the same, and settles nothing."""
    disk = small_disk("disk", 160 << 10)
    bench.state = disk / "state"
    source = bench.directory / "bad.ndjson"
    source.write_text("".join(f'{{"no": "result", "number": {number}}}\n' for number in range(5_000)))
    config = bench.make_config([bench.file()])
    finished = bench.run_export(config, source, "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    assert "the disk is full" in finished.stderr and "giving up at the deadline" in finished.stderr
    assert finished.summary["refused"] < 5_000 and not finished.targets["file"]["complete"]
    subprocess.run(["mount", "-o", "remount,size=16777216", disk], check=True)
    again = bench.run_export(config, source)
    assert again.code == DEAD_LETTERS, again
    assert again.summary["refused"] + finished.summary["refused"] == 5_000


def test_ledger_goes_on_when_there_is_space_again(
    bench: Workbench, small_disk: Mount, results: Callable[[int], Path]
) -> None:
    """Without a restart."""
    disk = small_disk("disk", 160 << 10)
    bench.state = disk / "state"
    source = results(5_000)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 20}))
    running = bench.start_export(config, source, "--json", "--deadline", "60s")
    wait_until(lambda: "the disk is full" in running.stderr, "the full disk is reported")
    subprocess.run(["mount", "-o", "remount,size=8388608", disk], check=True)
    finished = running.wait()
    assert finished.code == OK, finished
    assert_delivered_everywhere(source, sandbox, bench.archive)


def test_archive_on_a_full_disk(bench: Workbench, small_disk: Mount, results: Callable[[int], Path]) -> None:
    """The file target waits and says why; the others do not. With space it finishes, without torn lines."""
    disk = small_disk("disk", 1 << 20)
    bench.archive = disk / "archive"
    source = results(2_000)
    sandbox = bench.sandbox()
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 100}))
    finished = bench.run_export(config, source, "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    file = finished.targets["file"]
    assert 0 < file["delivered"] < 2_000 and file["deadLetters"] == 0
    assert "No space left on device" in file["lastFailure"] and "free some space" in file["lastFailure"]
    assert file["retries"] > 0
    assert_each_once(uids(source), sandbox.ids("hec"), "splunk")
    assert_each_once(probe_ids(source), sandbox.stored(), "elasticsearch")
    assert archived(bench.archive) == uids(source)[: file["delivered"]], "half a batch does not stay"
    subprocess.run(["mount", "-o", "remount,size=8388608", disk], check=True)
    again = bench.run_export(config, source)
    assert again.code == OK, again
    assert_file_has_each_once(source, bench.archive)
    assert again.targets["splunk"]["taken"] == again.targets["elasticsearch"]["taken"] == 0


def test_archive_gets_space_while_running(bench: Workbench, small_disk: Mount, results: Callable[[int], Path]) -> None:
    """Exporting goes on by itself, as the message promises."""
    disk = small_disk("disk", 1 << 20)
    bench.archive = disk / "archive"
    ballast = fill(disk)
    source = results(200)
    running = bench.start_export(bench.make_config([bench.file()]), source, "--json", "--deadline", "60s")
    wait_until(lambda: "No space left on device" in running.stderr, "the full disk is reported")
    ballast.unlink()
    finished = running.wait()
    assert finished.code == OK, finished
    assert archived(bench.archive) == uids(source)


def test_pipe_fills_the_disk(bench: Workbench, small_disk: Mount, results: Callable[[int], Path]) -> None:
    """What cannot be kept is not taken in silence; what was taken is delivered at once, on the full disk."""
    disk = small_disk("disk", 16 << 20)
    bench.state = disk / "state"
    source = results(20_000)
    sandbox = bench.sandbox("--latency", "20ms")
    config = bench.make_config(bench.all_three(sandbox, batch={"maxRecords": 500}))
    with source.open("rb") as stdin:
        finished = bench.run_export(config, "-", "--deadline", "20s", stdin=stdin)
    assert finished.code == UNDELIVERED, finished
    failure = finished.summary["failure"]
    assert "No space left on device" in failure and "pipe the rest in again" in failure
    assert finished.summary["refused"] == 0, "no record is torn"
    expected = uids(source)
    count = finished.targets["file"]["delivered"]
    assert 1_000 < count < 20_000
    assert {target["delivered"] for target in finished.targets.values()} == {count}
    assert archived(bench.archive) == expected[:count]
    assert_each_once(expected[:count], sandbox.ids("hec"), "splunk")
    again = bench.run_export(config, "-")
    assert again.code == OK, again
    assert sandbox.ids("hec").total() == count
    assert not list((bench.state / "spool").iterdir())


def test_pipe_without_room_for_anything(bench: Workbench, small_disk: Mount, results: Callable[[int], Path]) -> None:
    """What could not be settled is not taken, and that is not called an empty input."""
    bench.state = small_disk("disk", 2 << 20) / "state"
    with results(200).open("rb") as stdin:
        finished = bench.start_export(bench.make_config([bench.file()]), "-", stdin=stdin).wait()
    assert finished.code == UNDELIVERED, finished
    assert re.search("Ended early: .*No space left on device", finished.stdout)
    assert "empty" not in finished.stdout
    assert not bench.archive.exists()


def test_output_of_a_filter_on_a_full_device(bench: Workbench, results: Callable[[int], Path]) -> None:
    """`encode` and `generate` do not end as if all had been written."""
    assert os.path.exists("/dev/full")
    with open("/dev/full", "wb") as full:
        commands: list[list[str | Path]] = [
            ["generate", "--count", "5000"],
            ["encode", "--format", "json", "--input", results(200)],
        ]
        for arguments in commands:
            done = subprocess.run(
                [bench.program, *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
            assert done.returncode not in (OK, 3), done
            assert "No space left on device" in done.stderr and "standard output" in done.stderr
    named = bench.run("generate", "--count", "5000", "--output", "/dev/full")
    assert named.code != OK and "/dev/full" in named.stderr
