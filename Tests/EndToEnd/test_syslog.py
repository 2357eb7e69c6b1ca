"""Syslog over TLS to a real rsyslogd: what it stores is what `encode` writes, byte for byte."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority, chain
from exporter import BAD_SETUP, OK, RETRY, UNDELIVERED, Target, Workbench, wait_until
from rsyslog import Rsyslog, assert_all_there, assert_same_in_order

Results = Callable[[int], Path]
Start = Callable[..., Rsyslog]

# `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID - `: what stands before a line that is no syslog message itself.
ENVELOPE = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) default sidereal (\S{36}) ([A-Za-z]+) - "
)


@pytest.fixture
def authority(bench: Workbench) -> Authority:
    """The CA that the target's secret trusts."""
    made = Authority(bench.directory, "ours")
    bench.secret("soc", "ca.crt", made.certificate.read_text())
    return made


@pytest.fixture
def start(bench: Workbench, authority: Authority) -> Iterator[Start]:
    """Starts an rsyslogd; all are gone when the test ends."""
    running: list[Rsyslog] = []

    def begin(server: tuple[Path, Path] | None = None, client_name: str | None = None) -> Rsyslog:
        server = server or authority.issue("server", "IP:127.0.0.1")
        rsyslog = Rsyslog(bench.directory / f"rsyslog-{len(running)}", authority.certificate, server, client_name)
        running.append(rsyslog)
        return rsyslog

    yield begin
    for rsyslog in running:
        rsyslog.kill()


def target(port: int, **settings: object) -> Target:
    """A target `syslog` on loopback, over TLS."""
    made: Target = {
        "name": "soc",
        "backend": "syslog",
        "format": "syslog",
        "endpoint": f"tls://127.0.0.1:{port}",
        "secretRef": "soc",
        "retry": RETRY,
    }
    return made | settings


def configure(bench: Workbench, port: int, **settings: object) -> Path:
    """A configuration with that one target."""
    return bench.make_config([target(port, **settings)], tls={"required": True})


def encoded(bench: Workbench, source: Path, form: str, *options: str) -> list[bytes]:
    """What `encode` makes of the results."""
    finished = bench.run("encode", "--format", form, "--cluster-name", "default", "--input", source, *options)
    assert finished.code == OK, finished
    return finished.stdout.encode().split(b"\n")[:-1]


@pytest.mark.parametrize("form", ["syslog", "cef", "leef", "json", "ocsf"])
def test_every_format_arrives_as_encoded(bench: Workbench, start: Start, results: Results, form: str) -> None:
    """Thousands of records, each once, in order, unaltered. One connection: further ones open when batches wait."""
    rsyslog, source = start(), results(5_000)
    finished = bench.run_export(configure(bench, rsyslog.port, format=form, concurrency={"max": 1}), source)
    assert finished.code == OK, finished
    rsyslog.wait_for(5_000)
    expected = encoded(bench, source, form)
    stored = rsyslog.messages
    if form != "syslog":
        headers = [ENVELOPE.match(message) for message in stored]
        assert all(headers), next(message for message, header in zip(stored, headers, strict=True) if not header)
        stored = [message[header.end() :] for message, header in zip(stored, headers, strict=True) if header]
    assert_same_in_order(stored, expected)


def test_message_bound_and_settings(bench: Workbench, start: Start, results: Results) -> None:
    """`maxMessageBytes` cuts as `encode` does; facility, name and number are those of the settings."""
    rsyslog, source = start(), results(1_000)
    settings = {"facility": 10, "appName": "probes", "enterpriseId": 99_999, "maxMessageBytes": 1_250}
    finished = bench.run_export(configure(bench, rsyslog.port, **settings), source)
    assert finished.code == OK, finished
    rsyslog.wait_for(1_000)
    options = ("--facility", "10", "--app-name", "probes", "--enterprise-id", "99999", "--max-message-bytes", "1250")
    expected = encoded(bench, source, "syslog", *options)
    assert any(b' truncated="detail"' in message for message in expected)
    assert_same_in_order(rsyslog.messages, expected)


def test_several_connections(bench: Workbench, start: Start, results: Results) -> None:
    """Small batches over up to eight connections: all there, each once; order holds within a batch only."""
    rsyslog, source = start(), results(5_000)
    settings = {"concurrency": {"max": 8}, "batch": {"maxRecords": 100}}
    finished = bench.run_export(configure(bench, rsyslog.port, **settings), source)
    assert finished.code == OK, finished
    rsyslog.wait_for(5_000)
    assert assert_all_there(rsyslog.messages, encoded(bench, source, "syslog")) == 0


def test_client_certificate(bench: Workbench, authority: Authority, start: Start, results: Results) -> None:
    """Mutual TLS: refused in words without a certificate, and delivered once the secret has one, without a restart."""
    rsyslog, source = start(client_name="exporter.example"), results(1_000)
    config = configure(bench, rsyslog.port)
    tried = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert tried.code == BAD_SETUP, tried
    assert "demands a client certificate; put tls.crt and tls.key" in tried.output
    running = bench.start_export(config, source, "--json")
    wait_until(lambda: "demands a client certificate" in running.stderr, "the refusal in the log")
    certificate, key = authority.issue("client", "DNS:exporter.example", usage="clientAuth")
    bench.secret("soc", "tls.key", key.read_text())
    bench.secret("soc", "tls.crt", certificate.read_text())
    finished = running.wait()
    assert finished.code == OK, finished
    rsyslog.wait_for(1_000)
    assert assert_all_there(rsyslog.messages, encoded(bench, source, "syslog")) == 0


def test_client_certificate_of_a_stranger(bench: Workbench, start: Start, results: Results) -> None:
    """rsyslogd does not know its authority: nothing is called delivered."""
    rsyslog = start(client_name="exporter.example")
    certificate, key = Authority(bench.directory, "strange").issue("client", "DNS:exporter.example", usage="clientAuth")
    bench.secret("soc", "tls.key", key.read_text())
    bench.secret("soc", "tls.crt", certificate.read_text())
    finished = bench.run_export(configure(bench, rsyslog.port), results(200), "--deadline", "2s")
    assert finished.code == UNDELIVERED, finished
    assert finished.targets["soc"]["delivered"] == 0
    assert "rejects the client certificate" in finished.targets["soc"]["lastFailure"]
    assert rsyslog.messages == []


def assert_refused(bench: Workbench, rsyslog: Rsyslog, source: Path, *words: str, **settings: object) -> None:
    """Exit 4 with the reason in words, and `--connect` says the same; nothing was sent."""
    config = configure(bench, rsyslog.port, **settings)
    finished = bench.run_export(config, source, "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert finished.targets["soc"]["delivered"] == 0
    tried = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert tried.code == BAD_SETUP, tried
    for word in words:
        assert word in finished.targets["soc"]["lastFailure"], finished
        assert word in tried.output
    assert rsyslog.messages == []


def test_expired_certificate(bench: Workbench, authority: Authority, start: Start, results: Results) -> None:
    """It was valid once."""
    rsyslog = start(authority.issue("server", "IP:127.0.0.1", days=-1))
    assert_refused(bench, rsyslog, results(200), "expired")


def test_wrong_name(bench: Workbench, authority: Authority, start: Start, results: Results) -> None:
    """A certificate for another host, until `tls.serverName` names it. The subject's common name does not count."""
    rsyslog = start(authority.issue("127.0.0.1", "DNS:soc.example"))
    assert_refused(bench, rsyslog, results(200), "for another name", "tls.serverName")
    config = configure(bench, rsyslog.port, tls={"serverName": "soc.example"})
    finished = bench.run_export(config, results(200))
    assert finished.code == OK, finished


def test_unknown_authority(bench: Workbench, start: Start, results: Results) -> None:
    """A CA in the secret replaces the system's, and vouches for nobody else."""
    stranger = Authority(bench.directory, "strange")
    rsyslog = start(stranger.issue("server", "IP:127.0.0.1"))
    assert_refused(bench, rsyslog, results(200), "unknown authority", "ca.crt")


def test_self_signed(bench: Workbench, start: Start, results: Results) -> None:
    """Refused until that very certificate is in the secret."""
    lone = Authority(bench.directory, "lone", alternative="IP:127.0.0.1")
    rsyslog = start((lone.certificate, lone.key))
    assert_refused(bench, rsyslog, results(200), "self-signed")
    bench.secret("soc", "ca.crt", lone.certificate.read_text())
    finished = bench.run_export(configure(bench, rsyslog.port), results(200))
    assert finished.code == OK, finished


def test_revocation_lists(bench: Workbench, authority: Authority, start: Start, results: Results) -> None:
    """With `crl.pem` a revoked certificate is refused, and so is any while the list is out of date."""
    pair = authority.issue("server", "IP:127.0.0.1")
    rsyslog = start(pair)
    bench.secret("soc", "crl.pem", authority.revocations())
    config = configure(bench, rsyslog.port)
    assert bench.run_export(config, results(200)).code == OK
    rsyslog.wait_for(200)
    bench.secret("soc", "crl.pem", authority.revocations(-0.5))
    again = bench.run_export(config, results(200), "--deadline", "1s", state=bench.directory / "stale")
    assert "revocation lists in crl.pem" in again.targets["soc"]["lastFailure"]
    authority.revoke(pair)
    bench.secret("soc", "crl.pem", authority.revocations())
    again = bench.run_export(config, results(200), "--deadline", "1s", state=bench.directory / "revoked")
    assert again.code == UNDELIVERED
    assert "has been revoked" in again.targets["soc"]["lastFailure"]
    assert len(rsyslog.messages) == 200


def test_revocation_lists_of_a_chain(bench: Workbench, authority: Authority, start: Start, results: Results) -> None:
    """Root and intermediate both in `ca.crt`, a list of each in `crl.pem`: delivered; with a damaged list: refused."""
    middle = Authority(bench.directory, "middle", authority)
    below, key = middle.issue("server", "IP:127.0.0.1")
    rsyslog = start((chain(bench.directory / "whole.pem", below, middle.certificate), key))
    bench.secret("soc", "ca.crt", authority.text + middle.text)
    lists = authority.revocations() + middle.revocations()
    bench.secret("soc", "crl.pem", lists)
    config = configure(bench, rsyslog.port)
    finished = bench.run_export(config, results(200))
    assert finished.code == OK, finished
    for number, rest in enumerate(("AAAA\n-----END X509 CRL-----\n", "!!!!\n-----END X509 CRL-----\n", "")):
        bench.secret("soc", "crl.pem", f"{lists}-----BEGIN X509 CRL-----\n{rest}")
        again = bench.run_export(config, results(200), "--deadline", "1s", state=bench.directory / f"damaged-{number}")
        assert again.code == UNDELIVERED
        failure = again.targets["soc"]["lastFailure"]
        assert "crl.pem holds" in failure and "ca.crt" not in failure


def test_no_tls_at_the_other_end(bench: Workbench, authority: Authority, results: Results) -> None:
    """A receiver that speaks first, and no TLS, is not spoken to in the clear."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []

        def talk() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n" * 20)
                    heard.append(connection.recv(65_536))

        threading.Thread(target=talk, daemon=True).start()
        config = configure(bench, server.getsockname()[1])
        finished = bench.run_export(config, results(200), "--deadline", "1s")
        server.shutdown(socket.SHUT_RDWR)
    assert finished.code == UNDELIVERED, finished
    assert "does not speak TLS" in finished.targets["soc"]["lastFailure"]
    assert all(data.startswith(b"\x16\x03") and b"sidereal" not in data for data in heard)


def test_receiver_killed_and_started_again(bench: Workbench, start: Start, results: Results) -> None:
    """kill -9 of rsyslogd in the middle, three times: nothing is missing, and what came twice is within the windows."""
    rsyslog, source = start(), results(10_000)
    settings = {"batch": {"maxRecords": 200}}
    running = bench.start_export(configure(bench, rsyslog.port, **settings), source, "--json")
    for mark in (1_000, 3_500, 6_000):
        # It is called in this turn only.
        wait_until(lambda: len(rsyslog.messages) >= mark, f"{mark} messages", seconds=60)  # noqa: B023
        rsyslog.kill()
        assert running.is_running
        rsyslog.start()
    finished = running.wait()
    assert finished.code == OK, finished
    expected = encoded(bench, source, "syslog")
    wait_until(lambda: set(rsyslog.messages) >= set(expected), "every message in the file", seconds=10)
    # A message that the kill cut in the middle of the file's line is followed by the next one's line.
    stored = [message for message in rsyslog.messages if message in set(expected)]
    repeated = assert_all_there(stored, expected)
    print(f"{repeated} of {len(expected)} came twice; {finished.targets['soc']['retries']} batches were sent again")
    assert finished.targets["soc"]["retries"] > 0
    assert repeated <= 3 * 4 * 200
