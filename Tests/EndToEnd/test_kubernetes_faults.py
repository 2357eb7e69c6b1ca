"""Ten thousand results from an API server to every target, while everything that can fail between them does."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_audit import Asked, AuditLog
from api_server import SYSTEM, ApiServer
from evidence import duplicates
from exporter import Workbench, wait_until
from kube_cluster import PROBES, KubeCluster
from kube_load import Load
from rules import COORDINATOR
from small_cluster import SANDBOX_NAMES, Json

pytestmark = pytest.mark.long

COUNT = 10_000
BACKLOG = "sidereal_cluster_backlog_records"
TARGETS = "export.sidereal.cloud/targets"
ETCD_STOPS_FOR = 20.0
# With all these faults, on two cores that others use as well.
PATIENCE = 240.0
# As they are by default: an API server that is started anew is back before the leader has to give up.
SETTINGS = {"lease": {"duration": "15s", "renewDeadline": "10s", "retryPeriod": "2s"}, "workerLease": "15s"}
# A server that has just been started knows neither its rules nor the kind of results.
WARM_UP = timedelta(seconds=5)
ACCOUNT = f"system:serviceaccount:{SYSTEM}:{COORDINATOR}"


class Stage:
    """A server, its record, and a cluster that is full of work."""

    def __init__(self, bench: Workbench, directory: Path) -> None:
        self.audit = AuditLog(directory)
        self.server = ApiServer(directory, options=self.audit.options)
        self.absent: list[tuple[datetime, datetime]] = []
        try:
            self.cluster = KubeCluster(bench, self.server, workers=3, settings=SETTINGS)
        except BaseException:
            self.server.close()
            raise

    def close(self) -> None:
        """Ends everything."""
        self.cluster.close()
        self.server.close()

    def without_server(self, restart: Callable[[], None]) -> None:
        """Does what takes the API server away for a while."""
        begun = datetime.now(UTC)
        restart()
        self.absent.append((begun, datetime.now(UTC) + WARM_UP))

    def was_there(self, asked: Asked) -> bool:
        """Whether the server was itself while it answered."""
        return all(asked.ended < begun or asked.began > ended for begun, ended in self.absent)


@pytest.fixture
def stage(bench: Workbench, tmp_path: Path) -> Iterator[Stage]:
    """Of the test's own, without members that run."""
    directory = tmp_path / "kubernetes"
    directory.mkdir()
    made = Stage(bench, directory)
    yield made
    made.close()


def other_leader(cluster: KubeCluster) -> None:
    """kill -9 of whoever leads; it comes back when another one leads."""
    leader = cluster.wait_leader()
    cluster.kill(leader)
    cluster.wait_leader(other_than=leader)
    cluster.start(leader)


def other_worker(cluster: KubeCluster) -> None:
    """kill -9 of a worker in its work; it comes back at once, with its ledger."""
    cluster.kill("w1")
    cluster.start("w1")


def etcd_stands(stage: Stage) -> None:
    """etcd answers nobody for a while, and nobody is told."""
    stage.server.send("etcd", signal.SIGSTOP)
    time.sleep(ETCD_STOPS_FOR)
    stage.server.send("etcd", signal.SIGCONT)


def wait_all_exported(stage: Stage, load: Load) -> list[Json]:
    """Until every result that is there says so; all of them."""
    cluster = stage.cluster
    found: list[Json] = []
    kept = {made["metadata"]["uid"] for made in load.kept.values()}

    def missing() -> str:
        counts = Counter(result["spec"]["audit"]["exportStatus"] for result in found)
        return f"everything is delivered and exported; {counts}; {cluster.status() | {'history': None}}"

    def all_exported() -> bool:
        # Ten thousand objects are not looked at for nothing.
        backlog = [cluster.metric(cluster.leader() or "c0", f'{BACKLOG}{{target="{name}"}}') for name in SANDBOX_NAMES]
        if any(records != 0 for records in backlog) or not kept <= set(cluster.sandbox.ids("hec")):
            return False
        found[:] = stage.server.results(PROBES)
        return all(result["spec"]["audit"]["exportStatus"] == "Exported" for result in found)

    wait_until(all_exported, missing, PATIENCE, pause=2)
    return found


def assert_status_is_true(results: list[Json], load: Load, begun: datetime) -> None:
    """Of each result only what the exporter may write has changed, and that is right."""
    assert {result["metadata"]["name"] for result in results} == set(load.kept)
    for result in results:
        made, metadata = load.made[result["metadata"]["name"]], result["metadata"]
        assert metadata["uid"] == made["metadata"]["uid"]
        audit = result["spec"].pop("audit")
        assert result["spec"] == {key: value for key, value in made["spec"].items() if key != "audit"}
        assert metadata.get("labels") == made["metadata"].get("labels")
        assert json.loads(metadata["annotations"][TARGETS]) == {name: "delivered" for name in SANDBOX_NAMES}
        assert set(audit) == {"exportStatus", "exportedAt"}
        exported = datetime.fromisoformat(audit["exportedAt"])
        created = datetime.fromisoformat(metadata["creationTimestamp"])
        assert begun.replace(microsecond=0) <= created <= exported <= datetime.now(UTC), (created, exported)


def assert_received(cluster: KubeCluster, load: Load) -> dict[str, int]:
    """Every target has each result that is there, and nothing that was never created; what came more than once."""
    repeated = {}
    for target, look_alike in SANDBOX_NAMES.items():
        identities = {
            name: made["metadata"]["uid"] if target == "splunk" else made["spec"]["probe"]["id"]
            for name, made in load.made.items()
        }
        received = cluster.sandbox.ids(look_alike)
        lost = {identities[name] for name in load.kept} - set(received)
        assert not lost, f"{target}: {len(lost)} are lost"
        assert set(received) <= set(identities.values()), f"{target}: there are results that nobody created"
        repeated[target] = duplicates(received)
    return repeated


def assert_rules_are_kept(stage: Stage, asked: list[Asked]) -> None:
    """Coordinators ask as their account alone, workers not at all, and nothing is refused that the chart has to allow."""
    assert {each.user for each in asked} == {ACCOUNT}
    denied = {(each.verb, each.resource) for each in asked if each.code in (401, 403) and stage.was_there(each)}
    assert not denied, f"a rule is missing: {denied}"


def test_ten_thousand_results_survive_every_fault(stage: Stage) -> None:
    """All are `Exported` and at every target; nobody is told of trouble that there was not."""
    cluster, server, begun = stage.cluster, stage.server, datetime.now(UTC)
    lines = cluster.bench.generate(COUNT).read_text().splitlines()
    cluster.start_all()
    first, load = cluster.term(), Load(server, lines, PROBES)
    load.allowed = 0
    with load:

        def during(begin: float, end: float, fault: Callable[[], None]) -> None:
            """The fault comes when the first share is made, and whatever comes up to the second one is made meanwhile."""
            load.allowed = int(COUNT * end)
            load.wait_made(int(COUNT * begin), PATIENCE)
            print(f"{datetime.now(UTC) - begun}: {len(load.made)} are made")
            fault()

        during(0.05, 0.15, server.cut)
        during(0.15, 0.35, lambda: other_leader(cluster))
        assert cluster.term() > first
        during(0.35, 0.5, lambda: stage.without_server(server.restart))
        during(0.5, 0.65, lambda: etcd_stands(stage))
        during(0.65, 0.8, lambda: other_worker(cluster))
        term = cluster.term()
        during(0.8, 1, lambda: stage.without_server(server.compact))
    assert len(load.deleted) > COUNT // 40 and load.refusals > 0
    print(f"{datetime.now(UTC) - begun}: all are made")
    results = wait_all_exported(stage, load)
    print(f"{datetime.now(UTC) - begun}: all are exported")
    assert_status_is_true(results, load, begun)
    repeated = assert_received(cluster, load)
    print(f"received more than once: {repeated}")
    assert max(repeated.values()) < COUNT // 10, repeated
    # The watch could not go on where it was; but whoever lost the lease by then began anew in any case.
    since = stage.absent[-1][0].strftime("%Y-%m-%dT%H:%M:%S")
    forgotten = [line for name in cluster.coordinators for line in cluster.said(name, "410 Expired")]
    assert any(line["time"] > since for line in forgotten) or cluster.term() > term
    assert cluster.alerts() == {} and cluster.gate_state() == "open"
    asked = stage.audit.read()
    print(Counter((each.verb, each.resource, each.code) for each in asked))
    assert_rules_are_kept(stage, asked)
