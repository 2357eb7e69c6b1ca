"""The chart's accounts with exactly the chart's rules, on an API server: a rule that is missing fails the test that needs it."""

from __future__ import annotations

from api_server import SYSTEM, ApiServer
from chart import NAMESPACE, render
from value_sets import SPLUNK, targets

COORDINATOR = "sidereal-export-coordinator"
WORKER = "sidereal-export-worker"
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def install_rules(server: ApiServer) -> None:
    """Makes both accounts and what binds them."""
    assert NAMESPACE == SYSTEM
    chart = render(targets(SPLUNK))
    for kind in KINDS:
        manifests = chart.all(kind)
        assert manifests, kind
        for manifest in manifests:
            server.apply(manifest)
