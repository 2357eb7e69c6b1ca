"""What `run --metrics` writes, read by the Prometheus project's own parser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exporter import DEAD_LETTERS, OK, TOKEN, UNDELIVERED, Workbench, wait_until
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from receiver import Receiver

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "metrics.md"


def families(path: Path) -> dict[str, Metric]:
    """The metrics in a file by their documented names: the parser takes `_total` off counters."""
    found = text_string_to_metric_families(path.read_text())
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in found}


def value(path: Path, name: str, **labels: str) -> float:
    """The one sample with this name and these labels."""
    samples = [sample for family in families(path).values() for sample in family.samples]
    found = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A HEC that the test controls."""
    made = Receiver(TOKEN)
    yield made
    made.die()


def test_metrics_agree_with_the_summary_and_the_documentation(bench: Workbench, results: Callable[[int], Path]) -> None:
    """Every documented metric is there and no other; the figures are those of the summary."""
    sandbox = bench.sandbox()
    source = results(5_000)
    path = bench.directory / "sidereal.prom"
    began = time.time()
    finished = bench.run_export(bench.make_config(bench.all_three(sandbox)), source, "--metrics", path)
    assert finished.code == OK, finished
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCUMENTATION.read_text(), re.MULTILINE)
    # A single process has no cluster.
    rows = [row for row in rows if not row[0].startswith(("sidereal_cluster_", "sidereal_worker_"))]
    assert len(rows) > 20
    exposed = families(path)
    assert {name: kind for name, kind, _ in rows} == {name: family.type for name, family in exposed.items()}
    for name, _, labels in rows:
        assert exposed[name].documentation
        for sample in exposed[name].samples:
            assert set(sample.labels) - {"le"} == set(re.findall(r"\w+", labels)), sample
    for name, row in finished.targets.items():
        assert value(path, "sidereal_export_records_delivered_total", target=name) == row["delivered"] == 5_000
        assert value(path, "sidereal_export_records_taken_total", target=name) == row["taken"]
        assert value(path, "sidereal_export_bytes_delivered_total", target=name) == row["bytes"]
        assert value(path, "sidereal_export_batches_settled_total", target=name) == row["batches"]
        attempts = value(path, "sidereal_export_attempts_total", target=name)
        assert attempts >= row["batches"]
        assert value(path, "sidereal_export_request_duration_seconds_count", target=name) == attempts
        assert value(path, "sidereal_export_queue_bytes", target=name) == 0
        assert value(path, "sidereal_export_breaker_state", target=name, state="closed") == 1
        last = value(path, "sidereal_export_last_success_timestamp_seconds", target=name)
        assert began - 1 <= last <= time.time() + 1
    assert value(path, "sidereal_export_records_read_total") == 5_000
    assert not list(bench.directory.glob("sidereal.prom.*")), "a draft was left behind"


def test_an_outage_is_seen_while_it_lasts(bench: Workbench, results: Callable[[int], Path], receiver: Receiver) -> None:
    """Failures, age and the open breaker stand in the file while the exporter waits."""
    receiver.die()
    retry = {"initial": "4s", "max": "8s", "window": "24h"}
    config = bench.make_config([bench.splunk(receiver.port, retry=retry)])
    path = bench.directory / "sidereal.prom"
    running = bench.start_export(config, results(1_000), "--json", "--metrics", path)

    def is_open() -> bool:
        return (
            path.exists()
            and "sidereal_export_breaker_state" in path.read_text()
            and (value(path, "sidereal_export_breaker_state", target="splunk", state="closed") == 0)
        )

    wait_until(is_open, "the breaker opens", 90)
    failures = value(path, "sidereal_siem_export_failures_total", backend="splunk", export_format="json")
    assert failures == value(path, "sidereal_export_consecutive_failures", target="splunk") >= 2
    assert failures == value(path, "sidereal_export_retries_total", target="splunk")
    assert value(path, "sidereal_export_oldest_undelivered_age_seconds", target="splunk") > 1
    assert value(path, "sidereal_export_queue_batches", target="splunk") >= 1
    assert "last_success" not in path.read_text(), "there was none"
    receiver.start()
    finished = running.wait()
    assert finished.code == OK, finished
    assert value(path, "sidereal_export_breaker_state", target="splunk", state="closed") == 1
    assert value(path, "sidereal_export_consecutive_failures", target="splunk") == 0
    assert value(path, "sidereal_export_breaker_openings_total", target="splunk") >= 1
    said = [line["message"] for line in finished.logs if line["level"] in ("notice", "info")]
    assert any("one at a time" in message for message in said)
    assert any("takes records again" in message for message in said)


def test_dead_letters_and_refused_records_are_counted(
    bench: Workbench, results: Callable[[int], Path], receiver: Receiver
) -> None:
    """What is refused by the target, and what by us."""
    lines = results(1_000).read_text().splitlines()[:50]
    source = bench.write("some.ndjson", "\n".join([*lines, '{"kind": "Other"}', "nonsense"]) + "\n")
    receiver.poison = {uid for line in lines[7:9] for uid in re.findall(r'"uid":"([^"]+)"', line)[:1]}
    assert len(receiver.poison) == 2
    path = bench.directory / "sidereal.prom"
    finished = bench.run_export(bench.make_config([bench.splunk(receiver.port)]), source, "--metrics", path)
    assert finished.code == DEAD_LETTERS, finished
    assert value(path, "sidereal_export_dead_letters_total", target="splunk") == 2
    assert value(path, "sidereal_export_records_refused_total") == 2
    assert value(path, "sidereal_export_records_read_total") == 52
    assert value(path, "sidereal_export_dead_letters_kept") == 4
    assert value(path, "sidereal_export_records_delivered_total", target="splunk") == 48
    assert value(path, "sidereal_export_attempt_outcomes_total", target="splunk", outcome="poison") == 2
    failures = value(path, "sidereal_siem_export_failures_total", backend="splunk", export_format="json")
    assert failures == 0, "a bad record is not the target's failure"


def test_a_metrics_file_that_cannot_be_written_is_refused_at_the_start(
    bench: Workbench, results: Callable[[int], Path]
) -> None:
    """A run without the metrics it was asked for would look like one that stands still."""
    config = bench.make_config([bench.file()])
    finished = bench.run_export(config, results(10), "--metrics", bench.directory / "nowhere" / "m.prom")
    assert finished.code == 2, finished
    assert "--metrics" in finished.stderr and "No such file or directory" in finished.stderr
    assert not bench.archive.exists() or not list(bench.archive.iterdir())


def test_metrics_say_so_when_the_deadline_passes(
    bench: Workbench, results: Callable[[int], Path], receiver: Receiver
) -> None:
    """The last text of a run that gave up shows what is left."""
    receiver.die()
    path = bench.directory / "sidereal.prom"
    config = bench.make_config([bench.splunk(receiver.port)])
    finished = bench.run_export(config, results(100), "--deadline", "3s", "--metrics", path)
    assert finished.code == UNDELIVERED, finished
    assert value(path, "sidereal_export_records_delivered_total", target="splunk") == 0
    assert value(path, "sidereal_export_queue_batches", target="splunk") == 1
    assert value(path, "sidereal_export_oldest_undelivered_age_seconds", target="splunk") >= 2
