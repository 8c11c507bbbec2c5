"""Pickles (joblib and PyTorch make them too): what loading one would import, without loading it."""

import io
import pickletools
import zipfile
from dataclasses import dataclass, field

from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 90  # files of PyTorch are ZIP archives too
_BYTES_MAX = 1024 * 1024  # of a pickle that are looked through
_STEPS_MAX = 200_000
_NAMES_MAX = 200
_PROTOCOL = 0x80
_SIMPLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may take any amount of memory
_SUFFIXES = ("pkl", "pickle", "joblib", "pt", "pth", "ckpt")


def suits(subject: Subject) -> bool:
    return subject.suffix in _SUFFIXES and subject.file.size_bytes > 0


def preview(subject: Subject) -> Preview:
    members: list[tuple[str, int]] = []
    if subject.start.startswith(b"PK"):
        content, members = _in_archive(subject)
    else:
        content = subject.read(0, _BYTES_MAX)
    found = _looked_through(content)
    if found.steps == 0:
        raise Unsuitable("nothing of a pickle is found in it; it may be compressed")
    context = {
        "names": sorted(found.names)[:_NAMES_MAX],
        "whole": found.whole,
        "protocol": content[1] if content[:1] == bytes([_PROTOCOL]) else 0,
        "members": members,
    }
    return Preview(template="files/pickled.html", label="pickle", context=context)


def _in_archive(subject: Subject) -> tuple[bytes, list[tuple[str, int]]]:
    """The pickle in a file of PyTorch, and the members of the archive."""
    try:
        with zipfile.ZipFile(io.BufferedReader(subject.opened())) as archive:
            infos = archive.infolist()
            inner = next((one for one in infos if one.filename.endswith("data.pkl")), None)
            if inner is None or inner.compress_type not in _SIMPLE:
                raise Unsuitable("it is an archive without a pickle that can be read")
            with archive.open(inner) as file:
                content = file.read(_BYTES_MAX)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Unsuitable("it is no archive that can be read") from error
    return content, [(one.filename, one.file_size) for one in infos[:_NAMES_MAX]]


@dataclass(slots=True)
class _Found:
    names: set[str] = field(default_factory=set)  # module and name, with a dot between
    steps: int = 0
    whole: bool = False


def _looked_through(content: bytes) -> _Found:
    """What a pickle would import, as far as its instructions can be read."""
    found = _Found()
    memo: dict[int, str] = {}
    texts = ["", ""]  # the last two texts that were put on the stack
    try:
        for code, value, _ in pickletools.genops(io.BytesIO(content)):
            found.steps += 1
            name = code.name
            if name in ("GLOBAL", "INST"):
                found.names.add(str(value).replace(" ", ".", 1))
            elif name == "STACK_GLOBAL":
                found.names.add(".".join(texts))
            elif name == "MEMOIZE":
                memo[len(memo)] = texts[-1]
            elif name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(value, int):
                memo[value] = texts[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET") and isinstance(value, int):
                texts = [texts[-1], memo.get(value, "?")]
            elif "UNICODE" in name or "STRING" in name:
                texts = [texts[-1], str(value)[:200]]
            if found.steps >= _STEPS_MAX:
                return found
    except (ValueError, IndexError, AttributeError, OverflowError, MemoryError):
        return found  # cut off, damaged, or with arrays between instructions as joblib has them
    found.whole = True
    return found
