"""The benchmarks: what they decide and draw, and that they measure what they say."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import xml.dom.minidom
from datetime import datetime
from pathlib import Path

import pytest
from macro.cases import THREE, Case, all_cases
from macro.chart import Bar, chart
from macro.goals import goals
from macro.inputs import generated
from macro.measure import Delays, Figure, slowest
from macro.plan import Search, Window, needs
from macro.rows import Row, grouped, markdown_table, text_table
from macro.senders import ROUTES, senders
from macro.sweep import Sample, read
from members import Arrivals, Members

ROOT = Path(__file__).resolve().parents[2]


def searched(limit: int, start: int = 1_000) -> tuple[int, list[int]]:
    """What a search finds where rates up to `limit` hold, and what it tried."""
    search, tried = Search(start), []
    while (rate := search.rate) is not None:
        tried.append(rate)
        assert len(tried) < 40
        search.told(rate, rate <= limit)
    return search.low, tried


@pytest.mark.parametrize("limit", [130, 700, 1_000, 1_001, 54_321, 9_999_999])
def test_a_search_ends_within_a_tenth_below_the_limit(limit: int) -> None:
    found, tried = searched(limit)
    assert 0.89 * limit <= found <= limit
    assert len(tried) == len(set(tried)) <= 25


def test_a_search_gives_up_below_the_least_and_stops_at_the_most() -> None:
    assert searched(10)[0] == 0
    assert searched(10**9)[0] == 10_000_000


def window(**changes: object) -> Window:
    values: dict[str, object] = {
        "rate": 1_000, "seconds": 5.0, "issued": 5_000, "backlog_before": 1_000, "backlog_after": 1_100, "p99": 900.0,
        "keeps_up": True, "worker_cpu": 0.1, "coordinator_cpu": 0.05}
    return Window(**(values | changes))  # type: ignore[arg-type]


def test_a_rate_holds_while_p99_is_low_and_the_backlog_stays() -> None:
    assert window().trouble(1_000) is None
    assert window().trouble(899) == "p99 is 900 ms"
    assert window(backlog_after=1_451).trouble(1_000) == "the backlog grows by 90 a second"
    assert window(p99=None).trouble(1_000) == "nothing arrived"
    assert window(keeps_up=False).trouble(1_000) == "the generator itself cannot keep up"


def test_what_a_rate_needs_leaves_a_reserve() -> None:
    plan = needs(100_000, held=20_000, workers=2, worker_cpu=4e-6, coordinator_cpu=2e-6, reserve=0.5)
    # 0.4 cores of work in half a core each; half of the 10 000 that one worker holds.
    assert (plan.workers_by_cpu, plan.workers_by_rate) == (1, 20)
    assert plan.coordinator_cores == pytest.approx(0.4)
    assert needs(1_000_000, held=20_000, workers=2, worker_cpu=4e-6, coordinator_cpu=2e-6).workers_by_cpu == 6


def test_percentiles_of_delays_are_of_what_came_since() -> None:
    before, after = Delays({1_000: 5, 9_000_000: 10}), Delays({1_000: 95, 2_000: 9, 5_000_000: 1, 9_000_000: 10})
    since = after.since(before)
    assert since.records == 100
    assert [since.milliseconds(part) for part in (50, 90, 99, 99.5)] == [1.0, 1.0, 2.0, 5_000.0]
    assert Delays().milliseconds(50) is None


def test_the_slowest_receiver_is_the_one_of_the_window() -> None:
    def arrivals(fast: int, slow: int, late: int) -> dict[str, Arrivals]:
        return {"hec": Arrivals(0, None, None, {1_000: fast, 8_000_000: late}), "s3": Arrivals(0, None, None, {2_000: slow})}

    # What was late before the window is no longer of interest.
    seen = slowest(arrivals(20, 10, 9), arrivals(5, 5, 9), ["hec", "s3"])
    assert (seen.records, seen.milliseconds(99)) == (5, 2.0)
    assert slowest(arrivals(20, 10, 10), arrivals(5, 5, 9), ["hec", "s3"]).milliseconds(99) == 8_000.0
    assert slowest({}, {}, []).records == 0


def row(case: Case, cost: float, peak: int = 100) -> Row:
    """A row of a million results."""
    return Row(case, Figure({"run": cost}, {"run": peak * 10**6}, 2.0), 10**6, 1_220.0, Delays({20_000: 10}))


def test_goals_are_those_that_figures_allow() -> None:
    rows = [row(Case(), 2.9), row(Case(packed=False), 2.1), row(Case(tls=True), 3.7), row(Case(THREE), 6.3, 151),
            row(Case(workers=1), 4.3), row(Case(workers=8), 4.4)]
    met = {goal.what: goal.met for goal in goals(rows, 149.0, 41.0)}
    assert met == {
        "elasticsearch, gzip: CPU-s per million": True, "elasticsearch, plain: CPU-s per million": False,
        "TLS to none, gzip": False, "three targets to one": True, "peak of one process, MB": False,
        "elasticsearch, gzip, 1 worker: to the single process": True,
        "elasticsearch, gzip, 8 workers: to the single process": False,
        "most workers to fewest, for a result": True, "start to first result delivered, ms": True,
        "binary without symbols, MB": False}
    assert [goal.what for goal in goals([row(Case(THREE), 6.3)], None, None)] == ["peak of one process, MB"]


def test_cases_have_names_of_their_own() -> None:
    cases = all_cases([1, 2, 4, 8])
    assert len({case.name for case in cases}) == len(cases) == len(set(cases))
    assert Case().name == "elasticsearch, gzip"


def test_tables_align_words_left_and_numbers_right() -> None:
    heads, rows = ["case", "records/s"], [["a", "1"], ["long", grouped(22_221.7)]]
    assert text_table(heads, rows) == "case  records/s\n────  ─────────\na             1\nlong     22 222"
    assert markdown_table(heads, rows) == "| case | records/s |\n| --- | ---: |\n| a | 1 |\n| long | 22 222 |"


def test_a_chart_is_svg_with_a_bar_for_each_part_and_a_line_for_each_goal() -> None:
    drawn = chart("a < b", "now", "s", [Bar("one & all", {"run": 2.5}, 2.0), Bar("two", {"c": 1.0, "w": 2.0})])
    document = xml.dom.minidom.parseString(drawn)
    bars = [rect for rect in document.getElementsByTagName("rect") if rect.getElementsByTagName("title")]
    widths = [float(rect.getAttribute("width")) for rect in bars]
    assert widths == pytest.approx([widths[1] * 2.5, widths[1], widths[1] * 2], abs=0.2)
    goal = [line for line in document.getElementsByTagName("line") if line.getAttribute("class") == "goal"]
    assert float(goal[-1].getAttribute("x1")) == pytest.approx(float(bars[0].getAttribute("x")) + 2 * widths[1], abs=0.2)
    assert "prefers-color-scheme: dark" in drawn
    with pytest.raises(ValueError, match="three kinds"):
        chart("", "", "", [Bar("", {"a": 1, "b": 1, "c": 1, "d": 1})])


def test_a_backlog_is_read_at_its_beginning_and_its_end() -> None:
    samples = [Sample(float(second), second * 10, 10**8 + second) for second in range(60)]
    samples += [Sample(60.0 + 2 * second, 600 + second * 10, 3 * 10**8) for second in range(41)]
    seen = read(samples, 1_000)
    assert (seen.rate_first, seen.rate_last, seen.drift) == (10.0, 5.0, 0.5)
    assert (round(seen.memory_first), round(seen.memory_last)) == (100, 300)
    with pytest.raises(SystemExit, match="take more"):
        read(samples[:1], 1_000)


def test_other_exporters_get_a_configuration_for_what_they_speak() -> None:
    with Members(Path("/bin/true")) as members:
        members.ports = {"elasticsearch": 1, "hec": 2, "s3": 3, "syslog": 4}
        members.authority = members.directory / "ca.crt"
        known = {sender.name: [route.name for route in ROUTES if sender.configure(members, route, Path("/f"))]
                 for sender in senders()}
    both = ["_bulk, plain", "_bulk, plain, TLS", "syslog over TCP", "syslog over TLS"]
    http = ["_bulk, gzip", "_bulk, plain", "_bulk, gzip, TLS", "_bulk, plain, TLS"]
    assert known == {"syslog-ng": both, "rsyslog": both, "fluent-bit": http, "vector": http}


def test_padded_results_are_longer_and_still_results(program: Path, tmp_path: Path) -> None:
    plain, padded = (generated(program, tmp_path / str(size), 10, 50, size) for size in (0, 3_000))
    assert padded.bytes_per_record - plain.bytes_per_record == 3_000
    lines = padded.both.read_bytes()
    assert lines == padded.warm.read_bytes() + padded.counted.read_bytes()
    assert all(json.loads(line)["metadata"]["uid"] for line in lines.splitlines())


def test_a_quick_look_measures_every_kind_of_case(program: Path, tmp_path: Path) -> None:
    """Whether it works, and what arrives is what was issued: the bench ends with an error if it is not."""
    only = r"^(elasticsearch, gzip(, TLS|, 1 worker)?|splunk, plain|s3, gzip, TLS|syslog, TLS|file, gzip|three targets, gzip)$"
    names = ["json", "svg", "markdown"]
    files = [argument for name in names for argument in (f"--{name}", str(tmp_path / name))]
    ran = subprocess.run([sys.executable, ROOT / "benchmarks" / "bench", "table", program, "--quick", "--only", only, *files],
                         capture_output=True, text=True, timeout=300)
    # Goals are for machines that do nothing else, so they may be missed here.
    assert ran.returncode in (0, 1), ran.stderr
    report = json.loads((tmp_path / "json").read_text())
    cases = {case["case"]: case for case in report["cases"]}
    assert len(cases) == 8, ran.stdout
    for name, case in cases.items():
        assert case["recordsPerSecond"] > 0
        assert (case["p99Milliseconds"] is None) == (name == "file, gzip"), case
        assert case["p99Milliseconds"] is None or 0 < case["p50Milliseconds"] <= case["p99Milliseconds"] < 60_000
        assert max(case["peakMB"].values()) > 1
    assert set(cases["elasticsearch, gzip, 1 worker"]["peakMB"]) == {"coordinator", "worker"}
    assert len([line for line in (tmp_path / "markdown").read_text().splitlines() if line.startswith("| ")]) > 12
    xml.dom.minidom.parse(str(tmp_path / "svg"))


def test_generated_at_a_rate_results_say_when_they_were_due(program: Path) -> None:
    before = time.time()
    made = subprocess.run([program, "generate", "--count", "50", "--rate", "500"], capture_output=True, check=True)
    after = time.time()
    due = [datetime.fromisoformat(json.loads(line)["spec"]["execution"]["timestamp"][:26].rstrip("Z") + "+00:00").timestamp()
           for line in made.stdout.splitlines()]
    assert [round((later - earlier) * 1000) for earlier, later in itertools.pairwise(due)] == [2] * 49
    assert before - 0.001 <= due[0] and due[-1] <= after
    refused = subprocess.run([program, "generate", "--count", "1", "--rate", "0"], capture_output=True, text=True)
    assert refused.returncode != 0
    assert "--rate must be 1 to 10000000" in refused.stderr
