"""What is measured: which targets, how spoken to, by which processes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from members import TOKEN, Members

BACKENDS = ("elasticsearch", "splunk", "s3", "syslog", "file")
THREE = ("elasticsearch", "splunk", "file")
SERVICES = {"elasticsearch": "elasticsearch", "splunk": "hec", "s3": "s3", "syslog": "syslog"}
"""What the sink calls what a configuration calls otherwise."""


@dataclass(frozen=True)
class Case:
    """One row."""

    targets: tuple[str, ...] = ("elasticsearch",)
    packed: bool = True
    tls: bool = False
    """Of the receivers."""
    workers: int = 0
    """None is one process, `run`."""
    mutual: bool = True
    """Members of the cluster speak over mutual TLS, not plainly."""
    batch: int = 0
    """Records of a batch at the most; 0 is the default of the backend."""

    @property
    def name(self) -> str:
        """As it stands in tables, and as `--only` looks for it."""
        what = "three targets" if self.targets == THREE else " + ".join(self.targets)
        words = [what]
        if self.targets != ("syslog",):
            words.append("gzip" if self.packed else "plain")
        if self.tls:
            words.append("TLS")
        if self.workers:
            members = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
            words.append(members + ("" if self.mutual else " over plain TCP"))
        if self.batch:
            words.append(f"batches of {self.batch}")
        return ", ".join(words)

    @property
    def services(self) -> list[str]:
        """Receivers that the sink counts for."""
        return [SERVICES[target] for target in self.targets if target in SERVICES]

    def but(self, **changes: object) -> Case:
        """The same with changes."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def all_cases(workers: list[int]) -> list[Case]:
    """Those of `make bench`."""
    cases = [Case((backend,), packed=packed, tls=tls) for backend in ("elasticsearch", "splunk", "s3")
             for tls in (False, True) for packed in (True, False)]
    cases += [Case(("syslog",), tls=tls) for tls in (False, True)]
    cases += [Case(("file",), packed=packed) for packed in (False, True)]
    cases += [Case(THREE), Case(THREE, tls=True)]
    if workers:
        cases.append(Case(workers=workers[0], mutual=False))
        cases += [Case(workers=number) for number in workers]
        several = 2 if 2 in workers else workers[-1]
        cases += [Case((backend,), packed=backend != "file", workers=several) for backend in BACKENDS[1:]]
        cases.append(Case(THREE, workers=several))
    return cases


def configure(members: Members, case: Case, *, steady: bool = False) -> None:
    """Writes configuration and secrets for the targets of `case`, whose sink listens.

    For a `steady` stream no batch waits longer than a second, not even for S3, where it may be a minute.
    """
    keys: dict[str, dict[str, str]] = {
        "splunk": {"token": TOKEN}, "s3": {"accessKeyId": "nobody", "secretAccessKey": "nothing"},
        "elasticsearch": {"username": "nobody", "password": "nothing"}, "syslog": {}}
    authority = members.authority.read_text() if members.authority else None
    for name, secret in keys.items():
        place = members.directory / "secrets" / name
        place.mkdir(parents=True, exist_ok=True)
        for key, value in (secret | ({"ca.crt": authority} if authority else {})).items():
            (place / key).write_text(value)
    members.write([_target(members, case, backend, steady) for backend in case.targets])


def _target(members: Members, case: Case, backend: str, steady: bool) -> dict[str, object]:
    target: dict[str, object] = {"name": backend, "backend": backend}
    if backend == "file":
        # Under a name of its own for each of several workers.
        target |= {"endpoint": f"file://{output(members)}", "gzip": case.packed and len(case.targets) == 1}
    else:
        plain, secure = ("tcp", "tls") if backend == "syslog" else ("http", "https")
        port = members.ports[SERVICES[backend]]
        target["endpoint"] = f"{secure if case.tls else plain}://127.0.0.1:{port}"
        if backend != "syslog" or case.tls:
            target["secretRef"] = backend
        if backend != "syslog" and not case.packed:
            target["compression"] = "none"
    if backend == "s3":
        target |= {"region": "us-east-1", "bucket": "bench"}
    batch: dict[str, object] = {"maxAge": "1s"} if steady and backend == "s3" else {}
    if batch or case.batch:
        target["batch"] = batch | ({"maxRecords": case.batch} if case.batch else {})
    return target


def output(members: Members) -> Path:
    """Where file targets write."""
    return members.directory / "out"
