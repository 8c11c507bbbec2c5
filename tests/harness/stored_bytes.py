"""All bytes below a data directory, those in packs unpacked too."""

from collections.abc import Iterator
from pathlib import Path

from trunkline.store import packs


def stored_bytes(home: Path) -> Iterator[tuple[str, bytes]]:
    """Where, and what: every file, and every record of every pack without its compression."""
    for path in sorted(home.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data
        if path.name.endswith(packs.SUFFIX):
            content = packs.read_records(data, path.name.removesuffix(packs.SUFFIX))
            for place in content.places:
                record = data[place.offset : place.offset + packs.RECORD_BYTES + place.stored]
                yield f"{path}:{place.digest.hex()}", packs.decode(record, place)


def places_of(home: Path, text: str) -> list[str]:
    """Where a text is found, packed or plain."""
    return [name for name, data in stored_bytes(home) if text.encode() in data]
