"""Bytes by hash: chunks, the packs that hold them, and the index that finds them.

Knows nothing of paths, trees, repos or jobs, and does not decide which chunks are still needed.
"""
