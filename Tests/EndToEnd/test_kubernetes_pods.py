"""Coordinators as they run in pods: the mounted account with its token that rotates, and rules that are missing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import SYSTEM, ApiServer
from exporter import Running, Workbench, is_root, wait_until
from kube_client import Json
from kube_cluster import KubeCluster
from rules import COORDINATOR, Rule, chart_rules, grant
from small_cluster import PATIENCE

pytestmark = pytest.mark.long

# Needed when somebody else changes a result at the same time.
AFTER_CONFLICT: Rule = ("ClusterRole", "sidereal.cloud", "siderealproberesults", "get")
# A mount namespace of its own, in which the account lies where the kubelet mounts it. Nothing is left behind.
POD = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run
place=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p $place && mount --bind "$1" $place && mount -o remount,bind,ro $place
shift && exec "$@"
"""
# A rule as the log asks for it.
RULE = re.compile(
    r"add to the rules of a (Role|ClusterRole)\b.*"
    r'- \{apiGroups: \["(.*?)"\], resources: \["(.*?)"\], verbs: \["(.*?)"\]\}'
)


class PodCluster(KubeCluster):
    """Each coordinator finds the API server as a pod does."""

    def __init__(self, bench: Workbench, server: ApiServer, **audit: Any) -> None:
        super().__init__(bench, server, **audit)
        assert is_root(), "mounting takes root; run the tests in a container"
        self._bound: dict[str, list[Json]] = {name: [] for name in self.coordinators}
        for name in self.coordinators:
            self.rotate(name)

    def home(self, name: str) -> list[str | Path]:
        """Nothing: a pod is told by its environment."""
        return []

    def launch(self, name: str, command: list[str | Path]) -> Running:
        """Starts it in a pod's surroundings, if it is a coordinator."""
        if name not in self.coordinators:
            return super().launch(name, command)
        pod: list[str | Path] = ["unshare", "-m", "sh", "-euc", POD, "pod", self._account(name), *command]
        port = str(self.server.door.port)
        there = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
        return Running(pod, self.directory / "output", environment=self.bench.environment | there)

    def rotate(self, name: str) -> None:
        """The kubelet puts a new token in place of the old one."""
        bound = self._bound[name]
        secret = {"metadata": {"name": f"pod-{name}-{time.monotonic_ns()}"}}
        bound.append(self.server.admin.create("secrets", SYSTEM, secret) | {"kind": "Secret"})
        self.server.pod_directory(self._account(name), self.server.token(COORDINATOR, bound_to=bound[-1]))

    def token(self, name: str) -> str:
        """The token that lies there now."""
        return (self._account(name) / "token").read_text()

    def revoke(self, name: str) -> None:
        """Every token but the one that lies there, or that one if it is the last, is worth nothing from now on."""
        bound = self._bound[name]
        old = bound.pop(0)
        self.server.admin.delete("secrets", SYSTEM, old["metadata"]["name"])

    def _account(self, name: str) -> Path:
        return self.directory / f"{name}.account"


def is_known(server: ApiServer, token: str) -> bool:
    """Whether the API server takes a token for somebody's. It remembers for ten seconds that it did."""
    return server.client(token=token).request("GET", "/api/v1")[0] != 401


def test_tokens_rotate_while_results_are_exported(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Old tokens are revoked, and nobody notices; a token that was revoked too early stops them until there is another."""
    cluster = PodCluster(bench, server)
    clusters.append(cluster)
    cluster.create(50)
    cluster.start_all()
    cluster.wait_exported()
    old = {name: cluster.token(name) for name in cluster.coordinators}
    for name in cluster.coordinators:
        cluster.rotate(name)
        cluster.revoke(name)
    for token in old.values():
        wait_until(lambda token=token: not is_known(server, token), "the old token is refused", PATIENCE)  # type: ignore[misc]
    cluster.create(50)
    cluster.wait_exported()
    for name in cluster.coordinators:
        assert "401 Unauthorized" not in json.dumps(cluster.logs(name))

    # Revoked, and the kubelet has no other yet.
    term, leader = cluster.term(), cluster.wait_leader()
    for name in cluster.coordinators:
        cluster.revoke(name)
    wait_until(lambda: cluster.status(leader)["coordinator"]["role"] == "standby", "it leads no more", PATIENCE)
    wait_until(lambda: "401" in cluster.ask(leader, "/readyz"), "it says why", PATIENCE)
    cluster.create(50)
    for name in cluster.coordinators:
        cluster.rotate(name)
    cluster.wait_exported()
    assert cluster.term() > term and cluster.process(leader).is_running
    cluster.assert_every_target_has_all()


def test_a_coordinator_without_rules_asks_for_those_of_the_chart(
    bench: Workbench, server: ApiServer, clusters: list[KubeCluster]
) -> None:
    """Whoever adds what the log asks for, rule by rule, ends with a cluster that works and no rule that the chart lacks."""
    cluster = PodCluster(bench, server, failureThreshold=5)
    clusters.append(cluster)
    granted: set[Rule] = set()
    grant(server, granted)

    def asked_for() -> set[Rule]:
        text = "\n".join(
            json.dumps(line, ensure_ascii=False) for name in cluster.coordinators for line in cluster.logs(name)
        )
        return {(m[1], m[2], m[3], m[4]) for m in RULE.finditer(text.replace('\\"', '"'))}

    def add_until(done: Callable[[], bool], what: Callable[[], str]) -> None:
        def step() -> bool:
            missing = asked_for() - granted
            if missing:
                granted.update(missing)
                grant(server, granted)
            return done()

        wait_until(step, what, 2 * PATIENCE, pause=0.1)

    cluster.create(50)
    cluster.start(*cluster.coordinators, *cluster.workers)
    add_until(lambda: set(cluster.statuses()) == {"Exported"}, lambda: f"all is exported: {sorted(granted)}")
    cluster.sandbox.fault("hec", failRate=1)
    cluster.create(50)
    there = chart_rules() - {AFTER_CONFLICT}

    def is_told() -> bool:
        return bool(cluster.alerts()) and "GateHalted" in cluster.event_reasons() and there <= granted

    add_until(is_told, lambda: f"the outage is told of, and each rule is needed: {sorted(there - granted)}")
    assert granted <= there | {AFTER_CONFLICT}, f"the chart lacks {granted - there}"
