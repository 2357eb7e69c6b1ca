"""A certificate authority of a test, made by the `openssl` program."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A CA made by the `openssl` program."""

    def __init__(self, directory: Path, name: str, alternative: str | None = None) -> None:
        """With `alternative`, such as `IP:127.0.0.1`, its own certificate serves a receiver too: self-signed."""
        self._directory = directory
        self.certificate = directory / f"{name}-ca.crt"
        self.key = directory / f"{name}-ca.key"
        self._openssl(
            "req",
            "-x509",
            *self._new_key(self.key),
            "-out",
            self.certificate,
            "-days",
            "30",
            "-subj",
            f"/CN={name} CA",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,digitalSignature",
            *(["-addext", f"subjectAltName={alternative}"] if alternative else []),
        )

    def issue(self, name: str, alternative: str, days: int = 30, usage: str = "serverAuth") -> tuple[Path, Path]:
        """A certificate and its key. `alternative` is such as `IP:127.0.0.1`."""
        certificate, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        request, extensions = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        extensions.write_text(
            f"subjectAltName={alternative}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n"
        )
        self._openssl("req", "-new", *self._new_key(key), "-out", request, "-subj", f"/CN={name}")
        self._openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-out",
            certificate,
            "-CA",
            self.certificate,
            "-CAkey",
            self.key,
            "-set_serial",
            "7",
            "-days",
            str(days),
            "-extfile",
            extensions,
        )
        return certificate, key

    @staticmethod
    def _new_key(path: Path) -> list[str | Path]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", path]

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
