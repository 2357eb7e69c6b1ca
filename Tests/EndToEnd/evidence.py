"""What went in, what came out, and whether that is the same."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox import Sandbox


def files_of(directory: Path) -> list[Path]:
    """What a file target wrote, in order: finished files, and one that a run left open."""
    return sorted(path for path in directory.glob("*.ndjson*"))


def finished(directory: Path) -> bool:
    """Whether no file is left open."""
    return not any(path.name.endswith(".open") for path in directory.iterdir())


def content(path: Path) -> bytes:
    """The lines of a file, compressed or not."""
    data = path.read_bytes()
    return gzip.decompress(data) if ".gz" in path.suffixes else data


def records(path: Path) -> list[dict[str, Any]]:
    """Every line of an NDJSON file. A torn or invalid line is a failure."""
    data = content(path)
    assert not data or data.endswith(b"\n"), f"{path} ends in a torn line: {data[-80:]!r}"
    return [json.loads(line) for line in data.splitlines()]


def uids(path: Path) -> list[str]:
    """`metadata.uid` of each line, in order."""
    return [record["metadata"]["uid"] for record in records(path)]


def probe_ids(path: Path) -> list[str]:
    """`spec.probe.id` of each line, in order: what Elasticsearch stores a record under."""
    return [record["spec"]["probe"]["id"] for record in records(path)]


def archived(directory: Path) -> list[str]:
    """`metadata.uid` of each line that a file target wrote, in order."""
    return [uid for path in files_of(directory) for uid in uids(path)]


def archived_sizes(directory: Path) -> dict[str, int]:
    """Bytes of each line that a file target wrote, by `metadata.uid`."""
    lines = [line for path in files_of(directory) for line in content(path).splitlines()]
    return {json.loads(line)["metadata"]["uid"]: len(line) for line in lines}


def assert_each_once(expected: Iterable[str], counts: Counter[str], where: str) -> None:
    """Every expected identity once, and no other."""
    wanted = set(expected)
    missing = wanted - counts.keys()
    strange = counts.keys() - wanted
    repeated = {key for key, count in counts.items() if count != 1}
    assert not (missing or strange or repeated), (
        f"{where}: {len(missing)} of {len(wanted)} missing, {len(strange)} never issued, {len(repeated)} repeated;"
        f" for example {sorted(missing)[:3]} {sorted(strange)[:3]} {sorted(repeated)[:3]}"
    )


def assert_at_least_once(expected: Iterable[str], counts: Counter[str], where: str) -> None:
    """Every expected identity, and no other; repetitions are another matter."""
    assert_each_once(expected, Counter(counts.keys()), where)


def assert_file_has_each_once(source: Path, archive: Path) -> None:
    """The file target holds every result of `source` once, unaltered."""
    lines = [record for path in files_of(archive) for record in records(path)]
    by_uid = {record["metadata"]["uid"]: record for record in lines}
    assert_each_once(uids(source), Counter(record["metadata"]["uid"] for record in lines), "file")
    for record in records(source):
        assert as_exported(record) == without_stamp(by_uid[record["metadata"]["uid"]])


def as_exported(record: dict[str, Any]) -> dict[str, Any]:
    """A result without what changes in the cluster and is therefore not exported."""
    metadata = {key: value for key, value in record["metadata"].items() if key != "resourceVersion"}
    spec = {key: value for key, value in record["spec"].items() if key != "audit"}
    return record | {"metadata": metadata, "spec": spec}


def without_stamp(record: dict[str, Any]) -> dict[str, Any]:
    """An exported record without what the exporter adds."""
    return {key: value for key, value in record.items() if key != "sidereal"}


def assert_elasticsearch_has_each_once(source: Path, sandbox: Sandbox) -> None:
    """Elasticsearch holds one document for each result of `source`."""
    assert_each_once(probe_ids(source), sandbox.stored(), "elasticsearch")


def assert_delivered_everywhere(source: Path, sandbox: Sandbox, archive: Path) -> None:
    """Nothing is missing anywhere, and nothing is there twice where that can be told."""
    assert_file_has_each_once(source, archive)
    assert_elasticsearch_has_each_once(source, sandbox)
    assert_at_least_once(uids(source), sandbox.ids("hec"), "splunk")


def duplicates(counts: Counter[str]) -> int:
    """Arrivals beyond the first of each identity."""
    return counts.total() - len(counts)


def files_with(directory: Path, needle: str) -> list[Path]:
    """Files below `directory` that hold the bytes of `needle`."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in found if needle.encode() in path.read_bytes()]
