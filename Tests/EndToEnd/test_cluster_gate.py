"""The gate of a cluster: halted while a target is down, opened by recovery and a person, unmoved by a broken worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter import Workbench, wait_until
from relay import Relay
from small_cluster import PATIENCE, SANDBOX_NAMES, SmallCluster

THRESHOLD = 5


@pytest.fixture
def clusters() -> Iterator[list[SmallCluster]]:
    """What a test puts there is closed with it."""
    made: list[SmallCluster] = []
    yield made
    for cluster in made:
        cluster.close()


def admits(cluster: SmallCluster) -> bool:
    """Whether a scheduler may start probes, by the directory and by everybody's endpoint, which must agree."""
    answers = {json.loads(cluster.ask(name, "/v1/gate"))["admits"] for name in cluster.coordinators}
    return cluster.gate()["holderIdentity"] != "" and answers == {True}


def refuses(cluster: SmallCluster) -> bool:
    """Whether no scheduler may start a probe."""
    answers = {json.loads(cluster.ask(name, "/v1/gate"))["admits"] for name in cluster.coordinators}
    return cluster.gate()["holderIdentity"] == "" and answers == {False}


def wait_state(cluster: SmallCluster, state: str) -> None:
    """Until the leader says so."""
    wait_until(
        lambda: cluster.gate_state() == state, lambda: f"the gate is {state}: {cluster.status()['gate']}", PATIENCE
    )


def states(cluster: SmallCluster) -> dict[str, str]:
    """What the leader shows of each worker."""
    return {entry["identity"]: entry["state"] for entry in cluster.status()["workers"]}


def test_outage_halts_and_a_person_opens(bench: Workbench, clusters: list[SmallCluster]) -> None:
    """Impact level high: halted at the threshold, one alert, a cause everywhere; open after recovery and a person."""
    cluster = SmallCluster(bench, failureThreshold=THRESHOLD)
    clusters.append(cluster)
    cluster.start_all()
    cluster.issue(300)
    cluster.wait_settled()
    wait_until(lambda: admits(cluster), "probes are admitted", PATIENCE)

    leader = cluster.wait_leader()
    cluster.sandbox.fault("hec", failRate=1)
    cluster.issue(300)
    wait_state(cluster, "halted")
    assert cluster.sandbox.stats("hec")["failuresInjected"] >= THRESHOLD
    wait_until(lambda: refuses(cluster), "no probe is admitted", PATIENCE)

    # The same cause in the log, at the endpoint, in the alert.
    (degraded,) = cluster.said(leader, "gate open -> degraded")
    cause = degraded["cause"]
    assert "attempts in a row failed at splunk, the last one: " in cause and "503" in cause
    assert int(cause.split()[0]) >= THRESHOLD
    (halted,) = cluster.said(leader, "gate degraded -> halted", cause=cause)
    assert degraded["episode"] == halted["episode"] and halted["level"] == "error"
    assert cause in cluster.status()["gate"]["reason"]
    (name,) = cluster.alerts()
    spec = cluster.alerts()[name]["spec"]
    assert cause in spec["message"] and not spec["acknowledged"]
    wait_until(lambda: bool(cluster.said(leader, "alert raised", alert=name, text=cause)), "that is logged", PATIENCE)
    # What is shown may be a quarter of a second old.
    wait_until(lambda: cluster.status()["gate"].get("alert") == name, "the alert is shown", PATIENCE)
    for labels in ('from="open",to="degraded"', 'from="degraded",to="halted"'):
        assert cluster.metric(leader, f"sidereal_cluster_gate_transitions_total{{{labels}}}") == 1
    assert cluster.metric(leader, 'sidereal_cluster_gate_state{state="halted"}') == 1
    assert cluster.metric(leader, "sidereal_cluster_gate_admits") == 0

    # The other target does not wait for this one, and a new leader goes on with the same episode.
    cluster.kill(leader)
    successor = cluster.wait_leader(other_than=leader)
    cluster.start(leader)
    wait_state(cluster, "halted")
    cluster.issue(300)
    wait_until(lambda: len(cluster.sandbox.stored()) == 900, "elasticsearch has everything", PATIENCE)
    more = cluster.sandbox.stats("hec")["failuresInjected"] + 2 * THRESHOLD
    wait_until(lambda: cluster.sandbox.stats("hec")["failuresInjected"] > more, "splunk fails on", PATIENCE)
    assert list(cluster.alerts()) == [name], "one alert for one episode"
    assert refuses(cluster)

    # It works again: everything arrives, and the gate waits for a person.
    cluster.sandbox.fault("hec", failRate=0)
    cluster.wait_settled()
    wait_until(
        lambda: bool(cluster.said(successor, "gate recovering -> awaitingAcknowledgement")), "it works", PATIENCE
    )
    wait_until(lambda: bool(cluster.status()["gate"]["needsAcknowledgement"]), "that is shown", PATIENCE)
    assert refuses(cluster)
    cluster.acknowledge(remediationAction="")
    wait_until(lambda: bool(cluster.said(successor, "remediationAction")), "what is missing", PATIENCE)
    wait_until(lambda: "remediationAction" in cluster.status()["gate"]["reason"], "people are told", PATIENCE)
    cluster.acknowledge(acknowledgedBy="system:serviceaccount:sidereal:exporter")
    wait_until(lambda: bool(cluster.said(successor, "only a person may")), "no person", PATIENCE)
    assert refuses(cluster)
    cluster.acknowledge()
    wait_state(cluster, "open")
    wait_until(lambda: admits(cluster), "probes are admitted again", PATIENCE)
    assert cluster.said(successor, "gate awaitingAcknowledgement -> open", cause="operator@example.gov")
    cluster.issue(300)
    cluster.wait_settled()
    cluster.assert_nothing_lost_or_false()
    assert list(cluster.alerts()) == [name]


def test_low_impact_goes_on_probing_and_recovers_by_itself(bench: Workbench, clusters: list[SmallCluster]) -> None:
    """Degraded is told and admits; no person is needed. With so few shards that is told as well, once."""
    cluster = SmallCluster(bench, coordinators=1, workers=1, settings={"shards": 3}, failureThreshold=THRESHOLD)
    clusters.append(cluster)
    cluster.values["global"]["impactLevel"] = "low"
    cluster.start_all()
    cluster.sandbox.fault("elasticsearch", failRate=1)
    cluster.issue(300)
    wait_state(cluster, "degraded")
    wait_until(lambda: len(cluster.alerts()) == 1, "an alert", PATIENCE)
    assert admits(cluster)
    cluster.sandbox.fault("elasticsearch", failRate=0)
    wait_state(cluster, "open")
    assert not cluster.said("c0", "gate", to="halted") and len(cluster.alerts()) == 1
    few = cluster.said("c0", "few shards for so many workers", workers="1", shards="3")
    assert [line["level"] for line in few] == ["warning"]
    cluster.wait_settled()
    cluster.assert_nothing_lost_or_false()


def test_broken_workers_are_told_from_a_broken_target(bench: Workbench, clusters: list[SmallCluster]) -> None:
    """One cannot reach a target, one cannot read its token: their shards move, and the gate stays open."""
    cluster = SmallCluster(bench, coordinators=1, workers=3, failureThreshold=THRESHOLD)
    clusters.append(cluster)
    relays = [Relay(cluster.sandbox.hec_port), Relay(cluster.sandbox.elasticsearch_port)]
    secrets = Path(shutil.copytree(bench.secrets, bench.directory / "secrets-of-w1"))
    try:
        cluster.start("w0", targets=cluster.targets(relays[0].port, relays[1].port))
        cluster.start("w1", secrets=secrets)
        cluster.start("c0", "w2")
        cluster.wait_ready()
        with cluster.flow():
            wait_until(lambda: relays[1].passages != [], "w0 works", PATIENCE)
            relays[1].cut()
            (secrets / "hec" / "token").rename(secrets / "hec" / "hidden")

            def shunned() -> set[str]:
                return {line["worker"] for line in cluster.said("c0", "worker shunned")}

            wait_until(lambda: shunned() == {"w0", "w1"}, "both are shunned", PATIENCE)
            wait_until(lambda: cluster.shards_of("w2") == 64, "w2 has every shard", PATIENCE)
            (cut_off,) = cluster.said("c0", "worker shunned", worker="w0")
            assert cut_off["target"] == "elasticsearch" and "succeeded" in cut_off["cause"]
            (blind,) = cluster.said("c0", "worker shunned", worker="w1")
            assert blind["target"] == "splunk"
            expected = {"w0": "shunned", "w1": "shunned", "w2": "live"}
            wait_until(lambda: states(cluster) == expected, "that is shown", PATIENCE)

            relays[1].connect()
            (secrets / "hec" / "hidden").rename(secrets / "hec" / "token")
            cluster.wait_ready()
            wait_until(lambda: len(cluster.said("c0", "worker may have shards again")) == 2, "forgiven", PATIENCE)
        cluster.wait_settled()
        cluster.assert_nothing_lost_or_false()
        assert set(SANDBOX_NAMES) == set(cluster.status()["history"]["targets"])
        assert not cluster.said("c0", "gate open -> degraded") and cluster.alerts() == {}
    finally:
        for relay in relays:
            relay.close()
