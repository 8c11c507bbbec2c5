"""Files and directories whose names have a word in them, found in the list of all paths.

A million paths are looked through in a fraction of the time that a glob takes for them.
"""

from collections.abc import Iterable, Iterator


def places_with(word: str, pieces: Iterable[bytes], *, below: str, after: str) -> Iterator[str]:
    """What is below a directory with the word in its name, a slash behind directories.

    `pieces` are paths with a newline behind each, as `list_paths` gives them. They come in that
    order, a directory before what is in it; those up to `after` are left out.
    """
    needle = word.encode()
    if b"\n" in needle:
        return
    first = len(below.encode()) + 1 if below else 0
    seen = b""  # the directory that came last
    for piece in pieces:
        at = piece.find(needle)
        while at >= 0:
            begin, end = piece.rfind(b"\n", 0, at) + 1, piece.find(b"\n", at)
            for place in _in_line(piece[begin:end], needle, first):
                if place.endswith(b"/") and seen.startswith(place):
                    continue
                seen = place
                if (name := place.decode()) > after:
                    yield name
            at = piece.find(needle, end)


def _in_line(path: bytes, needle: bytes, first: int) -> Iterator[bytes]:
    """The path, and the directories that it is in, as far as the word is in their names."""
    at = path.find(needle, first)
    while at >= 0:
        slash = path.find(b"/", at + len(needle))
        if slash < 0:
            yield path
            return
        yield path[: slash + 1]
        at = path.find(needle, max(at + 1, slash + 2 - len(needle)))
