"""An authority of a test, and the certificates that it issues."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = ("DNS:localhost", "IP:127.0.0.1")
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_SETTINGS = """
[ca]
default_ca = d
[d]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
unique_subject = no
copy_extensions = copy
[p]
commonName = supplied
"""


@dataclass(frozen=True, slots=True)
class Issued:
    cert: Path
    key: Path


class Authority:
    """Keeps its files in a directory of its own."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True)
        self._place = place
        self._count = 0
        (place / "settings").write_text(_SETTINGS)
        (place / "index").touch()
        (place / "serial").write_text("01\n")
        subject = ("-subj", "/CN=authority of a test", "-days", "2")
        self._openssl("req", "-x509", *_CURVE, *subject, "-keyout", "ca.key", "-out", "ca.pem")

    @property
    def file(self) -> Path:
        """Its own certificate."""
        return self._place / "ca.pem"

    def issue(self, *names: str, expired: bool = False) -> Issued:
        """A certificate for names as DNS:… and IP:…, or for this machine."""
        self._count += 1
        stem = f"{self._count}"
        key, asked, cert = f"{stem}.key", f"{stem}.csr", f"{stem}.pem"
        given = f"subjectAltName={','.join(names or HERE)}"
        subject = ("-subj", f"/CN={stem}", "-addext", given)
        self._openssl("req", "-new", *_CURVE, *subject, "-keyout", key, "-out", asked)
        until = "20210101000000Z" if expired else "20490101000000Z"
        dates = ("-startdate", "20200101000000Z", "-enddate", until)
        signer = ("-config", "settings", "-cert", "ca.pem", "-keyfile", "ca.key")
        self._openssl("ca", "-batch", "-notext", *signer, *dates, "-in", asked, "-out", cert)
        return Issued(self._place / cert, self._place / key)

    def _openssl(self, *words: str) -> None:
        made = subprocess.run(["openssl", *words], cwd=self._place, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
