"""BLAKE3, the one digest of everything that is stored: as `b3sum` prints it.

The only import of the library; what hashes a content says `Digest(data)`, or feeds a `Digest()`
with `update`, and takes `digest()` (32 bytes) or `hexdigest()` (64 digits).
"""

from blake3 import blake3 as Digest  # noqa: N812

from trunkline.errors import Corrupt

__all__ = ["DIGEST_BYTES", "Digest", "raw"]

DIGEST_BYTES = 32


def raw(digest: str) -> bytes:
    """The 32 bytes of a digest as it is named; raises Corrupt for a name that is none."""
    try:
        found = bytes.fromhex(digest)
    except (ValueError, TypeError):
        found = b""
    if len(found) != DIGEST_BYTES:
        raise Corrupt("a stored name of a chunk", "64 hexadecimal digits", repr(digest)[:80])
    return found
