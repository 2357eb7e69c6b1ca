"""The long check of deploy/Dockerfile: its commands run as they stand, twice each, and must leave the same bytes.

    make image-check

An engine is not needed, but root and overlayfs. What plays the part of SWIFT_IMAGE is this machine: each build runs in a copy of its file system that is
thrown away, with the sources at /src. BASE_IMAGE is Debian's, put together anew from its packages; the last stage's command
runs in two copies of it, with the real apt. Files are compared by path, kind, mode, owner and content; times are not, which
`rewrite-timestamp` sets. Layers and the image's manifest are an engine's work, and not looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chart import ROOT
from image import USER, Dockerfile

ENTER = """
set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
for place in proc dev sys; do mkdir -p "$2/root/$place"; mount --rbind "/$place" "$2/root/$place"; done
if [ "$1" != / ]; then touch "$2/root/etc/resolv.conf"; mount --bind /etc/resolv.conf "$2/root/etc/resolv.conf"; fi
directory=$3
shift 3
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
"""
TURNS = ("first", "second")
# Where this machine's compiler is, and who asks for packages.
KEPT = ("PATH", "HOME", "http_proxy", "https_proxy", "no_proxy")


class Copy:
    """A file system that is another one until something is written."""

    def __init__(self, lower: Path, directory: Path) -> None:
        self._lower = lower
        self._directory = directory
        self.upper = directory / "upper"
        for name in ("upper", "work", "root"):
            (directory / name).mkdir(parents=True)

    def run(self, *command: str, at: str = "/", **environment: str) -> str:
        """Runs a command in there, with its errors on ours; what it says."""
        words = ["unshare", "--mount", "bash", "-c", ENTER, "bash", str(self._lower), str(self._directory), at, *command]
        # As clean as an engine's: the caller's TMPDIR, for one, is not in there.
        values = {key: value for key, value in os.environ.items() if key in KEPT}
        values |= environment | {"root": str(self._directory / "root")}
        return subprocess.run(words, env=values, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on a disk, which holds two builds."""
    directory = Path(tempfile.mkdtemp(prefix="image-check-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def sum_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(directory: Path) -> Path:
    """The program as the first stage makes it."""
    dockerfile = Dockerfile()
    copy = Copy(Path("/"), directory)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        target = copy.upper / "src" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    command = [step[1] for step in dockerfile.build if step[0] == "RUN"][-1]
    copy.run("/bin/sh", "-c", command, at="/src")
    return copy.upper / dockerfile.strip[1].lstrip("/")


def check_build() -> list[str]:
    """What differs between two builds of the same sources."""
    with scratch() as directory:
        sums = []
        for turn in TURNS:
            sums.append(sum_of(build(directory / turn)))
            print(f"sidereal-export, {turn} build: sha256 {sums[-1]}", flush=True)
        return [] if sums[0] == sums[1] else ["sidereal-export itself"]


def contents(root: Path) -> dict[str, str]:
    """Everything that a stage has changed: path to kind, mode, owner and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        text = f"{facts.st_mode:o} {facts.st_uid}:{facts.st_gid} "
        if stat.S_ISLNK(facts.st_mode):
            text += os.readlink(path)
        elif stat.S_ISREG(facts.st_mode):
            text += sum_of(path)
        else:
            text += f"{facts.st_rdev}"
        found[str(path.relative_to(root))] = text
    return found


def check_base(program: Path, snapshot: str) -> list[str]:
    """What differs between two runs of the last stage; the program must run in what they leave."""
    dockerfile = Dockerfile()
    with scratch() as directory:
        base = directory / "base"
        command: list[str | Path] = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "bookworm", base]
        subprocess.run(command, check=True, stdout=sys.stderr)
        found = []
        for turn in TURNS:
            copy = Copy(base, directory / turn)
            copy.run("/bin/sh", "-c", dockerfile.runtime_value("RUN"), DEBIAN_SNAPSHOT=snapshot)
            place = copy.upper / dockerfile.entrypoint[0].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            flags, _ = dockerfile.strip
            subprocess.run([*flags, "-o", place, program], check=True)
            place.chmod(0o755)
            found.append(contents(copy.upper))
            print(f"last stage, {turn} time: {len(found[-1])} files", flush=True)
            inside = Copy(base, directory / f"{turn}-inside")
            shutil.rmtree(inside.upper)
            copy.upper.rename(inside.upper)
            nobody = ["chroot", f"--userspec={USER}:{USER}", "/"]
            version = inside.run(*nobody, *dockerfile.entrypoint, "--version")
            print(f"it runs in there as {USER}: {version.strip()}", flush=True)
        first, second = found
        return [path for path in sorted(first.keys() | second.keys()) if first.get(path) != second.get(path)]


def main() -> int:
    """Checks what is asked for; 1 if something differs."""
    parser = argparse.ArgumentParser(description="Runs deploy/Dockerfile's commands twice and compares what they leave.")
    parser.add_argument("parts", nargs="*", help="build, base; both unless said")
    parser.add_argument("--snapshot", default="", help="a day of snapshot.debian.org, as for DEBIAN_SNAPSHOT")
    options = parser.parse_args()
    parts = options.parts or ["build", "base"]
    different = []
    if "build" in parts:
        different += check_build()
    if "base" in parts:
        different += check_base(Path(os.environ["SIDEREAL_EXPORT"]), options.snapshot)
    for path in different:
        print(f"differs: {path}", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
