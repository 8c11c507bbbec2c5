"""BLAKE3, the one digest of everything that is stored: as `b3sum` prints it.

The only import of the library; what hashes a content says `Digest(data)`, or feeds a `Digest()`
with `update`, and takes `digest()` (32 bytes) or `hexdigest()` (64 digits).
"""

from blake3 import blake3 as Digest  # noqa: N812

__all__ = ["DIGEST_BYTES", "Digest"]

DIGEST_BYTES = 32
