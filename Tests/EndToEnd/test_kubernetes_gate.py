"""The gate and its alerts in a real API server: where failures do not halt, one alert for each episode, dead coordinators."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from api_server import SYSTEM, ApiServer
from chart import Rendered, render
from exporter import Workbench, wait_until
from kube_client import Json
from kube_cluster import GATE, OUTAGE, KubeCluster
from policies import judge
from small_cluster import PATIENCE, SANDBOX_NAMES
from value_sets import SPLUNK, targets

pytestmark = pytest.mark.long

THRESHOLD = 5
JOBS = f"/apis/batch/v1/namespaces/{SYSTEM}/jobs"
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def renewed(lease: Json) -> datetime:
    """When a Lease was renewed."""
    return datetime.fromisoformat(lease["spec"]["renewTime"])


def wait_renewed(server: ApiServer, before: datetime) -> None:
    """Until the gate has been renewed again."""
    wait_until(lambda: renewed(server.lease(GATE)) > before, "the gate is renewed", PATIENCE)


def wait_state(cluster: KubeCluster, state: str) -> None:
    """Until the leader says so."""
    wait_until(
        lambda: cluster.gate_state() == state, lambda: f"the gate is {state}: {cluster.status()['gate']}", PATIENCE
    )


def outage(cluster: KubeCluster, known: set[str]) -> tuple[str, Json]:
    """Splunk fails until that is told of; the one alert that is new."""
    cluster.sandbox.fault("hec", failRate=1)
    cluster.create(60)
    wait_state(cluster, "degraded")
    wait_until(lambda: len(cluster.alerts()) > len(known), "the alert is raised", PATIENCE)
    wait_until(lambda: "Failed" in cluster.statuses(), "results say so", PATIENCE)
    ((name, alert),) = ((name, alert) for name, alert in cluster.alerts().items() if name not in known)
    return name, alert


def recovery(cluster: KubeCluster) -> None:
    """Splunk works; a person has to say that somebody has looked."""
    cluster.sandbox.fault("hec", failRate=0)
    wait_until(
        lambda: "waits for a person" in cluster.status()["gate"]["reason"],
        lambda: f"it waits for a person: {cluster.status()['gate']}",
        PATIENCE,
    )
    cluster.wait_exported()
    cluster.acknowledge()
    wait_state(cluster, "open")


def test_at_moderate_an_outage_is_told_of_and_probing_goes_on(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """An alert for each episode with target, count, since when and the last error; the Lease is held and renewed throughout."""
    cluster = KubeCluster(bench, server, failureThreshold=THRESHOLD)
    cluster.values["global"] |= {"impactLevel": "moderate"}
    clusters.append(cluster)
    begun = datetime.now(UTC).replace(microsecond=0)
    cluster.start_all()
    known: dict[str, Json] = {}
    for _ in range(2):
        name, alert = outage(cluster, set(known))
        spec = alert["spec"]
        assert spec["reason"] == "SIEMExportDegraded" and spec["acknowledged"] is False
        told = OUTAGE.match(spec["message"])
        assert told, spec["message"]
        assert told["target"] == "splunk" and int(told["count"]) >= THRESHOLD and told["probing"] == "goes on"
        assert begun <= datetime.fromisoformat(told["since"]) <= datetime.now(UTC)
        # Held, and renewed while nothing can be delivered.
        assert server.lease(GATE)["spec"]["holderIdentity"] == cluster.wait_leader()
        wait_renewed(server, renewed(server.lease(GATE)))
        assert cluster.gate_state() == "degraded" and cluster.gate()["holderIdentity"]
        recovery(cluster)
        known[name] = alert
    # What was told first stands as it was.
    assert {name: alert["spec"]["message"] for name, alert in cluster.alerts().items()} == {
        name: alert["spec"]["message"] for name, alert in known.items()
    }
    cluster.assert_every_target_has_all()
    # Once when the leader found it open, and once after each episode, in which it may have looked better for a moment.
    wait_until(lambda: cluster.event_reasons().count("GateOpened") == 3, lambda: f"{cluster.event_reasons()}", PATIENCE)
    reasons = cluster.event_reasons()
    assert "GateHalted" not in reasons and reasons.count("ExportDegraded") >= 2, reasons


def test_what_breaks_behind_another_target_is_told(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Splunk fails; then Elasticsearch as well; then Splunk is mended. The Lease, the endpoint and events say so; the alert stays."""
    cluster = KubeCluster(bench, server, failureThreshold=THRESHOLD)
    clusters.append(cluster)
    cluster.start_all()

    def reasons() -> list[str]:
        stored = server.lease(GATE)["metadata"]["annotations"]["export.sidereal.cloud/gate-reason"]
        return [stored, cluster.status()["gate"]["reason"]]

    def wait_named(failing: set[str]) -> None:
        """Until it is told that these fail, and no other."""

        def named() -> bool:
            told = [{name for name in SANDBOX_NAMES if f"failed at {name}" in reason} for reason in reasons()]
            return told == [failing, failing]

        wait_until(named, lambda: f"{failing} fail: {reasons()}", PATIENCE)

    cluster.sandbox.fault("hec", failRate=1)
    cluster.create(60)
    wait_state(cluster, "halted")
    wait_until(lambda: len(cluster.alerts()) == 1, "the alert is raised", PATIENCE)
    (alert,) = cluster.alerts().values()
    wait_named({"splunk"})
    cluster.sandbox.fault("elasticsearch", failRate=1)
    cluster.create(60)
    wait_named({"splunk", "elasticsearch"})
    cluster.sandbox.fault("hec", failRate=0)
    wait_named({"elasticsearch"})
    assert cluster.gate_state() == "halted"
    changes = [event for event in cluster.events() if event["reason"] == "ExportTroubleChanged"]
    assert len(changes) == 2 and all(event["type"] == "Warning" for event in changes), cluster.event_reasons()
    assert "failed at elasticsearch" in changes[0]["note"] and "failed at splunk" not in changes[1]["note"]
    leader = cluster.wait_leader()
    assert len(cluster.said(leader, "gate stays halted: ")) == 2
    assert [change["to"] for change in cluster.status()["gate"]["changes"] if change["from"] == change["to"]] == [
        "halted",
        "halted",
    ]
    assert cluster.alerts()[alert["metadata"]["name"]]["spec"] == alert["spec"] and len(cluster.alerts()) == 1
    cluster.sandbox.fault("elasticsearch", failRate=0)
    cluster.acknowledge()
    wait_state(cluster, "open")
    cluster.wait_exported()
    cluster.assert_every_target_has_all()


def dead(cluster: KubeCluster) -> Json:
    """Everybody is killed at once while the gate is open; the gate's Lease as it lies there from then on."""
    cluster.kill(*cluster.coordinators, *cluster.workers)
    return cluster.server.lease(GATE)


def minimal() -> Rendered:
    """The chart at impact level high."""
    return render(targets(SPLUNK))


def test_the_gate_of_dead_coordinators_runs_out(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Nobody is left to empty it: by the Lease that they leave the chart's policy refuses probes from its end on."""
    cluster = KubeCluster(bench, server)
    clusters.append(cluster)
    policy = minimal().one("ValidatingAdmissionPolicy", "sidereal-export-gate")

    def admits(lease: Json, moment: datetime) -> list[str]:
        created = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        job = {"metadata": {"name": "probe", "creationTimestamp": created}, "spec": {}}
        return judge(policy, "CREATE", job, params=lease).refusals

    cluster.start_all()
    assert admits(server.lease(GATE), datetime.now(UTC)) == []
    lease = dead(cluster)
    lasts = timedelta(seconds=lease["spec"]["leaseDurationSeconds"])
    assert lease["spec"]["holderIdentity"] in cluster.coordinators
    assert timedelta() < lasts <= timedelta(minutes=1)
    assert datetime.now(UTC) - renewed(lease) < lasts, "it was renewed in time"
    assert admits(lease, renewed(lease) + lasts - timedelta(seconds=2)) == []
    (refusal,) = admits(lease, renewed(lease) + lasts + timedelta(seconds=2))
    assert "not renewed in time" in refusal
    # Whoever comes back goes on with it.
    cluster.start(*cluster.coordinators, *cluster.workers)
    wait_renewed(server, renewed(lease))
    assert admits(server.lease(GATE), datetime.now(UTC)) == []


def test_the_api_server_refuses_probes_of_a_dead_cluster(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """The same by the API server's own word, with every process of the exporter dead."""
    if not server.knows("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"):
        pytest.skip(
            f"this API server, {server.version}, has no ValidatingAdmissionPolicy and admits every probe: by the Lease of a"
            " dead cluster the chart's policy was judged with cel-python. KUBEBUILDER_ASSETS with Kubernetes 1.30 or"
            " newer has this test run"
        )
    cluster = KubeCluster(bench, server)
    clusters.append(cluster)
    for kind in POLICIES:
        for manifest in minimal().all(kind):
            server.apply(manifest)
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}
    labels = {"sidereal.cloud/probe-id": "0b5c6cde-9d4f-4e53-8f8a-1c5f7c0f5d11"}
    numbers = itertools.count()

    def answer() -> tuple[int, str]:
        job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template}}
        job["metadata"] = {"name": f"probe-{next(numbers)}", "labels": labels}
        code, document = server.admin.request("POST", JOBS, job, dryRun="All")
        return code, str(document.get("message", ""))

    wait_until(lambda: answer()[0] != 201, "without a Lease probes are refused", PATIENCE)
    cluster.start_all()
    wait_until(lambda: answer()[0] == 201, "they pass while exporting works", PATIENCE)
    cluster.create(20)
    cluster.wait_exported()
    lease = dead(cluster)
    wait_until(lambda: answer()[0] != 201, "they are refused when nobody is left", PATIENCE)
    assert datetime.now(UTC) >= renewed(lease) + timedelta(seconds=lease["spec"]["leaseDurationSeconds"] - 1)
    assert "not renewed in time" in answer()[1]
