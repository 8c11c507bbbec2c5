"""What `transform.requirements` says, and the lock that it is made into. Pure text.

A lock is a requirements file of exact versions with hashes, as uv writes it, behind two lines of
ours. Format page: docs/formats/requirements-lock.md (version 1).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.errors import Corrupt, InvalidInput, shown
from trunkline.store.digests import Digest

_HEAD = "# Trunkline lock 1, made for "
_ASKED = "# asked: "
_FILE_ENDING = ".txt"
_OPTIONS_KEPT = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index")
_INCLUDES = ("-r", "--requirement", "-c", "--constraint")
_COMMIT = re.compile(r"git\+\S+@[0-9a-f]{40}(?:#\S*)?$")  # exact without a hash
_NEWER = " or newer"
_MADE_FOR = re.compile(rf"(\S+) ([0-9]+\.[0-9]+)({_NEWER})? on ")
_ON_LINUX = "sys_platform == 'linux'"  # as all are that run code
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|/")


def file_in_code(requirements: str) -> str | None:
    """The file of `transform.code` that the field names: one word that ends in .txt; else None."""
    word = requirements.strip()
    return word if word.endswith(_FILE_ENDING) and len(word.split()) == 1 else None


def options(text: str) -> tuple[str, ...]:
    """The lines that say where packages are, which a lock has to repeat.

    Raises InvalidInput for a relative directory: an environment is built where the code is not.
    """
    found = []
    for line in _lines(text):
        name, _, value = line.replace("=", " ", 1).partition(" ")
        if name not in _OPTIONS_KEPT:
            continue
        if name in ("-f", "--find-links") and not _REMOTE.match(value.strip()):
            raise InvalidInput(
                f"transform.requirements: {shown(line)} is a relative directory, which is not "
                "there when the environment is built; give an absolute one, or a URL"
            )
        found.append(line)
    return tuple(found)


def asked(text: str, *, code: str) -> str:
    """The digest of what was asked for; of the whole code too where other files are included."""
    includes = any(line.startswith(_INCLUDES) for line in _lines(text))
    return Digest(f"{text}\0{code if includes else ''}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Exact versions, each with the hashes that its files may have."""

    made_for: str  # such as cpython 3.11 on linux-x86_64, or cpython 3.11 or newer on linux
    asked: str
    body: str  # what uv reads

    @property
    def packages(self) -> tuple[str, ...]:
        """Such as numpy==2.1.0, in the order of the lock; with what it is for, if not for all."""
        return tuple(_shown(entry) for entry in _entries(self.body))

    @property
    def hashed(self) -> bool:
        """Whether each package has a hash; where one comes out of git, its commit is exact."""
        return all("--hash=" in entry for entry in _entries(self.body))

    @property
    def for_any(self) -> bool:
        """Whether it is for Pythons of any version, from one on."""
        found = _MADE_FOR.match(self.made_for)
        return found is not None and found[3] is not None

    def lacking(self, implementation: str, minor: str) -> str:
        """Why such a Python (`cpython`, `3.12`) can't have it, as a phrase; nothing if it can."""
        found = _MADE_FOR.match(self.made_for)
        if found is None:
            return f"they are locked for {self.made_for}"
        words, version, newer = found.groups()
        fits = _number(version) <= _number(minor) if newer else version == minor
        if fits and words == implementation:
            return ""
        return f"they are locked for Python {version}{newer or ''}"

    def text(self) -> str:
        return f"{_HEAD}{self.made_for}\n{_ASKED}{self.asked}\n{self.body}"


def any_python(implementation: str, oldest: str) -> str:
    """What a lock is made for that any Python on Linux can have from a version on."""
    return f"{implementation} {oldest}{_NEWER} on linux"


def made(resolved: str, *, made_for: str, asked: str, places: tuple[str, ...]) -> Lock:
    """The lock of what was resolved. Raises InvalidInput for what can't be had again just so."""
    for entry in _entries(resolved):
        if "--hash=" not in entry and not _COMMIT.search(entry):
            raise InvalidInput(
                f"transform.requirements: {shown(entry)} has no fixed content, so that a later "
                "environment could be another one; build a wheel of it, or name a git URL"
            )
    body = "".join(f"{line}\n" for line in places) + resolved
    return Lock(made_for=made_for, asked=asked, body=body)


def parse(data: bytes) -> Lock:
    """A stored lock; raises Corrupt for what is none."""
    head, _, rest = data.decode("utf-8", "replace").partition("\n")
    asked_line, _, body = rest.partition("\n")
    if not head.startswith(_HEAD) or not asked_line.startswith(_ASKED):
        raise Corrupt("the lock of a pipeline's packages", _HEAD, shown(head))
    return Lock(made_for=head.removeprefix(_HEAD), asked=asked_line.removeprefix(_ASKED), body=body)


def _shown(entry: str) -> str:
    text = entry.split(" --hash=")[0]
    return text.replace(f" ; {_ON_LINUX}", "").replace(f" and {_ON_LINUX}", "")


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _lines(text: str) -> Iterator[str]:
    """The lines that say something, continued ones joined."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line)
        if line := " ".join(line.split()):
            yield line


def _entries(body: str) -> list[str]:
    return [line for line in _lines(body) if not line.startswith("-") or line.startswith("-e ")]
