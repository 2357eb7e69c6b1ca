"""What an operator delivers by `dead-letters retry` beside a worker: the API server says so, whoever dies meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from exporter import OK, TOKEN, Finished, Workbench, wait_until
from kube_cluster import PROBES, KubeCluster
from receiver import Receiver

pytestmark = pytest.mark.long

COUNT = 30
TARGETS = "export.sidereal.cloud/targets"
# A worker looks every five seconds; the leader looks through the results once for it.
PATIENCE = 180.0


@pytest.fixture
def splunk() -> Iterator[Receiver]:
    """A HEC that refuses what the test says."""
    made = Receiver(TOKEN)
    yield made
    made.die()


class Stage:
    """A cluster of one worker with a HEC of the test's own beside Elasticsearch."""

    def __init__(self, bench: Workbench, directory: Path, splunk: Receiver) -> None:
        directory.mkdir()
        self.bench = bench
        self.server = ApiServer(directory)
        self.cluster = KubeCluster(bench, self.server, workers=1)
        settings = {"batch": {"maxAge": "100ms", "maxRecords": 5}}
        self.cluster.values["export"]["targets"] = [
            bench.splunk(splunk.port, **settings),
            bench.elasticsearch(self.cluster.sandbox.elasticsearch_port, **settings),
        ]

    def close(self) -> None:
        """Ends everything."""
        self.cluster.close()
        self.server.close()

    def letters(self, command: str, *arguments: str) -> Finished:
        """A command about the dead letters of the worker, beside it."""
        return self.bench.run("dead-letters", command, *arguments, "--state", self.cluster.directory / "state" / "w0")

    def retry(self, *arguments: str) -> dict[str, Any]:
        """An operator tries again; what it says."""
        config = self.cluster.directory / "w0.yaml"
        secrets = str(self.bench.secrets)
        finished = self.letters("retry", "--config", str(config), "--secrets", secrets, "--json", *arguments)
        assert finished.code == OK, finished
        return finished.summary

    def results(self) -> dict[str, dict[str, Any]]:
        """Each result by its uid: status and what is marked of its targets."""
        found = {}
        for result in self.server.results(PROBES):
            marks = json.loads(result["metadata"].get("annotations", {}).get(TARGETS, "{}"))
            found[result["metadata"]["uid"]] = {"status": result["spec"]["audit"]["exportStatus"], "marks": marks}
        return found

    def wait(self, uids: set[str], status: str, splunk: str) -> None:
        """Until exactly these say so."""

        def there() -> bool:
            found = {
                uid
                for uid, result in self.results().items()
                if result["status"] == status and result["marks"].get("splunk") == splunk
            }
            return found == uids

        wait_until(
            there,
            lambda: f"{sorted(uids)} are {status}: {self.results()}; {self.cluster.logs('w0')[-3:]}",
            PATIENCE,
        )


def test_what_is_retried_beside_a_worker_becomes_exported(bench: Workbench, tmp_path: Path, splunk: Receiver) -> None:
    """Refused, given up, mended: `Exported`, also if worker and leader are killed right after. Discarded: `Failed`."""
    stage = Stage(bench, tmp_path / "kubernetes", splunk)
    cluster = stage.cluster
    try:
        cluster.create(COUNT)
        made = sorted(stage.results())
        bad = set(made[:3])
        splunk.poison = set(bad)
        cluster.start_all()
        good = set(made) - bad
        stage.wait(bad, "Failed", "dead")
        stage.wait(good, "Exported", "delivered")
        listed = json.loads(stage.letters("list", "--json").stdout)["deadLetters"]
        numbers = {letter["uid"]: str(letter["id"]) for letter in listed}
        assert set(numbers) == bad, listed
        discarded, first, second = sorted(bad)
        gone = stage.letters("discard", numbers[discarded], "--yes", "--note", "a test")
        assert gone.code == OK, gone

        splunk.poison = set()
        assert stage.retry(numbers[first])["delivered"] == 1
        stage.wait(good | {first}, "Exported", "delivered")
        told = cluster.said("w0", "dead letters that were delivered after all are told", letters="1")
        assert len(told) == 1, cluster.logs("w0")

        # The next one nobody hears of before both have died: it lies in the worker's ledger.
        cluster.kill("w0")
        assert stage.retry(numbers[second])["delivered"] == 1
        cluster.kill(cluster.wait_leader())
        cluster.start("w0")
        stage.wait(good | {first, second}, "Exported", "delivered")
        assert stage.results()[discarded] == {
            "status": "Failed",
            "marks": {"splunk": "dead", "elasticsearch": "delivered"},
        }
        # Nothing was sent for that to anybody.
        assert splunk.uids == dict.fromkeys(good | {first, second}, 1), splunk.uids
    finally:
        stage.close()
