"""What all tests share: Hypothesis profiles, the account of skipped tests, a private home.

`TRUNKLINE_REQUIRE_ALL=1` turns every skip into a failure of the session (CI sets it).
`HYPOTHESIS_PROFILE=nightly` runs 20 times as many examples and keeps the failing ones.
"""

import collections
import compileall
import contextlib
import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from _pytest.assertion.rewrite import assertstate_key
from hypothesis import HealthCheck, settings
from hypothesis.strategies import characters
from process_ends import has_ended
from ready_catalogs import ready_catalogs
from ready_hosts import ready_hosts

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "makers"))  # modules that make the data of tests
EXAMPLES = 40

settings.register_profile(
    "ci",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    max_examples=20 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# --- where and in which order tests run -----------------------------------------------------------

MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 8 * 1024**3


def pytest_configure() -> None:
    """Keep the directories of tests in memory, where there is enough of it to run programs in.

    Thousands of data directories are made and synced, and none is read after a loss of power:
    waiting for the disk took a quarter of the time. `TMPDIR` puts them elsewhere.
    """
    # What runs where must not depend on whether there is a container engine; tests that want one
    # say so.
    os.environ["TRUNKLINE_RUNTIME"] = "process"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # into what is imported by what tests start
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # Thousands of programs are started, and kept from writing bytecode.
        compileall.compile_dir(ROOT / "src", quiet=1)
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    has = os.statvfs(MEMORY)
    if has.f_bavail * has.f_frsize >= _MEMORY_BYTES_MIN and not has.f_flag & os.ST_NOEXEC:
        tempfile.tempdir = str(MEMORY)


def _do_share(config: pytest.Config) -> None:
    """Do a part of what the other workers of a session would do too, at the same time.

    They collect the same files: each of them rewrote the assertions of all of them.
    """
    number, count = int(config.workerinput["workerid"][2:]), config.workerinput["workercount"]
    if number == 0:
        characters(codec="utf-8").validate()  # finds them out, and writes that down
    for path in sorted((ROOT / "tests").rglob("*.py"))[number::count]:
        cached = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
        if fnmatch(path.name, "test_*.py") and not cached.exists():
            rewrite.try_makedirs(cached.parent)
            source_hash, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(config.stash[assertstate_key], code, source_hash, cached)


def pytest_collection(session: pytest.Session) -> None:
    """Look for no garbage among what is collected, now and later: all of it stays to the end.

    There are a million objects of it, and to look through them took a quarter of the processor time
    of collecting, and then a part of that of each test.
    """
    if session.config.getoption("dist") == "no":  # else its workers collect
        gc.disable()
    whole = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and "PYTEST_XDIST_WORKER" in os.environ:
        _do_share(session.config)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: what is left in the end is short, so that no worker waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


# --- the account of skips -------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _summary_of_counts(terminalreporter)
    skipped = _skips(terminalreporter)
    if not skipped:
        return
    terminalreporter.section("not run on this machine")
    for where, reason in skipped:
        terminalreporter.write_line(f"{where}: {reason}")
    if os.environ.get("TRUNKLINE_REQUIRE_ALL") == "1":
        terminalreporter.write_line("TRUNKLINE_REQUIRE_ALL=1: skipped tests count as failed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("TRUNKLINE_REQUIRE_ALL") == "1" and reporter and _skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skips(reporter: pytest.TerminalReporter) -> list[tuple[str, str]]:
    found = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        found.append((report.nodeid, str(reason).removeprefix("Skipped: ")))
    return sorted(found)


# --- the account of what was tried ---------------------------------------------------------------

_TALLY = "tally: "


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Adds to a count that is printed at the end of the session: crash images, flipped bits, …"""

    def add(what: str, count: int) -> None:
        request.node.user_properties.append((_TALLY + what, count))

    return add


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Count the examples of property tests."""
    handle = getattr(pyfuncitem.obj, "hypothesis", None)
    count = 0
    if handle is not None:
        inner = handle.inner_test

        @functools.wraps(inner)
        def counted(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            return inner(*arguments, **named)

        handle.inner_test = counted
    yield
    if handle is not None:
        handle.inner_test = inner
        pyfuncitem.user_properties.append((_TALLY + "property examples", count))


def _summary_of_counts(reporter: pytest.TerminalReporter) -> None:
    counts: collections.Counter[str] = collections.Counter()
    failed: set[str] = set()
    for outcome, reports in reporter.stats.items():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            for name, count in report.user_properties:
                if name.startswith(_TALLY):
                    counts[name.removeprefix(_TALLY)] += count
                    failed |= {name.removeprefix(_TALLY)} if outcome == "failed" else set()
    if counts:
        reporter.section("tried")
        for name, count in sorted(counts.items()):
            result = "some failed" if name in failed else "all passed"
            reporter.write_line(f"{count:>9,} {name}: {result}")


# --- what engines begin with ----------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _ready_hosts() -> Iterator[None]:
    """Engines begin their worker hosts as forks, and their catalogs as copies; see there."""
    with ready_catalogs(), ready_hosts():
        yield


# --- a container engine --------------------------------------------------------------------------


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The socket of a Docker daemon for tests, which the settings name; nobody is logged in."""
    where = os.environ.get("TRUNKLINE_TEST_DOCKER")
    if not where:
        pytest.skip("TRUNKLINE_TEST_DOCKER names no socket of a Docker daemon (see .ci/docker)")
    monkeypatch.setenv("TRUNKLINE_CONTAINER_HOST", where)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))
    return where


# --- a private home -------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of this test alone; whatever serves it is gone afterwards.

    `HOME` and the XDG directories point into the test's directory too, so that nothing of the
    person who runs the tests is read or written.
    """
    directory = tmp_path / "home"
    person = tmp_path / "person"
    person.mkdir()
    words = ("ADDRESS", "TOKEN", "CONFIG", "PROJECT")
    for name in ("PACHD_ADDRESS", *(f"TRUNKLINE_{word}" for word in words)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRUNKLINE_HOME", str(directory))
    monkeypatch.setenv("HOME", str(person))
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(person / name.lower()))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield directory
    kill_all(directory)


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """A private copy of the Iris example."""
    return Path(shutil.copytree(ROOT / "examples" / "iris", tmp_path / "iris"))


@pytest.fixture
def command(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command line in the private home; by default it must succeed."""

    def run(
        *words: str, cwd: Path | None = None, ok: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120
        )
        shown = f"$ {' '.join(words)}\n{done.stdout}{done.stderr}"
        assert not ok or done.returncode == 0, f"{shown}\nexit status {done.returncode}"
        assert "Traceback" not in done.stderr, shown
        return done

    return run


def kill_all(directory: Path) -> None:
    """End every process that was started for a data directory, the server first."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        pid = int(json.loads((directory / "server.json").read_text())["pid"])
        if str(directory).encode() in _traces_of(pid):
            os.kill(pid, signal.SIGTERM)
            _wait_for_end(pid, 5)
    for pid in processes_of(directory):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            _wait_for_end(pid, 5)


def processes_of(directory: Path) -> list[int]:
    """The processes whose arguments or environment name a data directory (Linux only)."""
    marker = str(directory).encode()
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and marker in _traces_of(pid)]


def _traces_of(pid: int) -> bytes:
    """Arguments and environment that a process was started with."""
    found = b""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            found += Path(f"/proc/{pid}/{name}").read_bytes()
    return found


def _wait_for_end(pid: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not has_ended(pid):
        time.sleep(0.01)


@pytest.fixture
def processes() -> Callable[[Path], list[int]]:
    """Tells the processes that serve a data directory."""
    return processes_of
