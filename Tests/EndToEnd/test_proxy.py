"""Delivery through a real CONNECT proxy: TLS goes through it untouched, and its refusals are told clearly."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from authority import Authority
from evidence import assert_delivered_everywhere
from exporter import OK, PASSWORD, TOKEN, UNDELIVERED, Finished, Workbench, wait_until
from peers import Stage
from proxy import Proxy
from sandbox import Sandbox

Results = Callable[[int], Path]
COUNT = 500
HOSTS = {"splunk": "splunk.example.com:8088", "elasticsearch": "es.example.com:9200"}
PROXY_PASSWORD = "proxy-pass-word-of-the-tests"


class Setup:
    """Two receivers whose names only the proxy knows."""

    def __init__(self, bench: Workbench, stage: Stage) -> None:
        self.bench = bench
        self.stage = stage
        self.authority = Authority(bench.directory, "ours")
        for ref in ("hec", "es"):
            bench.secret(ref, "ca.crt", self.authority.text)
        names = ",".join(f"DNS:{host.split(':')[0]}" for host in HOSTS.values())
        self.certificate = self.authority.issue("server", names)
        self.sandbox = self.start_sandbox(self.certificate)
        self.proxy = Proxy(stage, self.places(self.sandbox))

    def start_sandbox(self, certificate: tuple[Path, Path]) -> Sandbox:
        """The look-alikes behind TLS."""
        return self.bench.sandbox("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))

    @staticmethod
    def places(sandbox: Sandbox) -> dict[str, int]:
        """Where the names lead to."""
        return {HOSTS["splunk"]: sandbox.hec_port, HOSTS["elasticsearch"]: sandbox.elasticsearch_port}

    def config(self, **settings: object) -> Path:
        """All three targets, two of them by their names."""
        hec = self.bench.splunk(0, **settings) | {"endpoint": f"https://{HOSTS['splunk']}"}
        elasticsearch = self.bench.elasticsearch(0, **settings) | {"endpoint": f"https://{HOSTS['elasticsearch']}"}
        return self.bench.make_config([hec, elasticsearch, self.bench.file()], tls={"required": True})

    def name_proxy(self, credentials: str = "") -> None:
        """As administrators do, for everything on a machine."""
        self.bench.environment["HTTPS_PROXY"] = f"http://{credentials}127.0.0.1:{self.proxy.port}"

    def assert_refused(self, finished: Finished, kind: str, code: str, *words: str) -> None:
        """Nothing delivered, nothing buried, class and words; the file goes on."""
        assert finished.code == UNDELIVERED, finished
        assert finished.targets["file"]["complete"]
        for name in HOSTS:
            target = finished.targets[name]
            assert (target["delivered"], target["deadLetters"]) == (0, 0), target
            for word in words:
                assert word in target["lastFailure"], target
            lines = [line for line in finished.logs if line.get("target") == name and "class" in line]
            assert {(line["class"], line["code"]) for line in lines} == {(kind, code)}, lines


@pytest.fixture
def setup(bench: Workbench, stage: Stage) -> Setup:
    """Receivers and proxy of one test."""
    return Setup(bench, stage)


def run(setup: Setup, results: Results, *options: str, **settings: object) -> Finished:
    """Exports, and sees that no credential was printed anywhere."""
    finished = setup.bench.run_export(setup.config(**settings), results(COUNT), *options)
    for secret in (TOKEN, PASSWORD, PROXY_PASSWORD):
        assert secret not in finished.output
    return finished


def test_proxy_of_the_environment(setup: Setup, results: Results) -> None:
    """Names are resolved by the proxy; it sees neither credentials nor records, only TLS."""
    setup.name_proxy()
    finished = run(setup, results)
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)
    for name, host in HOSTS.items():
        assert any(head.startswith(f"CONNECT {host} HTTP/1.1") for head in setup.proxy.heads), name
    assert not any("Authorization" in head for head in setup.proxy.heads)
    for clear in (TOKEN, "SiderealProbeResult", "services/collector"):
        assert clear.encode() not in setup.proxy.passed


def test_proxy_of_a_target(setup: Setup, results: Results) -> None:
    """What the target says counts, whatever the environment says."""
    setup.bench.environment["HTTPS_PROXY"] = "http://127.0.0.1:1"
    finished = run(setup, results, proxy=f"http://127.0.0.1:{setup.proxy.port}")
    assert finished.code == OK, finished
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)


@pytest.mark.parametrize("straight", ["example.com", ".example.com,10.0.0.0/8", "*", "proxy: none"])
def test_no_proxy(setup: Setup, results: Results, straight: str) -> None:
    """Exceptions go straight, where these names lead nowhere."""
    setup.name_proxy()
    settings = {"proxy": "none"} if straight == "proxy: none" else {}
    setup.bench.environment["NO_PROXY"] = "" if settings else straight
    finished = run(setup, results, "--deadline", "1s", **settings)
    setup.assert_refused(finished, "retry", "resolve", "DNS")
    assert not setup.proxy.heads


def test_credentials_from_the_secret(setup: Setup, results: Results) -> None:
    """407 is a configuration failure that says which keys are missing; once they are there, the same run delivers."""
    setup.name_proxy()
    setup.proxy.credentials = ("user", PROXY_PASSWORD)
    setup.assert_refused(
        run(setup, results, "--deadline", "1s"), "configuration", "proxy-407", "407", "proxyUsername and proxyPassword"
    )
    running = setup.bench.start_export(setup.config(), results(COUNT), "--json")
    wait_until(lambda: "407" in running.stderr, "a refusal")
    for ref in ("hec", "es"):
        setup.bench.secret(ref, "proxyUsername", "user")
        setup.bench.secret(ref, "proxyPassword", PROXY_PASSWORD)
    finished = running.wait()
    assert finished.code == OK, finished
    assert PROXY_PASSWORD not in finished.output
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)


def test_rotated_credentials(setup: Setup, results: Results) -> None:
    """Credentials that were replaced a moment ago are read again and used at once: no failure, nothing waits."""
    setup.name_proxy("common:wrong@")
    setup.proxy.credentials = ("user", PROXY_PASSWORD)

    def put(password: str) -> None:
        for ref in ("hec", "es"):
            setup.bench.secret(ref, "proxyUsername", "user")
            setup.bench.secret(ref, "proxyPassword", password)

    put("of-yesterday")
    setup.proxy.on_refused = lambda: put(PROXY_PASSWORD)
    finished = run(setup, results)
    assert finished.code == OK, finished
    pair = base64.b64encode(b"user:of-yesterday").decode()
    assert any(f"Basic {pair}" in head for head in setup.proxy.heads)
    assert "proxy-407" not in finished.output
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)


def test_credentials_in_the_environment(setup: Setup, results: Results) -> None:
    """They are used, and shown neither while it works nor when it does not."""
    setup.name_proxy(f"user:{PROXY_PASSWORD}@")
    setup.proxy.credentials = ("user", PROXY_PASSWORD)
    setup.proxy.refusal = 403
    setup.assert_refused(run(setup, results, "--deadline", "1s"), "configuration", "proxy-403", "allow this host")
    setup.proxy.refusal = None
    assert run(setup, results).code == OK
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)


def test_proxy_that_cannot_reach_the_server(setup: Setup, results: Results) -> None:
    """It may pass by itself: a retry, not a configuration failure."""
    setup.name_proxy()
    setup.proxy.refusal = 503
    finished = run(setup, results, "--deadline", "1s")
    setup.assert_refused(finished, "retry", "proxy-503", f"the proxy 127.0.0.1:{setup.proxy.port}", "cannot reach")


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "http://127.0.0.1:1/path", "http://user:word@"])
def test_environment_that_names_no_proxy(setup: Setup, results: Results, value: str) -> None:
    """Said with the variables' names, without the value, which may hold a password."""
    setup.bench.environment["HTTPS_PROXY"] = value
    finished = run(setup, results, "--deadline", "1s")
    setup.assert_refused(finished, "configuration", "proxy", "HTTPS_PROXY", "http://host:port")
    assert value not in finished.output


def test_proxy_that_plays_the_server(setup: Setup, results: Results) -> None:
    """A certificate of another authority at the end of the tunnel: refused, and no request is sent."""
    stranger = Authority(setup.bench.directory, "middleman")
    names = ",".join(f"DNS:{host.split(':')[0]}" for host in HOSTS.values())
    false = setup.start_sandbox(stranger.issue("server", names))
    setup.proxy.names = setup.places(false)
    setup.name_proxy()
    finished = run(setup, results, "--deadline", "1s")
    setup.assert_refused(finished, "configuration", "tls-unknownAuthority", "unknown authority")
    assert false.stats("hec")["requests"] == 0


def test_proxy_behind_tls(setup: Setup, results: Results) -> None:
    """An https proxy is checked against `proxy-ca.crt`; the target's own authority does not vouch for it."""
    other = Authority(setup.bench.directory, "proxies")
    setup.proxy = Proxy(setup.stage, setup.places(setup.sandbox), other.issue("proxy", "IP:127.0.0.1"))
    address = f"https://127.0.0.1:{setup.proxy.port}"
    finished = run(setup, results, "--deadline", "1s", proxy=address)
    setup.assert_refused(finished, "configuration", "tls-unknownAuthority", "TLS with the proxy", "proxy-ca.crt")
    for ref in ("hec", "es"):
        setup.bench.secret(ref, "proxy-ca.crt", other.text)
    assert run(setup, results, proxy=address).code == OK
    assert_delivered_everywhere(results(COUNT), setup.sandbox, setup.bench.archive)
