"""The chart takes what the program takes and refuses what it refuses, and says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chart import CHART, ROOT, Refused, Rendered, defaults, merged, render
from program_check import SECTIONS, mistakes
from value_sets import EVIDENCE, INVALID, SPLUNK, VALID, targets


@pytest.mark.parametrize("name", VALID)
def test_the_program_takes_the_configuration(
    name: str, rendered: Callable[[str], Rendered], program: Path, tmp_path: Path
) -> None:
    config = rendered(name).config
    assert config["export"] == VALID[name]["export"]
    assert mistakes(program, tmp_path, config) == []
    asked = merged(defaults(), VALID[name])
    for section in ("audit", "limits"):
        assert config.get(section, {}) == asked.get(section, {})
    assert config["cluster"].items() >= asked.get("cluster", {}).items()
    assert set(config) <= set(SECTIONS)


@pytest.mark.parametrize("name", INVALID)
def test_the_chart_refuses(name: str) -> None:
    wrong = INVALID[name]
    with pytest.raises(Refused) as refusal:
        render(wrong.values)
    assert wrong.says in str(refusal.value)


@pytest.mark.parametrize("name", [name for name, wrong in INVALID.items() if wrong.by_program])
def test_so_does_the_program(name: str, program: Path, tmp_path: Path) -> None:
    values = merged(defaults(), INVALID[name].values)
    own = {key: value for key, value in values.items() if key in SECTIONS or key in INVALID[name].values}
    if not own["global"].get("clusterName"):
        own["global"].pop("clusterName", None)
    assert mistakes(program, tmp_path, own) != []


def test_every_mistake_is_told_at_once() -> None:
    target = SPLUNK | {"timeout": "2h", "retry": {"initial": "2h"}, "batch": {"maxAge": "2h"}}
    with pytest.raises(Refused) as refusal:
        render(targets(target) | {"audit": {"ageLimit": "1s"}})
    for part in ("timeout is 2h", "retry.initial is 2h", "batch.maxAge is 2h", "audit.ageLimit is 1s"):
        assert part in str(refusal.value)


def test_texts_as_long_as_they_may_be_are_taken(program: Path, tmp_path: Path) -> None:
    words = {key: "ü" * 127 + "a" for key in ("index", "source", "sourcetype", "host")}
    context = {f"{index}": "a" * 255 for index in range(8)}
    entries = (
        SPLUNK | words | {"format": "cef", "vendor": "ü" * 31 + "a", "product": "ü" * 31 + "a"},
        # A slash at the end is not of the key.
        EVIDENCE | {"prefix": "a" * 105 + "/", "kmsContext": context, "kmsKeyId": "a" * 2048},
    )
    for cluster in ("a" * 253, "ü" * 126 + "a"):
        chart = render(targets(*entries) | {"global": {"clusterName": cluster}})
        assert mistakes(program, tmp_path, chart.config) == []


def test_budgets_that_let_one_go_are_taken() -> None:
    for role, settings in (
        ("coordinator", {"minAvailable": 2}),
        ("worker", {"minAvailable": "50%"}),
        ("worker", {"replicas": 1, "minAvailable": 0}),
        ("worker", {"replicas": 100, "minAvailable": "99%"}),
    ):
        chart = render(VALID["minimal"] | {role: settings})
        budget = chart.one("PodDisruptionBudget", f"sidereal-export-{role}")["spec"]
        assert budget["minAvailable"] == settings["minAvailable"] and "maxUnavailable" not in budget


def test_an_old_cluster_is_told_that_it_cannot_enforce_the_gate() -> None:
    with pytest.raises(Refused, match=r"Kubernetes 1\.30, and this is v1\.29\.4"):
        render(targets(SPLUNK), kubernetes="v1.29.4")
    off = {"admission": {"gate": {"enabled": False}, "results": {"enabled": False}}}
    without = render(targets(SPLUNK) | off, kubernetes="v1.29.4")
    assert without.all("ValidatingAdmissionPolicy") == []
    assert "the scheduler has to ask http://sidereal-export.sidereal-system.svc:8080/v1/gate" in without.notes


def test_the_schema_has_the_sections_that_editors_know() -> None:
    """deploy/values.schema.json is held against the program by its own tests."""
    known = json.loads((ROOT / "deploy" / "values.schema.json").read_text())["$defs"]
    chart = json.loads((CHART / "values.schema.json").read_text())
    # The chart says where members are.
    own = {"coordinators", "listen", "advertise", "endpoint", "peerCertificates"}
    for section in ("audit", "cluster"):
        expected, found = known[section]["properties"], chart["properties"][section]["properties"]
        assert set(found) == set(expected) - own
        for key, value in found.items():
            for word in ("minimum", "maximum", "enum", "x-from", "x-to", "default"):
                assert value.get(word) == expected[key].get(word) or word not in expected[key], (section, key, word)
    for key, value in known["target"]["properties"].items():
        assert key in chart["definitions"]["target"]["properties"]
        for word in ("minimum", "maximum", "enum", "maxLength"):
            found_word = chart["definitions"]["target"]["properties"][key].get(word)
            assert found_word == value.get(word) or word not in value, (key, word)
