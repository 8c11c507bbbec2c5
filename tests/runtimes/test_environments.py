"""Python environments: whole or not there, whoever builds them at once and whatever dies."""

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from wheels import offline, wheel

from trunkline.errors import NotSupported
from trunkline.runtimes import environments
from trunkline.runtimes.environments import Cancelled, Environments
from trunkline.runtimes.pythons import QUESTION, Python, own_python, told

NAME = "a" * 64
WAIT_S = 60


class Place:
    """Environments in a directory, and a uv that notes when it was called and can be held up."""

    def __init__(self, directory: Path, lock: str) -> None:
        self.directory = directory / "environments"
        self.calls = directory / "calls"
        self.wait = directory / "wait"
        self.path = str(directory / "bin")
        self.lock = lock

    def ensure(self, cancelled: Callable[[], bool] = lambda: False) -> Path:
        place, held = Environments(self.directory).ensure(
            NAME,
            self.lock,
            hashed=False,
            path=self.path,
            on_build=lambda: None,
            cancelled=cancelled,
        )
        os.close(held)
        return place

    def synced(self) -> int:
        return self.calls.read_text().count("pip sync") if self.calls.exists() else 0

    def whole(self) -> list[Path]:
        found = self.directory.glob("[!.]*")
        return [place for place in found if (place / "bin" / "say-alpha").exists()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    real = environments.find_uv(os.environ["PATH"])
    wheel(tmp_path / "wheels", "alpha", "1.0")
    for name, value in offline(tmp_path / "wheels", tmp_path / "uv-cache").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "uv"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f'case "$1" in pip) while [ -e {tmp_path}/wait ]; do sleep 0.02; done;; esac\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "nothing"))
    yield Place(tmp_path, "alpha==1.0\n")
    (tmp_path / "wait").unlink(missing_ok=True)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_at_once_build_it_once(place: Place) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(place.ensure())) for _ in range(6)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert [*set(found)] == place.whole()
    assert place.synced() == 1


def test_nothing_is_found_under_its_name_before_it_is_whole(place: Place) -> None:
    place.wait.touch()
    builder = threading.Thread(target=place.ensure)
    builder.start()
    until(lambda: place.synced() == 1)

    early = list(place.directory.glob("[!.]*"))
    place.wait.unlink()
    builder.join()

    assert early == []
    assert len(place.whole()) == 1


def test_a_builder_that_is_killed_leaves_nothing_that_is_taken_for_whole(place: Place) -> None:
    place.wait.touch()
    program = (
        "import sys; from pathlib import Path; "
        "from trunkline.runtimes.environments import Environments; import sysconfig; "
        "sysconfig.get_path = lambda name: '/nothing'; "
        "Environments(Path(sys.argv[1])).ensure(sys.argv[2], 'alpha==1.0\\n', hashed=False, "
        "path=sys.argv[3], on_build=lambda: None, cancelled=lambda: False)"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", program, str(place.directory), NAME, place.path],
    )
    until(lambda: place.synced() == 1)
    builder.send_signal(signal.SIGKILL)
    builder.wait()

    assert list(place.directory.glob("[!.]*")) == []
    place.wait.unlink()
    built = place.ensure()

    assert place.whole() == [built]
    assert subprocess.check_output([built / "bin" / "say-alpha"]) == b"alpha 1.0\n"


def test_one_that_waits_for_another_builder_can_be_called_off(place: Place) -> None:
    place.wait.touch()
    builder = threading.Thread(target=place.ensure)
    builder.start()
    until(lambda: place.synced() == 1)

    with pytest.raises(Cancelled):
        place.ensure(cancelled=lambda: True)
    place.wait.unlink()
    builder.join()

    assert len(place.whole()) == 1


def test_a_build_that_is_called_off_ends_and_leaves_nothing(place: Place) -> None:
    place.wait.touch()

    with pytest.raises(Cancelled):
        place.ensure(cancelled=lambda: place.synced() == 1)

    assert list(place.directory.glob("[!.]*")) == []


def test_one_whose_python_is_gone_is_built_again(place: Place) -> None:
    built = place.ensure()
    (built / "bin" / "python").unlink()
    (built / "bin" / "python").symlink_to("/nothing/python")

    assert place.ensure() == built
    assert place.synced() == 2
    assert subprocess.check_output([built / "bin" / "say-alpha"]) == b"alpha 1.0\n"


def test_only_what_is_neither_needed_nor_in_use_is_removed(place: Place) -> None:
    all_of_them = Environments(place.directory)
    _, held = all_of_them.ensure(
        NAME,
        place.lock,
        hashed=False,
        path=place.path,
        on_build=lambda: None,
        cancelled=lambda: False,
    )

    assert all_of_them.remove_unused([]) == 0
    os.close(held)
    assert all_of_them.remove_unused([NAME]) == 0
    assert all_of_them.remove_unused([]) == 1
    assert place.whole() == []


def test_an_environment_of_no_packages_is_a_python(place: Place) -> None:
    place.lock = "# nothing\n"

    python = place.ensure() / "bin" / "python3"

    said = subprocess.check_output([python, "-c", "import sys; print(sys.prefix)"], text=True)
    assert said.strip() == str(python.parent.parent)


def test_uv_beside_trunkline_comes_before_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in ("beside", "path"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "uv").write_text("#!/bin/sh\n")
        (tmp_path / directory / "uv").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "beside"))

    assert environments.find_uv(str(tmp_path / "path")) == str(tmp_path / "beside" / "uv")
    (tmp_path / "beside" / "uv").unlink()
    assert environments.find_uv(str(tmp_path / "path")) == str(tmp_path / "path" / "uv")


OTHER = Python(
    implementation="cpython",
    version="3.99.1",
    executable="/opt/other/bin/python3.99",
    machine="aarch64",
    libc="glibc 2.36",
)


def test_one_for_the_python_of_an_image_is_as_if_that_had_made_it(place: Place) -> None:
    for _ in range(2):
        found, held = Environments(place.directory).ensure(
            NAME,
            place.lock,
            hashed=False,
            python=OTHER,
            path=place.path,
            on_build=lambda: None,
            cancelled=lambda: False,
        )
        os.close(held)

    assert place.synced() == 1
    assert place.ensure() != found
    assert (found / "bin" / "python").readlink() == Path(OTHER.executable)
    assert (found / "bin" / "python3.99").readlink() == Path("python")
    assert (found / "lib" / "python3.99" / "site-packages" / "alpha" / "__init__.py").exists()
    assert "home = /opt/other/bin\n" in (found / "pyvenv.cfg").read_text()
    words = "--python-version 3.99.1 --python-platform aarch64-manylinux_2_36"
    assert words in place.calls.read_text()


def test_bytecode_is_beside_its_source_where_the_python_is_as_ours(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))
    found, held = Environments(place.directory).ensure(
        NAME,
        place.lock,
        hashed=False,
        python=replace(own_python(), executable="/usr/bin/of-an-image"),
        path=place.path,
        on_build=lambda: None,
        cancelled=lambda: False,
    )
    os.close(held)

    assert list(found.glob("lib/*/site-packages/alpha/__pycache__/*.pyc"))


@pytest.mark.parametrize(
    ("libc", "told"),
    [
        ("glibc 2.30", "x86_64-manylinux_2_28"),
        ("glibc 2.99", "x86_64-manylinux_2_40"),
        ("musl", "x86_64-unknown-linux-musl"),
    ],
)
def test_packages_are_chosen_for_the_libc_of_the_image(libc: str, told: str) -> None:
    assert replace(OTHER, libc=libc, machine="x86_64").words_for_uv()[-1] == told


def test_what_a_python_tells_of_itself_is_found_among_what_it_prints() -> None:
    asked = subprocess.run([sys.executable, "-c", QUESTION], capture_output=True, check=True)
    found = told(b"a greeting\n" + asked.stdout + b"more\n")

    assert found is not None
    assert found[0].minor == own_python().minor
    assert (found[0].machine, found[0].libc) == (own_python().machine, own_python().libc)
    assert found[1] == os.environ["PATH"]
    assert told(b"sh: python3: not found\n") is None
    with pytest.raises(NotSupported, match="for pypy, which is the Python of its image"):
        replace(OTHER, implementation="pypy").words_for_uv()
