"""AWS on loopback: moto with its checks of signatures and permissions on, and what the tests look at in there."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from exporter import Target, Workbench
from ports import free_port

REGION = "us-gov-west-1"
START_SECONDS = 60.0
# What docs/delivery.md tells users to allow.
ACTIONS = (
    "s3:PutObject",
    "s3:PutObjectRetention",
    "s3:GetObject",
    "s3:GetObjectRetention",
    "s3:AbortMultipartUpload",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
)
# Moto takes the question for Object Lock for a listing.
MOTO_ACTIONS = (*ACTIONS, "s3:ListBucket")


@dataclass(frozen=True)
class Keys:
    """An access key, and the session token that goes with a temporary one."""

    id: str
    secret: str
    token: str | None = None


def policy(*actions: str, effect: str = "Allow") -> str:
    """A policy document for all resources."""
    statement = [{"Effect": effect, "Action": list(actions), "Resource": "*"}]
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


class Moto:
    """A running server, with an administrator and an exporter that may do what the documentation says."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "moto.log"
        # Everything is allowed until the administrator exists.
        environment = os.environ | {
            "INITIAL_NO_AUTH_ACTION_COUNT": "1000000",
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "false",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        self._buckets = 0
        self.admin = Keys("nobody", "nobody")
        try:
            self._await()
            self.admin = self._user("admin", "*")
            self.exporter = self._user("exporter", *MOTO_ACTIONS)
            self._post("/moto-api/reset-auth", b"0")
        except BaseException:
            self.close()
            raise
        key: dict[str, Any] = self.client("kms").create_key()
        self.kms_key: str = key["KeyMetadata"]["Arn"]

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def client(self, service: str, keys: Keys | None = None, *, port: int | None = None) -> Any:
        """A client of `service`, of the administrator's or with `keys`, perhaps through a proxy."""
        keys = keys or self.admin
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port or self.port}",
            region_name=REGION,
            aws_access_key_id=keys.id,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.token,
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        )

    def user(self, name: str, *actions: str) -> Keys:
        """A new user who may do `actions`."""
        return self._user(name, *actions)

    def role(self, name: str, *actions: str) -> str:
        """A new role that may do `actions`; its ARN."""
        iam = self.client("iam")
        trust = policy("sts:AssumeRoleWithWebIdentity")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*actions))
        return arn

    def bucket(self, *, locked: bool = True, name: str | None = None) -> str:
        """A new bucket; a lock brings versioning with it."""
        self._buckets += 1
        name = name or f"audit-{self._buckets}"
        s3 = self.client("s3")
        location = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked, CreateBucketConfiguration=location)
        return name

    def lock(self, bucket: str) -> None:
        """Turns Object Lock and versioning on for a bucket that has neither."""
        s3 = self.client("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})

    def _user(self, name: str, *actions: str) -> Keys:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*actions))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(made["AccessKeyId"], made["SecretAccessKey"])

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.url + "/moto-api/", timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"moto did not start:\n{self._log.read_text()[-4000:]}") from None
                time.sleep(0.1)

    def _post(self, path: str, body: bytes) -> None:
        # As a form the body would be taken apart.
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=30):
            pass


def s3_target(bench: Workbench, moto: Moto, bucket: str, *, port: int | None = None, **settings: Any) -> Target:
    """A target `s3` on loopback; the exporter's keys are written into its secret."""
    if "secretRef" not in settings:
        put_keys(bench, moto.exporter)
    target: Target = {
        "name": "s3",
        "backend": "s3",
        "format": "json",
        "endpoint": f"http://127.0.0.1:{port or moto.port}",
        "region": REGION,
        "bucket": bucket,
        "secretRef": "aws",
        "kmsKeyId": moto.kms_key,
        "retry": {"initial": "200ms", "max": "1s", "window": "24h"},
    } | settings
    return {key: value for key, value in target.items() if value is not None}


def put_keys(bench: Workbench, keys: Keys, ref: str = "aws") -> None:
    """Writes keys into a secret."""
    bench.secret(ref, "accessKeyId", keys.id)
    bench.secret(ref, "secretAccessKey", keys.secret)
    if keys.token:
        bench.secret(ref, "sessionToken", keys.token)


def object_keys(moto: Moto, bucket: str) -> list[str]:
    """The keys of all objects."""
    pages = moto.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def stored_records(moto: Moto, bucket: str) -> list[dict[str, Any]]:
    """Every record of every object. Each object's name must tell the truth about its content."""
    found: list[dict[str, Any]] = []
    for key in object_keys(moto, bucket):
        # Boto decompresses nothing by itself.
        body = moto.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        plain = gzip.decompress(body) if key.endswith(".gz") else body
        assert hashlib.sha256(plain).hexdigest() in key
        assert plain.endswith(b"\n")
        found += [json.loads(line) for line in plain.splitlines()]
    return found


def stored_uids(moto: Moto, bucket: str) -> Counter[str]:
    """How often each `metadata.uid` is there."""
    return Counter(record["metadata"]["uid"] for record in stored_records(moto, bucket))


@contextmanager
def environment(bench: Workbench, **variables: str) -> Iterator[None]:
    """Sets variables that the program gets."""
    before = dict(bench.environment)
    bench.environment.update(variables)
    try:
        yield
    finally:
        bench.environment = before
