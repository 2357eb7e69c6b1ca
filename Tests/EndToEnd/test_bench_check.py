"""What `make bench-check` says of figures; measured here is nothing."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "micro-check"
TABLE = f"instructions.{platform.machine()}.tsv"
FIGURES: dict[str, dict[str, float]] = {
    "allocations": {"read-small": 0, "ledger-told": 1_000},
    "instructions": {"read-small": 2_000.0, "ledger-told": 90.0},
}


def check(directory: Path, figures: dict[str, dict[str, float]], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Judges `figures` by the thresholds in `directory`."""
    measured = directory / "measured.json"
    measured.write_text(json.dumps(figures | {"tools": "Swift 6.3, valgrind 3.19"}))
    command = [sys.executable, str(PROGRAM), "--measured", str(measured), "--thresholds", str(directory / "Thresholds")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    """A directory with committed figures."""
    assert check(tmp_path, FIGURES, "--accept").returncode == 0
    return tmp_path


def test_the_same_figures_pass(accepted: Path) -> None:
    done = check(accepted, FIGURES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cases, none is worse" in done.stdout


@pytest.mark.parametrize(
    ("kind", "case", "value", "said"),
    [
        ("allocations", "read-small", 1_000, "read-small: allocations of 1 000 were 0 and are 1000: 1000 more, 2 are"),
        ("allocations", "ledger-told", 1_005, "ledger-told: allocations of 1 000 were 1000 and are 1005: 5 more, 4 are"),
        ("instructions", "read-small", 2_050.0, "read-small: instructions were 2000.0 and are 2050.0: 2.5 % more, 2 % are"),
        ("instructions", "new", 10.0, "new: it takes 10.0 instructions, and no figure is committed"),
        ("allocations", "new", 10, "new: it makes 10 allocations of 1 000, and no figure is committed"),
    ],
)
def test_worse_figures_fail_and_are_named(accepted: Path, kind: str, case: str, value: float, said: str) -> None:
    done = check(accepted, FIGURES | {kind: FIGURES[kind] | {case: value}})
    assert done.returncode == 1
    assert said in done.stdout
    assert "make bench-accept" in done.stdout


def test_what_is_not_measured_any_more_fails(accepted: Path) -> None:
    less = {kind: {"read-small": figures["read-small"]} for kind, figures in FIGURES.items()}
    done = check(accepted, less)
    assert done.returncode == 1
    assert "ledger-told: a figure is committed, and no such case is measured" in done.stdout
    assert check(accepted, less, "--only", "read-*").returncode == 0


def test_better_figures_pass_and_are_named(accepted: Path) -> None:
    done = check(accepted, FIGURES | {"instructions": FIGURES["instructions"] | {"read-small": 1_800.0}})
    assert done.returncode == 0
    assert "read-small: instructions were 2000.0 and are 1800.0: 10.0 % fewer" in done.stdout


def test_small_differences_pass(accepted: Path) -> None:
    figures: dict[str, dict[str, float]] = {
        "allocations": {"read-small": 2, "ledger-told": 1_004},
        "instructions": {"read-small": 2_039.0, "ledger-told": 91.0},
    }
    assert check(accepted, figures).returncode == 0


def test_accepting_keeps_percentages_and_forgets_what_is_gone(accepted: Path) -> None:
    table = accepted / "Thresholds" / TABLE
    table.write_text(table.read_text().replace("read-small\t2000.0\t2", "read-small\t2000.0\t5"))
    changed: dict[str, dict[str, float]] = {"allocations": {"read-small": 7}, "instructions": {"read-small": 2_090.0}}
    assert check(accepted, changed, "--accept", "--only", "read-*").returncode == 0
    assert "ledger-told\t90.0\t2" in table.read_text()
    assert check(accepted, changed, "--accept").returncode == 0
    assert [line for line in table.read_text().splitlines() if not line.startswith("#")] == ["read-small\t2090.0\t5"]
    kept = {path.name: path.read_text() for path in table.parent.glob("*.json")}
    assert kept == {"Micro.read-small.p90.json": '{\n  "Allocations" : 7\n}\n'}


def test_other_tools_are_told(accepted: Path) -> None:
    table = accepted / "Thresholds" / TABLE
    table.write_text(table.read_text().replace("Swift 6.3,", "Swift 6.2,"))
    done = check(accepted, FIGURES | {"instructions": {"read-small": 3_000.0, "ledger-told": 90.0}})
    assert "counted with Swift 6.2, valgrind 3.19; these with Swift 6.3, valgrind 3.19" in done.stdout
