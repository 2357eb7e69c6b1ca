"""Elasticsearch and OpenSearch beyond `_bulk`: the index template, credentials in all spellings, names of indices."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import assert_each_once, probe_ids, records
from exporter import BAD_SETUP, OK, PASSWORD, UNDELIVERED, Workbench, wait_until
from peers import Bulk, Exchange, Peer, Stage, honest
from plays import status

Results = Callable[[int], Path]
COUNT = 300
NAME = "sidereal-export-sidereal-proberesults"
FILE = Path(__file__).parents[2] / "deploy" / "siem" / "elasticsearch-index-template.json"
OURS = {"managed_by": "sidereal-export"}


def export(bench: Workbench, results: Results, peer: Peer, *options: str, **settings: object) -> None:
    """One run that delivers everything."""
    config = bench.make_config([bench.elasticsearch(peer.port, **settings)])
    finished = bench.run_export(config, results(COUNT), *options, state=bench.directory / f"state-{peer.exchanges}")
    assert finished.code == OK, finished
    assert PASSWORD not in finished.output


def test_template_comes_before_the_first_record(bench: Workbench, stage: Stage, results: Results) -> None:
    """Installed once, though many requests begin at the same time, and not again by the next process."""
    peer = Peer(stage, store := Bulk())
    export(bench, results, peer, setup=True, batch={"maxRecords": 10})
    assert store.installed == [NAME]
    made = store.templates[NAME]
    assert made["template"] == json.loads(FILE.read_text())["template"]
    assert made["index_patterns"] == ["sidereal-proberesults-*"] and made["_meta"]["managed_by"] == "sidereal-export"
    assert_each_once(probe_ids(results(COUNT)), store.stored, "elasticsearch")
    export(bench, results, peer, setup=True)
    assert store.installed == [NAME]


def test_nothing_is_installed_unasked(bench: Workbench, stage: Stage, results: Results) -> None:
    """Without `setup` the cluster's settings are left alone."""
    peer = Peer(stage, store := Bulk())
    export(bench, results, peer)
    assert not store.installed


def test_opensearch_has_another_word_for_flattened(bench: Workbench, stage: Stage, results: Results) -> None:
    """`flat_object`, which takes none of `flattened`'s parameters."""
    peer = Peer(stage, store := Bulk(version={"distribution": "opensearch", "number": "2.17.0"}))
    export(bench, results, peer, setup=True)
    text = json.dumps(store.templates[NAME])
    assert "flat_object" in text and "flattened" not in text and "depth_limit" not in text


@pytest.mark.parametrize("options", [[], ["--opensearch"]], ids=["elasticsearch", "opensearch"])
def test_look_alikes(bench: Workbench, results: Results, options: list[str]) -> None:
    """OpenSearch's refuses a template with `flattened`, as the real one does."""
    sandbox = bench.sandbox(*options)
    config = bench.make_config([bench.elasticsearch(sandbox.elasticsearch_port, setup=True)])
    assert bench.run_export(config, results(COUNT)).code == OK
    assert_each_once(probe_ids(results(COUNT)), sandbox.stored(), "elasticsearch")


def test_template_of_a_data_stream(bench: Workbench, stage: Stage, results: Results) -> None:
    """It says that the name is a data stream's; documents are created there, whatever their date."""
    peer = Peer(stage, store := Bulk())
    export(bench, results, peer, setup=True, dataStream="logs-sidereal-prod")
    made = store.templates["sidereal-export-logs-sidereal-prod"]
    assert made["data_stream"] == {} and made["index_patterns"] == ["logs-sidereal-prod"]
    assert store.indices == {"logs-sidereal-prod"}


@pytest.mark.parametrize(
    ("there", "is_replaced"),
    [
        ({"version": 0, "_meta": OURS}, True),
        ({"version": 99, "_meta": OURS}, False),
        ({"version": 0, "_meta": {"managed_by": "platform-team"}}, False),
        ({"version": 0}, False),
    ],
    ids=["older", "newer", "somebody else's", "unsigned"],
)
def test_only_an_older_one_of_ours_is_replaced(
    bench: Workbench, stage: Stage, results: Results, there: dict[str, object], is_replaced: bool
) -> None:
    """Never a downgrade, never over what people have made."""
    peer = Peer(stage, store := Bulk(templates={NAME: dict(there)}))
    export(bench, results, peer, setup=True)
    assert (store.installed == [NAME]) is is_replaced
    assert (store.templates[NAME] == there) is not is_replaced


def test_missing_privilege_holds_this_target_only(bench: Workbench, stage: Stage, results: Results) -> None:
    """A configuration failure with the privilege's name; once it is given, the same run goes on."""
    peer = Peer(stage, store := Bulk(may_manage=False))
    config = bench.make_config([bench.elasticsearch(peer.port, setup=True), bench.file()])
    finished = bench.run_export(config, results(COUNT), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    target = finished.targets["elasticsearch"]
    assert (target["delivered"], target["deadLetters"]) == (0, 0) and not store.received
    for words in ("manage_index_templates", "--print-templates", "403"):
        assert words in target["lastFailure"], target
    assert finished.targets["file"]["complete"]
    running = bench.start_export(config, results(COUNT), "--json")
    wait_until(lambda: "manage_index_templates" in running.stderr, "a refusal")
    store.may_manage = True
    assert running.wait().code == OK
    assert_each_once(probe_ids(results(COUNT)), store.stored, "elasticsearch")


def test_cluster_that_is_not_ready(bench: Workbench, stage: Stage, results: Results) -> None:
    """503 and 429 at the setup pass by themselves."""
    peer = Peer(stage, store := Bulk(), [status(503), honest, status(429), honest, honest, status(503)])
    export(bench, results, peer, setup=True)
    assert store.installed == [NAME]
    assert_each_once(probe_ids(results(COUNT)), store.stored, "elasticsearch")


def test_printed_template_is_the_installed_one(bench: Workbench, stage: Stage, results: Results) -> None:
    """For those who install it by hand."""
    peer = Peer(stage, store := Bulk())
    config = bench.make_config([bench.elasticsearch(peer.port, setup=True), bench.file()])
    printed = bench.run(
        "validate", "--config", config, "--secrets", bench.secrets, "--print-templates", "elasticsearch"
    )
    assert printed.code == OK, printed
    line, body = printed.stdout.strip().split("\n")
    assert line == f"PUT /_index_template/{NAME}"
    export(bench, results, peer, setup=True)
    assert json.loads(body) == store.templates[NAME]
    assert not printed.stderr
    without = bench.make_config([bench.file()])
    nothing = bench.run(
        "validate", "--config", without, "--secrets", bench.secrets, "--print-templates", "elasticsearch"
    )
    assert (nothing.code, nothing.stdout) == (BAD_SETUP, ""), nothing
    assert "no target has the backend elasticsearch" in nothing.stderr


@pytest.mark.parametrize("key", ["VuaCfGcBCdbkQm-e5aOx:ui2lp2axTNmsyakw9tvNnw", "encoded"])
def test_api_key_raw_and_encoded(bench: Workbench, stage: Stage, results: Results, key: str) -> None:
    """As Elastic Cloud shows it, both ways."""
    raw = "VuaCfGcBCdbkQm-e5aOx:ui2lp2axTNmsyakw9tvNnw"
    encoded = base64.b64encode(raw.encode()).decode()
    bench.secret("key", "apiKey", encoded if key == "encoded" else key)
    peer = Peer(stage, store := Bulk(credentials={f"ApiKey {encoded}"}))
    export(bench, results, peer, secretRef="key")
    assert_each_once(probe_ids(results(COUNT)), store.stored, "elasticsearch")


def test_index_is_named_after_the_record(bench: Workbench, stage: Stage, results: Results) -> None:
    """So that a record that comes again meets itself, whatever the day."""
    peer = Peer(stage, store := Bulk())
    export(bench, results, peer, index="audit-prod")
    days = {record["spec"]["execution"]["timestamp"][:10].replace("-", ".") for record in records(results(COUNT))}
    assert store.indices == {f"audit-prod-{day}" for day in days}
    assert all(re.fullmatch(r"audit-prod-\d{4}\.\d\d\.\d\d", name) for name in store.indices)


def test_password_is_rotated(bench: Workbench, stage: Stage, results: Results) -> None:
    """Both files change at once; the refused request goes out again, and no failure is counted."""
    peer = Peer(stage, store := Bulk())

    async def rotates(exchange: Exchange) -> None:
        pair = base64.b64encode(b"elastic:another-pass-word").decode()
        store.credentials = {f"Basic {pair}"}
        bench.mounted_secret("es", username="elastic", password="another-pass-word")
        await honest(exchange)

    peer.plays.extend([honest, honest, rotates])
    config = bench.make_config([bench.elasticsearch(peer.port, batch={"maxRecords": 20}, concurrency={"max": 1})])
    finished = bench.run_export(config, results(COUNT))
    assert finished.code == OK, finished
    assert finished.targets["elasticsearch"]["retries"] == 0
    assert store.strangers == 1
    assert_each_once(probe_ids(results(COUNT)), store.stored, "elasticsearch")
