"""Where credentials for AWS come from, that they are renewed, and that no source gives way to another in silence."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aws import MOTO_ACTIONS, REGION, Keys, Moto, environment, put_keys, s3_target, stored_uids
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from evidence import assert_each_once, uids
from exporter import OK, UNDELIVERED, Workbench, wait_until
from s3_proxy import Answer, Request, S3Proxy, refusal

Results = Callable[[int], Path]
TOKEN = "eyJhbGciOiJSUzI1NiJ9.hunter2-web-identity.c2ln"


def without_secret(
    bench: Workbench, moto: Moto, bucket: str, port: int | None = None, **settings: Any
) -> dict[str, Any]:
    """A target that names no secret."""
    return s3_target(bench, moto, bucket, port=port, secretRef=None, **settings)


class Agent:
    """The agent of EKS Pod Identity, or the instance metadata service, on loopback."""

    def __init__(self) -> None:
        self.keys: list[Keys] = []
        self.lifetime = timedelta(hours=1)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.is_down = False
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                agent.requests.append((self.command, self.path, headers))
                self._send(*agent._answer(self.command, self.path, headers))

            do_PUT = do_GET

            def _send(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if self.is_down:
            return 503, ""
        if path == "/latest/api/token":
            return (200, "session-of-imds") if method == "PUT" else (405, "")
        if path.startswith("/latest") and headers.get("x-aws-ec2-metadata-token") != "session-of-imds":
            return 401, ""
        if path.endswith("/security-credentials/"):
            return 200, "node-role"
        keys = self.keys[0] if len(self.keys) == 1 else self.keys.pop(0)
        answer = {
            "AccessKeyId": keys.id,
            "SecretAccessKey": keys.secret,
            "Token": keys.token,
            "Expiration": (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return 200, json.dumps(answer)


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Gives credentials out."""
    made = Agent()
    yield made
    made.close()


@pytest.fixture
def sts(moto: Moto) -> Iterator[S3Proxy]:
    """STS. At AWS this one action needs no signature; moto wants one, so it is signed on the way."""

    def signature(request: Request) -> dict[str, str]:
        headers = {name: request.headers[name] for name in ("host", "content-type")}
        url = f"http://{request.headers['host']}{request.target}"
        made = AWSRequest(method=request.method, url=url, headers=headers, data=request.body)
        SigV4Auth(Credentials(moto.admin.id, moto.admin.secret), "sts", REGION).add_auth(made)
        return {name.lower(): value for name, value in made.headers.items()}

    server = S3Proxy(moto.port)
    server.added = signature
    yield server
    server.close()


def temporary(moto: Moto, sts: S3Proxy, role: str) -> Keys:
    """A session of a role."""
    client = moto.client("sts", port=sts.port)
    found = client.assume_role_with_web_identity(RoleArn=role, RoleSessionName="test", WebIdentityToken="token")
    found = found["Credentials"]
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


@pytest.fixture(scope="module")
def role(moto: Moto) -> str:
    """A role that may do what the documentation says."""
    return moto.role("exporter-role", *MOTO_ACTIONS)


def irsa(bench: Workbench, sts: S3Proxy, role: str, **changes: str) -> dict[str, str]:
    """What EKS puts into a pod of a service account with a role."""
    return {
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(bench.write("web-identity-token", TOKEN)),
        "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{sts.port}",
    } | changes


def assert_nothing_leaked(finished: Any, bench: Workbench, *words: str | None) -> None:
    """No part of a credential stands in what the program said or kept."""
    for word in words:
        assert word
        assert word not in finished.output
        assert not any(word.encode() in path.read_bytes() for path in bench.state.rglob("*") if path.is_file())


def test_role_of_the_service_account(
    bench: Workbench, moto: Moto, proxy: S3Proxy, sts: S3Proxy, role: str, results: Results
) -> None:
    """IRSA: our own call to STS, whose session signs; its token is signed too."""
    bucket = moto.bucket()
    config = bench.make_config([without_secret(bench, moto, bucket, port=proxy.port)])
    with environment(bench, **irsa(bench, sts, role)):
        finished = bench.run_export(config, results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")
    (asked,) = sts.requests
    assert asked.method == "POST"
    assert "authorization" not in asked.headers
    assert dict(urllib.parse.parse_qsl(asked.body.decode())) == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": "sidereal-export",
        "WebIdentityToken": TOKEN,
    }
    for request in proxy.requests:
        assert "x-amz-security-token" in request.signed
    assert_nothing_leaked(finished, bench, "hunter2", proxy.requests[0].headers["x-amz-security-token"])


def test_temporary_keys_in_the_secret(
    bench: Workbench, moto: Moto, proxy: S3Proxy, sts: S3Proxy, role: str, results: Results
) -> None:
    """`sessionToken` goes with the two keys; keys of the environment are not looked at."""
    bucket = moto.bucket()
    put_keys(bench, temporary(moto, sts, role), ref="session")
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port, secretRef="session")])
    with environment(bench, AWS_ACCESS_KEY_ID="AKIAWRONG", AWS_SECRET_ACCESS_KEY="wrong", AWS_PROFILE="wrong"):
        finished = bench.run_export(config, results(10), "--deadline", "20s")
    assert finished.code == OK, finished
    assert all("x-amz-security-token" in request.signed for request in proxy.requests)
    assert_each_once(uids(results(10)), stored_uids(moto, bucket), "s3")


def test_session_that_ended_is_renewed_at_once(
    bench: Workbench, moto: Moto, proxy: S3Proxy, sts: S3Proxy, role: str, results: Results
) -> None:
    """ExpiredToken is answered with a new session, and the token's file is read again for it."""
    bucket = moto.bucket()
    config = bench.make_config(
        [without_secret(bench, moto, bucket, port=proxy.port, batch={"maxRecords": 50}, concurrency={"max": 1})]
    )
    ended: set[str] = set()

    def expire(request: Request) -> Answer | None:
        token = request.headers["x-amz-security-token"]
        if request.is_upload and not ended:
            ended.add(token)
            bench.write("web-identity-token", TOKEN + "-rotated")
        return (
            refusal(400, "ExpiredToken", f"it has</Message><Token-0>{token}</Token-0><Message>")
            if token in ended
            else None
        )

    proxy.before = expire
    with environment(bench, **irsa(bench, sts, role)):
        finished = bench.run_export(config, results(200), "--deadline", "20s")
    assert finished.code == OK, finished
    assert finished.targets["s3"]["retries"] == 0
    assert [urllib.parse.parse_qs(r.body.decode())["WebIdentityToken"] for r in sts.requests] == [
        [TOKEN],
        [TOKEN + "-rotated"],
    ]
    assert_each_once(uids(results(200)), stored_uids(moto, bucket), "s3")
    assert_nothing_leaked(finished, bench, *ended)


def test_pod_identity(bench: Workbench, moto: Moto, sts: S3Proxy, role: str, agent: Agent, results: Results) -> None:
    """The agent is asked with the token from the file."""
    bucket = moto.bucket()
    agent.keys = [temporary(moto, sts, role)]
    token = bench.write("pod-token", "hunter2-pod-token\n")
    config = bench.make_config([without_secret(bench, moto, bucket)])
    with environment(
        bench,
        AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url + "/v1/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token),
    ):
        finished = bench.run_export(config, results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert [(method, path) for method, path, _ in agent.requests] == [("GET", "/v1/credentials")]
    assert agent.requests[0][2]["authorization"] == "hunter2-pod-token"
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")
    assert_nothing_leaked(finished, bench, "hunter2", agent.keys[0].secret, agent.keys[0].token)


def test_renewal_that_fails_is_a_warning_while_the_session_is_valid(
    bench: Workbench, moto: Moto, sts: S3Proxy, role: str, agent: Agent, proxy: S3Proxy, results: Results
) -> None:
    """The agent dies after its first answer; the export goes on with what it has, and says so."""
    bucket = moto.bucket()
    agent.keys = [temporary(moto, sts, role)]
    agent.lifetime = timedelta(seconds=30)
    settings = {"batch": {"maxRecords": 10}, "concurrency": {"max": 1}}
    config = bench.make_config([without_secret(bench, moto, bucket, port=proxy.port, **settings)])

    def slow(request: Request) -> Answer | None:
        agent.is_down = True
        # Slow until the time for renewal has come.
        if request.is_upload and len(agent.requests) < 2:
            time.sleep(0.4)
        return None

    proxy.before = slow
    with environment(bench, AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url + "/v1/credentials"):
        finished = bench.run_export(config, results(600), "--deadline", "20s")
    assert finished.code == OK, finished
    assert "still using the old credentials" in finished.stderr
    assert finished.targets["s3"]["retries"] == 0
    # Half a life, then half a minute at least: once it was asked in vain.
    assert len(agent.requests) == 2


def test_node_role_only_if_asked_for(
    bench: Workbench, moto: Moto, sts: S3Proxy, role: str, agent: Agent, results: Results
) -> None:
    """`credentials: imds` speaks version 2 of the metadata service; without it the service is never asked."""
    bucket = moto.bucket()
    agent.keys = [temporary(moto, sts, role)]
    with environment(bench, AWS_EC2_METADATA_SERVICE_ENDPOINT=agent.url):
        config = bench.make_config([without_secret(bench, moto, bucket)])
        refused = bench.run_export(config, results(10), "--deadline", "1s")
        assert refused.code == UNDELIVERED, refused
        assert "it has no credentials" in refused.stderr
        assert "the node's own role is used only with `credentials: imds`" in refused.stderr
        assert agent.requests == []
        config = bench.make_config([without_secret(bench, moto, bucket, credentials="imds")])
        finished = bench.run_export(config, results(10), "--deadline", "20s")
    assert finished.code == OK, finished
    assert [(method, path) for method, path, _ in agent.requests] == [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("GET", "/latest/meta-data/iam/security-credentials/node-role"),
    ]
    assert_each_once(uids(results(10)), stored_uids(moto, bucket), "s3")


@pytest.mark.parametrize("broken", ["secret", "irsa half", "irsa token", "sts down", "pod address"])
def test_nothing_falls_through(
    bench: Workbench, moto: Moto, sts: S3Proxy, role: str, agent: Agent, results: Results, broken: str
) -> None:
    """A source that is configured and does not work is the error, though another would do."""
    bucket = moto.bucket()
    agent.keys = [temporary(moto, sts, role)]
    variables = irsa(bench, sts, role) | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url + "/v1/credentials"}
    target = without_secret(bench, moto, bucket)
    expected = ""
    if broken == "secret":
        target = s3_target(bench, moto, bucket)
        bench.secret("aws", "secretAccessKey", "wrong")
        expected = "SignatureDoesNotMatch"
    elif broken == "irsa half":
        variables.pop("AWS_ROLE_ARN")
        expected = "AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN"
    elif broken == "irsa token":
        variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(bench.directory / "nowhere")
        expected = f"names {bench.directory}/nowhere, which is not there"
    elif broken == "sts down":
        variables["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:9"
        expected = "127.0.0.1:9"
    else:
        for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
            variables.pop(name)
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://agent.example.com/v1/credentials"
        expected = "neither https nor the address of an agent on this node"
    with environment(bench, **variables):
        finished = bench.run_export(bench.make_config([target]), results(10), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert expected in finished.stderr
    assert agent.requests == []
    assert stored_uids(moto, bucket).total() == 0


def test_token_file_that_comes_late(bench: Workbench, moto: Moto, sts: S3Proxy, role: str, results: Results) -> None:
    """What is mended is seen without a restart."""
    bucket = moto.bucket()
    config = bench.make_config([without_secret(bench, moto, bucket)])
    late = bench.directory / "late-token"
    with environment(bench, **irsa(bench, sts, role, AWS_WEB_IDENTITY_TOKEN_FILE=str(late))):
        running = bench.start_export(config, results(10), "--json", "--deadline", "60s")
        wait_until(lambda: "which is not there" in running.stderr, "the complaint")
        bench.write("late-token", TOKEN)
        finished = running.wait()
    assert finished.code == OK, finished
    assert_each_once(uids(results(10)), stored_uids(moto, bucket), "s3")
