"""Jobs and datums, as their pages show them."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from console_world import EVIL, ConsoleWorld, console_world, fill_with_hostility

PRINTS = f"""
echo "{EVIL}"
for f in /pfs/hostile/*; do
  case $f in *.csv) echo "no petals: {EVIL}" >&2; exit 3;; esac
  cp "$f" /pfs/out/
done
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    """A pipeline whose job failed at one of four datums, and one that has many jobs."""
    with console_world(tmp_path_factory.mktemp("jobs")) as world:
        fill_with_hostility(world)
        world.pipeline("prints", "hostile", PRINTS)
        world.engine.jobs.inspect_job("prints", wait=True)
        yield world


@pytest.fixture(scope="module")
def page(jobs: ConsoleWorld) -> str:
    """The address of the job that failed."""
    [job] = jobs.engine.jobs.list_jobs(pipeline="prints")
    return f"/ui/projects/default/jobs/prints@{job.id}"


def form_key(page: str) -> str:
    found = re.search(r'name="form_key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def datum_of(jobs: ConsoleWorld, page: str, name: str) -> str:
    """The address of the datum that reads a file."""
    listed = jobs.page(f"{page}/datums?find={name}")
    [found] = re.findall(r'href="([^"]+/datums/[0-9a-f]{64})"', listed)
    return found


def test_jobs_are_shown_by_state_and_page_by_page(jobs: ConsoleWorld) -> None:
    for number in range(60):
        jobs.put("many", {"x": str(number).encode()})
        if not number:
            jobs.pipeline("waits", "many", "true")
            jobs.engine.pipelines.stop_pipeline("waits")
            jobs.engine.pipelines.start_pipeline("waits")
    every = [f"{job.pipeline}@{job.id}" for job in jobs.engine.jobs.list_jobs()]
    seen: list[str] = []
    target = "/ui/jobs"
    while target:
        shown = jobs.page(target)
        seen += re.findall(r'class="id" href="/ui/projects/default/jobs/([^"]+)"', shown)
        found = re.search(r'<a href="([^"]+)" data-more="jobs"', shown)
        target = found[1].replace("&amp;", "&") if found else ""

    assert seen == every
    assert jobs.page("/ui/jobs?state=failed").count("<tr>") == 2
    assert "No job of pipeline prints was killed" in jobs.page(
        "/ui/jobs?state=killed&pipeline=prints"
    )


def test_a_job_tells_what_came_of_its_datums_and_why(jobs: ConsoleWorld, page: str) -> None:
    shown = jobs.page(page)

    assert "3 processed" in shown
    assert "1 failed" in shown
    assert "no petals: &lt;script&gt;" in shown
    assert "trunkline rerun pipeline prints" in shown
    assert shown.count('class="lane"') == 1


def test_what_code_printed_is_text_on_every_page(jobs: ConsoleWorld, page: str) -> None:
    datum = datum_of(jobs, page, "table.csv")

    for target in (page, f"{page}/explain", f"{page}/datums", datum, "/ui/jobs"):
        shown = jobs.page(target)
        assert EVIL not in shown
        assert "<img src=x" not in shown
        assert re.findall(r"<style|\sstyle=|\son\w+=\"|https?://", shown) == []


def test_datums_are_found_by_state_and_by_a_part_of_a_path(jobs: ConsoleWorld, page: str) -> None:
    failed = jobs.page(f"{page}/datums?state=failed")

    assert failed.count("/datums/") == 1
    assert "table.csv" in failed
    assert "Nothing matches" in jobs.page(f"{page}/datums?find=nothing-like-it")
    assert jobs.get(f"{page}/datums?state=good").status == 400


def test_a_datum_shows_its_inputs_log_and_outputs(jobs: ConsoleWorld, page: str) -> None:
    bad = jobs.page(datum_of(jobs, page, "table.csv"))

    assert "hostile/table.csv" in bad
    assert '<div class="stderr"><time>' in bad
    assert "It failed, so nothing of it was kept." in bad
    assert "trunkline debug datum prints@" in bad
    assert "no job of pipeline &#39;prints&#39; before had datums" in bad


def test_a_log_is_searched_saved_and_followed(jobs: ConsoleWorld, page: str) -> None:
    datum = datum_of(jobs, page, "table.csv")

    found = jobs.page(f"{datum}?find=petals")
    saved = jobs.get(f"{datum}/log")
    followed = jobs.get(f"{datum}/log?follow=1&skip=1")

    assert found.count("<time>") == found.count("no petals") == 3  # tries
    assert saved.headers["content-disposition"].startswith("attachment; ")
    assert saved.headers["content-security-policy"].startswith("sandbox; ")
    assert saved.body.decode().splitlines()[0].endswith(EVIL)
    lines = [json.loads(line) for line in followed.body.splitlines()]
    assert "no petals" in lines[0]["parts"][0][1]


def test_a_range_of_a_long_log_is_shown(jobs: ConsoleWorld) -> None:
    jobs.put("one", {"x": b"x"})
    jobs.pipeline("talks", "one", "for n in $(seq 1 1300); do echo line $n; done")
    job = jobs.engine.jobs.inspect_job("talks", wait=True)
    at = f"/ui/projects/default/jobs/talks@{job.id}"
    datum = datum_of(jobs, at, "x")

    last, middle = jobs.page(datum), jobs.page(f"{datum}?from=300")

    assert re.findall(r"<span>line (\d+)</span>", last) == [str(n) for n in range(801, 1301)]
    assert re.findall(r"<span>line (\d+)</span>", middle) == [str(n) for n in range(301, 801)]
    assert f'href="{datum}?from=300"' in last
    assert f'href="{datum}?from=800"' in middle


def test_of_many_datums_all_are_compared_when_somebody_asks(
    jobs: ConsoleWorld, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.engine.causes.COMPARED", 0)
    jobs.put("many-runs", {str(n): b"" for n in range(3)})
    jobs.pipeline("many-runs-of", "many-runs", "true")
    jobs.engine.jobs.inspect_job("many-runs-of", wait=True)
    jobs.engine.pipelines.rerun_pipeline("many-runs-of", reprocess=True)
    job = jobs.engine.jobs.inspect_job("many-runs-of", wait=True)
    at = f"/ui/projects/default/jobs/many-runs-of@{job.id}/explain"

    shown = jobs.page(at)

    assert "were run, and are not compared yet" in shown
    assert jobs.post(at, {"form_key": form_key(shown)}).status == 303
    while "chip busy" in (whole := jobs.page(at)):
        time.sleep(0.01)
    assert "have changed: reprocess" in whole
    assert "not compared yet" not in whole


def test_what_failed_is_run_again(jobs: ConsoleWorld, page: str) -> None:
    [before] = jobs.engine.jobs.list_jobs(pipeline="prints")
    key = form_key(jobs.page(page))

    refused = jobs.post(f"{page}/retry", {})
    answer = jobs.post(f"{page}/retry", {"form_key": key})

    newest = next(iter(jobs.engine.jobs.list_jobs(pipeline="prints")))
    assert refused.status == 403
    assert answer.status == 303
    assert newest.id != before.id
    assert answer.headers["location"].endswith(f"/jobs/prints@{newest.id}")
    assert jobs.get(f"{page}/retry").status == 405


def test_a_job_is_stopped(jobs: ConsoleWorld) -> None:
    jobs.put("one", {"x": b"x"})
    jobs.pipeline("sleeps", "one", "sleep 600")
    [job] = jobs.engine.jobs.list_jobs(pipeline="sleeps")
    at = f"/ui/projects/default/jobs/sleeps@{job.id}"

    answer = jobs.post(f"{at}/stop", {"form_key": form_key(jobs.page(at))})

    assert answer.status == 303
    assert jobs.engine.jobs.inspect_job(f"sleeps@{job.id}").state == "killed"
    assert "stopped by a user" in jobs.page(at)
