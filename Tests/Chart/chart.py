"""Renders the Helm chart: by helm where there is one, else by the renderer beside this file."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "sidereal-export"
RENDERER = ROOT / ".make" / "chart-renderer"
SOURCE = Path(__file__).parent / "renderer" / "main.go"
# Where Debian has its Go libraries.
GO_LIBRARIES = "/usr/share/gocode"
NAMESPACE = "sidereal-system"
RELEASE = "sidereal"
KUBERNETES = "v1.31.0"
HELM = shutil.which("helm")


class Refused(Exception):
    """The chart does not take these values; what it says about them."""


@dataclass(frozen=True)
class Rendered:
    """What would be installed."""

    manifests: list[Json]
    notes: str

    def all(self, kind: str) -> list[Json]:
        """The manifests of a kind."""
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Json:
        """The manifest with this name."""
        found = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        assert len(found) == 1, (
            f"{kind} {name}: {len(found)}; there are {[e['metadata']['name'] for e in self.all(kind)]}"
        )
        return found[0]

    @property
    def config(self) -> Json:
        """The program's configuration."""
        data = self.one("ConfigMap", "sidereal-export")["data"]
        document: Json = yaml.safe_load(data["sidereal.yaml"])
        return document


def pods(chart: Rendered) -> Iterator[tuple[str, Json]]:
    """The pod templates by role."""
    yield "coordinator", chart.one("Deployment", "sidereal-export-coordinator")["spec"]["template"]
    yield "worker", chart.one("StatefulSet", "sidereal-export-worker")["spec"]["template"]


def defaults() -> Json:
    """values.yaml."""
    values: Json = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def merged(base: Json, over: Json) -> Json:
    """As helm merges values: maps by key, everything else replaced, null takes a key away."""
    values = copy.deepcopy(base)
    for key, value in over.items():
        if value is None:
            values.pop(key, None)
        elif isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] = merged(values[key], value)
        else:
            values[key] = copy.deepcopy(value)
    return values


def render(
    values: Json, kubernetes: str = KUBERNETES, objects: Sequence[Json] = (), api_versions: Sequence[str] = ()
) -> Rendered:
    """Renders with these values over the chart's own; ``Refused`` if it does not take them.

    With `objects`, as an upgrade in a cluster where they are; for that helm would have to have one. `api_versions` are
    kinds that the cluster knows besides, such as `cilium.io/v2/CiliumNetworkPolicy`.
    """
    if HELM and not objects:
        return _by_helm(values, kubernetes, api_versions)
    return _by_renderer(values, kubernetes, objects, api_versions)


def _by_helm(values: Json, kubernetes: str, api_versions: Sequence[str]) -> Rendered:
    assert HELM
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        command = [HELM, "template", RELEASE, str(CHART), f"--namespace={NAMESPACE}"]
        command += [f"--values={file}", f"--kube-version={kubernetes}"]
        command += [f"--api-versions={version}" for version in api_versions]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise Refused(run.stderr)
    # Notes it shows only to those who install.
    return Rendered(list(_documents(run.stdout)), _by_renderer(values, kubernetes, (), api_versions).notes)


def _by_renderer(values: Json, kubernetes: str, objects: Sequence[Json], api_versions: Sequence[str]) -> Rendered:
    whole = merged(defaults(), values)
    schema = json.loads((CHART / "values.schema.json").read_text())
    mistakes = sorted(_mistakes(jsonschema.Draft7Validator(schema).iter_errors(whole)))
    if mistakes:
        raise Refused("values don't meet the specifications of the schema:\n" + "\n".join(mistakes))
    request = {
        "values": whole,
        "kubeVersion": kubernetes,
        "apiVersions": ["v1", "apps/v1", "batch/v1", *api_versions],
        "objects": list(objects),
        "release": {
            "Name": RELEASE,
            "Namespace": NAMESPACE,
            "Service": "Helm",
            "Revision": 2 if objects else 1,
            "IsInstall": not objects,
            "IsUpgrade": bool(objects),
        },
    }
    run = subprocess.run([renderer(), CHART], input=json.dumps(request), capture_output=True, text=True, check=True)
    answer = json.loads(run.stdout)
    if "error" in answer:
        raise Refused(answer["error"])
    texts: dict[str, str] = answer["texts"]
    notes = texts.pop("templates/NOTES.txt")
    return Rendered([document for name in sorted(texts) for document in _documents(texts[name])], notes)


def _mistakes(errors: Iterator[jsonschema.ValidationError]) -> Iterator[str]:
    """Errors with their places, of alternatives the one that says most."""
    for error in errors:
        best = jsonschema.exceptions.best_match([error])
        place = ".".join(str(part) for part in best.absolute_path) or "(root)"
        yield f"{place}: {best.message}"


def _documents(text: str) -> Iterator[Json]:
    for document in yaml.safe_load_all(text):
        if document is not None:
            yield document


@functools.cache
def renderer() -> Path:
    """The built renderer."""
    if not RENDERER.exists() or RENDERER.stat().st_mtime < SOURCE.stat().st_mtime:
        RENDERER.parent.mkdir(exist_ok=True)
        draft = RENDERER.with_suffix(f".{os.getpid()}")
        environment = os.environ | {"GO111MODULE": "off", "GOPATH": GO_LIBRARIES, "GOFLAGS": ""}
        subprocess.run(["go", "build", "-o", draft, SOURCE], env=environment, check=True)
        draft.rename(RENDERER)
    return RENDERER
