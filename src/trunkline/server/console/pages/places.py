"""Where a path of a commit is."""

from trunkline.server.console import urls


def above(name: str, ref: str, path: str) -> list[tuple[str, str]]:
    """The directories that a path is in, from the root on: their addresses and names."""
    parts = path.split("/")[:-1]
    return [
        (urls.files(name, ref, "/".join(parts[: place + 1])), part)
        for place, part in enumerate(parts)
    ]
