"""Spouts: code that runs by itself and puts files into its own repo."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import Conflict, InvalidSpec
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineState

# Puts a file with its own process id as often as the file at $ASKED has lines.
SHELL = """
echo "begun by $$"
put=0
while :; do
    wanted=$(wc -l < "$ASKED")
    while [ $put -lt $wanted ]; do
        put=$((put + 1))
        echo "$$ $put" | trunkline put file spring@master:/$put -f - || exit 1
    done
    if grep -q die "$ASKED"; then echo "out of luck" >&2; exit 3; fi
    sleep 0.1
done
"""
PYTHON = """
import time, trunkline
with trunkline.connect() as connection:
    with connection.repo("spring").commit("master") as commit:
        commit["greeting"] = b"hello"
time.sleep(1000)
"""


def until(wanted: Callable[[], Any]) -> Any:
    """What it gives, once that is something."""
    deadline = time.monotonic() + 90
    waiting = threading.Event()
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        waiting.wait(0.05)
    raise AssertionError("it did not come to that within 90 seconds")


class Spring:
    """A spout in a server."""

    def __init__(self, driver: Any, asked: Path) -> None:
        self.driver, self.asked = driver, asked
        asked.write_text("")

    def define(self, *, update: bool = False, script: str = SHELL, **more: Any) -> None:
        spec = {
            "pipeline": {"name": "spring"},
            "transform": {
                "cmd": ["/bin/sh"],
                "stdin": [script],
                "env": {"ASKED": str(self.asked)},
            },
            "spout": {},
            **more,
        }
        self.driver.engine.pipelines.create_pipeline(spec, update=update)

    def ask(self, count: int, word: str = "put") -> None:
        with self.asked.open("a") as file:
            file.write(f"{word}\n" * count)

    def files(self) -> list[str]:
        commits = list(self.driver.engine.commits.list_commits("spring"))
        return [] if not commits else sorted(self.driver.tree("spring"))

    def has(self, count: int) -> bool:
        return len(self.files()) >= count

    def pid(self, file: str) -> str:
        text: str = self.driver.read("spring", file)
        return text.split()[0]

    @property
    def state(self) -> PipelineState:
        found: PipelineState = self.driver.engine.pipelines.inspect_pipeline("spring").state
        return found


@pytest.fixture
def spring(remote: Any, tmp_path: Path) -> Spring:
    return Spring(remote, tmp_path / "asked")


def test_each_file_that_the_code_puts_is_a_commit_made_from_its_spec(spring: Spring) -> None:
    spring.define()
    spring.driver.pipeline("below", "cp /pfs/spring/* /pfs/out/", source="spring")
    spring.ask(2)

    until(lambda: spring.has(2))
    commits = list(spring.driver.engine.commits.list_commits("spring"))
    spec = spring.driver.engine.pipelines.inspect_pipeline("spring").spec_commit

    assert len(commits) == 2
    assert [str(name) for name in commits[0].provenance] == [f"__spec__@{spec}"]
    assert until(lambda: spring.driver.job("below").state is JobState.SUCCESS)
    until(lambda: sorted(spring.driver.tree("below")) == ["1", "2"])
    below = spring.driver.engine.commits.inspect_commit("below", "master")
    assert f"spring@{commits[0].id}" in [str(name) for name in below.provenance]
    assert spring.driver.engine.admin.fsck().damages == ()
    assert list(spring.driver.engine.jobs.list_jobs(pipeline="spring")) == []


def test_the_python_client_works_inside_of_it(spring: Spring) -> None:
    spring.define(script=f"exec python3 - <<'END'\n{PYTHON}\nEND")

    until(lambda: spring.files() == ["greeting"])

    until(lambda: spring.state is PipelineState.RUNNING)


def test_a_spout_that_ends_or_is_killed_is_started_again(spring: Spring) -> None:
    spring.define()
    spring.ask(1)
    until(lambda: spring.has(1))
    first = spring.pid("/1")

    os.kill(int(first), signal.SIGKILL)
    until(lambda: spring.pid("/1") != first)
    spring.ask(1, "die")

    def crashing() -> str:
        found = spring.driver.engine.pipelines.inspect_pipeline("spring")
        return found.reason if found.state is PipelineState.CRASHING else ""

    until(lambda: "exited with code 3" in crashing() and "out of luck" in crashing())
    spring.asked.write_text("")
    until(lambda: spring.state is PipelineState.RUNNING)


def test_stopping_starting_updating_and_deleting_a_spout(spring: Spring) -> None:
    spring.define()
    spring.ask(1)
    until(lambda: spring.has(1))
    pipelines, jobs = spring.driver.engine.pipelines, spring.driver.engine.jobs

    pipelines.stop_pipeline("spring")
    until(lambda: not jobs.list_workers(pipeline="spring"))
    spring.ask(1)
    pipelines.start_pipeline("spring")
    until(lambda: spring.has(2))
    before = spring.pid("/2")
    spring.define(update=True, description="another one")
    until(lambda: spring.pid("/2") != before)
    spec = pipelines.inspect_pipeline("spring").spec_commit
    head = spring.driver.engine.commits.inspect_commit("spring", "master")
    assert [str(name) for name in head.provenance] == [f"__spec__@{spec}"]
    assert spring.driver.engine.admin.fsck().damages == ()
    pipelines.delete_pipeline("spring")

    until(lambda: not jobs.list_workers())


def test_its_log_can_be_followed(spring: Spring) -> None:
    spring.define()
    lines = spring.driver.engine.datums.get_logs(pipeline="spring", follow=True)

    assert next(lines).message.startswith("begun by ")


def test_nothing_of_a_spout_outlives_a_server_that_is_killed(spring: Spring) -> None:
    spring.define()
    spring.ask(1)
    until(lambda: spring.has(1))
    pid = spring.pid("/1")

    os.kill(spring.driver.engine.admin.status().pid, signal.SIGKILL)

    until(lambda: not Path(f"/proc/{pid}").exists())
    until(lambda: spring.pid("/1") != pid)  # asking starts another server


def test_specs_of_spouts_are_checked(engine: Any) -> None:
    source = {"pfs": {"repo": "data", "glob": "/"}}
    for more, sentence in (
        ({"input": source}, "(without a service) must not have an input"),
        ({"autoscaling": True}, "autoscaling can't be used with spouts"),
        ({"parallelism_spec": {"constant": 3}}, "spouts can only be run with a constant"),
        ({"transform": {"cmd": ["true"], "user": "nobody"}}, "a spout can't have a user yet"),
        ({"service": {"internal_port": 1}}, "a spout that listens has `spout.service`"),
    ):
        spec = {"pipeline": {"name": "s"}, "transform": {"cmd": ["true"]}, "spout": {}, **more}
        with pytest.raises(InvalidSpec) as caught:
            engine.engine.pipelines.create_pipeline(spec)
        assert sentence in str(caught.value)


def test_a_spout_that_listens_is_reached_at_its_port(
    spring: Spring, free_port: Callable[[], int]
) -> None:
    port = free_port()
    script = "exec python3 -m http.server $PORT --bind 127.0.0.1 --directory /"
    spring.define(script=script, spout={"service": {"internal_port": 80, "external_port": port}})

    found = until(
        lambda: (
            (one := spring.driver.engine.pipelines.inspect_pipeline("spring")).resident
            and one.resident.healthy
            and one
        )
    )

    assert found.resident.address == f"127.0.0.1:{port}"


def test_the_output_of_other_pipelines_can_still_not_be_written(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1"})
    engine.pipeline("copy", "cp /pfs/data/* /pfs/out/")

    with pytest.raises(Conflict, match="output branch"):
        engine.put("copy", {"b": "2"})
    with pytest.raises(Conflict, match="output branch"):
        engine.engine.commits.start_commit("copy", branch="master")
