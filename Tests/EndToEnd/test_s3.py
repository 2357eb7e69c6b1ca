"""S3 as it is meant to go: what arrives, how it is protected, and that it arrives once."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from aws import Moto, object_keys, s3_target, stored_records, stored_uids
from botocore.exceptions import ClientError
from evidence import as_exported, assert_each_once, records, uids, without_stamp
from exporter import OK, UNDELIVERED, Workbench, wait_until
from s3_proxy import Answer, Request, S3Proxy, refusal

OWNER = "123456789012"

KEY = re.compile(
    r"sidereal-proberesults/cluster=prod%2Feast/dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)"
    r"/0000-(\d{8}T\d{9}Z)-[0-9a-f]{64}\.ndjson\.gz"
)


def test_everything_arrives_locked_and_encrypted(bench: Workbench, moto: Moto, results: Callable[[int], Path]) -> None:
    """Each record once and unaltered, in objects that are locked, encrypted, checksummed and named as promised."""
    source = results(2_000)
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, batch={"maxRecords": 700})
    sections: dict[str, Any] = {"global": {"clusterName": "prod/east"}}
    config = bench.make_config([target], **sections)
    begun = datetime.now(UTC)
    finished = bench.run_export(config, source, "--deadline", "20s")
    assert finished.code == OK, finished
    found = {record["metadata"]["uid"]: record for record in stored_records(moto, bucket)}
    assert_each_once(uids(source), stored_uids(moto, bucket), "s3")
    for record in records(source):
        assert as_exported(record) == without_stamp(found[record["metadata"]["uid"]])

    s3 = moto.client("s3")
    keys = object_keys(moto, bucket)
    assert len(keys) == 3
    for key in keys:
        named = KEY.fullmatch(key)
        assert named, key
        assert named[3].startswith(named[1].replace("-", "") + "T" + named[2])
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == moto.kms_key
        assert head["BucketKeyEnabled"] is True
        assert head["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert head["ContentType"] == "application/x-ndjson"
        assert head["ContentEncoding"] == "gzip"
        # Time stamp zero: the same records are the same bytes.
        assert body[4:8] == b"\0\0\0\0"
        assert head["ObjectLockMode"] == "COMPLIANCE"
        until = head["ObjectLockRetainUntilDate"]
        assert timedelta(days=1095) - timedelta(seconds=2) < until - begun < timedelta(days=1095, minutes=2)
        version = head["VersionId"]
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)
    # Nothing of the check that KMS can be used is left.
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_every_request_is_signed_in_full(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Callable[[int], Path]
) -> None:
    """Moto does not refuse x-amz fields that are not signed; S3 does."""
    target = s3_target(bench, moto, moto.bucket(), port=proxy.port)
    finished = bench.run_export(bench.make_config([target]), results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert [request.method for request in proxy.requests] == ["GET", "GET", "POST", "DELETE", "PUT"]
    for request in proxy.requests:
        own = {name for name in request.headers if name.startswith("x-amz-")}
        assert own | {"host"} <= request.signed, request
        assert request.headers["x-amz-content-sha256"] == hashlib.sha256(request.body).hexdigest()
    upload = proxy.uploads[0]
    assert upload.headers["if-none-match"] == "*"
    assert upload.headers["x-amz-sdk-checksum-algorithm"] == "SHA256"
    assert upload.headers["x-amz-meta-records"] == "100"


def test_a_second_run_sends_nothing(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Callable[[int], Path]
) -> None:
    """The ledger knows."""
    bucket = moto.bucket()
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port)])
    assert bench.run_export(config, results(100), "--deadline", "20s").code == OK
    before = len(proxy.requests)
    again = bench.run_export(config, results(100), "--deadline", "20s")
    assert again.code == OK, again
    assert len(proxy.requests) == before


def test_a_ledger_that_was_lost_makes_no_second_copy(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Callable[[int], Path]
) -> None:
    """The same batch has the same key: S3 answers 412, what is there is looked at, and it counts as delivered."""
    bucket = moto.bucket()
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port)])
    assert bench.run_export(config, results(100), "--deadline", "20s").code == OK
    again = bench.run_export(config, results(100), "--deadline", "20s", state=bench.directory / "other-state")
    assert again.code == OK, again
    assert again.targets["s3"]["delivered"] == 100
    assert [request.method for request in proxy.requests[-2:]] == ["PUT", "HEAD"]
    assert proxy.requests[-1].headers["x-amz-checksum-mode"] == "ENABLED"
    versions = moto.client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert len(versions) == 1
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")


@pytest.mark.parametrize("format", ["cef", "leef", "syslog", "ocsf"])
def test_other_formats(bench: Workbench, moto: Moto, results: Callable[[int], Path], format: str) -> None:
    """A line for each record, in the format that was asked for, without compression if so."""
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, format=format, compression="none")
    finished = bench.run_export(bench.make_config([target]), results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    (key,) = object_keys(moto, bucket)
    assert key.endswith({"cef": ".cef", "leef": ".leef", "syslog": ".log", "ocsf": ".ndjson"}[format])
    found = moto.client("s3").get_object(Bucket=bucket, Key=key)
    assert "ContentEncoding" not in found
    lines = found["Body"].read().splitlines()
    encoded = bench.run("encode", "--format", format, "--input", results(100))
    assert len(lines) == len(encoded.stdout.splitlines()) == 100
    for line, uid in zip(lines, uids(results(100)), strict=True):
        assert uid.encode() in line


def test_virtual_addressing(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Callable[[int], Path]) -> None:
    """The bucket stands in the host, which is signed."""
    bucket = moto.bucket()
    target = s3_target(
        bench, moto, bucket, endpoint=f"http://localhost:{proxy.port}", addressing="virtual", expectedBucketOwner=OWNER
    )
    # Moto tells a bucket in the host by a suffix of Amazon's; so the proxy only looks at what was asked.
    proxy.before = lambda request: refusal(503, "SlowDown")
    finished = bench.run_export(bench.make_config([target]), results(1), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    asked = proxy.requests[0]
    assert asked.headers["host"] == f"{bucket}.localhost:{proxy.port}"
    assert asked.target == "/?object-lock="
    assert asked.headers["x-amz-expected-bucket-owner"] == OWNER
    assert "x-amz-expected-bucket-owner" in asked.signed


def test_tls_with_another_name(bench: Workbench, moto: Moto, results: Callable[[int], Path]) -> None:
    """Our own authority, and a name that is not the endpoint's: it is the name that is sent and signed."""
    authority = Authority(bench.directory, "ours")
    bench.secret("aws", "ca.crt", authority.certificate.read_text())
    bucket = moto.bucket()
    proxy = S3Proxy(moto.port, authority.issue("server", "DNS:localhost"))
    try:
        target = s3_target(
            bench,
            moto,
            bucket,
            endpoint=f"https://127.0.0.1:{proxy.port}",
            tls={"serverName": "localhost"},
        )
        config = bench.make_config([target], tls={"required": True})
        finished = bench.run_export(config, results(100), "--deadline", "20s")
    finally:
        proxy.close()
    assert finished.code == OK, finished
    assert {request.headers["host"] for request in proxy.requests} == {f"localhost:{proxy.port}"}
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")


def test_kills_lose_and_repeat_nothing(bench: Workbench, moto: Moto, results: Callable[[int], Path]) -> None:
    """Four batches are under way at a time; what was in flight at a kill goes out again under the same key."""
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, batch={"maxRecords": 150})
    config = bench.make_config([target])
    lives = []
    for _ in range(6):
        running = bench.start_export(config, results(6_000))
        lives.append(rng.uniform(0.1, 0.8))
        time.sleep(lives[-1])
        running.kill()
    last = bench.run_export(config, results(6_000), "--deadline", "30s")
    told = f"seed {seed}, lives {lives}"
    assert last.code == OK, (told, last)
    assert_each_once(uids(results(6_000)), stored_uids(moto, bucket), f"s3; {told}")
    versions = moto.client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert len(versions) == len(object_keys(moto, bucket)), told


def test_batches_that_closed_by_age_come_about_again(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Callable[[int], Path]
) -> None:
    """kill -9 with an object stored and not answered for: the next run cuts where the first one did by chance."""
    bucket = moto.bucket()
    stored, released = threading.Event(), threading.Event()

    def hold(request: Request, answer: Answer) -> Answer:
        if request.is_upload:
            stored.set()
            released.wait(60)
        return answer

    proxy.after = hold
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port, batch={"maxAge": "100ms"})])
    lines = results(200).read_bytes().splitlines(keepends=True)
    taken = bench.write("taken.ndjson", b"".join(lines[:140]))
    running = bench.start_export(config, "-", stdin=subprocess.PIPE)
    pipe = running.process.stdin
    assert pipe is not None
    for part in (lines[:70], lines[70:140]):
        pipe.write(b"".join(part))
        pipe.flush()
        wait_until(stored.is_set, "the first object")

    def has_taken_all() -> bool:
        spools = [path for path in bench.state.rglob("*") if path.is_file() and "ledger" not in path.name]
        return sum(path.stat().st_size for path in spools) >= taken.stat().st_size

    wait_until(has_taken_all, "everything taken from the pipe")
    running.kill()
    proxy.after = lambda request, answer: answer
    released.set()
    finished = bench.run_export(config, "-", "--deadline", "20s", stdin=subprocess.DEVNULL)
    assert finished.code == OK, finished
    assert_each_once(uids(taken), stored_uids(moto, bucket), "s3")
    versions = moto.client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert len(versions) == len(object_keys(moto, bucket)) > 1
