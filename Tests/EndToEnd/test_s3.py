"""S3 as it is meant to go: what arrives, how it is protected, and that it arrives once."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aws import Moto, object_keys, s3_target, stored_records, stored_uids
from botocore.exceptions import ClientError
from evidence import as_exported, assert_each_once, records, uids, without_stamp
from exporter import OK, Workbench

KEY = re.compile(
    r"sidereal-proberesults/cluster=prod%2Feast/dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)"
    r"/0000-(\d{8}T\d{9}Z)-[0-9a-f]{64}\.ndjson\.gz"
)


def test_everything_arrives_locked_and_encrypted(
    bench: Workbench, moto: Moto, results: Callable[[int], Path]
) -> None:
    """Each record once and unaltered, in objects that are locked, encrypted, checksummed and named as promised."""
    source = results(2_000)
    bucket = moto.bucket()
    target = s3_target(bench, moto, bucket, batch={"maxRecords": 700})
    sections = {"global": {"clusterName": "prod/east"}}
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
