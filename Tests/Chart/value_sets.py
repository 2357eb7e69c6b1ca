"""Values that the chart takes, one set per way of running it, and values that it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

SPLUNK: Json = {
    "name": "soc",
    "backend": "splunk",
    "format": "json",
    "endpoint": "https://splunk.example.com:8088",
    "secretRef": "splunk-hec-token",
}
SEARCH: Json = {
    "name": "search",
    "backend": "elasticsearch",
    "format": "ocsf",
    "endpoint": "https://es.example.com:9200",
    "secretRef": "elasticsearch-credentials",
}
EVIDENCE: Json = {
    "name": "evidence",
    "backend": "s3",
    "format": "ocsf",
    "endpoint": "https://s3.us-gov-west-1.amazonaws.com",
    "bucket": "audit-evidence-bucket",
    "region": "us-gov-west-1",
    "secretRef": "s3-credentials",
}
QRADAR: Json = {"backend": "syslog", "format": "leef", "endpoint": "tls://qradar.example.com", "secretRef": "qradar-ca"}
ARCHIVE: Json = {"backend": "file", "endpoint": "file:///var/lib/sidereal/archive/records"}


# Of Kubernetes: the oldest that has all kinds, and the newest whose schemas are known.
VERSIONS = ("1.30", "1.36")
# Names of sets below that tests look at for what they alone have.
ALL = "all backends and every key"
SIX = "six, csi, own issuer, OpenShift"
POD_IDENTITY = "low, pod identity, existing certificates"


def targets(*entries: Json) -> Json:
    """Values with these targets."""
    return {"export": {"targets": list(entries)}}


VALID: dict[str, Json] = {
    "minimal": targets(ARCHIVE),
    "the seed's": targets(
        {key: value for key, value in SPLUNK.items() if key != "name"},
        {key: value for key, value in SEARCH.items() if key != "name"},
        {key: value for key, value in EVIDENCE.items() if key != "name"},
    )
    | {"audit": {"failClosedOnExportFailure": True}},
    ALL: targets(
        SPLUNK
        | {
            "index": "audit",
            "source": "a",
            "sourcetype": "b",
            "host": "c",
            "acknowledge": True,
            "acknowledgeTimeout": "2m",
        }
        | {"batch": {"maxRecords": 1000, "maxBytes": "500kB", "maxAge": "2s"}, "concurrency": {"min": 2, "max": 8}}
        | {"retry": {"initial": "1s", "max": "1m", "window": "12h"}, "timeout": 30, "compression": "none"}
        | {"tls": {"serverName": "splunk"}, "proxy": "http://proxy.example.com:3128"},
        SEARCH | {"format": "json", "dataStream": "logs-sidereal", "setup": True, "proxy": "none"},
        EVIDENCE
        | {"prefix": "audit/sidereal", "kmsKeyId": "alias/audit", "kmsContext": {"a": "b"}, "retentionDays": 1095}
        | {"addressing": "path", "expectedBucketOwner": "123456789012", "credentials": "secret", "format": "cef"}
        | {"vendor": "Sidereal", "product": "Probes", "cefVersion": 1},
        QRADAR | {"facility": 10, "appName": "probes", "grace": "1s", "vendor": "Sidereal"},
        QRADAR | {"name": "relay", "format": "syslog", "enterpriseId": 32473, "maxMessageBytes": "8KiB"},
        ARCHIVE | {"maxFileBytes": 1048576, "maxFileAge": "1h", "gzip": True, "name": "own.archive"},
    )
    | {
        "global": {"impactLevel": "high", "clusterName": "prod-east"},
        "audit": {"failureThreshold": 3, "ageLimit": "10m", "resumeOn": "recovery", "retentionDays": 400},
        "limits": {"maxRecordBytes": "2MiB", "maxQueuedBytesPerTarget": 33554432},
        "cluster": {
            "shards": 512,
            "lease": {"duration": "30s", "renewDeadline": "20s", "retryPeriod": "4s"},
            "workerLease": "20s",
            "releaseDeadline": 10,
            "windowBytes": "32MiB",
        },
        "monitoring": {key: {"enabled": True} for key in ("serviceMonitor", "prometheusRule", "dashboard")},
        "autoscaling": {
            "enabled": True,
            "minReplicas": 3,
            "maxReplicas": 12,
            "selector": {"namespace": "sidereal-system"},
        },
        "crds": {"install": True},
        "x-own": {"kept": True},
    },
    "sections that are taken away": targets(QRADAR) | {"audit": None, "limits": None, "cluster": None},
    "irsa": targets({key: value for key, value in EVIDENCE.items() if key not in ("secretRef", "endpoint")})
    | {"aws": {"credentials": "irsa", "roleArn": "arn:aws-us-gov:iam::123456789012:role/sidereal"}}
    | {"worker": {"replicas": 4, "antiAffinity": "hard", "storage": {"size": "8Gi", "className": "gp3"}}},
    "moderate": targets(SPLUNK) | {"global": {"impactLevel": "moderate"}, "certificates": {"mode": "selfSigned"}},
    "moderate and closed": targets(SPLUNK)
    | {"global": {"impactLevel": "moderate"}, "audit": {"failClosedOnExportFailure": True}},
    POD_IDENTITY: targets(EVIDENCE | {"secretRef": None, "credentials": "podIdentity"})
    | {"global": {"impactLevel": "low"}, "aws": {"credentials": "podIdentity"}}
    | {"certificates": {"mode": "existing", "existing": {"coordinatorSecret": "their-c", "workerSecret": "their-w"}}}
    | {
        "networkPolicy": {
            "apiServerCIDRs": ["10.0.0.1/32"],
            "apiServerPorts": [6443],
            "targetCIDRs": ["192.0.2.0/24"],
            # NodeLocal DNSCache.
            "dns": {"cidrs": ["169.254.20.10/32", "10.96.0.10/32"]},
        }
    },
    SIX: targets(SEARCH, ARCHIVE)
    | {"ipFamily": "IPv6", "security": {"runAsUser": None, "fsGroup": None}}
    | {"certificates": {"mode": "certManagerCSI", "issuer": {"name": "agency", "kind": "ClusterIssuer"}}}
    | {
        "networkPolicy": {
            "dns": {
                "namespace": "openshift-dns",
                "podLabels": {"k8s-app": None, "dns.operator.openshift.io/daemonset-dns": "default"},
                "ports": [5353],
            }
        }
    }
    | {"image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]}}
    | {"worker": {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}], "minAvailable": "50%"}},
}


def without_none(values: Json) -> Json:
    """Values without the keys of targets that are None: in lists helm takes nothing away."""
    entries = [
        {key: value for key, value in entry.items() if value is not None} for entry in values["export"]["targets"]
    ]
    return values | {"export": {"targets": entries}}


VALID = {name: without_none(values) for name, values in VALID.items()}


@dataclass(frozen=True)
class Wrong:
    """Values that are refused."""

    values: Json
    says: str
    """Part of what the chart says."""
    by_program: bool = True
    """Whether the program refuses them as well; else they concern the chart alone."""


def splunk(**keys: Any) -> Json:
    """Values with a target splunk that has these keys besides; None takes one away."""
    return without_none(targets(SPLUNK | keys))


def s3(**keys: Any) -> Json:
    """The same with a target s3."""
    return without_none(targets(EVIDENCE | keys))


INVALID: dict[str, Wrong] = {
    "no targets": Wrong(targets(), "export.targets"),
    "an unknown section": Wrong(splunk() | {"exports": {}}, "exports"),
    "an unknown key of global": Wrong(splunk() | {"global": {"impactLevl": "high"}}, "impactLevl"),
    "an impact level": Wrong(splunk() | {"global": {"impactLevel": "severe"}}, "global.impactLevel"),
    "an unknown key of audit": Wrong(splunk() | {"audit": {"failClosed": True}}, "failClosed"),
    "a word for a flag": Wrong(splunk() | {"audit": {"failClosedOnExportFailure": "yes"}}, "failClosedOnExportFailure"),
    "resumeOn": Wrong(splunk() | {"audit": {"resumeOn": "never"}}, "audit.resumeOn"),
    "no failures": Wrong(splunk() | {"audit": {"failureThreshold": 0}}, "audit.failureThreshold"),
    "an age": Wrong(splunk() | {"audit": {"ageLimit": "5s"}}, "audit.ageLimit is 5s"),
    "no retention": Wrong(splunk() | {"audit": {"retentionDays": 0}}, "audit.retentionDays"),
    "without TLS": Wrong(splunk(endpoint="http://splunk.example.com") | {"tls": {"required": False}}, "tls.required"),
    "a backend": Wrong(splunk(backend="kafka"), "export.targets.0.backend"),
    "no backend": Wrong(splunk(backend=None), "backend"),
    "a format": Wrong(splunk(format="xml"), "export.targets.0.format"),
    "plain http": Wrong(splunk(endpoint="http://splunk.example.com:8088"), "export.targets.0.endpoint"),
    "a user in the address": Wrong(
        splunk(endpoint="https://me:secret@splunk.example.com"), "export.targets.0.endpoint"
    ),
    "a query": Wrong(splunk(endpoint="https://splunk.example.com?a=b"), "export.targets.0.endpoint"),
    "a port": Wrong(splunk(endpoint="https://splunk.example.com:99999"), "export.targets.0.endpoint"),
    "no address": Wrong(splunk(endpoint="https://10.0.0"), "export.targets.0.endpoint"),
    "its own path": Wrong(splunk(endpoint="https://s.example.com/services/collector"), "export.targets.0.endpoint"),
    "no endpoint": Wrong(splunk(endpoint=None), "endpoint"),
    "no token": Wrong(splunk(secretRef=None), "secretRef"),
    "a path as a secret": Wrong(splunk(secretRef="../token"), "export.targets.0.secretRef"),
    "credentials": Wrong(splunk(token="secret"), "token"),
    "a key of another backend": Wrong(splunk(bucket="b"), "bucket"),
    "a key of another format": Wrong(splunk(cefVersion=1), "cef"),
    "a name": Wrong(splunk(name="soc/1"), "export.targets.0.name"),
    "two of a name": Wrong(targets(SPLUNK, SEARCH | {"name": "soc"}), "soc is the name of another target"),
    "a duration": Wrong(splunk(timeout="1 minute"), "export.targets.0.timeout"),
    "a long time": Wrong(splunk(timeout="2h"), "timeout is 2h"),
    "a short time": Wrong(splunk(timeout="50ms"), "timeout is 50ms"),
    "seconds": Wrong(splunk(timeout=4000), "timeout is 4000"),
    "a size": Wrong(splunk(batch={"maxBytes": "16Mi"}), "export.targets.0.batch.maxBytes"),
    "a large batch": Wrong(splunk(batch={"maxBytes": "20MiB"}), "more than limits.maxQueuedBytesPerTarget"),
    "an empty batch": Wrong(splunk(batch={"maxRecords": 0}), "export.targets.0.batch.maxRecords"),
    "an unknown key of batch": Wrong(splunk(batch={"size": 1}), "size"),
    "concurrency": Wrong(splunk(concurrency={"min": 2}), "concurrency.min is above"),
    "retries": Wrong(splunk(retry={"initial": "10m"}), "retry has initial 10m, more than max 5m"),
    "a window": Wrong(splunk(retry={"window": "1m"}), "retry has max 5m, more than window 1m"),
    "a late acknowledgement": Wrong(splunk(acknowledgeTimeout="1m"), "acknowledge"),
    "a compression": Wrong(splunk(compression="zstd"), "export.targets.0.compression"),
    "unverified TLS": Wrong(splunk(tls={"insecureSkipVerify": True}), "insecureSkipVerify"),
    "a proxy": Wrong(splunk(proxy="proxy:3128"), "export.targets.0.proxy"),
    "an index": Wrong(targets(SEARCH | {"index": "Audit"}), "export.targets.0.index"),
    "index and data stream": Wrong(targets(SEARCH | {"index": "a", "dataStream": "b"}), "export.targets.0"),
    "an open search": Wrong(without_none(targets(SEARCH | {"secretRef": None})), "export.targets.0"),
    "no bucket": Wrong(s3(bucket=None), "bucket"),
    "a bucket": Wrong(s3(bucket="Audit_Evidence"), "export.targets.0.bucket"),
    "an address as a bucket": Wrong(s3(bucket="10.0.0.1"), "export.targets.0.bucket"),
    "a path of S3": Wrong(s3(endpoint="https://s3.us-gov-west-1.amazonaws.com/bucket"), "export.targets.0.endpoint"),
    "no region": Wrong(s3(endpoint="https://minio.example.com", region=None), "region is missing"),
    "neither region nor endpoint": Wrong(s3(endpoint=None, region=None), "export.targets.0"),
    "two regions": Wrong(s3(region="us-east-1"), "us-gov-west-1"),
    "no FIPS endpoint": Wrong(s3() | {"global": {"fips": True}}, "is no FIPS endpoint"),
    "a region without FIPS": Wrong(s3(endpoint=None, region="eu-west-1") | {"global": {"fips": True}}, "FIPS"),
    "an account": Wrong(s3(expectedBucketOwner="1234"), "export.targets.0.expectedBucketOwner"),
    "an account as a number": Wrong(s3(expectedBucketOwner=123456789012), "export.targets.0.expectedBucketOwner"),
    "short retention": Wrong(s3(retentionDays=30), "fewer than audit.retentionDays, 365"),
    "a prefix": Wrong(s3(prefix="/audit"), "export.targets.0.prefix"),
    "a hidden prefix": Wrong(s3(prefix="audit/../other"), "export.targets.0.prefix"),
    "credentials of a secret": Wrong(s3(credentials="secret", secretRef=None), "secretRef"),
    "dots and virtual hosts": Wrong(s3(bucket="audit.evidence", addressing="virtual"), "export.targets.0.bucket"),
    "UDP": Wrong(targets(QRADAR | {"endpoint": "udp://qradar.example.com:514"}), "export.targets.0.endpoint"),
    "a path of syslog": Wrong(
        targets(QRADAR | {"endpoint": "tls://qradar.example.com/a"}), "export.targets.0.endpoint"
    ),
    "compressed syslog": Wrong(targets(QRADAR | {"compression": "gzip"}), "export.targets.0.compression"),
    "a facility": Wrong(targets(QRADAR | {"facility": 24}), "export.targets.0.facility"),
    "an application": Wrong(targets(QRADAR | {"appName": "a b"}), "export.targets.0.appName"),
    "a message": Wrong(targets(QRADAR | {"format": "syslog", "maxMessageBytes": 100}), "maxMessageBytes is 100"),
    "a relative directory": Wrong(targets(ARCHIVE | {"endpoint": "file://archive"}), "export.targets.0.endpoint"),
    "a directory that climbs": Wrong(
        targets(ARCHIVE | {"endpoint": "file:///var/lib/sidereal/archive/../../etc"}), "export.targets.0.endpoint"
    ),
    "many writers of a file": Wrong(targets(ARCHIVE | {"concurrency": {"max": 2}}), "export.targets.0.concurrency.max"),
    "one directory twice": Wrong(targets(ARCHIVE, ARCHIVE | {"name": "b"}), "is the directory of another target"),
    "a small file": Wrong(targets(ARCHIVE | {"maxFileBytes": "1kB"}), "maxFileBytes is 1kB"),
    "shards": Wrong(splunk() | {"cluster": {"shards": 5000}}, "cluster.shards"),
    "a lease": Wrong(splunk() | {"cluster": {"lease": {"duration": "10s"}}}, "duration > renewDeadline"),
    "a slow renewal": Wrong(splunk() | {"cluster": {"lease": {"retryPeriod": "9s"}}}, "1.2 x retryPeriod"),
    "an endless lease": Wrong(splunk() | {"cluster": {"lease": {"duration": "1h"}}}, "cluster.lease.duration is 1h"),
    "a worker's lease": Wrong(splunk() | {"cluster": {"workerLease": "3m"}}, "cluster.workerLease is 3m"),
    "a window of bytes": Wrong(splunk() | {"cluster": {"windowBytes": "1kB"}}, "cluster.windowBytes is 1kB"),
    "an unknown key of cluster": Wrong(splunk() | {"cluster": {"leases": {}}}, "leases"),
    "records": Wrong(splunk() | {"limits": {"maxRecordBytes": "1kB"}}, "limits.maxRecordBytes is 1kB"),
    "records above the queue": Wrong(
        splunk(batch={"maxBytes": "1MB"}) | {"limits": {"maxRecordBytes": "3MiB", "maxQueuedBytesPerTarget": "2MiB"}},
        "a queue must hold at least one record",
    ),
    # Bytes, where the schema counts characters: an umlaut has two.
    "bytes of clusterName": Wrong(
        splunk() | {"global": {"clusterName": "ü" * 127}}, "global.clusterName has 254 bytes, more than 253"
    ),
    "bytes of index": Wrong(splunk(index="ü" * 128), "index has 256 bytes, more than 255"),
    "bytes of source": Wrong(splunk(source="ü" * 128), "source has 256 bytes, more than 255"),
    "bytes of sourcetype": Wrong(splunk(sourcetype="ü" * 128), "sourcetype has 256 bytes, more than 255"),
    "bytes of host": Wrong(splunk(host="ü" * 128), "host has 256 bytes, more than 255"),
    "bytes of vendor": Wrong(splunk(format="cef", vendor="ü" * 32), "vendor has 64 bytes, more than 63"),
    "bytes of product": Wrong(splunk(format="cef", product="ü" * 32), "product has 64 bytes, more than 63"),
    "bytes of endpoint": Wrong(
        splunk(endpoint="https://splunk.example.com/" + "a" * 2022), "endpoint has 2049 bytes, more than 2048"
    ),
    "bytes of proxy": Wrong(splunk(proxy=f"http://{'a.' * 1019}a:80"), "proxy has 2049 bytes, more than 2048"),
    "bytes of prefix": Wrong(s3(prefix="ü" * 257), "prefix has 514 bytes, more than 512"),
    "bytes of kmsKeyId": Wrong(s3(kmsKeyId="a" * 2049), "kmsKeyId has 2049 bytes, more than 2048"),
    "bytes of a context": Wrong(s3(kmsContext={"a": "ü" * 129}), "kmsContext.a has 258 bytes, more than 256"),
    "bytes of all the context": Wrong(
        s3(kmsContext={f"{index}": "a" * 256 for index in range(8)}), "kmsContext has 2056 bytes in all, more than 2048"
    ),
    "no value of a context": Wrong(s3(kmsContext={"a": ""}), "export.targets.0.kmsContext.a"),
    "two lines": Wrong(splunk(source="a\nb"), "source holds a line break"),
    "two lines of a context": Wrong(s3(kmsContext={"a": "b\nc"}), "kmsContext.a holds a line break"),
    "a control character": Wrong(
        splunk() | {"global": {"clusterName": "a\u0085b"}}, "global.clusterName holds a line break or another control"
    ),
    "a long key of S3": Wrong(
        s3(prefix="a" * 106) | {"global": {"clusterName": "a" * 253}}, "prefix of 106 bytes, with three times the 253"
    ),
    # What only the chart knows.
    "what the chart sets": Wrong(splunk() | {"cluster": {"listen": "0.0.0.0:1"}}, "listen", by_program=False),
    "a runbook that is no address": Wrong(
        splunk() | {"monitoring": {"prometheusRule": {"runbookURL": "docs/runbook.md"}}},
        "monitoring.prometheusRule.runbookURL",
        by_program=False,
    ),
    "outside of the volume": Wrong(
        targets(ARCHIVE | {"endpoint": "file:///srv/records"}), "outside of worker.files.mountPath", by_program=False
    ),
    "S3 without credentials": Wrong(s3(secretRef=None), "aws.credentials is none", by_program=False),
    "IRSA that is not there": Wrong(s3(credentials="irsa"), "aws.credentials is none", by_program=False),
    "IRSA without a role": Wrong(s3() | {"aws": {"credentials": "irsa"}}, "aws.roleArn is missing", by_program=False),
    "names from nowhere": Wrong(
        splunk() | {"networkPolicy": {"dns": {"ports": []}}}, "networkPolicy.dns.ports", by_program=False
    ),
    "a name for an address": Wrong(
        splunk() | {"networkPolicy": {"dns": {"cidrs": ["kube-dns"]}}}, "networkPolicy.dns.cidrs", by_program=False
    ),
    "no certificates": Wrong(
        splunk() | {"certificates": {"mode": "existing"}}, "certificates.existing", by_program=False
    ),
    "half an authority": Wrong(
        splunk() | {"certificates": {"mode": "selfSigned", "selfSigned": {"caKey": "x"}}},
        "selfSigned",
        by_program=False,
    ),
    "a mode": Wrong(splunk() | {"certificates": {"mode": "none"}}, "certificates.mode", by_program=False),
    "scaling backwards": Wrong(splunk() | {"autoscaling": {"minReplicas": 9}}, "minReplicas", by_program=False),
    "coordinators that never leave": Wrong(
        splunk() | {"coordinator": {"minAvailable": 3}}, "coordinator.minAvailable is 3 of 3", by_program=False
    ),
    "workers that never leave": Wrong(
        splunk() | {"worker": {"minAvailable": "100%"}}, "worker.minAvailable is 100% of 2", by_program=False
    ),
    # 51 % of two is two.
    "a share that is rounded up": Wrong(
        splunk() | {"worker": {"minAvailable": "51%"}}, "worker.minAvailable is 51% of 2", by_program=False
    ),
    "the only worker": Wrong(
        splunk() | {"worker": {"replicas": 1, "minAvailable": "1%"}}, "worker.minAvailable is 1% of 1", by_program=False
    ),
    "as few as scaling leaves": Wrong(
        splunk() | {"worker": {"replicas": 9, "minAvailable": 2}, "autoscaling": {"enabled": True}},
        "worker.minAvailable is 2 of 2",
        by_program=False,
    ),
    "a misspelt key": Wrong(splunk() | {"worker": {"replica": 3}}, "replica", by_program=False),
}
