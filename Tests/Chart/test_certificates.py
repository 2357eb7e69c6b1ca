"""Certificates between members, in the four ways that the chart has."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from authority import Authority
from chart import Rendered, render
from exporter import Running, wait_until
from ports import free_port
from value_sets import ARCHIVE, POD_IDENTITY, SIX, SPLUNK, targets

Json = dict[str, Any]

SELF_SIGNED: Json = {"certificates": {"mode": "selfSigned"}}


def unpack(chart: Rendered, role: str, directory: Path) -> Path:
    """The Secret of a role as the kubelet mounts it."""
    directory.mkdir()
    for key, value in chart.one("Secret", f"sidereal-export-{role}-peer")["data"].items():
        (directory / key).write_bytes(base64.b64decode(value))
    return directory


def openssl(*arguments: str | Path) -> str:
    """What openssl says."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def peer_volume(chart: Rendered, kind: str, name: str) -> Json:
    """The volume with a member's certificate."""
    volumes = chart.one(kind, name)["spec"]["template"]["spec"]["volumes"]
    found: Json = next(volume for volume in volumes if volume["name"] == "peer")
    return found


def test_cert_manager_makes_an_authority_and_a_certificate_for_each_role(rendered: Callable[[str], Rendered]) -> None:
    chart = rendered("minimal")
    assert chart.one("Certificate", "sidereal-export-ca")["spec"]["isCA"] is True
    issuer = chart.one("Issuer", "sidereal-export-peer")["spec"]["ca"]["secretName"]
    assert issuer == chart.one("Certificate", "sidereal-export-ca")["spec"]["secretName"]
    for role, kind, usage in (("coordinator", "Deployment", "server auth"), ("worker", "StatefulSet", "client auth")):
        certificate = chart.one("Certificate", f"sidereal-export-{role}-peer")["spec"]
        assert certificate["dnsNames"] == [f"{role}.sidereal-export"]
        assert usage in certificate["usages"] and len(certificate["usages"]) == 2
        assert certificate["issuerRef"]["name"] == "sidereal-export-peer"
        volume = peer_volume(chart, kind, f"sidereal-export-{role}")
        assert volume["secret"]["secretName"] == certificate["secretName"]


def test_the_csi_driver_gives_each_pod_its_own(rendered: Callable[[str], Rendered]) -> None:
    chart = rendered(SIX)
    assert chart.all("Certificate") == [] and chart.all("Issuer") == []
    attributes = peer_volume(chart, "StatefulSet", "sidereal-export-worker")["csi"]["volumeAttributes"]
    assert attributes["csi.cert-manager.io/dns-names"] == "${POD_NAME}.worker.sidereal-export"
    assert attributes["csi.cert-manager.io/issuer-kind"] == "ClusterIssuer"


def test_existing_secrets_are_used(rendered: Callable[[str], Rendered]) -> None:
    chart = rendered(POD_IDENTITY)
    assert chart.all("Secret") == [] and chart.all("Certificate") == []
    assert peer_volume(chart, "Deployment", "sidereal-export-coordinator")["secret"]["secretName"] == "their-c"
    assert peer_volume(chart, "StatefulSet", "sidereal-export-worker")["secret"]["secretName"] == "their-w"


def test_a_given_authority_signs_every_time(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    own = {"caCertificate": authority.text, "caKey": authority.key.read_text()}
    values = targets(SPLUNK) | {"certificates": {"mode": "selfSigned", "selfSigned": own}}
    for turn in ("first", "second"):
        place = unpack(render(values), "worker", tmp_path / turn)
        assert (place / "ca.crt").read_text() == authority.text
        assert "OK" in openssl("verify", "-CAfile", authority.certificate, place / "tls.crt")


def test_an_upgrade_finds_the_authority_again(tmp_path: Path) -> None:
    """Members of before and after meet, which is what a rolling update does."""
    values = targets(SPLUNK) | SELF_SIGNED
    before = render(values)
    kept = before.one("Secret", "sidereal-export-ca")
    after = render(values, objects=[kept])
    assert after.one("Secret", "sidereal-export-ca")["data"] == kept["data"]
    old = {role: unpack(before, role, tmp_path / f"old-{role}") for role in ("coordinator", "worker")}
    new = {role: unpack(after, role, tmp_path / f"new-{role}") for role in ("coordinator", "worker")}
    for one, other in (("coordinator", "worker"), ("worker", "coordinator")):
        assert (old[one] / "tls.crt").read_text() != (new[one] / "tls.crt").read_text(), "signed anew"
        assert "OK" in openssl("verify", "-CAfile", new[other] / "ca.crt", old[one] / "tls.crt")
        assert "OK" in openssl("verify", "-CAfile", old[other] / "ca.crt", new[one] / "tls.crt")
    # Who renders without asking the cluster makes another one, as the notes say.
    assert render(values).one("Secret", "sidereal-export-ca")["data"]["tls.crt"] != kept["data"]["tls.crt"]
    assert "make another authority every time" in after.notes


@pytest.mark.parametrize("given", [False, True])
def test_members_meet_with_what_helm_has_made(program: Path, tmp_path: Path, given: bool) -> None:
    """A coordinator and a worker with the chart's own configuration and certificates."""
    selfsigned: Json = {}
    if given:
        authority = Authority(tmp_path, "own")
        selfsigned = {"caCertificate": authority.text, "caKey": authority.key.read_text()}
    chart = render(
        targets(ARCHIVE | {"endpoint": f"file://{tmp_path}/archive"})
        | {"certificates": {"mode": "selfSigned", "selfSigned": selfsigned}}
        | {"worker": {"files": {"mountPath": str(tmp_path)}}, "fullnameOverride": "sidereal-export"}
    )
    config = tmp_path / "sidereal.yaml"
    config.write_text(yaml.safe_dump(chart.config))
    (tmp_path / "shared" / "results").mkdir(parents=True)
    port, endpoints = free_port(), {role: free_port() for role in ("coordinator", "worker")}
    address = f"127.0.0.1:{port}"
    own: dict[str, list[str | Path]] = {
        "coordinator": ["--standalone", tmp_path / "shared", "--listen", address, "--advertise", address],
        "worker": ["--state", tmp_path / "state", "--coordinator", address],
    }
    running = []
    try:
        for role, options in own.items():
            secret = unpack(chart, role, tmp_path / role)
            arguments: list[str | Path] = [
                "--config",
                config,
                "--identity",
                f"sidereal-export-{role}-0",
                "--peer-certificates",
                secret,
            ]
            arguments += ["--endpoint", f"127.0.0.1:{endpoints[role]}"]
            running.append(Running([program, role, *arguments, *options], tmp_path))

        def meet() -> bool:
            answer = subprocess.run(
                ["curl", "-s", "--noproxy", "*", f"http://127.0.0.1:{endpoints['worker']}/readyz"],
                capture_output=True,
                text=True,
            )
            return '"ok": true' in answer.stdout or '"ok":true' in answer.stdout

        wait_until(meet, lambda: "\n".join(["it is ready:", *(each.stderr[-2000:] for each in running)]), 60)
    finally:
        for each in running:
            each.kill()


def test_an_alert_comes_when_somebody_should_have_renewed() -> None:
    day = 86_400
    for certificates, expected in (
        ({}, 15 * day),
        ({"renewBefore": "1h30m"}, 2_700),
        ({"mode": "certManagerCSI", "duration": "24h", "renewBefore": "8h"}, 4 * 3_600),
        ({"mode": "selfSigned"}, 30 * day),
        ({"mode": "selfSigned", "selfSigned": {"days": 9}}, 3 * day),
        ({"mode": "existing", "existing": {"coordinatorSecret": "c", "workerSecret": "w"}}, 14 * day),
    ):
        values = targets(SPLUNK) | {"certificates": certificates, "monitoring": {"prometheusRule": {"enabled": True}}}
        rule = render(values).one("PrometheusRule", "sidereal-export")
        alerts = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}
        assert int(alerts["SiderealExportCertificateEnds"]["expr"].rpartition("< ")[2]) == expected, certificates


def test_the_authority_s_key_is_mounted_by_nobody() -> None:
    chart = render(targets(SPLUNK) | SELF_SIGNED)
    assert chart.one("Secret", "sidereal-export-ca")["type"] == "kubernetes.io/tls"
    for kind, name in (("Deployment", "sidereal-export-coordinator"), ("StatefulSet", "sidereal-export-worker")):
        for volume in chart.one(kind, name)["spec"]["template"]["spec"]["volumes"]:
            assert volume.get("secret", {}).get("secretName") != "sidereal-export-ca"
