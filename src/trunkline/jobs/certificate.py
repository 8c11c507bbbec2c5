"""The certificate that whatever listens on TCP shows, and taking its successor over.

Whoever renews certificates replaces the files (cert-manager and Kubernetes by a link to another
directory). New connections get what the files have by then; open ones keep what they have. Files
that do not fit each other, as in the middle of a renewal, change nothing.
"""

import asyncio
import logging
import os
import ssl
from pathlib import Path

from trunkline.errors import InvalidInput

HANDSHAKE_S = 10.0  # for a caller to agree on keys
FAREWELL_S = 1.0  # for it to say that it has heard of the end
_LOOK_S = 1.0  # between two looks at the files

log = logging.getLogger("trunkline.server")


class Certificate:
    """A certificate with its key, each a PEM file; the certificate with those between it and its
    authority.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises InvalidInput for files that can't be used."""
        self._cert = cert
        self._key = key
        self._stamps = self._look()
        self.context = _context(cert, key)

    async def follow(self) -> None:
        """Take over what the files become, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.renew()

    def renew(self) -> None:
        """Take over what the files are, if that is new and fits."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            _context(self._cert, self._key)  # the one in use is not spoilt by a bad pair
            self.context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (InvalidInput, OSError) as error:
            log.warning("the certificate stays as it was: %s", error)
        else:
            log.info("the certificate in %s was renewed", self._cert)

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in (self._cert, self._key)]


def certificate_of(cert: str, key: str) -> Certificate | None:
    """The certificate in two files, None if neither is named. Raises InvalidInput."""
    if not cert and not key:
        return None
    if not cert or not key:
        raise InvalidInput(
            "TLS needs a certificate and its key: --tls-cert and --tls-key (or TRUNKLINE_TLS_CERT "
            "and TRUNKLINE_TLS_KEY), both of them"
        )
    return Certificate(Path(cert), Path(key))


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    for path, what in ((cert, "certificate"), (key, "key")):
        try:
            text = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"can't read the TLS {what} {path}: {error.strerror}") from error
        if b"-----BEGIN" not in text:
            raise InvalidInput(f"the TLS {what} {path} is no PEM file")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInput(f"the TLS key {key} is not that of the certificate {cert}") from None
        raise InvalidInput(
            f"the TLS certificate {cert} with the key {key} can't be used: "
            f"{error.reason or error.strerror}"
        ) from error
    except _Locked:
        raise InvalidInput(
            f"the TLS key {key} has a password; `openssl pkey -in KEY -out NEW` makes a file "
            "without one, for the user of the server alone"
        ) from None
    return context


class _Locked(Exception):
    """A key has a password."""


def _no_password() -> str:
    raise _Locked  # else OpenSSL would ask whoever sits at the terminal


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
