"""What the program says about a configuration."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

# Every key that a secret of any backend may need.
SECRET_KEYS = ("token", "username", "password", "accessKeyId", "secretAccessKey")
# The program's sections of the values.
SECTIONS = ("global", "audit", "tls", "export", "limits", "cluster")


def mistakes(program: Path, directory: Path, config: Json) -> list[str]:
    """What `validate` finds, as `key: message`."""
    secrets = directory / "secrets"
    for target in config.get("export", {}).get("targets", []):
        reference = target.get("secretRef")
        if isinstance(reference, str) and "/" not in reference:
            (secrets / reference).mkdir(parents=True, exist_ok=True)
            for key in SECRET_KEYS:
                (secrets / reference / key).write_text("a-secret")
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    command: list[str | Path] = [program, "validate", "--config", file, "--secrets", secrets, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    answer = json.loads(run.stdout)
    assert (run.returncode == 0) == answer["valid"] == (not answer["problems"]), run.stdout
    return [f"{each['key']}: {each['message']}" for each in answer["problems"]]
