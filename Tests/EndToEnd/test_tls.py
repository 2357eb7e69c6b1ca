"""HTTPS against a CA of our own: every certificate that must not be trusted is refused, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from authority import Authority
from evidence import assert_delivered_everywhere
from exporter import OK, UNDELIVERED, Workbench
from sandbox import Sandbox

Results = Callable[[int], Path]


@pytest.fixture
def authority(bench: Workbench) -> Authority:
    """The CA that the secrets trust."""
    made = Authority(bench.directory, "ours")
    for ref in ("hec", "es"):
        bench.secret(ref, "ca.crt", made.certificate.read_text())
    return made


def serve(bench: Workbench, certificate: tuple[Path, Path]) -> Sandbox:
    """The look-alikes behind TLS."""
    return bench.sandbox("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))


def configure(bench: Workbench, sandbox: Sandbox, host: str = "127.0.0.1", **settings: object) -> Path:
    """The three targets over https, as they must be by default."""
    hec = bench.splunk(sandbox.hec_port, **settings) | {"endpoint": f"https://{host}:{sandbox.hec_port}"}
    elasticsearch = bench.elasticsearch(sandbox.elasticsearch_port, **settings)
    elasticsearch["endpoint"] = f"https://{host}:{sandbox.elasticsearch_port}"
    return bench.make_config([hec, elasticsearch, bench.file()], tls={"required": True})


def assert_not_trusted(bench: Workbench, sandbox: Sandbox, config: Path, source: Path, *words: str) -> None:
    """Exit 4 with the reason in words, and not one byte of a record or credential sent."""
    finished = bench.run_export(config, source, "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    for name in ("splunk", "elasticsearch"):
        target = finished.targets[name]
        assert (target["delivered"], target["deadLetters"]) == (0, 0)
        for word in words:
            assert word in target["lastFailure"], target
        assert sandbox.stats("hec" if name == "splunk" else name)["requests"] == 0
    assert finished.targets["file"]["complete"]


def test_certificate_of_a_trusted_authority(bench: Workbench, authority: Authority, results: Results) -> None:
    """With `ca.crt` in the secret: delivered."""
    sandbox = serve(bench, authority.issue("server", "IP:127.0.0.1"))
    finished = bench.run_export(configure(bench, sandbox), results(1_000))
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(1_000), sandbox, bench.archive)


def test_unknown_authority_until_it_is_in_the_secret(bench: Workbench, results: Results) -> None:
    """Refused without `ca.crt`; the next run, with it, delivers."""
    authority = Authority(bench.directory, "private")
    sandbox = serve(bench, authority.issue("server", "IP:127.0.0.1"))
    config = configure(bench, sandbox)
    assert_not_trusted(bench, sandbox, config, results(200), "certificate", "ca.crt")
    for ref in ("hec", "es"):
        bench.secret(ref, "ca.crt", authority.certificate.read_text())
    finished = bench.run_export(config, results(200))
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(200), sandbox, bench.archive)


def test_another_authority(bench: Workbench, authority: Authority, results: Results) -> None:
    """A CA in the secret replaces the system's, and vouches for nobody else."""
    stranger = Authority(bench.directory, "strange")
    sandbox = serve(bench, stranger.issue("server", "IP:127.0.0.1"))
    assert_not_trusted(bench, sandbox, configure(bench, sandbox), results(200), "certificate")


def test_wrong_host_name(bench: Workbench, authority: Authority, results: Results) -> None:
    """A certificate of ours for another host; `tls.serverName` names the host to expect instead."""
    sandbox = serve(bench, authority.issue("server", "DNS:splunk.example.com"))
    assert_not_trusted(bench, sandbox, configure(bench, sandbox), results(200), "name", "127.0.0.1")
    config = configure(bench, sandbox, tls={"serverName": "splunk.example.com"})
    assert bench.run_export(config, results(200)).code == OK
    assert_delivered_everywhere(results(200), sandbox, bench.archive)


def test_expired(bench: Workbench, authority: Authority, results: Results) -> None:
    """It was valid once."""
    sandbox = serve(bench, authority.issue("server", "IP:127.0.0.1", days=-1))
    assert_not_trusted(bench, sandbox, configure(bench, sandbox), results(200), "expired")


def test_plain_http_behind_https(bench: Workbench, results: Results) -> None:
    """A server that speaks no TLS is not spoken to in the clear."""
    sandbox = bench.sandbox()
    finished = bench.run_export(configure(bench, sandbox), results(200), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert finished.targets["splunk"]["lastFailure"]
    assert sandbox.stats("hec")["recordsReceived"] == 0
