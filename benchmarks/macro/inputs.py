"""Results to export: files of them, and a stream at a steady rate."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PIECE = 1 << 20
DETAIL = b'"detail":"'
FILLER = (b"The reviewer read the decision log of the admission controller, compared it with the policy in force, and found that "
          b"each of the requests had been refused for the reason that the policy gives. ")


@dataclass(frozen=True)
class Input:
    """Files of results: those for the warm-up, those that count, and both in one."""

    warm: Path
    counted: Path
    both: Path
    warm_records: int
    records: int

    megabytes: float
    """Size of what counts."""

    @property
    def bytes_per_record(self) -> int:
        """On average."""
        return round(self.megabytes * 1e6 / self.records)


def generated(program: Path, directory: Path, warm_records: int, records: int, padding: int = 0) -> Input:
    """Makes the files; `padding` bytes more in the detail of each result."""
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / "made.ndjson"
    subprocess.run([program, "generate", "--count", str(warm_records + records), "--output", made], check=True)
    paths = directory / "warm.ndjson", directory / "counted.ndjson", directory / "both.ndjson"
    filler = DETAIL + (FILLER * (padding // len(FILLER) + 1))[:padding]
    with made.open("rb") as lines, paths[0].open("wb") as warm, paths[1].open("wb") as counted, paths[2].open("wb") as both:
        for number, line in enumerate(lines):
            if padding:
                line = line.replace(DETAIL, filler, 1)
            both.write(line)
            (warm if number < warm_records else counted).write(line)
    made.unlink()
    return Input(*paths, warm_records, records, paths[1].stat().st_size / 1e6)


def for_targets(targets: tuple[str, ...], whole: Input, short: Input) -> Input:
    """The shorter one where syslog's `grace` bounds the rate, and nothing else would be measured for minutes."""
    return short if "syslog" in targets else whole


def lines_below(directory: Path) -> int:
    """Lines of all files there; what ends in .gz is inflated."""
    total = 0
    for path in directory.rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        with (gzip.open(path) if ".gz" in path.suffixes else path.open("rb")) as file:
            while piece := file.read(PIECE):
                total += piece.count(b"\n")
    return total


class Feeder(threading.Thread):
    """Puts results into a cluster's directory at a steady rate, in a file every tenth of a second.

    Each result says when it was due, so what is late anywhere, here as well, counts as late.
    """

    EVERY = 0.1

    def __init__(self, program: Path, results: Path, name: str, rate: int, seconds: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.issued = 0
        """Results put into place."""
        self.files: list[Path] = []
        self.rate = rate
        self.total = round(rate * seconds)
        self._results = results
        self._name = name
        self._process = subprocess.Popen(
            [str(program), "generate", "--rate", str(rate), "--count", str(self.total), "--seed", str(seed)],
            stdout=subprocess.PIPE)
        self.began = time.monotonic()

    def run(self) -> None:
        """Until everything is written."""
        stream = self._process.stdout
        assert stream is not None
        rest, due = b"", time.monotonic() + self.EVERY
        pieces: list[bytes] = []
        while piece := os.read(stream.fileno(), PIECE):
            pieces.append(piece)
            if time.monotonic() >= due:
                rest = self._put(rest, pieces)
                pieces = []
                due = max(due + self.EVERY, time.monotonic())
        self._put(rest, pieces)
        stream.close()
        self._process.wait()

    def _put(self, rest: bytes, pieces: list[bytes]) -> bytes:
        text = b"".join([rest, *pieces])
        end = text.rfind(b"\n") + 1
        if end:
            path = self._results / f"{self._name}-{len(self.files):06}.ndjson"
            draft = path.with_name(f".{path.name}")
            draft.write_bytes(memoryview(text)[:end])
            draft.rename(path)
            self.files.append(path)
            self.issued += text.count(b"\n")
        return text[end:]

    @property
    def keeps_up(self) -> bool:
        """Whether the results came as fast as they should."""
        due = min(self.total, self.rate * (time.monotonic() - self.began))
        return self.issued >= due - self.rate * (3 * self.EVERY) - 0.02 * due

    def stop(self) -> None:
        """Ends it before its time."""
        if self._process.poll() is None:
            self._process.kill()
        self.join(10)
