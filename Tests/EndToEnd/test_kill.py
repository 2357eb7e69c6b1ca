"""kill -9 at random moments: nothing is lost, and nothing is there twice where the receiver can tell."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evidence import (
    archived_sizes,
    assert_delivered_everywhere,
    assert_file_has_each_once,
    duplicates,
    finished,
)
from exporter import OK, Workbench
from sandbox import Sandbox

# The bounds of a HEC batch (Target.swift): what one kill may at the most send twice.
HEC_BATCH_RECORDS = 5_000
HEC_BATCH_BYTES = 900_000


def kill_at_random(
    bench: Workbench,
    config: Path,
    source: Path,
    kills: int,
    rng: random.Random,
    seconds: float,
) -> list[float]:
    """Starts and kills runs until `kills` have hit. Returns how long each had lived."""
    lives: list[float] = []
    while len(lives) < kills:
        running = bench.start_export(config, source)
        life = rng.uniform(0.02, seconds)
        time.sleep(life)
        if not running.is_running:
            raise AssertionError(f"run {len(lives) + 1} ended by itself before its kill: {running.wait()}")
        running.kill()
        lives.append(life)
    return lives


def prove_file(bench: Workbench, source: Path, kills: int, **settings: Any) -> None:
    """Each result once in a directory, in files that are all finished, whatever kills there were."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    # Small batches and files, so that kills hit writes, renames and new files alike.
    target = bench.file(batch={"maxRecords": 300}, maxFileBytes="1MiB", **settings)
    config = bench.make_config([target])
    rng = random.Random(seed)
    # A whole pass takes a tenth of a second or ten, by build and machine: most kills are to fall within one.
    begun = time.monotonic()
    assert bench.run_export(config, source).code == OK, seed
    whole = time.monotonic() - begun
    shutil.rmtree(bench.archive)
    shutil.rmtree(bench.state)
    hits = 0
    while hits < kills:
        running = bench.start_export(config, source)
        time.sleep(rng.uniform(0.01, whole * 0.6))
        hits += running.is_running
        if running.is_running:
            running.kill()
            if hits < kills:
                continue
        else:
            assert running.wait().code == OK, seed
        assert bench.run_export(config, source).code == OK, seed
        assert_file_has_each_once(source, bench.archive)
        assert finished(bench.archive), seed
        # A run that was done before its kill: all over again.
        shutil.rmtree(bench.archive)
        shutil.rmtree(bench.state)


def prove(bench: Workbench, source: Path, count: int, kills: int, latency: str, seconds: float) -> None:
    """The whole proof, for `kills` kills over `count` results."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    sandbox = bench.sandbox("--latency", latency)
    config = bench.make_config(bench.all_three(sandbox))
    lives = kill_at_random(bench, config, source, kills, random.Random(seed), seconds)
    last = bench.run_export(config, source)
    told = f"seed {seed}, lives {[round(life, 3) for life in lives]}"
    assert last.code == OK, (told, last)
    assert last.summary["delivered"] is True
    assert_delivered_everywhere(source, sandbox, bench.archive)
    assert_duplicates_within(sandbox, bench.archive, count, kills, told)


def assert_duplicates_within(sandbox: Sandbox, archive: Path, count: int, kills: int, told: str) -> None:
    """HEC cannot recognise what it has, but a kill may repeat no more than the one batch in flight."""
    counts = sandbox.ids("hec")
    hec = sandbox.stats("hec")
    repeated = duplicates(counts)
    assert hec["recordsReceived"] == count + repeated
    sizes = archived_sizes(archive)
    events = sum(times * sizes[uid] for uid, times in counts.items())
    # What an envelope adds to its event is the same for all, but for the digits of its time.
    envelope = (hec["bytesUncompressed"] - events) / hec["recordsReceived"]
    repeats = {uid: times - 1 for uid, times in counts.items() if times > 1}
    repeated_bytes = sum(times * (sizes[uid] + envelope) for uid, times in repeats.items())
    batches = repeated_bytes / HEC_BATCH_BYTES
    print(f"{count} results, {kills} kills: {repeated} HEC duplicates, {batches:.2f} batches; {told}")
    assert max(repeats.values(), default=0) <= kills, told
    assert repeated <= kills * HEC_BATCH_RECORDS, told
    assert batches <= kills * 1.005, told


def test_five_kills(bench: Workbench, results: Callable[[int], Path]) -> None:
    """The fast sibling of `test_twenty_kills`."""
    prove(bench, results(20_000), 20_000, kills=5, latency="100ms", seconds=0.7)


@pytest.mark.parametrize("settings", [{}, {"gzip": True}], ids=["plain", "gzip"])
def test_file_over_twenty_kills(bench: Workbench, results: Callable[[int], Path], settings: dict[str, object]) -> None:
    """Every uid once, in plain files and in files of gzip members."""
    prove_file(bench, results(20_000), kills=20, **settings)


@pytest.mark.acceptance
def test_twenty_kills(bench: Workbench, results: Callable[[int], Path]) -> None:
    """100 000 results survive twenty kills."""
    prove(bench, results(100_000), 100_000, kills=20, latency="200ms", seconds=1.5)
