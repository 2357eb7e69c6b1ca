"""The image without an engine: the files that it has, put together from the packages of this machine, and what runs in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from chart import ROOT

Json = dict[str, Any]

DEPLOY = ROOT / "deploy"
# What debian:bookworm-slim has anyway, as far as it is used.
BASE = ("base-files", "base-passwd", "dash", "coreutils", "findutils", "sed")
SOURCES = """\
Types: deb
# http://snapshot.debian.org/archive/debian/20250520T000000Z
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# http://snapshot.debian.org/archive/debian-security/20250520T000000Z
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
SNAPSHOT = "20260301T000000Z"
# What apt and dpkg leave behind, and must not be in the image.
REMAINS = (
    "var/lib/apt/lists/a",
    "var/cache/apt/b",
    "var/log/apt/history.log",
    "var/log/dpkg.log",
    "var/lib/dpkg/status-old",
)
MERGED = ("bin", "sbin", "lib", "lib64")
USER = 65532


class Dockerfile:
    """deploy/Dockerfile, as far as tests look into it."""

    def __init__(self) -> None:
        text = (DEPLOY / "Dockerfile").read_text()
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        self.steps = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
        last = max(number for number, step in enumerate(self.steps) if step[0] == "FROM")
        self.build, self.runtime = self.steps[:last], self.steps[last:]

    def runtime_value(self, word: str) -> str:
        """What the last stage says behind a word that it has once."""
        found = [step[1] for step in self.runtime if step[0] == word]
        assert len(found) == 1, f"{word}: {found}"
        return found[0]

    @property
    def packages(self) -> list[str]:
        """What the last stage installs."""
        found = re.search(r"apt-get install -y --no-install-recommends ([^&]*)", self.runtime_value("RUN"))
        assert found
        return found[1].split()

    @property
    def strip(self) -> tuple[list[str], str]:
        """The command that takes symbols out of the built program but for its two paths, and the path that it writes."""
        (last,) = [step[1] for step in self.build[-1:] if step[0] == "RUN"]
        found = re.search(r"&& (strip .*) -o (\S+) \S+$", last)
        assert found
        return found[1].split(), found[2]

    @property
    def entrypoint(self) -> list[str]:
        """The program."""
        words: list[str] = json.loads(self.runtime_value("ENTRYPOINT"))
        return words


def closure(packages: Sequence[str]) -> set[str]:
    """Packages and all that they depend on."""
    known: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        question = ["dpkg-query", "-W", "-f=${db:Status-Status};${Depends}, ${Pre-Depends}", name]
        shown = subprocess.run(question, capture_output=True, text=True)
        status, _, needs = shown.stdout.partition(";")
        # The other name of an alternative, or a virtual one, has no files.
        if name in known or status != "installed":
            continue
        known.add(name)
        for choice in needs.split(","):
            waiting += [re.sub(r"\(.*?\)|:\w+", "", each).strip() for each in choice.split("|") if each.strip()]
    return known


class Image:
    """The file system of the image in a plain directory.

    Its last stage's command runs in there as it stands, in its shell and as root; only `apt-get` is one that writes down
    what it is asked: the packages are there already, as this machine has them.
    """

    def __init__(self, directory: Path, program: Path) -> None:
        self.dockerfile = Dockerfile()
        self.root = directory
        for name in MERGED:
            (directory / "usr" / name).mkdir(parents=True, exist_ok=True)
            (directory / name).symlink_to(f"usr/{name}")
        listed = subprocess.run(
            ["dpkg-query", "-L", *closure([*BASE, *self.dockerfile.packages])],
            check=True,
            capture_output=True,
            text=True,
        )
        paths = {line for line in listed.stdout.splitlines() if line.startswith("/") and not _is_idle(line)}
        files = "\n".join(path[1:] for path in sorted(paths) if Path(path).is_symlink() or Path(path).is_file())
        packed = subprocess.run(["tar", "-C", "/", "-cf", "-", "-T", "-"], input=files.encode(), stdout=subprocess.PIPE)
        subprocess.run(
            ["tar", "-C", directory, "--keep-directory-symlink", "-xf", "-"], input=packed.stdout, check=True
        )
        for place in ("proc", "dev", "tmp"):
            (directory / place).mkdir(parents=True, exist_ok=True)
        self._make_base()
        self.asked = self._run_last_stage()
        self.program = directory / self.dockerfile.entrypoint[0].lstrip("/")
        self.program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*self.dockerfile.strip[0], "-o", self.program, program], check=True)
        self.program.chmod(0o755)

    def _make_base(self) -> None:
        """What packages of the base have made when they were installed, and what the last stage has to take away."""
        for name in ("passwd", "group"):
            shutil.copy(self.root / "usr/share/base-passwd" / f"{name}.master", self.root / "etc" / name)
        for path, text in (("etc/apt/sources.list.d/debian.sources", SOURCES), *((each, "old") for each in REMAINS)):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        (self.root / "etc/apt/apt.conf.d").mkdir(exist_ok=True)

    def _run_last_stage(self) -> list[str]:
        """Runs its command in there; what `apt-get` was asked."""
        stub = self.root / "usr/local/sbin/apt-get"
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text('#!/bin/sh\necho "$@" >>/asked\n')
        stub.chmod(0o755)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_SNAPSHOT": SNAPSHOT}
        command: list[str | Path] = ["chroot", self.root, "/bin/sh", "-c", self.dockerfile.runtime_value("RUN")]
        subprocess.run(command, env=environment, check=True)
        asked = (self.root / "asked").read_text().splitlines()
        (self.root / "asked").unlink()
        stub.unlink()
        return asked

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the entry point in there, as the image's user, with what an engine mounts."""
        mounts = [f"mount --rbind /{place} {self.root}/{place}" for place in ("proc", "dev")]
        start = f'exec chroot --userspec={USER}:{USER} {self.root} "$@"'
        script = "\n".join(["set -eu", *mounts, start])
        command = ["unshare", "--mount", "bash", "-c", script, "bash", *self.dockerfile.entrypoint, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    @cached_property
    def libraries(self) -> dict[str, str]:
        """The libraries that the program loads in there, and where each is found; empty if it is not."""
        loader = next(
            path for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if Path(path).exists()
        )
        command: list[str | Path] = ["chroot", self.root, loader, "--list", *self.dockerfile.entrypoint]
        listed = subprocess.run(command, capture_output=True, text=True)
        found = re.findall(r"^\s*(\S+) => (\S+)(?: \(|$| found)", listed.stdout, re.MULTILINE)
        return {name: "" if place == "not" else place for name, place in found}


def _is_idle(path: str) -> bool:
    return path.startswith(("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/lintian"))


class Composition:
    """deploy/compose.yaml, run as processes in namespaces of their own: the network and the files are what compose makes."""

    def __init__(self, image: Image, directory: Path) -> None:
        self.document: Json = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        self._image = image
        self._directory = directory
        self.answer = directory / "status.json"
        scripts = [self._service(name, service) for name, service in self.document["services"].items()]
        asks = f"{image.program} status --coordinator http://127.0.0.1:8080 --json"
        # Written beside and renamed, so that it is always whole.
        watch = f"while sleep 1; do {asks} >{directory}/new 2>&1; mv {directory}/new {self.answer}; done"
        start = "\n".join(["ip link set lo up", *(f"unshare --mount bash {script} &" for script in scripts), watch])
        main = directory / "main.sh"
        main.write_text(start)
        options = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(["unshare", *options, "bash", main], stdout=self._log, stderr=self._log)

    @property
    def log(self) -> str:
        """What the services have said."""
        return (self._directory / "log").read_text()

    def status(self) -> Json:
        """The status by the first coordinator; empty before there is one."""
        try:
            document: Json = json.loads(self.answer.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return document

    def close(self) -> None:
        """Ends everything: with its first process a namespace of processes ends."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _service(self, name: str, service: Json) -> Path:
        own = self._directory / name
        (own / "etc").mkdir(parents=True)
        for config in service.get("configs", []):
            path = own / "etc" / Path(config["target"]).relative_to("/etc/sidereal")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((DEPLOY / self.document["configs"][config["source"]]["file"]).read_text())
        root = own / "root"
        root.mkdir()
        lines = ["set -eu", f"mount --bind {self._image.root} {root}"]
        if service["read_only"]:
            lines.append(f"mount -o remount,bind,ro {root}")
        lines += [f"mount --bind {own}/etc {root}/etc/sidereal", f"mount --rbind /proc {root}/proc"]
        lines.append(f"mount --rbind /dev {root}/dev")
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            assert source in self.document["volumes"]
            place = self._directory / "volumes" / source
            place.mkdir(parents=True, exist_ok=True)
            # As a new volume takes the owner of the directory that it covers.
            covered = (self._image.root / target.lstrip("/")).stat()
            os.chown(place, covered.st_uid, covered.st_gid)
            lines.append(f"mount --bind {place} {root}{target}")
        words = [*service.get("entrypoint", self._image.dockerfile.entrypoint), *service["command"]]
        quoted = " ".join("'" + word.replace("$$", "$").replace("'", "'\\''") + "'" for word in words)
        environment = "env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin"
        lines.append(f"exec {environment} chroot --userspec={USER}:{USER} {root} {quoted}")
        script = own / "run.sh"
        script.write_text("\n".join(lines))
        return script


def scratch() -> Path:
    """A directory that a user without rights can come to, which those of pytest are not."""
    directory = Path(tempfile.mkdtemp(prefix="sidereal-image-"))
    directory.chmod(0o755)
    return directory
