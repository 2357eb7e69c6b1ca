"""Certificates of every kind, good and bad, made by the `openssl` program."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

Pair = tuple[Path, Path]

SETTINGS = """
[ca]
default_ca = us
[us]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
default_md = {digest}
policy = any
unique_subject = no
copy_extensions = none
default_crl_days = 1
[any]
commonName = supplied
organizationName = optional
"""


class Authority:
    """A CA, or one that another has signed."""

    def __init__(
        self,
        directory: Path,
        name: str,
        parent: Authority | None = None,
        digest: str = "sha256",
        days: float = 30,
        alternative: str = "",
    ) -> None:
        """With `alternative`, such as `IP:127.0.0.1`, its own certificate serves a receiver too: self-signed."""
        self.name = name
        self.parent = parent
        self._members = 0
        self._directory = directory / f"ca-{name}"
        self._directory.mkdir()
        (self._directory / "index").touch()
        self._settings = self._directory / "settings"
        self._settings.write_text(SETTINGS.format(directory=self._directory, digest=digest))
        self.certificate = self._directory / "ca.crt"
        self.key = self._directory / "ca.key"
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature\n"
        extensions += f"subjectAltName={alternative}\n" if alternative else ""
        self._request(self.key, f"{name} CA")
        signer = ("-keyfile", self.key, "-selfsign") if parent is None else ()
        (parent or self)._sign(self.key.with_suffix(".csr"), self.certificate, extensions, days, 0, *signer)

    @property
    def text(self) -> str:
        """Its certificate, PEM."""
        return self.certificate.read_text()

    def issue(
        self,
        name: str,
        alternative: str,
        days: float = 30,
        starts: float = 0,
        key: str = "P-256",
        usage: str = "serverAuth",
        organization: str = "",
    ) -> Pair:
        """A certificate with its key, valid for `days` from `starts` days on. `alternative` is such as `IP:127.0.0.1`."""
        certificate, path = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        self._request(path, name, key, organization)
        extensions = f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n"
        extensions += f"subjectAltName={alternative}\n" if alternative else ""
        self._sign(path.with_suffix(".csr"), certificate, extensions, days, starts)
        return certificate, path

    def member(self, member: str, days: float = 30, usage: str = "") -> Pair:
        """A certificate for a member of a cluster, such as `worker/w0`."""
        usual = "serverAuth" if member.startswith("coordinator") else "clientAuth"
        alternative = f"URI:spiffe://sidereal.local/sidereal-export/{member}"
        self._members += 1
        return self.issue(f"member-{self._members}", alternative, days, usage=usage or usual)

    def revoke(self, pair: Pair) -> None:
        """Takes a certificate back; say so with `revocations`."""
        self._ca("-revoke", pair[0])

    def revocations(self, days: float = 1) -> str:
        """The list of what was taken back, PEM, current until in `days`."""
        path = self._directory / "crl.pem"
        self._ca("-gencrl", "-out", path, "-crl_nextupdate", _stamp(days), "-crl_lastupdate", _stamp(min(days, 0) - 1))
        return path.read_text()

    def _request(self, path: Path, name: str, key: str = "P-256", organization: str = "") -> None:
        kind = ("rsa", f"rsa_keygen_bits:{key[4:]}") if key.startswith("RSA-") else ("ec", f"ec_paramgen_curve:{key}")
        subject = f"/O={organization}/CN={name}" if organization else f"/CN={name}"
        _openssl(
            *("req", "-new", "-newkey", kind[0], "-pkeyopt", kind[1], "-noenc", "-keyout", path),
            *("-out", path.with_suffix(".csr"), "-subj", subject),
        )

    def _sign(
        self, request: Path, out: Path, extensions: str, days: float, starts: float, *options: str | Path
    ) -> None:
        file = request.with_suffix(".ext")
        file.write_text(extensions)
        # A minute back, so that a clock of whole seconds is no matter.
        start = _stamp(min(starts, days, 0) - 1 / 1440) if starts <= 0 else _stamp(starts)
        signer = options or ("-keyfile", self.key, "-cert", self.certificate)
        self._ca(
            *("-in", request, "-out", out, "-extfile", file, "-startdate", start),
            *("-enddate", _stamp(starts + days), *signer),
        )

    def _ca(self, *arguments: str | Path) -> None:
        signer = () if "-keyfile" in arguments else ("-keyfile", self.key, "-cert", self.certificate)
        _openssl("ca", "-config", self._settings, "-batch", "-notext", *arguments, *signer)


def equip(directory: Path, pair: Pair | None, *trusted: Authority) -> Path:
    """Puts what a member of a cluster needs into its directory, each file whole; without a pair only whom it trusts."""
    directory.mkdir(exist_ok=True)
    texts = {"ca.crt": "".join(authority.text for authority in trusted)}
    if pair is not None:
        texts |= {"tls.key": pair[1].read_text(), "tls.crt": pair[0].read_text()}
    for name, text in texts.items():
        draft = directory / f".{name}"
        draft.write_text(text)
        draft.rename(directory / name)
    return directory


def chain(path: Path, *pieces: Path) -> Path:
    """Writes certificates one behind the other."""
    path.write_text("".join(piece.read_text() for piece in pieces))
    return path


def _stamp(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def _openssl(*arguments: str | Path) -> None:
    finished = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
