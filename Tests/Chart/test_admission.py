"""The two admission policies: the gate, and results that are append-only."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import SYSTEM, ApiServer
from chart import ROOT, Rendered, merged, render
from exporter import wait_until
from kube_client import MERGE, RESULTS, place
from policies import Verdict, judge
from value_sets import VALID

Json = dict[str, Any]

COORDINATOR = "system:serviceaccount:sidereal-system:sidereal-export-coordinator"
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
OPERATOR = "system:serviceaccount:sidereal-system:sidereal-operator"
MIGRATOR = "system:serviceaccount:kube-system:storage-version-migrator"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PROBE = {"sidereal.cloud/probe-id": "0b5c6cde-9d4f-4e53-8f8a-1c5f7c0f5d11"}


def stamp(time: datetime) -> str:
    """A MicroTime, as renewTime is."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def gate_lease(holder: str | None = "leader", ago: float = 3, lasts: int | None = 15, now: datetime = NOW) -> Json:
    """The gate, renewed so many seconds ago."""
    spec: Json = {"renewTime": stamp(now - timedelta(seconds=ago))}
    if holder is not None:
        spec["holderIdentity"] = holder
    if lasts is not None:
        spec["leaseDurationSeconds"] = lasts
    return {"metadata": {"name": "sidereal-export-gate"}, "spec": spec}


def probe_job(name: str = "probe") -> Json:
    """A probe's Job at NOW."""
    created = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": {"name": name, "labels": PROBE, "creationTimestamp": created}, "spec": {}}


@pytest.fixture
def gate(rendered: Callable[[str], Rendered]) -> Json:
    """The gate's policy."""
    return rendered("minimal").one("ValidatingAdmissionPolicy", "sidereal-export-gate")


@pytest.fixture
def results_policy(rendered: Callable[[str], Rendered]) -> Json:
    """The results' policy."""
    return rendered("minimal").one("ValidatingAdmissionPolicy", "sidereal-export-results")


# The gate


def test_probes_pass_while_the_gate_is_renewed(gate: Json) -> None:
    for ago in (0, 3, 14):
        assert judge(gate, "CREATE", probe_job(), params=gate_lease(ago=ago)).admits


def test_probes_are_refused_when_it_is_not(gate: Json) -> None:
    for lease, says in (
        (gate_lease(holder=""), "audit records do not reach"),
        (gate_lease(holder=None), "audit records do not reach"),
        (gate_lease(ago=15), "not renewed in time"),
        (gate_lease(ago=3600), "not renewed in time"),
        (gate_lease(lasts=None), "not renewed in time"),
        ({"metadata": {}, "spec": {}}, "not renewed in time"),
        ({"metadata": {}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}, "not renewed in time"),
        # A clock that was ahead must not hold it open for as long as it was ahead.
        (gate_lease(ago=-16), "in the future"),
        (gate_lease(ago=-3600), "in the future"),
    ):
        verdict = judge(gate, "CREATE", probe_job(), params=lease)
        assert any(says in refusal for refusal in verdict.refusals), (lease, verdict)
    # A little ahead is what clocks are.
    assert judge(gate, "CREATE", probe_job(), params=gate_lease(ago=-2)).admits


def test_the_gate_is_bound_to_its_lease_and_to_probes(rendered: Callable[[str], Rendered], gate: Json) -> None:
    binding = rendered("minimal").one("ValidatingAdmissionPolicyBinding", "sidereal-export-gate")["spec"]
    assert binding["policyName"] == "sidereal-export-gate"
    parameter = {"name": "sidereal-export-gate", "namespace": SYSTEM, "parameterNotFoundAction": "Deny"}
    assert binding["paramRef"] == parameter
    assert "Deny" in binding["validationActions"]
    spec = gate["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert spec["paramKind"] == {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    constraints = spec["matchConstraints"]
    selector = {"key": "sidereal.cloud/probe-id", "operator": "Exists"}
    assert constraints["objectSelector"] == {"matchExpressions": [selector]}
    rule = constraints["resourceRules"][0]
    assert (rule["apiGroups"], rule["operations"], rule["resources"]) == (["batch"], ["CREATE"], ["jobs"])


@pytest.mark.parametrize("document", ["README.md", "docs/helm.md"])
def test_the_documented_refusal_is_this_policy_s(
    document: str, rendered: Callable[[str], Rendered], gate: Json
) -> None:
    """In the API server's words around it: policy, binding and message."""
    found = re.search(
        r'^Error from server \(Forbidden\): error when creating "STDIN": jobs\.batch "refused" is forbidden: '
        r"ValidatingAdmissionPolicy '(.+)' with binding '(.+)' denied request: (.+) …$",
        (ROOT / document).read_text(),
        re.MULTILINE,
    )
    assert found
    binding = rendered("minimal").one("ValidatingAdmissionPolicyBinding", found[2])
    assert found[1] == gate["metadata"]["name"] == binding["spec"]["policyName"]
    (refusal,) = judge(gate, "CREATE", probe_job(), params=gate_lease(holder="")).refusals
    assert refusal.startswith(found[3])


def test_where_failures_do_not_halt_nothing_is_refused(rendered: Callable[[str], Rendered]) -> None:
    for name, closed in (("moderate", False), ("low, pod identity, existing certificates", False)):
        names = [policy["metadata"]["name"] for policy in rendered(name).all("ValidatingAdmissionPolicy")]
        assert ("sidereal-export-gate" in names) is closed, name
        assert "does not halt probing" in rendered(name).notes
    assert rendered("moderate and closed").one("ValidatingAdmissionPolicy", "sidereal-export-gate")


# Results


def result(status: str = "Pending", **changes: Any) -> Json:
    """A result, with other values at dotted paths."""
    made: Json = {
        "metadata": {"name": "r", "namespace": "probes", "labels": PROBE, "annotations": {"owner": "isso"}},
        "spec": {
            "probe": {"id": PROBE["sidereal.cloud/probe-id"], "profile": "rbac", "targetNamespace": "a"},
            "result": {"outcome": "Fail", "controlEffectiveness": "Ineffective", "integrityStatus": "Verified"},
            "execution": {"timestamp": "2026-01-01T00:00:00Z", "durationMs": 1, "jobName": "a"},
            "audit": {"exportStatus": status},
        },
    }
    if status == "Exported":
        made["spec"]["audit"]["exportedAt"] = "2026-01-01T00:00:01Z"
    return changed(made, **changes)


def changed(original: Json, **changes: Any) -> Json:
    """A copy with other values at paths such as `spec__audit__exportStatus`; None takes a key away."""
    made = copy.deepcopy(original)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def update(policy: Json, old: Json, user: str = COORDINATOR, **changes: Any) -> Verdict:
    """An update that makes these changes."""
    return judge(policy, "UPDATE", changed(old, **changes), old, user=user)


TOLD = {"owner": "isso", "export.sidereal.cloud/targets": '{"soc":"delivered"}'}
EXPORTED = {"exportStatus": "Exported", "exportedAt": "2026-01-01T00:00:01Z"}


def test_coordinators_write_the_status_and_their_annotations(results_policy: Json) -> None:
    for status in ("Pending", "Failed"):
        old = result(status)
        assert update(results_policy, old, spec__audit=EXPORTED, metadata__annotations=TOLD).admits
        assert update(results_policy, old, spec__audit={"exportStatus": "Failed"}, metadata__annotations=TOLD).admits
        assert update(results_policy, old).admits
    bare = result("Pending", metadata__annotations=None, metadata__labels=None)
    assert update(results_policy, bare, spec__audit=EXPORTED, metadata__annotations={list(TOLD)[1]: "{}"}).admits
    # A target that was added later is told of when all the others were done long ago.
    later = result("Exported", metadata__annotations=TOLD)
    assert update(results_policy, later, metadata__annotations=TOLD | {"export.sidereal.cloud/targets": "{}"}).admits


def test_nobody_else_updates(results_policy: Json) -> None:
    for user in ("admin@example.gov", OPERATOR, "system:serviceaccount:other:sidereal-export-coordinator", "nobody"):
        for verdict in (
            update(results_policy, result(), user, spec__audit=EXPORTED),
            update(results_policy, result(), user, metadata__annotations=TOLD),
        ):
            assert any("results are append-only; only the coordinators" in each for each in verdict.refusals), user


def test_whoever_changes_nothing_passes(results_policy: Json) -> None:
    """Objects are migrated to another storage version by writing them as they are."""
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]
    for old in (
        result(),
        result("Exported", metadata__annotations=TOLD),
        result("Failed", metadata__finalizers=["foregroundDeletion"], metadata__ownerReferences=owners),
        result(metadata__annotations=None, metadata__labels=None),
    ):
        assert update(results_policy, old, MIGRATOR).admits
        # What the API server keeps itself.
        assert update(results_policy, old, MIGRATOR, metadata__managedFields=[{"manager": "m"}]).admits
        # An empty list is none.
        empty = {f"metadata__{key}": old["metadata"].get(key, []) for key in ("finalizers", "ownerReferences")}
        assert update(results_policy, old, MIGRATOR, **empty).admits
    full = result("Failed", metadata__finalizers=["foregroundDeletion"], metadata__ownerReferences=owners)
    changes: list[Json] = [
        {"spec__audit": EXPORTED},
        {"spec__audit__exportStatus": "Pending"},
        {"spec__result__outcome": "Pass"},
        {"spec__more": "x"},
        {"metadata__labels": None},
        {"metadata__labels": PROBE | {"a": "b"}},
        {"metadata__annotations": None},
        {"metadata__annotations": TOLD},
        {"metadata__finalizers": []},
        {"metadata__finalizers": ["foregroundDeletion", "a/b"]},
        {"metadata__ownerReferences": None},
    ]
    for change in changes:
        refusals = update(results_policy, full, MIGRATOR, **change).refusals
        assert any("only the coordinators of sidereal-export write" in each for each in refusals), change


def test_nothing_of_the_record_changes(results_policy: Json) -> None:
    changes: list[Json] = [
        {"spec__probe__profile": "netpol"},
        {"spec__probe__aoAuthorizationRef": "x"},
        {"spec__result__outcome": "Pass"},
        {"spec__result__detail": "it was nothing"},
        {"spec__execution__timestamp": "2026-01-02T00:00:00Z"},
        {"metadata__labels": {}},
        {"metadata__labels": PROBE | {"sidereal.cloud/outcome": "Pass"}},
        {"metadata__annotations": None},
        {"metadata__annotations": {"owner": "nobody"}},
        {"metadata__annotations": TOLD | {"seen": "yes"}},
        {"metadata__finalizers": ["sidereal.cloud/keep"]},
        {"metadata__ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]},
    ]
    for change in changes:
        old = result()
        assert not update(results_policy, old, **change).admits, change
        assert not update(results_policy, result("Exported"), **change).admits, change


def test_exported_is_final(results_policy: Json) -> None:
    old = result("Exported")
    for audit in (
        {"exportStatus": "Pending"},
        {"exportStatus": "Failed"},
        EXPORTED | {"exportedAt": "2026-02-01T00:00:00Z"},
    ):
        verdict = update(results_policy, old, spec__audit=audit)
        assert "Exported is final" in verdict.refusals
    assert not update(results_policy, result(), spec__audit={"exportStatus": "Exported"}).admits


def test_the_garbage_collector_does_its_work_and_no_more(results_policy: Json) -> None:
    old = result("Exported", metadata__finalizers=["foregroundDeletion"])
    assert update(results_policy, old, COLLECTOR, metadata__finalizers=[]).admits
    assert not update(results_policy, old, COLLECTOR, spec__result__outcome="Pass").admits
    assert not update(results_policy, result(), COLLECTOR, spec__audit=EXPORTED).admits
    assert not update(results_policy, result(), COLLECTOR, metadata__annotations=TOLD).admits


def test_new_results_are_pending(results_policy: Json) -> None:
    assert judge(results_policy, "CREATE", result(), user=OPERATOR).admits
    assert judge(results_policy, "CREATE", result(spec__audit={}), user=OPERATOR).admits
    for status in ("Exported", "Failed"):
        verdict = judge(results_policy, "CREATE", result(status), user=OPERATOR)
        assert any("a new result has spec.audit.exportStatus Pending" in each for each in verdict.refusals)


def test_new_results_are_not_marked_as_delivered(results_policy: Json) -> None:
    """With every target marked, a result that is `Pending` would become `Exported`, and no target would get it."""
    for user in (OPERATOR, COORDINATOR, "admin@example.gov"):
        for marks in (TOLD, {"export.sidereal.cloud/other": ""}):
            verdict = judge(results_policy, "CREATE", result(metadata__annotations=marks), user=user)
            assert any("no annotation that begins with export.sidereal.cloud/" in each for each in verdict.refusals)
    for own in (None, {}, {"owner": "isso"}, {"export.sidereal.cloud.example/targets": "x"}):
        assert judge(results_policy, "CREATE", result(metadata__annotations=own), user=OPERATOR).admits


def test_a_restore_brings_back_what_was_said() -> None:
    backup = "system:serviceaccount:velero:velero"
    chart = render(merged(VALID["minimal"], {"admission": {"results": {"restoredBy": [backup]}}}))
    policy = chart.one("ValidatingAdmissionPolicy", "sidereal-export-results")
    for status in ("Exported", "Failed", "Pending"):
        kept = result(status, metadata__annotations=TOLD)
        assert judge(policy, "CREATE", kept, user=backup).admits
        assert len(judge(policy, "CREATE", kept, user=OPERATOR).refusals) == (1 if status == "Pending" else 2)
    # Once it is there it is as append-only as others.
    assert not update(policy, result(), backup, metadata__annotations=TOLD).admits


# The server's own word


@pytest.fixture
def newer_server(api_server: ApiServer, tmp_path: Path) -> Iterator[ApiServer]:
    """One for this test alone: its policies, Leases and results would be in the way of other tests."""
    if not api_server.knows("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"):
        pytest.skip(
            f"this API server, {api_server.version}, has no ValidatingAdmissionPolicy: the policies were judged by"
            " cel-python alone. KUBEBUILDER_ASSETS with Kubernetes 1.30 or newer has this test run"
        )
    server = ApiServer(tmp_path)
    yield server
    server.close()


def test_the_api_server_enforces_both(newer_server: ApiServer, rendered: Callable[[str], Rendered]) -> None:
    chart = rendered("minimal")
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        for manifest in chart.all(kind):
            newer_server.apply(manifest)
    jobs = "/apis/batch/v1/namespaces/sidereal-system/jobs"
    containers = [{"name": "a", "image": "a"}]
    template = {"spec": {"restartPolicy": "Never", "containers": containers}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "probe", "labels": PROBE}}
    job |= {"spec": {"template": template}}

    def admitted() -> bool:
        return newer_server.admin.request("POST", jobs, job, dryRun="All")[0] == 201

    wait_until(lambda: not admitted(), "without a Lease probes are refused", 30)
    other = job | {"metadata": {"name": "other"}}
    assert newer_server.admin.request("POST", jobs, other, dryRun="All")[0] == 201
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    now = datetime.now(UTC)
    newer_server.apply(head | changed(gate_lease(now=now, ago=0), metadata__namespace=SYSTEM))
    wait_until(admitted, "with a fresh Lease they pass", 14)
    newer_server.apply(head | changed(gate_lease(holder="", now=datetime.now(UTC), ago=0), metadata__namespace=SYSTEM))
    wait_until(lambda: not admitted(), "with an empty holder they are refused", 30)
    head = {"apiVersion": "sidereal.cloud/v1alpha1", "kind": "SiderealProbeResult"}
    newer_server.make_namespace("probes")
    newer_server.apply(head | result(metadata__name="kept"))
    marked = result(metadata__name="marked", metadata__annotations=TOLD)
    code, document = newer_server.admin.request("POST", place(RESULTS, "probes"), head | marked, dryRun="All")
    assert code == 403 and "export.sidereal.cloud/" in document["message"], document
    relabel = {"metadata": {"labels": {"a": "b"}}}
    path = place(RESULTS, "probes", "kept")
    code, document = newer_server.admin.request("PATCH", path, relabel, MERGE, dryRun="All")
    assert code == 403 and "append-only" in document["message"], document
    code, document = newer_server.admin.request("GET", path)
    assert code == 200
    # As it is, it may be written again, which a migration of storage does.
    code, document = newer_server.admin.request("PUT", path, document, dryRun="All")
    assert code == 200, document
