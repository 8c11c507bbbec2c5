"""A step that the server does for one job fails: that job ends or waits, and the others go on.

The failures are put in front of the functions that do the steps, for the jobs of one pipeline.
"""

import errno
import importlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import Corrupt
from trunkline.jobs import records
from trunkline.model.jobs import JobInfo, JobState
from trunkline.store import packs

COPY = "cp $data /pfs/out/"

# What the server does for a job, the function that does it, and whose job it is by its arguments.
STEPS: dict[str, tuple[str, Callable[..., str]]] = {
    "looking at its inputs": (
        "conductor.provenance.failed_inputs",
        lambda _transaction, repo, _id: repo,
    ),
    "planning": ("conductor.plan_job", lambda _database, _trees, job, **_: job.pipeline),
    "beginning with its datums": ("dispatch.active_of", lambda job, *_, **__: job.pipeline),
    "handing out its datums": ("dispatch.make_leases", lambda _a, _b, job, *_, **__: job.pipeline),
    "recording what its datums came to": (
        "reports.result_of",
        lambda record, *_: record.worker.split("-")[1],
    ),
    "making its output": ("conductor.assemble", lambda _database, _trees, job: job.pipeline),
    "copying its output": ("egress.Egress.run", lambda _self, job: job.pipeline),
}


class Flaws:
    """What goes wrong, and in which step for jobs of pipeline `odd`."""

    def __init__(self) -> None:
        self.step = ""
        self.error: Callable[[], Exception] = RuntimeError
        self.struck = 0

    def strike(self, step: str, pipeline: str) -> None:
        if step == self.step and pipeline == "odd":
            self.struck += 1
            raise self.error()

    def heal(self) -> None:
        self.step = ""


@pytest.fixture
def flaws(monkeypatch: pytest.MonkeyPatch) -> Flaws:
    made = Flaws()
    for step, (place, whose) in STEPS.items():
        module, *owner, name = place.split(".")
        holder: Any = importlib.import_module(f"trunkline.jobs.{module}")
        for part in owner:
            holder = getattr(holder, part)
        real = getattr(holder, name)

        def flawed(
            *arguments: Any, step: str = step, whose: Any = whose, real: Any = real, **named: Any
        ) -> Any:
            made.strike(step, whose(*arguments, **named))
            return real(*arguments, **named)

        monkeypatch.setattr(holder, name, flawed)
    return made


class Beside:
    """A job of another pipeline, whose one datum is at work until it is let."""

    def __init__(self, driver: Any, gate: Path) -> None:
        self._driver, self._gate = driver, gate
        script = f"while [ ! -e {gate} ]; do sleep 0.02; done; {COPY}"
        driver.pipeline("even", script, parallelism_spec={"constant": 1})
        until(lambda: self._at_work())
        [self._pid] = self._at_work()

    def _at_work(self) -> list[int]:
        workers = self._driver.engine.jobs.list_workers(pipeline="even")
        return [worker.pid for worker in workers if worker.datum]

    def check_undisturbed(self) -> None:
        """Its worker is the same, and the job ends well."""
        assert self._at_work() == [self._pid]
        self._gate.touch()
        job = self._driver.job("even")
        assert (job.state, job.restarts, job.processed) == (JobState.SUCCESS, 0, 1)


@pytest.fixture
def driver(flaws: Flaws, open_engine: Callable[..., Any]) -> Any:
    opened = open_engine(TRUNKLINE_JOB_PATIENCE_S="600")
    opened.engine.repos.create_repo("data")
    opened.put("data", {"a": "apple\n"})
    return opened


@pytest.fixture
def beside(driver: Any, tmp_path: Path) -> Beside:
    return Beside(driver, tmp_path / "gate")


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def odd(driver: Any, tmp_path: Path) -> None:
    """The pipeline whose jobs meet with the flaws."""
    driver.pipeline("odd", COPY, egress={"URL": f"file://{tmp_path}/copied"})


def inspected(driver: Any) -> JobInfo:
    [newest] = driver.engine.jobs.list_jobs(pipeline="odd", number=1)
    info: JobInfo = driver.engine.jobs.inspect_job(f"odd@{newest.id}")
    return info


@pytest.mark.parametrize("step", STEPS)
def test_a_defect_fails_its_job_and_no_other_and_it_can_be_run_again(
    step: str,
    driver: Any,
    beside: Beside,
    flaws: Flaws,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flaws.step, flaws.error = step, lambda: KeyError("colour")

    with caplog.at_level(logging.ERROR, logger="trunkline.scheduler"):
        odd(driver, tmp_path)
        job = driver.job("odd")

    assert job.state is JobState.FAILURE
    assert job.reason == (
        f"an internal error while {step}: KeyError: 'colour'; it is in the server's log"
    )
    assert flaws.struck == 1
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    beside.check_undisturbed()
    assert driver.engine.admin.fsck().damages == ()
    flaws.heal()
    driver.engine.pipelines.rerun_pipeline("odd")
    assert driver.job("odd").state is JobState.SUCCESS
    assert driver.tree("odd") == {"a": "apple\n"}


@pytest.mark.parametrize("step", STEPS)
def test_a_job_waits_while_the_machine_fails_it_and_then_goes_on(
    step: str, driver: Any, beside: Beside, flaws: Flaws, tmp_path: Path
) -> None:
    flaws.step = step
    flaws.error = lambda: OSError(errno.ENOSPC, "No space left on device", "/data/packs")

    odd(driver, tmp_path)
    waits = f"{step} is not possible now, and is tried again: No space left on device: /data/packs"
    until(lambda: inspected(driver).reason == waits)
    until(lambda: flaws.struck > 1)
    assert not inspected(driver).state.ended
    assert waits in driver.engine.lineage.explain_job(f"odd@{inspected(driver).id}").sentences
    flaws.heal()

    job = driver.job("odd")
    assert (job.state, job.reason, job.restarts) == (JobState.SUCCESS, "", 0)
    assert driver.tree("odd") == {"a": "apple\n"}
    beside.check_undisturbed()


@pytest.mark.parametrize("step", ["planning", "recording what its datums came to"])
def test_a_job_fails_when_the_machine_does_not_come_to_itself(
    step: str, open_engine: Callable[..., Any], flaws: Flaws, tmp_path: Path
) -> None:
    driver = open_engine(TRUNKLINE_JOB_PATIENCE_S="0.5")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    flaws.step, flaws.error = step, lambda: OSError(errno.EIO, "Input/output error")

    odd(driver, tmp_path)
    job = driver.job("odd")

    assert job.state is JobState.FAILURE
    assert job.reason == f"{step} was not possible for 0.5 s: Input/output error"
    flaws.heal()
    driver.engine.pipelines.rerun_pipeline("odd")
    assert driver.job("odd").state is JobState.SUCCESS


@pytest.mark.parametrize("step", ["planning", "handing out its datums"])
def test_damage_fails_its_job_at_once_and_no_other(
    step: str, driver: Any, beside: Beside, flaws: Flaws, tmp_path: Path
) -> None:
    flaws.step, flaws.error = step, lambda: Corrupt("chunk 12ab", "its bytes", "others")

    odd(driver, tmp_path)
    job = driver.job("odd")

    assert job.state is JobState.FAILURE
    assert job.reason == "chunk 12ab is damaged: expected its bytes, found others; run `fsck`"
    beside.check_undisturbed()


def test_a_job_that_waits_can_be_stopped(driver: Any, flaws: Flaws, tmp_path: Path) -> None:
    flaws.step, flaws.error = "planning", lambda: OSError(errno.EIO, "Input/output error")
    odd(driver, tmp_path)
    until(lambda: inspected(driver).reason)

    driver.engine.jobs.stop_job(f"odd@{inspected(driver).id}")

    job = driver.job("odd")
    assert (job.state, job.reason) == (JobState.KILLED, "stopped by a user")


def test_a_job_whose_failure_can_not_be_recorded_holds_up_no_other(
    driver: Any, beside: Beside, flaws: Flaws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = records.apply_event
    refused: list[object] = []

    def refusing(*arguments: Any, **named: Any) -> Any:
        if len(refused) < 2:
            refused.append(arguments)
            raise KeyError("as well")
        return real(*arguments, **named)

    monkeypatch.setattr("trunkline.jobs.steps.apply_event", refusing)
    flaws.step, flaws.error = "planning", lambda: KeyError("colour")
    odd(driver, tmp_path)

    job = driver.job("odd")

    assert job.state is JobState.FAILURE
    assert "KeyError: 'colour'" in job.reason
    assert len(refused) == 2
    beside.check_undisturbed()


@pytest.fixture
def closed(open_engine: Callable[..., Any], tmp_path: Path) -> Path:
    """A data directory with two stopped pipelines that have something to do, not in use."""
    driver = open_engine(tmp_path / "closed")
    for pipeline, repo in (("odd", "data"), ("even", "whole")):
        driver.engine.repos.create_repo(repo)
        driver.pipeline(pipeline, f"cp ${repo} /pfs/out/", source=repo)
        driver.engine.pipelines.stop_pipeline(pipeline)
        driver.put(repo, {f"name-in-{repo}": "apple\n"})
    driver.engine.close()
    home: Path = driver.home
    return home


def test_what_is_damaged_on_the_disk_fails_the_jobs_that_read_it(
    closed: Path, open_engine: Callable[..., Any]
) -> None:
    damage(closed, b"name-in-data")
    driver = open_engine(closed)

    for pipeline in ("odd", "even"):
        driver.engine.pipelines.start_pipeline(pipeline)

    failed = driver.job("odd")
    assert failed.state is JobState.FAILURE
    assert "is damaged" in failed.reason
    assert "run `fsck`" in failed.reason
    assert driver.job("even").state is JobState.SUCCESS
    driver.put("data", {"name-in-data": "pear\n"}, branch="other")
    driver.engine.branches.create_branch("data", "master", head="other")
    assert driver.job("odd").state is JobState.SUCCESS


def test_a_disk_that_does_not_answer_for_a_while_is_waited_for(
    closed: Path, open_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = open_engine(closed)

    def silent(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(packs.PackReader, "part", silent)
        driver.engine.pipelines.start_pipeline("odd")
        until(lambda: inspected(driver).reason)
        waiting = inspected(driver)

    assert waiting.reason.startswith("planning is not possible now, and is tried again: chunk ")
    assert "Input/output error" in waiting.reason
    assert driver.job("odd").state is JobState.SUCCESS


def damage(home: Path, text: bytes) -> None:
    """Change a byte of each stored object that contains the text."""
    changed = 0
    for path in home.rglob(f"*{packs.SUFFIX}"):
        data = bytearray(path.read_bytes())
        for place in packs.read_records(bytes(data), path.name.removesuffix(packs.SUFFIX)).places:
            record = bytes(data[place.offset : place.offset + packs.RECORD_BYTES + place.stored])
            if text in packs.decode(record, place):
                data[place.offset + packs.RECORD_BYTES + place.stored // 2] ^= 1
                changed += 1
        path.write_bytes(data)
    assert changed
