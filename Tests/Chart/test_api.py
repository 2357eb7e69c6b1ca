"""What the chart renders, before a real API server, and before the schemas of newer ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
from api_server import SYSTEM, ApiServer
from chart import Rendered
from exporter import wait_until
from kube_client import ALERTS, RESULTS, KubeClient, place
from rules import COORDINATOR, WORKER, install_rules
from value_sets import VALID, VERSIONS

Json = dict[str, Any]

# Of operators, which Kubernetes' own schemas do not have.
FOREIGN = ("monitoring.coreos.com/", "cert-manager.io/")
# Since when they are there; the server that is built for the tests is older.
NEWER = {"ValidatingAdmissionPolicy": 30, "ValidatingAdmissionPolicyBinding": 30, "HorizontalPodAutoscaler": 23}
NEWER |= {"PodDisruptionBudget": 21}


def knows(server: ApiServer, manifest: Json) -> bool:
    """Whether the server has the kind of a manifest."""
    root = "/api" if "/" not in manifest["apiVersion"] else "/apis"
    code, document = server.admin.request("GET", f"{root}/{manifest['apiVersion']}")
    return code == 200 and any(each["kind"] == manifest["kind"] for each in document["resources"])


@pytest.mark.parametrize("name", VALID)
def test_the_api_server_takes_every_manifest(
    name: str, rendered: Callable[[str], Rendered], api_server: ApiServer
) -> None:
    taken = []
    for manifest in rendered(name).manifests:
        if manifest["apiVersion"].startswith(FOREIGN):
            continue
        if not knows(api_server, manifest):
            minor = int(api_server.version.split(".")[1])
            assert minor < NEWER[manifest["kind"]], f"{manifest['kind']} is unknown to {api_server.version}"
            continue
        there = api_server.apply(manifest, dry_run=True)
        assert there["metadata"]["name"] == manifest["metadata"]["name"]
        taken.append(manifest["kind"])
    assert {"ConfigMap", "Deployment", "StatefulSet", "NetworkPolicy", "Role", "ClusterRole", "Service"} <= set(taken)
    # Nothing of it is kept.
    assert api_server.admin.request("GET", place("serviceaccounts", SYSTEM, "no-such"))[0] == 404


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", VALID)
def test_every_field_is_known(name: str, version: str, rendered: Callable[[str], Rendered]) -> None:
    checked = 0
    for manifest in rendered(name).manifests:
        if not manifest["apiVersion"].startswith(FOREIGN):
            kubernetes_validate.validate(manifest, version, strict=True)
            checked += 1
    assert checked >= 15


def test_a_field_that_nobody_knows_is_found(rendered: Callable[[str], Rendered]) -> None:
    gate = rendered("minimal").one("ValidatingAdmissionPolicy", "sidereal-export-gate")
    wrong = gate | {"spec": gate["spec"] | {"paramKinds": {}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="paramKinds"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


class Rules:
    """The chart's accounts and rules, in force."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        install_rules(server)
        self.coordinator = server.account(COORDINATOR)
        self.worker = server.account(WORKER)


@pytest.fixture(scope="module")
def rules(api_server: ApiServer) -> Rules:
    """The chart's rules on the API server."""
    return Rules(api_server)


def lease(name: str, holder: str) -> Json:
    """A Lease as it is made."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def refuses(
    client: KubeClient, method: str, path: str, body: Json | None = None, kind: str = "application/json"
) -> None:
    """The API server forbids it."""
    code, document = client.request(method, path, body, kind)
    assert (code, document["reason"]) == (403, "Forbidden"), f"{method} {path}: {code} {document}"


def test_coordinators_may_do_what_they_have_to(rules: Rules) -> None:
    server, coordinator = rules.server, rules.coordinator
    server.make_namespace("probes")
    spec = {
        "probe": {"id": "0b5c6cde-9d4f-4e53-8f8a-1c5f7c0f5d11", "profile": "rbac", "targetNamespace": "a"},
        "result": {"outcome": "Pass", "controlEffectiveness": "Effective", "integrityStatus": "Verified"},
        "execution": {"timestamp": "2026-01-01T00:00:00Z", "durationMs": 1, "jobName": "a"},
        "audit": {"exportStatus": "Pending"},
    }
    head = {"apiVersion": "sidereal.cloud/v1alpha1", "kind": "SiderealProbeResult", "metadata": {"name": "allowed"}}
    made = server.admin.create(RESULTS, "probes", head | {"spec": spec})
    assert [each["metadata"]["name"] for each in coordinator.list(RESULTS)] == ["allowed"]
    coordinator.get(RESULTS, "probes", "allowed")
    events = coordinator.watch(RESULTS, str(int(made["metadata"]["resourceVersion"]) - 1))
    assert next(events)["object"]["metadata"]["name"] == "allowed"
    events.close()
    patch = {
        "metadata": {
            "resourceVersion": made["metadata"]["resourceVersion"],
            "annotations": {"export.sidereal.cloud/targets": '{"soc":"delivered"}'},
        },
        "spec": {"audit": {"exportStatus": "Exported", "exportedAt": "2026-01-01T00:00:01Z"}},
    }
    assert coordinator.patch(RESULTS, "probes", "allowed", patch)["spec"]["audit"]["exportStatus"] == "Exported"
    for name in ("sidereal-export-leader", "sidereal-export-gate"):
        coordinator.create("leases", SYSTEM, lease(name, "one"))
        coordinator.patch("leases", SYSTEM, name, {"spec": {"holderIdentity": "two"}})
        assert coordinator.get("leases", SYSTEM, name)["spec"]["holderIdentity"] == "two"
        assert len(coordinator.list("leases", SYSTEM, fieldSelector=f"metadata.name={name}")) == 1
    alert = {"reason": "SIEMExportDegraded", "message": "soc fails", "acknowledged": False}
    head = {"apiVersion": "sidereal.cloud/v1alpha1", "kind": "SiderealSystemAlert", "metadata": {"name": "episode"}}
    coordinator.create(ALERTS, SYSTEM, head | {"spec": alert})
    assert [each["metadata"]["name"] for each in coordinator.list(ALERTS, SYSTEM)] == ["episode"]
    coordinator.get(ALERTS, SYSTEM, "episode")
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "gate", "namespace": SYSTEM},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "sidereal.cloud/export",
        "reportingInstance": "coordinator-0",
        "action": "Halt",
        "reason": "GateHalted",
        "regarding": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": "gate", "namespace": SYSTEM},
        "type": "Warning",
        "note": "soc fails",
    }
    coordinator.create("events", SYSTEM, event)


def test_coordinators_may_do_nothing_else(rules: Rules) -> None:
    coordinator = rules.coordinator
    rules.server.make_namespace("elsewhere")
    patch = "application/merge-patch+json"
    refuses(coordinator, "DELETE", place(RESULTS, "probes", "any"))
    refuses(coordinator, "POST", place(RESULTS, "probes"), {})
    refuses(coordinator, "PUT", place(RESULTS, "probes", "any"), {})
    refuses(coordinator, "PATCH", place(ALERTS, SYSTEM, "any"), {}, patch)
    refuses(coordinator, "PUT", place(ALERTS, SYSTEM, "any"), {})
    refuses(coordinator, "DELETE", place(ALERTS, SYSTEM, "any"))
    refuses(coordinator, "GET", place(ALERTS, "elsewhere"))
    refuses(coordinator, "POST", place(ALERTS, "elsewhere"), {})
    refuses(coordinator, "PATCH", place("events", SYSTEM, "gate"), {}, patch)
    refuses(coordinator, "GET", place("leases", SYSTEM, "other"))
    refuses(coordinator, "PATCH", place("leases", SYSTEM, "other"), {}, patch)
    refuses(coordinator, "PUT", place("leases", SYSTEM, "sidereal-export-gate"), {})
    refuses(coordinator, "DELETE", place("leases", SYSTEM, "sidereal-export-gate"))
    refuses(coordinator, "GET", place("leases", SYSTEM))
    refuses(coordinator, "POST", place("leases", "elsewhere"), {})
    refuses(coordinator, "POST", place("events", "elsewhere"), {})
    for plural in ("secrets", "serviceaccounts", "clusterroles", "customresourcedefinitions", "namespaces"):
        refuses(coordinator, "GET", place(plural))
    refuses(coordinator, "GET", place("secrets", SYSTEM, "splunk-hec-token"))
    refuses(coordinator, "POST", place("serviceaccounts", SYSTEM, "sidereal-export-coordinator") + "/token", {})


def test_workers_may_do_nothing(rules: Rules) -> None:
    for plural in (RESULTS, ALERTS, "leases", "secrets", "events"):
        refuses(rules.worker, "GET", place(plural, SYSTEM))
        refuses(rules.worker, "POST", place(plural, SYSTEM), {})


def test_a_missing_rule_is_seen(rules: Rules) -> None:
    """The tests above would notice: without its role a coordinator may do nothing."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/sidereal-export-coordinator"
    binding = rules.server.admin.call("GET", path)
    rules.server.admin.call("DELETE", path)
    # The server learns of it through a watch of its own.
    wait_until(lambda: rules.coordinator.request("GET", place(RESULTS))[0] == 403, "the role is gone", 30)
    del binding["metadata"]["resourceVersion"]
    rules.server.apply(binding)
    wait_until(lambda: rules.coordinator.request("GET", place(RESULTS))[0] == 200, "the role is back", 30)
