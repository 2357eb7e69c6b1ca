"""The API server's own record of who asked it for what, and what it answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# Of service accounts only: the tests' own requests are made by an administrator.
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


@dataclass(frozen=True)
class Asked:
    """A request that has been answered."""

    user: str
    verb: str
    resource: str
    """Plural and group, such as `leases.coordination.k8s.io`."""
    name: str
    code: int
    began: datetime
    ended: datetime


class AuditLog:
    """Where a server writes it that is started with `options`; over all its starts."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "audit.log"
        policy = directory / "audit-policy.json"
        policy.write_text(json.dumps(POLICY))  # JSON is YAML.
        self.options = [f"--audit-policy-file={policy}", f"--audit-log-path={self._log}"]

    def read(self) -> list[Asked]:
        """All requests so far, in the order of their answers. A line that a crash has cut off is left out."""
        found = []
        for line in self._log.read_text().splitlines():
            try:
                entry: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            about = entry.get("objectRef", {})
            resource = ".".join(part for part in (about.get("resource", ""), about.get("apiGroup", "")) if part)
            found.append(
                Asked(
                    user=entry["user"]["username"],
                    verb=entry["verb"],
                    resource=resource or entry["requestURI"],
                    name=about.get("name", ""),
                    code=entry.get("responseStatus", {}).get("code", 0),
                    began=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
                    ended=datetime.fromisoformat(entry["stageTimestamp"]),
                )
            )
        return found
