"""Tiny Python packages, and the settings under which uv finds these and no others."""

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path


def wheel(directory: Path, name: str, version: str, *, needs: tuple[str, ...] = ()) -> Path:
    """A package with a module that knows its VERSION and a command that prints it."""
    directory.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"VERSION = '{version}'\ndef say():\n    print('{name}', VERSION)\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\nsay-{name} = {name}:say\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n"
    place = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return place


def offline(wheels: Path, cache: Path) -> dict[str, str]:
    """Variables for uv: nothing but these wheels, and nothing remembered from elsewhere."""
    return {
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(cache),
    }


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


_BACKEND = """
import pathlib, time, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(directory, config_settings=None, metadata_directory=None):
    gate = pathlib.Path({gate!r})
    with (gate / "builds").open("a") as builds:
        builds.write("x")
    while (gate / "wait").exists():
        time.sleep(0.02)
    about = "{name}-{version}.dist-info"
    with zipfile.ZipFile(pathlib.Path(directory, "{name}-{version}-py3-none-any.whl"), "w") as made:
        made.writestr("{name}.py", "VERSION = '{version}'")
        made.writestr(about + "/METADATA", pathlib.Path("PKG-INFO").read_text())
        made.writestr(about + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
            "Tag: py3-none-any\\n")
        made.writestr(about + "/RECORD", "")
    return "{name}-{version}-py3-none-any.whl"
"""


def sdist(directory: Path, name: str, version: str, *, gate: Path) -> Path:
    """A package in source, which builds itself; not before the file `wait` in `gate` is gone."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n',
        "backend.py": _BACKEND.format(gate=str(gate), name=name, version=version),
    }
    place = directory / f"{name}-{version}.tar.gz"
    with tarfile.open(place, "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return place
