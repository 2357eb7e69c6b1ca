"""The chart's accounts with exactly the chart's rules, on an API server: a rule that is missing fails the test that needs it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from api_server import SYSTEM, ApiServer
from chart import NAMESPACE, Rendered, render
from value_sets import SPLUNK, targets

COORDINATOR = "sidereal-export-coordinator"
WORKER = "sidereal-export-worker"
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
ROLES = ("Role", "ClusterRole")

# Kind of the role, API group, resource, verb.
Rule = tuple[str, str, str, str]


def _chart() -> Rendered:
    assert NAMESPACE == SYSTEM
    return render(targets(SPLUNK))


def install_rules(server: ApiServer) -> None:
    """Makes both accounts and what binds them."""
    chart = _chart()
    for kind in KINDS:
        manifests = chart.all(kind)
        assert manifests, kind
        for manifest in manifests:
            server.apply(manifest)


def chart_rules() -> set[Rule]:
    """What the chart allows its coordinators, one verb at a time. Names of objects are not looked at."""
    return {
        (kind, group, resource, verb)
        for kind in ROLES
        for manifest in _chart().all(kind)
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def grant(server: ApiServer, rules: Collection[Rule]) -> None:
    """Gives the chart's roles these rules instead of their own."""
    for kind in ROLES:
        wanted: list[dict[str, Any]] = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            for its, group, resource, verb in sorted(rules)
            if its == kind
        ]
        for manifest in _chart().all(kind):
            server.apply(manifest | {"rules": wanted})
