"""TLS with certificates of every kind: good ones are trusted, all others are refused with the reason in words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, Pair, chain
from evidence import assert_delivered_everywhere, assert_each_once, probe_ids, uids
from exporter import OK, PASSWORD, TOKEN, UNDELIVERED, USERNAME, Target, Workbench, wait_until
from peers import HEC, Bulk, Exchange, Peer, Stage, Store, honest
from sandbox import Sandbox

Results = Callable[[int], Path]
COUNT = 200
BACKENDS: dict[str, Callable[[], Store]] = {"splunk": HEC, "elasticsearch": Bulk}


@pytest.fixture
def authority(bench: Workbench) -> Authority:
    """The CA that the secrets trust."""
    made = Authority(bench.directory, "ours")
    for ref in ("hec", "es"):
        bench.secret(ref, "ca.crt", made.text)
    return made


def context(pair: Pair, **settings: Any) -> ssl.SSLContext:
    """A server that shows this certificate, and takes what no server should any more."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.load_cert_chain(*pair)
    with warnings.catch_warnings():
        # That TLS 1.1 should not be used is what the test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, value in settings.items():
            setattr(made, name, value)
    return made


def demanding(pair: Pair, clients: Authority, **settings: Any) -> ssl.SSLContext:
    """A server that wants to see a certificate of `clients`."""
    made = context(pair, verify_mode=ssl.CERT_REQUIRED, **settings)
    made.load_verify_locations(clients.certificate)
    return made


class Doorkeeper:
    """Shakes hands, tells the client properly why not, and counts the bytes that came through all the same."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.taken = 0
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            connection.settimeout(5)
            with connection, contextlib.suppress(OSError):
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        if self._tls is None:
            connection.recv(5)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return self._linger(connection)
        with self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
            try:
                tls.do_handshake()
                self.taken += len(tls.recv(1 << 16))
            except ssl.SSLError:
                with socket.socket(fileno=tls.detach()) as plain:
                    self._linger(plain)

    @staticmethod
    def _linger(connection: socket.socket) -> None:
        """Closing with bytes unread would be an RST, which would overtake the alert."""
        connection.settimeout(5)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


@dataclass
class Case:
    """A server, what the secret holds for it, and how it is refused: code and words. Without words it is trusted."""

    tls: ssl.SSLContext | None
    code: str = ""
    words: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def refused(bench: Workbench, ours: Authority) -> dict[str, Case]:
    """Servers that nobody should send audit records to."""
    good, stranger = ours.issue("good", "IP:127.0.0.1"), Authority(bench.directory, "strange")
    middle = Authority(bench.directory, "middle", ours)
    below = middle.issue("below", "IP:127.0.0.1")
    whole = chain(bench.directory / "whole.pem", below[0], middle.certificate), below[1]
    revoked = ours.issue("revoked", "IP:127.0.0.1")
    ours.revoke(revoked)
    itself = stranger.certificate, stranger.key
    client = ours.issue("client", "", usage="clientAuth")
    foreign = stranger.issue("foreign", "", usage="clientAuth")
    wanting = ("demands a client certificate", "tls.crt and tls.key")
    tls12 = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    return {
        "expired": Case(context(ours.issue("old", "IP:127.0.0.1", days=-1)), "expired", ("has expired; renew it",)),
        "future": Case(context(ours.issue("new", "IP:127.0.0.1", starts=2)), "notYetValid", ("machine's clock",)),
        "name": Case(
            context(ours.issue("name", "DNS:siem.example.com")), "wrongName", ("for another name", "tls.serverName")
        ),
        "self-signed": Case(context(itself), "selfSigned", ("is self-signed; put that certificate into ca.crt",)),
        "unknown": Case(context(stranger.issue("theirs", "IP:127.0.0.1")), "unknownAuthority", ("ca.crt",)),
        "no-middle": Case(context(below), "unknownAuthority", ("have the server send its intermediate certificates",)),
        "old-middle": Case(
            context(_below(bench, Authority(bench.directory, "lapsed", ours, days=-1))), "expired", ("has expired",)
        ),
        "revoked": Case(
            context(revoked), "revoked", ("has been revoked; replace it",), {"crl.pem": ours.revocations()}
        ),
        "stale-list": Case(
            context(good), "revocationList", ("crl.pem", "current one"), {"crl.pem": ours.revocations(-0.5)}
        ),
        "damaged-list": Case(
            context(good), "localFile", ("crl.pem holds", "damaged"), {"crl.pem": damaged(ours.revocations())}
        ),
        "half-a-list": Case(context(whole), "revocationList", ("every", "crl.pem"), {"crl.pem": ours.revocations()}),
        "purpose": Case(
            context(ours.issue("purpose", "IP:127.0.0.1", usage="clientAuth")), "badCertificate", ("purpose",)
        ),
        "weak-key": Case(
            context(ours.issue("weak", "IP:127.0.0.1", key="RSA-1024")), "weak", ("at least 2048 bits or P-256",)
        ),
        "sha1": Case(
            context(_below(bench, Authority(bench.directory, "sha1", ours, digest="sha1"))),
            "weak",
            ("SHA-256 or better",),
        ),
        "tls-1.1": Case(
            context(good, minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1),
            "version",
            ("this side speaks 1.2 and 1.3",),
        ),
        "no-client": Case(demanding(good, ours), "clientCertificateRequired", wanting),
        "no-client-1.2": Case(demanding(good, ours, **tls12), "handshake", ("demands a client certificate",)),
        "bad-client": Case(
            demanding(good, ours, **tls12),
            "clientCertificateRejected",
            ("rejects the client certificate",),
            {"tls.crt": foreign[0].read_text(), "tls.key": foreign[1].read_text()},
        ),
        "mixed-client": Case(
            demanding(good, ours),
            "localFile",
            ("tls.key its key",),
            {"tls.crt": client[0].read_text(), "tls.key": foreign[1].read_text()},
        ),
        "plain": Case(None, "notTLS", ("does not speak TLS on this port",)),
    }


def damaged(text: str) -> str:
    """With what is no base64 in its middle."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: len(lines) // 2], "!!!!\n", *lines[len(lines) // 2 :]])


def _below(bench: Workbench, middle: Authority) -> Pair:
    certificate, key = middle.issue("server", "IP:127.0.0.1")
    return chain(bench.directory / f"{middle.name}.pem", certificate, middle.certificate), key


def trusted(bench: Workbench, ours: Authority) -> dict[str, Case]:
    """Servers that look odd and are good."""
    good, middle = ours.issue("fine", "IP:127.0.0.1"), Authority(bench.directory, "between", ours)
    below = middle.issue("fine", "IP:127.0.0.1")
    client = ours.issue("customer", "", usage="clientAuth")
    jumbled = chain(bench.directory / "jumbled.pem", below[0], ours.certificate, middle.certificate), below[1]
    return {
        "good": Case(context(good)),
        "jumbled": Case(context(jumbled)),
        "listed": Case(context(jumbled), files={"crl.pem": ours.revocations() + middle.revocations()}),
        "named": Case(
            context(ours.issue("named", "DNS:siem.example.com")), settings={"tls": {"serverName": "siem.example.com"}}
        ),
        "tls-1.2": Case(context(good, maximum_version=ssl.TLSVersion.TLSv1_2)),
        "client": Case(
            demanding(good, ours), files={"tls.crt": client[0].read_text(), "tls.key": client[1].read_text()}
        ),
        "rsa": Case(context(ours.issue("rsa", "IP:127.0.0.1", key="RSA-2048"))),
    }


def make_targets(bench: Workbench, ours: Authority, cases: dict[str, Case], ports: dict[str, int]) -> list[Target]:
    """A target of both HTTP backends for each case, at `<backend>-<case>`'s port, and a file target."""
    targets: list[Target] = [bench.file()]
    values = {"token": TOKEN, "username": USERNAME, "password": PASSWORD, "ca.crt": ours.text}
    for name, case in cases.items():
        for make in (bench.splunk, bench.elasticsearch):
            full = f"{make.__name__}-{name}"
            bench.mounted_secret(full, **values, **case.files)
            endpoint = {"endpoint": f"https://127.0.0.1:{ports[full]}"}
            targets.append(make(ports[full], name=full, secretRef=full, **case.settings) | endpoint)
    return targets


def test_refusals_say_why(bench: Workbench, authority: Authority, results: Results) -> None:
    """Each is a configuration failure with its reason in words; no record passes; others go on."""
    cases = refused(bench, authority)
    doors = {f"{backend}-{name}": Doorkeeper(case.tls) for name, case in cases.items() for backend in BACKENDS}
    try:
        targets = make_targets(bench, authority, cases, {name: door.port for name, door in doors.items()})
        config = bench.make_config(targets, tls={"required": True})
        finished = bench.run_export(config, results(COUNT), "--deadline", "2s")
    finally:
        for door in doors.values():
            door.close()
    assert finished.code == UNDELIVERED, finished
    for full, door in doors.items():
        case, target = cases[full.split("-", 1)[1]], finished.targets[full]
        assert (target["delivered"], target["deadLetters"]) == (0, 0), target
        assert door.taken == 0, full
        for words in case.words:
            assert words in target["lastFailure"], (full, target["lastFailure"])
        lines = [line for line in finished.logs if line.get("target") == full and "class" in line]
        assert {(line["class"], line["code"]) for line in lines} == {("configuration", f"tls-{case.code}")}, lines
    assert finished.targets["file"]["complete"]


def test_odd_but_good(bench: Workbench, stage: Stage, authority: Authority, results: Results) -> None:
    """Intermediates out of order, another name, TLS 1.2, a client certificate, revocation lists: delivered."""
    cases = trusted(bench, authority)
    peers = {
        f"{backend}-{name}": Peer(stage, store(), tls=case.tls)
        for name, case in cases.items()
        for backend, store in BACKENDS.items()
    }
    targets = make_targets(bench, authority, cases, {name: peer.port for name, peer in peers.items()})
    finished = bench.run_export(bench.make_config(targets, tls={"required": True}), results(COUNT))
    assert finished.code == OK, finished
    for name, peer in peers.items():
        expected = uids if name.startswith("splunk") else probe_ids
        assert_each_once(expected(results(COUNT)), peer.store.received, name)


def test_authority_is_replaced_while_running(
    bench: Workbench, stage: Stage, authority: Authority, results: Results
) -> None:
    """The server's new certificate is refused until its authority is in the secret: then the same run delivers."""
    stranger = Authority(bench.directory, "next")
    peer = Peer(stage, HEC(), tls=context(stranger.issue("server", "IP:127.0.0.1")))
    target = bench.splunk(peer.port) | {"endpoint": f"https://127.0.0.1:{peer.port}"}
    running = bench.start_export(bench.make_config([target], tls={"required": True}), results(COUNT), "--json")
    wait_until(lambda: "unknown authority" in running.stderr, "a refusal")
    bench.secret("hec", "ca.crt", authority.text + stranger.text)
    finished = running.wait()
    assert finished.code == OK, finished
    assert_each_once(uids(results(COUNT)), peer.store.received, "splunk")


def test_a_revocation_ends_open_connections(
    bench: Workbench, stage: Stage, authority: Authority, results: Results
) -> None:
    """The connection was made before the list named its certificate: it carries nothing more."""
    pair = authority.issue("server", "IP:127.0.0.1")
    bench.secret("hec", "crl.pem", authority.revocations())
    peer = Peer(stage, HEC(), tls=context(pair))

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await honest(exchange)

    peer.habit = slow
    target = bench.splunk(peer.port, batch={"maxRecords": 1}) | {"endpoint": f"https://127.0.0.1:{peer.port}"}
    config = bench.make_config([target], tls={"required": True})
    running = bench.start_export(config, results(COUNT), "--json", "--deadline", "1s")
    wait_until(lambda: peer.exchanges > 5, "it delivers")
    assert peer.connections == 1
    authority.revoke(pair)
    bench.secret("hec", "crl.pem", authority.revocations())
    finished = running.wait()
    assert finished.code == UNDELIVERED, finished
    assert "has been revoked" in finished.targets["splunk"]["lastFailure"]
    assert peer.store.received.total() < COUNT


def test_plain_http_behind_https(bench: Workbench, results: Results) -> None:
    """A server that speaks no TLS is not spoken to in the clear."""
    sandbox = bench.sandbox()
    finished = bench.run_export(configure(bench, sandbox), results(200), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert finished.targets["splunk"]["lastFailure"]
    assert sandbox.stats("hec")["recordsReceived"] == 0


def test_certificate_of_a_trusted_authority(bench: Workbench, authority: Authority, results: Results) -> None:
    """The look-alikes behind our own TLS: delivered to all three."""
    certificate, key = authority.issue("server", "IP:127.0.0.1")
    sandbox = bench.sandbox("--tls-cert", str(certificate), "--tls-key", str(key))
    finished = bench.run_export(configure(bench, sandbox), results(1_000))
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(1_000), sandbox, bench.archive)


def configure(bench: Workbench, sandbox: Sandbox) -> Path:
    """The three targets over https, as they must be by default."""
    hec = bench.splunk(sandbox.hec_port) | {"endpoint": f"https://127.0.0.1:{sandbox.hec_port}"}
    elasticsearch = bench.elasticsearch(sandbox.elasticsearch_port)
    elasticsearch["endpoint"] = f"https://127.0.0.1:{sandbox.elasticsearch_port}"
    return bench.make_config([hec, elasticsearch, bench.file()], tls={"required": True})
