"""S3 that misbehaves, and buckets that are not what they should be."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aws import Keys, Moto, object_keys, put_keys, s3_target, stored_uids
from evidence import archived, assert_each_once, uids
from exporter import BAD_SETUP, OK, UNDELIVERED, Workbench, wait_until
from s3_proxy import RESET, Answer, Request, S3Proxy, refusal

Results = Callable[[int], Path]


def versions(moto: Moto, bucket: str) -> list[str]:
    """The key of every version of every object."""
    found = moto.client("s3").list_object_versions(Bucket=bucket).get("Versions", [])
    return [entry["Key"] for entry in found]


def test_bucket_without_object_lock(bench: Workbench, moto: Moto, results: Results) -> None:
    """Nothing is sent there, `validate --connect` says why, and other targets go on."""
    bucket = moto.bucket(locked=False)
    config = bench.make_config([s3_target(bench, moto, bucket), bench.file()])
    checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert checked.code == BAD_SETUP, checked
    assert "the bucket has no Object Lock" in checked.stderr
    assert f"aws s3api put-object-lock-configuration --bucket {bucket}" in checked.stderr

    running = bench.start_export(config, results(100), "--json", "--deadline", "60s")
    wait_until(lambda: "the bucket has no Object Lock" in running.stderr, "the refusal")
    wait_until(lambda: len(archived(bench.archive)) == 100, "the other target")
    assert object_keys(moto, bucket) == []
    # Mended while it runs: no restart is needed.
    moto.lock(bucket)
    finished = running.wait()
    assert finished.code == OK, finished
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")


def test_bucket_without_versioning(bench: Workbench, moto: Moto, results: Results) -> None:
    """Objects could be replaced there."""
    bucket = moto.bucket()
    moto.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    config = bench.make_config([s3_target(bench, moto, bucket)])
    finished = bench.run_export(config, results(1), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert "the bucket has no versioning" in finished.stderr
    assert object_keys(moto, bucket) == []


def test_no_bucket(bench: Workbench, moto: Moto, results: Results) -> None:
    """404 is a mistake in the settings."""
    config = bench.make_config([s3_target(bench, moto, "not-there")])
    checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect", "--json")
    assert checked.code == BAD_SETUP, checked
    assert "s3-NoSuchBucket" in checked.stdout
    assert "make the bucket, or mend `bucket`" in checked.stdout


def test_a_good_bucket_passes(bench: Workbench, moto: Moto) -> None:
    """`validate --connect` stores nothing, and leaves no unfinished upload."""
    bucket = moto.bucket()
    config = bench.make_config([s3_target(bench, moto, bucket)])
    checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
    assert checked.code == OK, checked
    assert versions(moto, bucket) == []
    assert "Uploads" not in moto.client("s3").list_multipart_uploads(Bucket=bucket)


def test_missing_permissions_are_named(bench: Workbench, moto: Moto, results: Results) -> None:
    """For the check itself, and for the upload."""
    bucket = moto.bucket()
    blind = moto.user("blind", "s3:PutObject")
    mute = moto.user("mute", "s3:ListBucket", "s3:GetBucketVersioning", "s3:AbortMultipartUpload")
    for keys, words in ((blind, "allow s3:GetBucketObjectLockConfiguration"), (mute, "s3:PutObject,")):
        config = bench.make_config([s3_target(bench, moto, bucket)])
        put_keys(bench, keys)
        checked = bench.run("validate", "--config", config, "--secrets", bench.secrets, "--connect")
        assert checked.code == BAD_SETUP, checked
        assert words in checked.stderr


def test_kms_key_that_cannot_be_used(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results) -> None:
    """The rehearsal shows it before a record is sent."""
    bucket = moto.bucket()

    def disabled(request: Request) -> Answer | None:
        encrypted = "x-amz-server-side-encryption" in request.headers
        return refusal(400, "KMS.DisabledException", "the key is disabled") if encrypted else None

    proxy.before = disabled
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port)])
    finished = bench.run_export(config, results(1), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert "s3-KMS.DisabledException" in finished.stderr
    assert "check `kmsKeyId`" in finished.stderr
    assert proxy.uploads == []


def test_secret_is_rotated_while_running(bench: Workbench, moto: Moto, results: Results) -> None:
    """A wrong key holds everything; the right one counts from the next attempt on. Neither shows anywhere."""
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket)
    wrong = Keys(moto.exporter.id, "hunter2/wrong+secret")
    put_keys(bench, wrong)
    config = bench.make_config([target])
    running = bench.start_export(config, results(100), "--json", "--deadline", "60s")
    wait_until(lambda: "SignatureDoesNotMatch" in running.stderr, "the refusal")
    put_keys(bench, moto.exporter)
    finished = running.wait()
    assert finished.code == OK, finished
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")
    failures = [line for line in finished.logs if line.get("code") == "s3-SignatureDoesNotMatch"]
    assert failures
    assert {line["class"] for line in failures} == {"configuration"}
    for word in ("hunter2", moto.exporter.secret, moto.exporter.id):
        assert word not in finished.output
        assert not any(word.encode() in path.read_bytes() for path in bench.state.rglob("*") if path.is_file())


def test_answer_lost_after_the_object_was_stored(
    bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results
) -> None:
    """Not knowing is not success; the next attempt finds the object and recognises it."""
    bucket = moto.bucket()
    lost: list[Request] = []

    def lose(request: Request, answer: Answer) -> Answer:
        # The client itself sends once more when a kept connection dies under it.
        if request.is_upload and len(lost) < 2:
            lost.append(request)
            return RESET
        return answer

    proxy.after = lose
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port)])
    finished = bench.run_export(config, results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert len(lost) == 2
    assert len({request.target for request in proxy.uploads}) == 1
    assert len(versions(moto, bucket)) == 1
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")


def learn_key(bench: Workbench, moto: Moto, source: Path) -> str:
    """The key that the records of `source` get, in any bucket."""
    bucket = moto.bucket()
    config = bench.make_config([s3_target(bench, moto, bucket)], name="learn.yaml")
    finished = bench.run_export(config, source, "--deadline", "20s", state=bench.directory / "learn")
    assert finished.code == OK, finished
    (key,) = object_keys(moto, bucket)
    return key


def place(moto: Moto, bucket: str, key: str, body: bytes, **settings: Any) -> None:
    """Stores an object as somebody else."""
    settings = {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": moto.kms_key,
        "ChecksumAlgorithm": "SHA256",
        "ObjectLockMode": "COMPLIANCE",
        "ObjectLockRetainUntilDate": "2040-01-01T00:00:00Z",
    } | settings
    kept = {name: value for name, value in settings.items() if value is not None}
    moto.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **kept)


def test_strangers_object_under_our_key(bench: Workbench, moto: Moto, results: Results) -> None:
    """It is not overwritten, not taken for ours, and said."""
    key = learn_key(bench, moto, results(50))
    lines = b"".join(line + b"\n" for line in results(50).read_bytes().splitlines())
    strangers: list[tuple[bytes, dict[str, Any]]] = [
        (b"something else", {}),
        (gzip.compress(lines), {}),
        (b"x" * 100, {"ObjectLockMode": None, "ObjectLockRetainUntilDate": None}),
        (b"x" * 100, {"ServerSideEncryption": None, "SSEKMSKeyId": None}),
    ]
    for number, (body, settings) in enumerate(strangers):
        bucket = moto.bucket()
        place(moto, bucket, key, body, **settings)
        config = bench.make_config([s3_target(bench, moto, bucket)])
        state = bench.directory / f"state-{number}"
        finished = bench.run_export(config, results(50), "--deadline", "1s", state=state)
        assert finished.code == UNDELIVERED, finished
        assert "s3-foreign-object" in finished.stderr
        assert f"s3://{bucket}/{key} is there already and is not ours" in finished.stderr
        assert finished.targets["s3"]["delivered"] == 0
        assert versions(moto, bucket) == [key]


def test_same_records_compressed_otherwise_are_ours(bench: Workbench, moto: Moto, results: Results) -> None:
    """Another version of the compressor, or another processor, gives other bytes of the same content."""
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, compression="none")
    config = bench.make_config([target])
    assert bench.run_export(config, results(50), "--deadline", "20s", state=bench.directory / "plain").code == OK
    (plain_key,) = object_keys(moto, bucket)
    plain: bytes = moto.client("s3").get_object(Bucket=bucket, Key=plain_key)["Body"].read()
    place(moto, bucket, plain_key + ".gz", gzip.compress(plain, 9))
    finished = bench.run_export(bench.make_config([s3_target(bench, moto, bucket)]), results(50), "--deadline", "20s")
    assert finished.code == OK, finished
    assert sorted(versions(moto, bucket)) == [plain_key, plain_key + ".gz"]


@pytest.mark.parametrize("ahead", [3_600, -86_400])
def test_clock_that_is_off(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results, ahead: int) -> None:
    """The server's clock is taken from its answer, once; the retention follows it too."""
    bucket = moto.bucket()

    def signed_at(request: Request) -> float:
        stamp = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        return stamp.replace(tzinfo=UTC).timestamp()

    def check(request: Request) -> Answer | None:
        now = time.time() + ahead
        if abs(signed_at(request) - now) <= 900:
            return None
        return refusal(403, "RequestTimeTooSkewed", Date=formatdate(now, usegmt=True))

    proxy.before = check
    config = bench.make_config([s3_target(bench, moto, bucket, port=proxy.port)])
    finished = bench.run_export(config, results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert finished.targets["s3"]["retries"] == 0
    # One question was asked twice, all later ones once.
    assert [request.method for request in proxy.requests] == ["GET", "GET", "GET", "POST", "DELETE", "PUT"]
    (key,) = object_keys(moto, bucket)
    until = moto.client("s3").head_object(Bucket=bucket, Key=key)["ObjectLockRetainUntilDate"]
    assert abs(until.timestamp() - (time.time() + ahead + 1095 * 86_400)) < 120


def test_clock_that_cannot_be_mended(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results) -> None:
    """A server that always complains is asked twice per attempt, no more."""
    proxy.before = lambda request: refusal(403, "RequestTimeTooSkewed", Date="Thu, 01 Jan 2032 00:00:00 GMT")
    target = s3_target(bench, moto, moto.bucket(), port=proxy.port)
    target["retry"] = {"initial": "20s", "max": "20s", "window": "24h"}
    finished = bench.run_export(bench.make_config([target]), results(1), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert "set this machine's clock (NTP)" in finished.stderr
    assert len(proxy.requests) == 2


def test_passing_trouble(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results) -> None:
    """Each of these is tried again, with the same key and bytes."""
    bucket = moto.bucket()
    answers = [
        refusal(503, "SlowDown"),
        refusal(500, "InternalError"),
        Answer(502, b"<html>bad gateway"),
        refusal(400, "RequestTimeout"),
        refusal(409, "ConditionalRequestConflict"),
        refusal(400, "KMS.ThrottlingException"),
        Answer(429),
        refusal(503, "ServiceUnavailable", Retry_After="1"),
    ]
    proxy.before = lambda request: answers.pop(0) if request.is_upload and answers else None
    target = s3_target(bench, moto, bucket, port=proxy.port, retry={"initial": "50ms", "max": "100ms", "window": "24h"})
    finished = bench.run_export(bench.make_config([target]), results(100), "--deadline", "20s")
    assert finished.code == OK, finished
    assert answers == []
    assert finished.targets["s3"]["retries"] == 8
    assert len({(request.target, request.body) for request in proxy.uploads}) == 1
    assert_each_once(uids(results(100)), stored_uids(moto, bucket), "s3")


def test_redirects_are_not_followed(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results) -> None:
    """Records go where the configuration says; the message names the right region."""
    visits: list[str] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_error(500)

        do_PUT = do_POST = do_GET

    other = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=other.serve_forever, args=(0.02,))
    thread.start()
    try:
        body = b"<Error><Code>PermanentRedirect</Code><Message>m</Message></Error>"
        location = f"http://127.0.0.1:{other.server_address[1]}/"
        headers = {"Location": location, "x-amz-bucket-region": "us-gov-east-1"}
        proxy.before = lambda request: Answer(301, body, headers)
        config = bench.make_config([s3_target(bench, moto, moto.bucket(), port=proxy.port)])
        finished = bench.run_export(config, results(1), "--deadline", "1s")
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert finished.code == UNDELIVERED, finished
    assert "the bucket lies in `us-gov-east-1`" in finished.stderr
    assert visits == []


def test_server_that_does_not_encrypt(bench: Workbench, moto: Moto, proxy: S3Proxy, results: Results) -> None:
    """A 200 that does not say `aws:kms` is not what was asked for."""

    def silent(request: Request, answer: Answer) -> Answer:
        kept = {name: value for name, value in answer.headers.items() if "encryption" not in name.lower()}
        return Answer(answer.status, answer.body, kept)

    proxy.after = silent
    config = bench.make_config([s3_target(bench, moto, moto.bucket(), port=proxy.port)])
    finished = bench.run_export(config, results(1), "--deadline", "1s")
    assert finished.code == UNDELIVERED, finished
    assert "s3-not-encrypted" in finished.stderr or "not encrypted by KMS" in finished.stderr
    assert finished.targets["s3"]["delivered"] == 0
