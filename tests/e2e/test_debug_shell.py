"""`debug datum` at a terminal: a shell in the datum's place; and its place in hard cases."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from process_ends import has_ended
from typing_user import TypingUser
from wheels import offline, wheel

SPEC: dict[str, Any] = {
    "pipeline": {"name": "one"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "datum_tries": 1,
    "transform": {
        "cmd": ["sh"],
        "stdin": ['echo "look at $WORD $(cat $data)" >&2', "cp $data /pfs/out/", "exit 7"],
        "env": {"WORD": "the"},
    },
}


class World:
    """A job whose one datum failed, and who looks into it."""

    def __init__(self, command: Callable[..., Any], place: Path, home: Path) -> None:
        self._command = command
        self.place = place
        self.scratch = home / "scratch"

    def run(self, *words: str, ok: bool = True) -> Any:
        return self._command("trunkline", *words, cwd=self.place, ok=ok)

    def makes(self, *words: str, **transform: Any) -> None:
        """The job of a pipeline with this transform, to its end; words go to each command."""
        spec = {**SPEC, "transform": {**SPEC["transform"], **transform}}
        (self.place / "one.json").write_text(json.dumps(spec))
        (self.place / "a").write_text("apple\n")
        self.run("create", "repo", "data", *words)
        self.run("put", "file", "data@master:/", "-f", "a", *words)
        self.run("create", "pipeline", "-f", "one.json", *words)
        self.run("flush", "job", "data@master", *words, ok=False)

    def datum(self, *words: str) -> tuple[str, str]:
        [job] = json.loads(self.run("list", "job", "-o", "json", *words).stdout)
        name = f"one@{job['id']}"
        [datum] = json.loads(self.run("list", "datum", name, "-o", "json", *words).stdout)
        return name, str(datum["id"])

    def debug(self, script: str, *words: str) -> Any:
        return self.run(
            "debug", "datum", *self.datum(*words), "--command", script, *words, ok=False
        )

    def types(self, *words: str, shell: str = "/bin/sh") -> TypingUser:
        env = {"SHELL": shell, "TERM": "dumb"}
        words = ("trunkline", "debug", "datum", *self.datum(), *words)
        return TypingUser(*words, cwd=str(self.place), env=env)

    def sessions(self) -> list[Path]:
        return list(self.scratch.glob("debug-*"))


@pytest.fixture
def world(command: Callable[..., Any], tmp_path: Path, home: Path) -> World:
    return World(command, tmp_path, home)


def _await(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- a shell --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_shell_has_what_the_code_had_and_its_exit_status_counts(world: World, shell: str) -> None:
    world.makes()
    user = world.types(shell=shell)

    user.sees(r"of one@\w+: failed: the command exited with code 7")
    user.sees(r"/pfs/data/a from data@")
    user.sees("  look at the apple")
    user.sees("it runs: sh")
    user.sees(r"`exit` leaves")
    user.types("echo $WORD-$(cat $data)-$0\n")
    assert user.sees(r"the-apple-(\S+)\r") == shell
    user.types("cat $TRUNKLINE_DATUM_STDERR | tr a-z A-Z\n")
    user.sees("LOOK AT THE APPLE")
    user.types("cd /; run; echo status-$? $(ls /pfs/out)\n")
    user.sees(r"status-7 a\r")
    user.types("exit 5\n")

    assert user.exit_status() == 5
    assert not world.sessions()


def test_keys_that_interrupt_and_stop_are_for_the_program_in_the_shell(world: World) -> None:
    world.makes()
    user = world.types(shell="/bin/bash")

    user.sees("`exit` leaves")
    user.types("sh -c 'echo be\"\"gun; exec sleep 1000'\n")
    user.sees("begun")
    user.types("\x03")
    user.types("echo after-$?\n")
    user.sees(r"after-130")
    user.types("sh -c 'echo be\"\"gun; exec sleep 1000'\n")
    user.sees("begun")
    user.types("\x1a")
    user.sees("Stopped")
    user.types("bg; jobs; kill %1; wait %1; echo killed-$?\n")
    user.sees("Running")
    user.sees(r"killed-143")
    user.resizes(rows=31, columns=117)
    user.types("stty size\n")
    user.sees(r"31 117\r")
    user.types("exit 4\n")

    assert user.exit_status() == 4
    assert not world.sessions()


def test_a_shell_that_stops_itself_goes_on(world: World) -> None:
    world.makes()
    user = world.types(shell="/bin/bash")

    user.sees("`exit` leaves")
    user.types("kill -STOP $$; echo went-$((40 + 2))\n")
    user.sees(r"went-42")
    user.types("exit\n")

    assert user.exit_status() == 0


def test_the_terminal_is_as_before_when_the_shell_spoilt_it(world: World) -> None:
    world.makes()
    words = " ".join(("trunkline", "debug", "datum", *world.datum()))
    env = {"SHELL": "/bin/bash", "TERM": "dumb"}
    user = TypingUser("/bin/bash", "--norc", cwd=str(world.place), env=env)

    user.types(f"stty -g; stty -a; {words}\n")
    before = user.sees(r"(\S+:[0-9a-f:]+)\r")
    user.sees("`exit` leaves")
    user.types("stty raw -echo; exit 3\n")
    user.types("echo left-$?; stty -g; stty -a\n")
    user.sees(r"left-3")
    after = user.sees(r"(\S+:[0-9a-f:]+)\r")
    user.types("exit\n")

    assert user.exit_status() == 0
    assert before == after


def test_interrupted_commands_leave_nothing_behind(world: World) -> None:
    world.makes()
    user = world.types("--command", "echo pid-$$-; sleep 1000")

    pid = int(user.sees(r"pid-(\d+)-"))
    user.types("\x03")

    assert user.exit_status() == 130
    assert has_ended(pid)
    assert not world.sessions()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_ends_the_shell_too(world: World, number: signal.Signals) -> None:
    world.makes()
    user = world.types()

    user.sees("`exit` leaves")
    user.types("echo pid-$$-\n")
    pid = int(user.sees(r"pid-(\d+)-"))
    os.kill(user.pid, number)

    assert user.exit_status() == 128 + number
    assert has_ended(pid)
    assert not world.sessions()


def test_what_a_killed_session_leaves_goes_with_the_next_start(world: World) -> None:
    world.makes()
    user = world.types()
    user.sees("`exit` leaves")
    user.types("echo pid-$$- $TRUNKLINE_DATUM_STDERR\n")
    pid, notes = re.split("- ", user.sees(r"pid-(\d+- \S+)\r"))

    os.kill(user.pid, signal.SIGKILL)
    user.exit_status()
    _await(lambda: has_ended(int(pid)))
    left = world.sessions()
    world.run("down")
    world.run("list", "repo")

    assert len(left) == 1
    _await(lambda: bool(world.run("list", "repo").stdout) and not world.sessions())
    assert not Path(notes).parent.exists()


def test_a_server_that_starts_leaves_a_session_alone(world: World) -> None:
    world.makes()
    user = world.types()
    user.sees("`exit` leaves")

    world.run("down")
    world.run("list", "repo")
    user.types("echo still-$(cat $data)-$(wc -l < $TRUNKLINE_DATUM_STDERR)\n")
    user.sees(r"still-apple-1")
    assert len(world.sessions()) == 1
    user.types("exit\n")

    assert user.exit_status() == 0
    assert not world.sessions()


# --- what else code has there ---------------------------------------------------------------------


def test_code_has_its_packages(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "wheels", "alpha", "1.0")
    for name, value in offline(tmp_path / "wheels", tmp_path / "uv-cache").items():
        monkeypatch.setenv(name, value)
    world.makes(requirements="alpha")

    done = world.debug('python3 -c "import alpha; print(alpha.VERSION)" && say-alpha')

    assert (done.returncode, done.stdout.split()[0]) == (0, "1.0"), done.stderr


def test_code_has_its_secrets_as_files(world: World, tmp_path: Path) -> None:
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "door"},
        "stringData": {"key": "sesame"},
    }
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    world.run("create", "secret", "-f", "secret.json")
    world.makes(secrets=[{"name": "door", "mount_path": "/keys"}])

    done = world.debug("cat /keys/key; echo x > /keys/key")

    assert done.stdout == "sesame"
    assert "Read-only" in done.stderr
    assert not Path("/keys/key").exists()


def test_limits_hold_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_OUTPUT_BYTES_MAX", "1000")
    monkeypatch.setitem(SPEC, "resource_limits", {"memory": "64Mi"})
    world.makes()

    hungry = world.debug('python3 -c "x = bytearray(200_000_000); import time; time.sleep(60)"')
    one = world.debug("head -c 5000 /dev/zero > /pfs/out/x")
    many = world.debug("for n in 1 2 3; do head -c 900 /dev/zero > /pfs/out/$n; done; sleep 60")

    assert hungry.returncode != 0
    assert "limit 64 MiB" in hungry.stderr
    assert one.returncode != 0
    assert many.returncode == 128 + signal.SIGKILL
    assert "wrote more than 1,000 bytes to /pfs/out" in many.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change users")
def test_another_user_is_who_the_shell_belongs_to(world: World) -> None:
    world.makes(user="nobody")
    user = world.types()

    user.sees("`exit` leaves")
    user.types("echo $(whoami)-$(wc -l < $TRUNKLINE_DATUM_STDERR); run; echo status-$?\n")
    user.sees(r"nobody-1")
    user.sees(r"status-7")
    user.types("exit\n")

    assert user.exit_status() == 0


def test_jobs_of_a_project_are_found(world: World) -> None:
    world.run("create", "project", "lab")
    world.makes("--project", "lab")

    done = world.debug("cat $data; exit 3", "--project", "lab")

    assert (done.returncode, done.stdout) == (3, "apple\n"), done.stderr
