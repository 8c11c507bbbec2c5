"""Paths that documents name, as paths of the commit that the document is in."""

import posixpath


def beside(document: str, path: str) -> str:
    """What a path in a document means: dots lead no higher than the root."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(document), path)).strip("/")
