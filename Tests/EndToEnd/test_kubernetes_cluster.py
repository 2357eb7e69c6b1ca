"""A cluster in Kubernetes: election, gate, alerts and events in a real API server, by the chart's rules."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from api_server import SYSTEM, ApiServer
from exporter import BAD_SETUP, Workbench, wait_until
from kube_client import place
from kube_cluster import LEADER, OUTAGE, KubeCluster
from rules import COORDINATOR
from small_cluster import PATIENCE, SANDBOX_NAMES, Json

pytestmark = pytest.mark.long

THRESHOLD = 5
# A leader acts on without an API server for long enough to see a target fail.
LONG_LEASE = {"lease": {"duration": "15s", "renewDeadline": "10s", "retryPeriod": "2s"}, "workerLease": "15s"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """A server of the test's own: coordinators read the results of all namespaces."""
    directory = tmp_path / "kubernetes"
    directory.mkdir()
    made = ApiServer(directory)
    yield made
    made.close()


@pytest.fixture
def clusters() -> Iterator[list[KubeCluster]]:
    """What a test puts there is closed with it."""
    made: list[KubeCluster] = []
    yield made
    for cluster in made:
        cluster.close()


def wait_state(cluster: KubeCluster, state: str) -> None:
    """Until the leader says so."""
    wait_until(
        lambda: cluster.gate_state() == state, lambda: f"the gate is {state}: {cluster.status()['gate']}", PATIENCE
    )


def test_results_are_exported_and_a_standby_takes_over(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Everything that somebody creates is exported, by one leader after the other, and both Leases say who leads."""
    cluster = KubeCluster(bench, server)
    clusters.append(cluster)
    cluster.create(100)
    # What a creator says of the export is not believed, and is delivered all the same.
    told = json.dumps(dict.fromkeys(SANDBOX_NAMES, "delivered"))
    cluster.create(10, {"export.sidereal.cloud/targets": told})
    cluster.create(
        10,
        {
            "export.sidereal.cloud/targets": told,
            "export.sidereal.cloud/targets-of": "a1b2c3d4-0001-4002-8003-00000000000f",
        },
    )
    cluster.start_all()
    cluster.wait_exported()
    first, term = cluster.wait_leader(), cluster.term()
    lease = cluster.lease()
    assert lease["spec"]["holderIdentity"].startswith(f"{first}_")
    assert lease["metadata"]["annotations"]["export.sidereal.cloud/address"] == f"127.0.0.1:{cluster.ports[first]}"
    assert cluster.gate()["holderIdentity"] == first
    assert cluster.status(first)["leader"]["name"] == first
    (other,) = set(cluster.coordinators) - {first}
    wait_until(lambda: cluster.status(other)["leader"]["name"] == first, "the standby knows", PATIENCE)

    # Killed: its lease has to be over. Asked to stop: at once.
    cluster.create(50)
    cluster.kill(first)
    assert cluster.wait_leader(other_than=first) == other
    assert cluster.term() > term
    cluster.create(50)
    cluster.wait_exported()
    cluster.start(first)
    wait_until(lambda: cluster.status(first).get("coordinator", {}).get("role") == "standby", "it is back", PATIENCE)
    term = cluster.term()
    cluster.process(other).send(signal.SIGTERM)
    assert cluster.wait_leader(other_than=other) == first
    assert cluster.term() > term
    assert cluster.process(other).wait().code == 0
    cluster.create(50)
    cluster.wait_exported()
    cluster.assert_every_target_has_all()
    # The rules allow everything that is asked for.
    for name in cluster.coordinators:
        assert not cluster.said(name, "", cause="cannot ") and not cluster.said(name, "is not watched"), cluster.logs(
            name
        )


def test_an_outage_empties_the_gate_and_a_person_opens_it(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Halted at the threshold with one alert; a service account's acknowledgement counts for nothing, a person's opens."""
    cluster = KubeCluster(bench, server, failureThreshold=THRESHOLD)
    clusters.append(cluster)
    cluster.start_all()
    assert cluster.gate()["holderIdentity"]
    cluster.sandbox.fault("hec", failRate=1)
    cluster.create(60)
    wait_state(cluster, "halted")
    wait_until(lambda: cluster.gate()["holderIdentity"] == "", "the Lease is empty", PATIENCE)
    wait_until(lambda: len(cluster.alerts()) == 1, "the alert is raised", PATIENCE)
    ((name, alert),) = cluster.alerts().items()
    told = OUTAGE.match(alert["spec"]["message"])
    assert told and told["target"] == "splunk" and told["probing"] == "is halted", alert["spec"]["message"]
    assert int(told["count"]) >= THRESHOLD and alert["spec"]["acknowledged"] is False
    wait_until(lambda: "Failed" in cluster.statuses(), "results say so", PATIENCE)
    cluster.sandbox.fault("hec", failRate=0)
    wait_until(lambda: bool(cluster.status()["gate"].get("needsAcknowledgement")), "it waits for a person", PATIENCE)
    leader = cluster.wait_leader()
    cluster.acknowledge(acknowledgedBy="system:serviceaccount:sidereal-system:scheduler")
    wait_until(lambda: bool(cluster.said(leader, "only a person may")), "that is no person", PATIENCE)
    assert cluster.gate()["holderIdentity"] == ""
    cluster.acknowledge()
    wait_state(cluster, "open")
    wait_until(lambda: cluster.gate()["holderIdentity"] != "", "the Lease has a holder again", PATIENCE)
    cluster.wait_exported()
    cluster.assert_every_target_has_all()
    assert list(cluster.alerts()) == [name]
    wait_until(
        lambda: cluster.event_reasons()[-1:] == ["GateOpened"],
        lambda: f"it is told: {cluster.event_reasons()}",
        PATIENCE,
    )
    assert {"ExportDegraded", "GateHalted", "ExportRecovering"} <= set(cluster.event_reasons())


def test_a_status_that_is_not_taken_is_told_of(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Refused: delivered once, counted, told once for all, written when it is taken. Without permission: counted until then."""
    cluster = KubeCluster(bench, server)
    clusters.append(cluster)
    cluster.start_all()
    leader, series = cluster.wait_leader(), "sidereal_cluster_status_failures_total"

    def failures(outcome: str, code: int) -> float:
        return cluster.metric(leader, f'{series}{{outcome="{outcome}",code="{code}"}}') or 0

    # Somebody has changed the definition: there is no such status.
    name = "siderealproberesults.sidereal.cloud"
    definition = server.admin.get("customresourcedefinitions", None, name)
    audit = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["audit"]
    known, audit["properties"]["exportStatus"]["enum"] = audit["properties"]["exportStatus"]["enum"], ["Pending"]
    server.admin.patch("customresourcedefinitions", None, name, {"spec": definition["spec"]})
    cluster.create(40)
    wait_until(lambda: failures("refused", 422) >= 40, lambda: cluster.ask(leader, "/metrics")[-4000:], PATIENCE)

    def feed() -> dict[str, object]:
        found: dict[str, object] = cluster.status(leader)["feed"]
        return found

    wait_until(lambda: feed()["refusedStatuses"] == 40, lambda: f"the status says so: {feed()}", PATIENCE)
    assert "422" in str(feed()["statusTrouble"]), feed()
    told = cluster.said(leader, "is not taken by the API server")
    assert len(told) == 1 and "exportStatus" in told[0]["cause"], told
    assert set(cluster.statuses()) == {"Pending"}

    # The definition is mended, and the permission is gone.
    audit["properties"]["exportStatus"]["enum"] = known
    server.admin.patch("customresourcedefinitions", None, name, {"spec": definition["spec"]})
    role = server.admin.call("GET", place("clusterroles", None, COORDINATOR))
    rules = [rule | {"verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in role["rules"]]
    server.admin.patch("clusterroles", None, COORDINATOR, {"rules": rules})
    cluster.create(10)
    wait_until(lambda: failures("retried", 403) > 0, lambda: cluster.ask(leader, "/metrics")[-4000:], PATIENCE)
    server.admin.patch("clusterroles", None, COORDINATOR, {"rules": role["rules"]})
    wait_until(lambda: cluster.statuses().count("Exported") == 50, lambda: f"{feed()}", PATIENCE)
    wait_until(lambda: feed()["refusedStatuses"] == 0, lambda: f"{feed()}", PATIENCE)


def test_without_the_api_server_a_coordinator_waits_and_is_not_ready(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """It starts, says why it is not ready, and leads when the server is there; so after a restart of it."""
    cluster = KubeCluster(bench, server)
    clusters.append(cluster)
    home = cluster.home("c0")
    cluster.home = lambda name: home  # type: ignore[method-assign]
    server.stop()
    cluster.start("c0")
    wait_until(lambda: "sidereal-export-leader" in cluster.ask("c0", "/readyz"), "it says why", PATIENCE)
    assert cluster.process("c0").is_running
    server.start()
    wait_until(lambda: cluster.leader() == "c0", "it leads", PATIENCE)
    term = cluster.term()
    server.stop()
    wait_until(
        lambda: cluster.status("c0").get("coordinator", {}).get("role") == "standby", "it leads no more", PATIENCE
    )
    wait_until(lambda: "nobody leads" in cluster.ask("c0", "/readyz"), "it is not ready", PATIENCE)
    server.start()
    wait_until(lambda: cluster.leader() == "c0" and cluster.term() > term, "it leads again", PATIENCE)
    # Somebody cleans up: the term goes on.
    term = cluster.term()
    cluster.kill("c0")
    server.admin.call("DELETE", place("leases", SYSTEM, LEADER))
    cluster.start("c0")
    wait_until(lambda: cluster.leader() == "c0" and cluster.term() > term, "the next term is later", PATIENCE)


def test_options_that_contradict_one_another(bench: Workbench) -> None:
    """All at once, each with what to do."""
    config = bench.make_config([bench.file()])
    kubeconfig = bench.directory / "kubeconfig"
    names = [{"name": "dev", "context": {"cluster": "dev"}}, {"name": "broken", "context": {"cluster": "gone"}}]
    clusters = [{"name": "dev", "cluster": {"server": "https://127.0.0.1:1"}}]
    kubeconfig.write_text(json.dumps({"current-context": "old", "contexts": names, "clusters": clusters}))
    command: list[str | Path] = [
        "coordinator",
        "--config",
        config,
        "--listen",
        "127.0.0.1:0",
        "--endpoint",
        "127.0.0.1:0",
    ]
    for options, words in (
        ([], ["not in a pod", "--kubeconfig FILE", "--standalone DIR"]),
        (["--kubeconfig", "/none/such"], ["cannot read the kubeconfig /none/such", "Is the path right?"]),
        (["--kubeconfig", str(bench.directory)], ["it is no regular file"]),
        (["--kubeconfig", str(kubeconfig)], ["current-context asks for", "it has dev, broken"]),
        (
            ["--kubeconfig", str(kubeconfig), "--context", "prod"],
            ["no entry with name prod", "--context", "dev, broken"],
        ),
        (
            ["--kubeconfig", str(kubeconfig), "--context", "broken"],
            ["no entry with name gone", "the context broken", "dev"],
        ),
        (["--kubeconfig", "", "--namespace", ""], ["--kubeconfig is given with nothing", "--namespace is given with"]),
        (["--context", "x"], ["--context x is a context of which file?", "--kubeconfig FILE"]),
        (["--namespace", "Über"], ["--namespace", "1 to 63 lower-case letters"]),
        (["--standalone", "d", "--namespace", "x", "--context", "y"], ["--context and --namespace", "leave out"]),
        (["--context", "x", "--namespace", "-"], ["--context x", "--namespace -"]),
    ):
        finished = bench.run(*command, *options)
        assert finished.code == BAD_SETUP, finished
        for word in words:
            assert word in finished.stderr, finished.stderr
        assert all(line.startswith("error: ") for line in finished.stderr.splitlines()), finished.stderr


def test_what_the_gate_decided_without_an_api_server_is_told_later(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """The API server is gone when a target fails, and comes back when the term is over: there is an event of that very change."""
    # One failure of each worker is enough, for the term does not wait for a second.
    cluster = KubeCluster(bench, server, settings=LONG_LEASE, failureThreshold=2)
    clusters.append(cluster)
    cluster.start_all()
    leader, term = cluster.wait_leader(), cluster.term()
    cluster.sandbox.fault("hec", failRate=1)
    # Nothing fails before the API server is gone.
    for worker in cluster.workers:
        cluster.process(worker).send(signal.SIGSTOP)
    cluster.create(60)
    wait_until(lambda: cluster.status(leader)["feed"]["records"] > 0, "the leader has some in hand", PATIENCE)
    server.stop()
    for worker in cluster.workers:
        cluster.process(worker).send(signal.SIGCONT)
    wait_until(lambda: bool(cluster.said(leader, "gate open -> degraded")), "it is found", PATIENCE)
    wait_until(lambda: bool(cluster.said(leader, "cannot be told as an event yet")), "nobody takes it", PATIENCE)
    wait_until(lambda: bool(cluster.said(leader, "leads no more")), "the term ends", PATIENCE)
    server.start()

    def told() -> list[Json]:
        """Events of changes in that term, whose number is a part of their names."""
        return [event for event in cluster.events() if event["metadata"]["name"].split(".")[1] == str(term)]

    wait_until(
        lambda: "ExportDegraded" in [event["reason"] for event in told()], lambda: f"{cluster.events()}", PATIENCE
    )
    (event,) = [event for event in told() if event["reason"] == "ExportDegraded"]
    assert "gate open -> degraded: " in event["note"] and "failed at splunk" in event["note"]
    assert event["reportingInstance"].startswith(f"{leader}_")
    (line,) = cluster.said(leader, "gate open -> degraded", term=str(term))
    found = datetime.fromisoformat(line["time"])
    assert abs(datetime.fromisoformat(event["eventTime"]) - found) < timedelta(seconds=1)
