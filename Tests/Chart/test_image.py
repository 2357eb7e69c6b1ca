"""The image and the composition for a laptop, as far as they can be had without an engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from chart import ROOT, Rendered, defaults
from exporter import wait_until
from image import DEPLOY, REMAINS, SNAPSHOT, USER, Composition, Dockerfile, Image, scratch


@pytest.fixture(scope="module")
def image(program: Path) -> Iterator[Image]:
    """The image's files."""
    directory = scratch()
    try:
        yield Image(directory, program)
    finally:
        shutil.rmtree(directory)


def test_every_library_of_the_program_is_there(image: Image) -> None:
    assert image.libraries, "the loader says nothing"
    assert [name for name, place in image.libraries.items() if not place] == []
    for name in ("libcurl", "libssl", "libcrypto", "libsqlite3", "libisal", "libyaml-0"):
        assert any(library.startswith(name + ".so") for library in image.libraries), name
    # Swift's own are within the program.
    assert not [name for name in image.libraries if name.lower().startswith("libswift") or "Foundation" in name]


def test_the_program_is_small(program: Path) -> None:
    """Below 40 MB without symbols: what would bring Foundation back, and its Unicode data with it, shows here."""
    directory = scratch()
    try:
        bare = directory / "bare"
        subprocess.run(["strip", "-o", bare, program], check=True)
        assert bare.stat().st_size < 40_000_000
    finally:
        shutil.rmtree(directory)


def test_the_program_has_nothing_that_each_build_makes_anew(image: Image) -> None:
    """Of two builds these alone differ; `make image-check` compares the rest."""
    listed = subprocess.run(["readelf", "-SW", image.program], check=True, capture_output=True, text=True).stdout
    assert ".text" in listed and ".swift_modhash" not in listed and "build-id" not in listed


def test_the_program_runs_in_there_as_nobody(image: Image) -> None:
    version = image.run("--version")
    assert version.returncode == 0 and re.fullmatch(r"\d+\.\d+\.\d+\n", version.stdout), version.stderr
    made = image.run("generate", "--count", "3")
    assert made.returncode == 0 and len(made.stdout.splitlines()) == 3
    # Authorities of the public, for targets whose secret names none.
    assert (image.root / "usr/share/ca-certificates/mozilla").is_dir()


def test_the_image_is_what_the_chart_expects(rendered: Callable[[str], Rendered]) -> None:
    dockerfile = Dockerfile()
    assert dockerfile.runtime_value("USER") == f"{USER}:{USER}"
    assert defaults()["security"] == {"runAsUser": USER, "fsGroup": USER}
    ports = {int(port) for port in dockerfile.runtime_value("EXPOSE").split()}
    pod = rendered("minimal").one("Deployment", "sidereal-export-coordinator")["spec"]["template"]["spec"]
    assert {port["containerPort"] for port in pod["containers"][0]["ports"]} == ports
    made = dockerfile.runtime_value("RUN")
    for place in ("/etc/sidereal/secrets", "/etc/sidereal/peer", "/var/lib/sidereal-export"):
        assert f" {place} " in made
    assert "useradd" not in made, "it writes the day into /etc/shadow"


def test_the_last_stage_s_command_makes_the_user_and_its_places(image: Image) -> None:
    assert image.asked == ["update", "install -y --no-install-recommends " + " ".join(image.dockerfile.packages)]
    for name, entry in (("passwd", f"sidereal:x:{USER}:{USER}:"), ("group", f"sidereal:x:{USER}:")):
        lines = (image.root / "etc" / name).read_text().splitlines()
        assert lines[0].startswith("root:"), "what was there stays"
        assert [line for line in lines if f":{USER}:" in line] == [lines[-1]] and lines[-1].startswith(entry)
    volumes = ("var/lib/sidereal-export", "var/lib/sidereal", "var/lib/sidereal/archive")
    for owner, places in ((USER, volumes), (0, ("etc/sidereal/config", "etc/sidereal/secrets", "etc/sidereal/peer"))):
        for place in places:
            found = (image.root / place).stat()
            assert (found.st_uid, found.st_gid) == (owner, owner), place
    assert [path for path in REMAINS if (image.root / path).exists()] == []
    assert not [path for place in ("var/log", "var/cache") for path in (image.root / place).iterdir()]


def test_packages_come_of_the_day_that_is_given(image: Image) -> None:
    sources = (image.root / "etc/apt/sources.list.d/debian.sources").read_text()
    archive = "http://snapshot.debian.org/archive"
    assert re.findall(r"^URIs: (.*)$", sources, re.MULTILINE) == [
        f"{archive}/debian/{SNAPSHOT}",
        f"{archive}/debian-security/{SNAPSHOT}",
    ]
    assert 'Acquire::Check-Valid-Until "false";' in (image.root / "etc/apt/apt.conf.d/snapshot").read_text()
    # Both stages take them in the same way.
    changes = [step[1].split("; fi")[0] for step in Dockerfile().steps if "snapshot.debian.org" in step[1]]
    assert len(changes) == 2 and len(set(changes)) == 1


def test_the_build_is_the_project_s_own() -> None:
    dockerfile = Dockerfile()
    commands = [step[1] for step in dockerfile.build if step[0] == "RUN"]
    # Swift's images of Debian have a compiler and pkg-config, and no make.
    (build,) = [
        number for number, command in enumerate(commands) if command.startswith("make release RELEASE_DIR=/build")
    ]
    assert any(re.search(r"apt-get install \S.* make$", command) for command in commands[:build])
    makefile = (ROOT / "Makefile").read_text()
    assert "BINARY := $(RELEASE_DIR)/release/sidereal-export" in makefile
    assert commands[-1].endswith(f" -o {dockerfile.strip[1]} /build/release/sidereal-export")
    assert dockerfile.runtime_value("COPY").split()[-2:] == [dockerfile.strip[1], *dockerfile.entrypoint]
    assert "--static-swift-stdlib --product sidereal-export --scratch-path $(RELEASE_DIR)" in makefile
    # Nothing that was built here goes in.
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {".git", ".build", ".build-*", ".venv", ".make"} <= set(ignored)


def test_the_same_sources_are_built_of_the_same_packages() -> None:
    """Every package that a build takes, those of packages included, has its one version in Package.swift."""
    manifest = (ROOT / "Package.swift").read_text()
    written = re.findall(r"\.package\(url: \"([^\"]+)\", (\w+): \"([^\"]+)\"\)", manifest)
    assert len(written) == manifest.count(".package(url:") > 0
    assert {kind for _, kind, _ in written} == {"exact"}
    resolved = json.loads((ROOT / "Package.resolved").read_text())["pins"]
    taken = {(pin["location"].removesuffix(".git"), pin["state"]["version"]) for pin in resolved}
    assert {(url.removesuffix(".git"), version) for url, _, version in written} == taken


def test_what_else_goes_in_can_be_given_exactly() -> None:
    """Both images by digest, packages of Debian by the day, times by the commit: nothing of it from the day of the build."""
    text = (DEPLOY / "Dockerfile").read_text()
    for argument in ("SWIFT_IMAGE", "BASE_IMAGE"):
        assert re.search(rf"^ARG {argument}=\S+$", text, re.MULTILINE) and f"FROM ${{{argument}}}" in text
        assert f"--build-arg {argument}=$" in text, "how to build it so is said at the top"
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        before = re.split("apt-get update|make release", stage)
        assert len(before) > 1 and "snapshot.debian.org" in before[0]
    assert "SOURCE_DATE_EPOCH" in text and "rewrite-timestamp=true" in text


def test_the_composition_can_be_started() -> None:
    """Into a service whose root is read-only Compose mounts files, and refuses everything else; what is named is there."""
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert all(
        list(config) == ["file"] and (DEPLOY / config["file"]).is_file() for config in document["configs"].values()
    )
    for name, service in document["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert {config["source"] for config in service.get("configs", [])} <= set(document["configs"])
        assert service["image"] == "sidereal-export"
        assert ("build" in service) != (service.get("pull_policy") == "never"), name
    token = (DEPLOY / document["configs"]["token"]["file"]).read_text().strip()
    assert f"--token={token}" in document["services"]["sandbox"]["command"]


def test_the_composition_delivers(image: Image) -> None:
    directory = scratch()
    composition = Composition(image, directory)
    try:

        def delivers() -> bool:
            status = composition.status()
            targets = {target["name"]: target["delivered"] for target in status.get("targets", [])}
            return (
                status.get("gate", {}).get("state") == "open"
                and len(status["workers"]) == 2
                and set(targets) == {"splunk", "search"}
                and min(targets.values()) >= 200
            )

        wait_until(delivers, lambda: f"it delivers:\n{composition.status()}\n{composition.log[-4000:]}", 90)
    finally:
        composition.close()
        shutil.rmtree(directory)
