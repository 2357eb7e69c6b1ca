"""A cluster of real processes whose coordinators keep everything in an API server, as the chart's service account."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from api_server import SYSTEM, ApiServer
from exporter import Workbench, wait_until
from kube_client import ALERTS, place
from rules import COORDINATOR, install_rules
from small_cluster import PATIENCE, SANDBOX_NAMES, Json, SmallCluster

# A time and what it means for probing, with the target, how often, and the last error between them.
OUTAGE = re.compile(
    r"Since (?P<since>[-0-9T:.]+Z): Export to the SIEM does not work: (?P<count>\d+) attempts in a row failed at"
    r" (?P<target>\w+), the last one: (?P<error>.*\b503\b.*)\. Probing (?P<probing>is halted|goes on)"
)
LEADER, GATE = "sidereal-export-leader", "sidereal-export-gate"
PROBES = "probes"


class KubeCluster(SmallCluster):
    """Coordinators and workers as in a directory, but results are objects, and so is everything else."""

    def __init__(self, bench: Workbench, server: ApiServer, **audit: Any) -> None:
        """Prepares all and starts nothing; coordinators may do exactly what the chart's rules allow."""
        super().__init__(bench, **audit)
        self.server = server
        install_rules(server)
        self._made: list[Json] = []

    def home(self, name: str) -> list[str | Path]:
        """A kubeconfig of the coordinators' service account."""
        config = self.server.kubeconfig(self.directory / f"{name}.kubeconfig", COORDINATOR)
        return ["--kubeconfig", config, "--context", "test", "--namespace", SYSTEM]

    # What the API server says

    def lease(self) -> Json:
        """The leader's Lease; empty before there is one."""
        return self.server.lease(LEADER)

    def gate(self) -> Json:
        """`spec` of the gate's Lease."""
        spec: Json = self.server.lease(GATE).get("spec", {})
        return {"holderIdentity": ""} | spec

    def leader(self) -> str | None:
        """Who leads by the Lease; it may be dead by now."""
        holder = str(self.lease().get("spec", {}).get("holderIdentity", ""))
        return holder.rpartition("_")[0] or None

    def term(self) -> int:
        """The term by the Lease."""
        return int(self.lease()["metadata"]["annotations"]["export.sidereal.cloud/term"])

    def alerts(self) -> dict[str, Json]:
        """The alerts by name."""
        return {alert["metadata"]["name"]: alert for alert in self.server.alerts()}

    def acknowledge(self, **spec: Any) -> None:
        """Somebody acknowledges every alert."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        filled = {"acknowledged": True, "acknowledgedBy": "operator@example.gov", "acknowledgedAt": now}
        filled |= {"remediationAction": "the receiver was restarted"} | spec
        for name in self.alerts():
            self.server.admin.patch(ALERTS, SYSTEM, name, {"spec": filled})

    def events(self) -> list[Json]:
        """The events about the gate, in the order of their times."""
        found = self.server.admin.call("GET", place("events", SYSTEM))["items"]
        about = [event for event in found if event["regarding"]["name"] == GATE]
        return sorted(about, key=lambda event: str(event["eventTime"]))

    def event_reasons(self) -> list[str]:
        """Their reasons."""
        return [event["reason"] for event in self.events()]

    # Results

    def create(self, count: int, annotations: Json | None = None) -> None:
        """Somebody creates results, perhaps with annotations of their own."""
        made = self.bench.generate(count, f"made-{len(self._made)}.ndjson", seed=len(self._made) + 1)
        lines = made.read_text().splitlines()
        if annotations:
            records = [json.loads(line) for line in lines]
            for record in records:
                record["metadata"].setdefault("annotations", {}).update(annotations)
            lines = [json.dumps(record) for record in records]
        self._made += self.server.fill(lines, PROBES)

    def statuses(self) -> list[str]:
        """`exportStatus` of every result."""
        return [result["spec"]["audit"]["exportStatus"] for result in self.server.results(PROBES)]

    def wait_exported(self) -> None:
        """Until every result says `Exported`."""
        wait_until(
            lambda: set(self.statuses()) == {"Exported"},
            lambda: f"all is exported; {self.status() | {'history': None}}",
            PATIENCE,
        )

    def assert_every_target_has_all(self) -> None:
        """Each result is at each target, and nothing else is."""
        ids = {
            "splunk": {result["metadata"]["uid"] for result in self._made},
            "elasticsearch": {result["spec"]["probe"]["id"] for result in self._made},
        }
        for target, look_alike in SANDBOX_NAMES.items():
            assert set(self.sandbox.ids(look_alike)) == ids[target], target

    def answer(self, name: str, path: str) -> Json:
        """What a member's endpoint answers as JSON."""
        document: Json = json.loads(self.ask(name, path))
        return document
