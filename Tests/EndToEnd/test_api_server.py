"""The API server of the tests does what the other tests take for granted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from api_server import PATIENCE, SYSTEM, ApiServer, probe_result
from exporter import wait_until
from kube_client import ALERTS, APPLY, GROUP, RESULTS, ApiError, Json, place


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ApiServer]:
    """A server that a test may stop."""
    server = ApiServer(tmp_path)
    yield server
    server.close()


def make_results(server: ApiServer, results: Callable[[int], Path], count: int, namespace: str) -> list[Json]:
    """Creates generated results in a namespace of their own."""
    return server.fill(results(count).read_text().splitlines(), namespace)


def bind(server: ApiServer, account: str, *verbs: str) -> None:
    """Lets an account do this with results, and waits until it may."""
    rule = {"apiGroups": ["sidereal.cloud"], "resources": [RESULTS], "verbs": list(verbs)}
    server.admin.create("clusterroles", None, {"metadata": {"name": account}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}
    binding = {"metadata": {"name": account}, "roleRef": role, "subjects": [subject]}
    server.admin.create("clusterrolebindings", None, binding)
    for verb in verbs:
        wait_until(lambda verb=verb: server.allows(account, verb, RESULTS, GROUP), f"{account} may {verb}", PATIENCE)  # type: ignore[misc]


def test_it_has_siderals_resources_and_holds_objects_against_them(
    api_server: ApiServer, results: Callable[[int], Path]
) -> None:
    made = make_results(api_server, results, 3, "schema")
    assert all(result["metadata"]["uid"] for result in made)
    # The definition's default.
    bare = probe_result(results(3).read_text().splitlines()[0], "schema")
    bare["metadata"]["name"] = "bare"
    bare["spec"]["audit"] = {}
    assert api_server.admin.create(RESULTS, "schema", bare)["spec"]["audit"] == {"exportStatus": "Pending"}
    for path, value in (
        (("audit", "exportStatus"), "Sent"),
        (("result", "outcome"), "Perhaps"),
        (("probe", "id"), "x"),
    ):
        wrong = probe_result(results(3).read_text().splitlines()[0], "schema")
        wrong["metadata"]["name"] = "wrong"
        wrong["spec"][path[0]][path[1]] = value
        with pytest.raises(ApiError, match=f"spec.{'.'.join(path)}") as refusal:
            api_server.admin.create(RESULTS, "schema", wrong)
        assert refusal.value.code == 422
    alert = {
        "metadata": {"name": "one"},
        "spec": {"reason": "SIEMExportDegraded", "message": "none", "acknowledged": False},
    }
    head = {"apiVersion": "sidereal.cloud/v1alpha1", "kind": "SiderealSystemAlert"}
    assert api_server.admin.create(ALERTS, SYSTEM, head | alert)["spec"]["acknowledged"] is False
    api_server.admin.delete(ALERTS, SYSTEM, "one")


def test_an_account_may_do_what_its_rules_say(api_server: ApiServer, results: Callable[[int], Path]) -> None:
    make_results(api_server, results, 3, "rules")
    api_server.make_account("reader")
    reader = api_server.account("reader")
    with pytest.raises(ApiError, match="cannot list resource") as refusal:
        reader.list(RESULTS)
    assert (refusal.value.code, refusal.value.reason) == (403, "Forbidden")
    bind(api_server, "reader", "list")
    assert len(reader.list(RESULTS, "rules", page=2)) == 3
    with pytest.raises(ApiError, match="cannot patch resource"):
        reader.patch(RESULTS, "rules", "any", {})
    with pytest.raises(ApiError, match="cannot list resource"):
        reader.list("secrets", SYSTEM)
    stranger = api_server.client(token="not.a.token")
    assert stranger.request("GET", place(RESULTS))[0] == 401
    assert api_server.client().request("GET", "/readyz")[0] == 401


def test_a_patch_of_what_has_changed_conflicts(api_server: ApiServer, results: Callable[[int], Path]) -> None:
    result = make_results(api_server, results, 1, "conflict")[0]
    name, version = result["metadata"]["name"], result["metadata"]["resourceVersion"]
    failed = {"metadata": {"resourceVersion": version}, "spec": {"audit": {"exportStatus": "Failed"}}}
    changed = api_server.admin.patch(RESULTS, "conflict", name, failed)
    assert changed["spec"] == result["spec"] | {"audit": {"exportStatus": "Failed"}}
    with pytest.raises(ApiError) as refusal:
        api_server.admin.patch(RESULTS, "conflict", name, failed)
    assert (refusal.value.code, refusal.value.reason) == (409, "Conflict")


def test_a_watch_that_is_cut_goes_on_where_it_was(api_server: ApiServer, results: Callable[[int], Path]) -> None:
    api_server.make_namespace("watched")
    through = api_server.client(api_server.admin.pair, door=True)
    since = through.call("GET", place(RESULTS), limit="1")["metadata"]["resourceVersion"]
    events = through.watch(RESULTS, since)
    made = make_results(api_server, results, 2, "watched")
    seen = [next(events), next(events)]
    assert {event["type"] for event in seen} == {"ADDED"}
    uids = {event["object"]["metadata"]["uid"] for event in seen}
    assert uids == {result["metadata"]["uid"] for result in made}
    api_server.cut()
    assert list(events) == []
    late = probe_result(results(3).read_text().splitlines()[2], "watched")
    late["metadata"]["name"] = "late"
    api_server.admin.create(RESULTS, "watched", late)
    again = through.watch(RESULTS, seen[1]["object"]["metadata"]["resourceVersion"])
    assert next(again)["object"]["metadata"]["name"] == "late"
    again.close()


def test_a_manifest_can_be_tried_without_being_kept(api_server: ApiServer) -> None:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tried"}, "stringData": {"a": "b"}}
    path = place("secrets", SYSTEM, "tried")
    made = api_server.admin.call("PATCH", path, manifest, APPLY, dryRun="All", fieldManager="test")
    assert made["data"] == {"a": "Yg=="}
    assert api_server.admin.request("GET", path)[0] == 404
    wrong = manifest | {"immutable": "perhaps"}
    with pytest.raises(ApiError):
        api_server.admin.call("PATCH", path, wrong, APPLY, dryRun="All", fieldManager="test")


def test_both_can_be_stopped_and_started(own_server: ApiServer, results: Callable[[int], Path], tmp_path: Path) -> None:
    made = make_results(own_server, results, 2, "kept")
    own_server.make_account("anyone")
    config = own_server.kubeconfig(tmp_path / "config", "anyone")
    token = own_server.client(token=config.with_suffix(".token").read_text(), door=True)
    own_server.stop()
    with pytest.raises(OSError):
        own_server.admin.get("namespaces", None, SYSTEM)
    own_server.start()
    assert {each["metadata"]["uid"] for each in own_server.results()} == {each["metadata"]["uid"] for each in made}
    # Known, through the door, and without rights.
    assert token.request("GET", place(RESULTS))[0] == 403
    own_server.stop_etcd()
    with pytest.raises((ApiError, OSError)):
        own_server.admin.call("GET", "/readyz")
    own_server.start_etcd()
    deadline = time.monotonic() + 60
    while own_server.admin.request("GET", "/readyz")[0] != 200:
        assert time.monotonic() < deadline, "the server does not find etcd again"
    assert len(own_server.results("kept")) == 2


def test_what_is_compacted_is_gone(own_server: ApiServer, results: Callable[[int], Path]) -> None:
    made = make_results(own_server, results, 3, "old")
    page = own_server.admin.call("GET", place(RESULTS), limit="1")
    for result in made:
        own_server.admin.patch(RESULTS, "old", result["metadata"]["name"], {"metadata": {"annotations": {"a": "b"}}})
    own_server.compact()
    code, status = own_server.admin.request(
        "GET", place(RESULTS), limit="1", **{"continue": page["metadata"]["continue"]}
    )
    assert (code, status["reason"]) == (410, "Expired")
    # Of a watch the server says so at once, or in its first event.
    try:
        with closing(own_server.admin.watch(RESULTS, made[0]["metadata"]["resourceVersion"])) as events:
            event = next(events)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    except ApiError as refusal:
        assert refusal.code == 410
