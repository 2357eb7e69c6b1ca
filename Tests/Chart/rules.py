"""The chart's accounts with exactly the chart's rules, on an API server: a rule that is missing fails the test that needs it."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from api_server import PATIENCE, SYSTEM, ApiServer
from chart import NAMESPACE, Rendered, render
from exporter import wait_until
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
    """Makes both accounts and what binds them, and waits until the API server acts by it."""
    chart = _chart()
    for kind in KINDS:
        manifests = chart.all(kind)
        assert manifests, kind
        for manifest in manifests:
            server.apply(manifest)
    _wait_in_force(server, chart_rules())


def chart_rules() -> set[Rule]:
    """What the chart allows its coordinators, one verb at a time. Names of objects are not looked at."""
    return set(_names())


def _names() -> dict[Rule, str]:
    """Each rule of the chart, with the name of an object that it is for; empty if it is for all."""
    return {
        (kind, group, resource, verb): rule.get("resourceNames", [""])[0]
        for kind in ROLES
        for manifest in _chart().all(kind)
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _wait_in_force(server: ApiServer, rules: Collection[Rule]) -> None:
    """Of the chart's rules, coordinators are held to these and no others."""
    for rule, name in _names().items():
        kind, group, resource, verb = rule
        namespace = SYSTEM if kind == "Role" else ""
        asked = partial(server.allows, COORDINATOR, verb, resource, group, name, namespace)
        wanted = rule in rules
        what = f"{verb} {resource} is {'allowed' if wanted else 'refused'}"
        wait_until(lambda asked=asked, wanted=wanted: asked() == wanted, what, PATIENCE)  # type: ignore[misc]


def grant(server: ApiServer, rules: Collection[Rule]) -> None:
    """Gives the chart's roles these rules instead of their own, and waits until the API server acts by them."""
    for kind in ROLES:
        wanted: list[dict[str, Any]] = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            for its, group, resource, verb in sorted(rules)
            if its == kind
        ]
        for manifest in _chart().all(kind):
            server.apply(manifest | {"rules": wanted})
    _wait_in_force(server, rules)
