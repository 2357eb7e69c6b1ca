"""Whom coordinators and workers may connect to, and what is said where that is more than it has to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
from chart import Rendered, merged, pods, render
from value_sets import ALL, POD_IDENTITY, SEARCH, SIX, SPLUNK, VALID, VERSIONS, targets

Json = dict[str, Any]

CILIUM = "cilium.io/v2/CiliumNetworkPolicy"


def api_server(*addresses: str, port: int = 6443, service: str = "10.96.0.1") -> list[Json]:
    """What a cluster says of where its API server is."""
    head: Json = {"metadata": {"name": "kubernetes", "namespace": "default"}}
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    found: Json = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "endpoints": endpoints, "ports": ports}
    spec = {"clusterIP": service, "clusterIPs": [service]}
    return [head | found, head | {"apiVersion": "v1", "kind": "Service", "spec": spec}]


def egress(chart: Rendered, role: str) -> list[Json]:
    """The rules of a role for what goes out, but for DNS and peers."""
    rules: list[Json] = chart.one("NetworkPolicy", f"sidereal-export-{role}")["spec"]["egress"]
    return [rule for rule in rules if not ports(rule) & {53, "peers"}]


def blocks(rule: Json) -> list[str]:
    """The addresses of a rule; none means any."""
    return [each["ipBlock"]["cidr"] for each in rule.get("to", [])]


def ports(rule: Json) -> set[int | str]:
    """The ports of a rule."""
    return {port["port"] for port in rule["ports"]}


def test_coordinators_reach_the_api_server_and_names_and_nothing_else(rendered: Callable[[str], Rendered]) -> None:
    for name, expected in (("minimal", {443, 6443}), (POD_IDENTITY, {6443})):
        policy = rendered(name).one("NetworkPolicy", "sidereal-export-coordinator")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert [ports(rule) for rule in policy["egress"]] == [expected, {53}]
        assert policy["egress"][0].get("to", []) == (
            [{"ipBlock": {"cidr": "10.0.0.1/32"}}] if name == POD_IDENTITY else []
        )
        peers, endpoint = policy["ingress"]
        labels = dict(pods(rendered(name)))["worker"]["metadata"]["labels"]
        assert ports(peers) == {"peers"} and len(peers["from"]) == 1
        assert peers["from"][0]["podSelector"]["matchLabels"].items() <= labels.items()
        assert ports(endpoint) == {"http"}


def test_workers_reach_coordinators_names_and_targets(rendered: Callable[[str], Rendered]) -> None:
    def reached(name: str) -> list[set[int | str]]:
        policy = rendered(name).one("NetworkPolicy", "sidereal-export-worker")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert all(ports(rule) == {"http"} for rule in policy["ingress"])
        return [ports(rule) for rule in policy["egress"]]

    assert reached("minimal") == [{"peers"}, {53}]
    assert reached("the seed's") == [{"peers"}, {53}, {8088, 9200, 443}]
    # splunk through a proxy, and port 6514 of syslog, which nobody has to write.
    assert reached(ALL) == [{"peers"}, {53}, {3128, 9200, 443, 6514}]
    assert reached("irsa") == [{"peers"}, {53}, {443}]
    assert reached(POD_IDENTITY) == [{"peers"}, {53}, {443}, {80}]
    policy = rendered(POD_IDENTITY).one("NetworkPolicy", "sidereal-export-worker")["spec"]
    assert policy["egress"][2]["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert policy["egress"][3]["to"][0] == {"ipBlock": {"cidr": "169.254.170.23/32"}}


def test_both_roles_ask_those_for_names_who_answer(rendered: Callable[[str], Rendered]) -> None:
    own = ("kube-system", {"k8s-app": "kube-dns"}, 53)
    for name, (namespace, labels, port), addresses in (
        ("minimal", own, []),
        (POD_IDENTITY, own, ["169.254.20.10/32", "10.96.0.10/32"]),
        (SIX, ("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}, 5353), []),
    ):
        for role in ("coordinator", "worker"):
            policy = rendered(name).one("NetworkPolicy", f"sidereal-export-{role}")["spec"]
            (rule,) = [rule for rule in policy["egress"] if {"protocol": "UDP", "port": port} in rule["ports"]]
            assert rule["ports"] == [{"protocol": protocol, "port": port} for protocol in ("UDP", "TCP")]
            selector, *blocks = rule["to"]
            assert selector == {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "podSelector": {"matchLabels": labels},
            }
            assert blocks == [{"ipBlock": {"cidr": address}} for address in addresses]


def test_coordinators_reach_the_api_server_where_the_cluster_says_it_is() -> None:
    for objects, addresses, reached in (
        (api_server("10.1.0.4", "10.1.0.5"), ["10.1.0.4/32", "10.1.0.5/32", "10.96.0.1/32"], {443, 6443}),
        (api_server("fd00::4", port=8443, service="fd00:1::1"), ["fd00:1::1/128", "fd00::4/128"], {443, 6443, 8443}),
    ):
        chart = render(VALID["minimal"], objects=objects)
        (rule,) = egress(chart, "coordinator")
        assert blocks(rule) == addresses and ports(rule) == reached
        assert "OPEN" not in chart.notes and all(address in chart.notes for address in addresses)
        assert "`helm upgrade` again" in chart.notes
        for version in VERSIONS:
            kubernetes_validate.validate(
                chart.one("NetworkPolicy", "sidereal-export-coordinator"), version, strict=True
            )
    # Who gives addresses means those.
    given = render(VALID[POD_IDENTITY], objects=api_server("10.1.0.4"))
    assert [blocks(rule) for rule in egress(given, "coordinator")] == [["10.0.0.1/32"]]
    # The Service's address alone is not where it is.
    (rule,) = egress(render(VALID["minimal"], objects=api_server()), "coordinator")
    assert blocks(rule) == []


def test_with_cilium_its_own_policy_lets_coordinators_to_the_api_server() -> None:
    """In its policies no block of addresses holds a node, and the API server may be on one."""
    chart = render(VALID["minimal"], objects=api_server("10.1.0.4"), api_versions=[CILIUM])
    assert egress(chart, "coordinator") == [] and "by Cilium's policy" in chart.notes
    policy = chart.one("CiliumNetworkPolicy", "sidereal-export-coordinator")["spec"]
    assert policy["egress"] == [{"toEntities": ["kube-apiserver"]}]
    labels = dict(pods(chart))["coordinator"]["metadata"]["labels"]
    assert policy["endpointSelector"]["matchLabels"].items() <= labels.items()
    assert render(VALID["minimal"]).all("CiliumNetworkPolicy") == []
    given = render(VALID[POD_IDENTITY], api_versions=[CILIUM])
    assert given.all("CiliumNetworkPolicy") == [] and len(egress(given, "coordinator")) == 1


@pytest.mark.parametrize(
    ("endpoint", "proxy", "cidr", "port"),
    [
        ("https://192.0.2.7:8088", None, "192.0.2.7/32", 8088),
        ("https://192.0.2.7", None, "192.0.2.7/32", 443),
        ("https://[2001:DB8::7]:8088", None, "2001:db8::7/128", 8088),
        ("https://[2001:db8::7]/", None, "2001:db8::7/128", 443),
        ("https://splunk.example.com", "http://198.51.100.1:3128", "198.51.100.1/32", 3128),
        ("https://192.0.2.7:8088", "none", "192.0.2.7/32", 8088),
    ],
)
def test_targets_with_addresses_are_reached_there_alone(endpoint: str, proxy: str | None, cidr: str, port: int) -> None:
    target = SPLUNK | {"endpoint": endpoint} | ({"proxy": proxy} if proxy else {})
    chart = render(targets(target))
    (rule,) = egress(chart, "worker")
    assert (blocks(rule), ports(rule)) == ([cidr], {port})
    assert f"{cidr} port {port}, nothing else." in chart.notes
    # Beside one with a name: each has its own.
    both = render(targets(target, SEARCH) | {"networkPolicy": {"targetCIDRs": ["203.0.113.0/24"]}})
    first, second = egress(both, "worker")
    assert (first, blocks(second), ports(second)) == (rule, ["203.0.113.0/24"], {9200})


def test_what_is_open_is_said_with_how_to_close_it(rendered: Callable[[str], Rendered]) -> None:
    notes = rendered("the seed's").notes
    assert "Coordinators: OPEN: any address, on ports 443, 6443" in notes
    assert "get endpointslice kubernetes" in notes and "networkPolicy.apiServerCIDRs" in notes
    assert "Workers: OPEN: any address, on ports 8088, 9200, 443, for splunk.example.com, es.example.com" in notes
    assert "give networkPolicy.targetCIDRs" in notes
    closed = rendered(POD_IDENTITY).notes
    assert "OPEN" not in closed and "Workers: networkPolicy.targetCIDRs on ports 443." in closed
    off = render(merged(VALID["minimal"], {"networkPolicy": {"enabled": False}}))
    assert off.all("NetworkPolicy") == [] and "Nothing keeps coordinators and workers" in off.notes
    more = {"networkPolicy": {"workerEgress": [{"ports": [{"port": 1}]}]}}
    assert "And what networkPolicy.workerEgress says." in render(merged(VALID["minimal"], more)).notes
