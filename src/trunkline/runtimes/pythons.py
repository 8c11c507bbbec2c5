"""Which Python an environment is for: our own, or that of an image that nothing of ours is in.

The other one says of itself what has to be known (`QUESTION`, a program for it); it is not there
where its environment is built.
"""

import json
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass

from trunkline.errors import NotSupported

IMPLEMENTATION = "cpython"
OLDEST = "3.11"  # for which packages are locked where the Python is not known yet
_MARK = "trunkline-python:"  # of the answer, among whatever a Python prints when it starts
_MANYLINUX = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)  # of glibc 2: those that uv knows
_GLIBC = re.compile(r"glibc 2\.([0-9]+)")

QUESTION = f"""\
import json, os, platform, sys, sysconfig
libc = "%s %s" % platform.libc_ver()
if not libc.strip():
    libc = "musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else ""
print("{_MARK}" + json.dumps([
    sys.implementation.name + sys.abiflags,
    "%d.%d.%d" % sys.version_info[:3],
    getattr(sys, "_base_executable", None) or sys.executable,
    platform.machine(),
    libc,
    os.environ.get("PATH", ""),
]))
"""

ASKING = ("python3", "-c", QUESTION)
ANSWER_S = 60.0  # the first time its files are read from a disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A Python as it tells of itself."""

    implementation: str  # with the flags of its ABI, which ordinary ones lack
    version: str  # such as 3.12.4
    executable: str  # where it is, in its own place
    machine: str
    libc: str  # such as `glibc 2.36` or `musl`

    @property
    def minor(self) -> str:
        """Its version, as far as packages hang on it."""
        return ".".join(self.version.split(".")[:2])

    @property
    def name(self) -> str:
        """Such as cpython 3.12."""
        return f"{self.implementation} {self.minor}"

    @property
    def reads_our_bytecode(self) -> bool:
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        return self.minor == own and self.implementation == sys.implementation.name

    def words_for_uv(self) -> list[str]:
        """What has uv choose packages for it, while another Python installs them.

        Raises NotSupported for one that uv can't do that for.
        """
        if self.implementation != IMPLEMENTATION:
            raise NotSupported(
                f"transform.requirements can't be installed for {self.implementation}, which is "
                "the Python of its image; use an image with an ordinary one (CPython)"
            )
        words = ["--python-version", self.version]
        if _kind(self) == _kind(own_python()):
            return words
        if found := _GLIBC.match(self.libc):
            known = [minor for minor in _MANYLINUX if minor <= int(found[1])]
            return [
                *words,
                "--python-platform",
                f"{self.machine}-manylinux_2_{max(known, default=17)}",
            ]
        libc = "musl" if self.libc == "musl" else "gnu"
        return [*words, "--python-platform", f"{self.machine}-unknown-linux-{libc}"]


def own_python() -> Python:
    """That of Trunkline itself."""
    libc = " ".join(platform.libc_ver()).strip()
    return Python(
        implementation=sys.implementation.name + sys.abiflags,
        version=platform.python_version(),
        executable=sys.executable,
        machine=platform.machine(),
        libc=libc or ("musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else ""),
    )


def found_in(answer: bytes) -> tuple[Python, str]:
    """What was answered in an image: its Python, and its PATH. Raises NotSupported if nothing."""
    found = told(answer)
    if found is None:
        raise NotSupported(
            "transform.requirements needs a Python in the image of the pipeline, and there is no "
            "python3 in its PATH; use an image that has one, or one that has the packages"
        )
    return found


def told(answer: bytes) -> tuple[Python, str] | None:
    """What a Python answered to the question, and its PATH; None if that is no answer."""
    for line in answer.decode("utf-8", "replace").splitlines():
        if not line.startswith(_MARK):
            continue
        try:
            implementation, version, executable, machine, libc, path = json.loads(
                line.removeprefix(_MARK)
            )
        except ValueError:
            continue
        python = Python(
            implementation=str(implementation),
            version=str(version),
            executable=str(executable),
            machine=str(machine),
            libc=str(libc).strip(),
        )
        return python, str(path)
    return None


def _kind(python: Python) -> tuple[str, str]:
    return python.machine, python.libc
