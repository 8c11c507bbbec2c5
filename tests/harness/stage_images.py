"""Images for containers of tests, made of what is on this machine: a shell, and a Python.

There is no registry to pull from. An image is made once and then found under a name that tells its
content; making one takes about a second.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import docker
import docker.errors

BUSYBOX = "/bin/busybox"  # a static one
USER = "worker"  # besides root
USER_ID = 1234
_DIRECTORIES = {
    "bin": 0o755,
    "etc": 0o755,
    "lib": 0o755,
    "root": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
}
_PASSWD = f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{USER_ID}:{USER_ID}::/tmp:/bin/sh\n"
_GROUP = f"root:x:0:\n{USER}:x:{USER_ID}:\n"
_LEFT_OUT = ("test", "tests", "site-packages", "__pycache__", "idlelib", "ensurepip", "lib2to3")


def shell_image(socket: str, *changes: str, shell: str = BUSYBOX) -> str:
    """The name of an image with the programs of busybox; `sh` may be another one.

    `changes` are lines of a Dockerfile such as `USER worker`.
    """
    return _image(socket, changes, shell=shell, python=False)


def python_image(
    socket: str, *changes: str, shell: str = BUSYBOX, packages: Sequence[str] = ()
) -> str:
    """One with a Python too, the one that runs the tests, and some of its packages."""
    return _image(socket, changes, shell=shell, python=True, packages=packages)


def also_called(socket: str, image: str, name: str, tag: str) -> None:
    """Give an image one more name."""
    with closing(docker.APIClient(base_url=f"unix://{socket}", version="1.40")) as client:
        client.tag(image, name, tag)


def bare_image(socket: str) -> str:
    """One that has no shell, nor anything else."""
    return _imported(socket, "bare", (), lambda archive: None)


def _image(
    socket: str,
    changes: Iterable[str],
    *,
    shell: str,
    python: bool,
    packages: Sequence[str] = (),
) -> str:
    what = f"{os.path.basename(shell)}{'-python' if python else ''}"
    return _imported(
        socket,
        what,
        (*changes, *packages),
        lambda archive: _fill(archive, shell, python, packages),
        changes=changes,
    )


def _imported(socket, what, words, fill, changes=()) -> str:  # type: ignore[no-untyped-def]
    told = "\n".join((what, sys.version, sys.base_prefix, *words, Path(__file__).read_text()))
    tag = hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
    name = f"trunkline-test/{what}:{tag}"
    client = docker.APIClient(base_url=f"unix://{socket}", version="1.40")
    try:
        client.inspect_image(name)
    except docker.errors.ImageNotFound:
        with tempfile.NamedTemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for directory, mode in _DIRECTORIES.items():
                    entry = tarfile.TarInfo(directory)
                    entry.type, entry.mode = tarfile.DIRTYPE, mode
                    archive.addfile(entry)
                fill(archive)
            file.flush()
            repository = name.partition(":")[0]
            told = client.import_image_from_file(
                file.name, repository=repository, tag=tag, changes=list(changes)
            )
            made = json.loads(told.splitlines()[-1])["status"]
            client.tag(made, repository, tag)  # Podman takes no tag with it
    finally:
        client.close()
    return name


def _fill(archive: tarfile.TarFile, shell: str, python: bool, packages: Sequence[str]) -> None:
    _text(archive, "etc/passwd", _PASSWD)
    _text(archive, "etc/group", _GROUP)
    archive.add(os.path.realpath(BUSYBOX), "bin/busybox")
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for program in listed.stdout.split():
        if program not in ("busybox", "sh"):
            _link(archive, f"bin/{program}", "busybox")
    files = [] if shell == BUSYBOX else [shell]
    if shell == BUSYBOX:
        _link(archive, "bin/sh", "busybox")
    else:
        archive.add(os.path.realpath(shell), shell.lstrip("/"))
        _link(archive, "bin/sh", shell)
    if python:
        files += _add_python(archive, packages)
    for library in sorted({found for file in files for found in _libraries(file)}):
        archive.add(os.path.realpath(library), library.lstrip("/"))


def _add_python(archive: tarfile.TarFile, packages: Sequence[str]) -> list[str]:
    """The files that need libraries."""
    program, library = os.path.realpath(sys.executable), sysconfig.get_path("stdlib")
    installed = Path(sysconfig.get_path("purelib"))
    archive.add(program, program.lstrip("/"))
    _link(archive, "bin/python3", program)
    archive.add(library, library.lstrip("/"), filter=_wanted)
    for package in packages:
        for place in (installed / package, installed / f"{package}.libs"):
            if place.exists():
                inside = f"{library}/site-packages/{place.name}"
                archive.add(place, inside.lstrip("/"), filter=_no_tests)
    return [program, *map(str, Path(library, "lib-dynload").glob("*.so"))]


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = any(part in _LEFT_OUT for part in Path(entry.name).parts)
    return None if left_out or Path(entry.name).name.startswith("config-") else entry


def _no_tests(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return (
        None if any(part in ("tests", "__pycache__") for part in Path(entry.name).parts) else entry
    )


def _libraries(file: str) -> set[str]:
    told = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
    return {word for word in told.split() if word.startswith("/")}


def _text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    archive.addfile(entry, io.BytesIO(text.encode()))


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)
