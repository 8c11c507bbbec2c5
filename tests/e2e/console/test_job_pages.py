"""Jobs and datums, as people see them."""

from collections.abc import Callable, Iterator

import pytest
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]
FLOWERS = 60
_CHECK = """
for f in /pfs/flowers/*; do
  n=$(basename $f .txt)
  echo "looking at flower $n"
  if [ $((10#$n % 20)) = 7 ]; then
    echo "ValueError: flower $n has no petals" >&2
    exit 3
  fi
  cp $f /pfs/out/
done
"""
_SLOW = "for n in $(seq 1 600); do echo step $n; sleep 0.2; done"


@pytest.fixture(scope="module")
def busy(world: ConsoleWorld) -> Iterator[ConsoleWorld]:
    """With a job that failed, of 60 datums, and one that goes on."""
    world.put("flowers", {f"{n:03}.txt": b"petals\n" * n for n in range(FLOWERS)})
    world.pipeline("check", "flowers", _CHECK, command="bash")
    world.engine.jobs.inspect_job("check", wait=True)
    world.pipeline("slow", "training", _SLOW, "/")
    yield world
    world.engine.pipelines.delete_pipeline("slow", force=True)


def test_the_jobs(look: Look, busy: ConsoleWorld) -> None:
    page = look("/ui/jobs", "jobs")
    page.get_by_role("link", name="Failed").click()
    page.get_by_label("Jobs of a pipeline").fill("check")
    page.keyboard.press("Enter")

    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_job_that_failed_and_its_datums(look: Look, busy: ConsoleWorld) -> None:
    [job] = busy.engine.jobs.list_jobs(pipeline="check")
    page = look(f"/ui/projects/default/jobs/check@{job.id}", "job")
    expect(page.get_by_role("heading", name="Why datums failed")).to_be_visible()
    look(f"/ui/projects/default/jobs/check@{job.id}/explain", "job-explain")
    page = look(f"/ui/projects/default/jobs/check@{job.id}/datums", "datums")
    page.get_by_role("link", name="Failed").click()
    page.get_by_role("link", name="flowers/007.txt").click()

    expect(page.get_by_role("log")).to_contain_text("ValueError: flower 007 has no petals")
    look(page.url.removeprefix(busy.origin), "datum")


def test_a_log_is_followed_while_a_datum_runs(look: Look, busy: ConsoleWorld) -> None:
    [job] = busy.engine.jobs.list_jobs(pipeline="slow")
    page = look(f"/ui/projects/default/jobs/slow@{job.id}", "job-running")
    page.get_by_role("link", name="Datums", exact=True).first.click()
    page.locator("tbody tr a").first.click()

    log = page.get_by_role("log")
    expect(log).to_contain_text("step 1")
    expect(log.locator("div").nth(8)).to_be_visible()
    look(page.url.removeprefix(busy.origin), "datum-running")


def test_a_running_job_is_stopped(look: Look, busy: ConsoleWorld) -> None:
    [job] = busy.engine.jobs.list_jobs(pipeline="slow")
    page = look(f"/ui/projects/default/jobs/slow@{job.id}", "job-running")
    page.get_by_text("Stop", exact=True).first.click()
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_text("killed").first).to_be_visible()
    expect(page.get_by_text("stopped by a user")).to_be_visible()
