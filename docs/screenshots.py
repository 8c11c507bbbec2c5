"""Pictures of every page of the console, dark and light, and what is wrong with them.

usage: screenshots.py DIRECTORY [--only WORD] [--home DIRECTORY] [--no-checks]

Starts a server of its own with what `showcase.py` makes (it stays in --home, to be used again, or
goes) and an empty one, visits every kind of page that `urls.py` has in Chromium and writes
`DIRECTORY/NAME-light.png`, `-dark.png` and, for a phone, `-phone.png`. Fails where a kind of page
was left out, a page is wider than a phone, the console of the browser complains or axe finds
anything, contrast in both themes included.
"""

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from axe_playwright_python.sync_playwright import Axe
from measure import private_home, run
from playwright.sync_api import BrowserContext, Page, sync_playwright
from showcase import fill, newest

import trunkline
from trunkline.connect.connection import Connection
from trunkline.server.console import urls

CHROMIUM = "/usr/bin/chromium"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SETTLED_MS = 400  # graphs are drawn, times are said
NOT_PAGES = {"raw", "upload", "tokens", "delete_token"}  # bytes, and where forms go


@dataclass(frozen=True)
class Shot:
    """A page: the function of `urls.py` that gives its address, and what is done there first."""

    name: str
    kind: str
    address: str
    phone: bool = False
    first: Callable[[Page], object] | None = None


def shot(
    name: str,
    kind: str,
    *arguments: object,
    phone: bool = False,
    first: Callable[[Page], object] | None = None,
    **query: object,
) -> Shot:
    address = getattr(urls, kind)(*arguments, **query)
    return Shot(name=name, kind=kind, address=address, phone=phone, first=first)


def shots(c: Connection) -> Iterator[Shot]:
    yield shot("home", "home", phone=True)
    yield shot("home-project", "home", "vision")
    yield from _data(c)
    yield from _kinds()
    yield from _differences()
    yield from _lineage(c)
    yield from _work(c)
    yield from _server()


def _data(c: Connection) -> Iterator[Shot]:
    yield shot("repos", "repos", phone=True)
    yield shot("repos-project", "repos", "vision")
    yield shot("repo", "repo", "greenhouse", phone=True)
    yield shot("repo-of-pipeline", "repo", "train")
    yield shot("repo-empty", "repo", "incoming")
    yield shot("repo-open", "repo", "drafts")
    yield shot("commits", "commits", "greenhouse", "master", phone=True)
    yield shot("commit", "commit", "greenhouse", "week-14", phone=True)
    yield shot("commit-of-pipeline", "commit", "train", "master")
    [open_one, *_] = c.commits.list_commits("drafts")
    yield shot("commit-open", "commit", "drafts", open_one.id)
    yield shot("files", "files", "greenhouse", "master", phone=True)
    yield shot("files-below", "files", "greenhouse", "master", "scans/week-12")
    yield shot("files-found", "files", "greenhouse", "master", find="leaf")
    yield shot("files-not-found", "files", "greenhouse", "master", find="*.docx")
    yield shot("files-open", "files", "drafts", open_one.id)
    yield shot("history", "history", "greenhouse", "master", "measurements.csv", phone=True)
    yield shot("search", "search", q="re", phone=True)
    yield shot("search-nothing", "search", q="orchid")
    yield shot("search-empty", "search")


def _kinds() -> Iterator[Shot]:
    for path in (
        "README.md",
        "measurements.csv",
        "events.jsonl",
        "measurements.parquet",
        "measurements.feather",
        "config.json",
        "pipeline.yaml",
        "code/measure.py",
        "logs/train.log",
        "logs/colours.log",
        "notebooks/look.ipynb",
        "pictures/leaf.png",
        "sounds/fan.wav",
        "report.pdf",
        "model/leaf.safetensors",
        "model/old.pkl",
        "archive/week-13.zip",
        "archive/week-12.tar.gz",
        "raw/sensor.bin",
        "drawing.svg",
        "page.html",
    ):
        ref = "before-the-lamp" if path == "events.jsonl" else "week-14"
        name = "file-" + path.rpartition("/")[2].replace(".", "-")
        phone = path.endswith((".csv", ".ipynb", ".png", ".log", ".json"))
        first = _viewed if path.endswith(".pdf") else None
        yield shot(name, "files", "greenhouse", ref, path, phone=phone, first=first)


def _differences() -> Iterator[Shot]:
    yield shot("diff", "diff", "greenhouse", "week-14", phone=True)
    for path in (
        "measurements.csv",
        "code/measure.py",
        "config.json",
        "pictures/leaf.png",
        "notebooks/look.ipynb",
        "raw/sensor.bin",
        "events.jsonl",
    ):
        name = "diff-" + path.rpartition("/")[2].replace(".", "-")
        phone = path.endswith((".csv", ".py", ".png"))
        yield shot(name, "diff", "greenhouse", "week-14", path, phone=phone)
    yield shot("diff-over", "diff", "greenhouse", "week-14", "pictures/leaf.png", first=_lay_over)
    yield shot("diff-same", "diff", "greenhouse", "week-14", "README.md")


def _lineage(c: Connection) -> Iterator[Shot]:
    yield shot("provenance", "provenance", "inference", "master", "test1.csv", phone=True)
    yield shot("provenance-put", "provenance", "training", "master", "iris.csv")
    yield shot("provenance-commit", "provenance", "train", "master")
    yield shot("graph", "dag", phone=True)
    yield shot("graph-project", "dag", "vision")
    yield shot("graph-chosen", "dag", first=_choose)
    run_id = c.commits.inspect_commit("training", "master").id
    yield shot("graph-run", "dag", run=run_id)
    yield shot("runs", "runs", phone=True)
    yield shot("run", "run", run_id, phone=True)
    plan = lambda page: page.get_by_role("link", name="Plan and outcome").click()  # noqa: E731
    yield shot("run-plan", "run", run_id, first=plan)
    failed = newest(c, "check").id
    yield shot("run-failed", "run", failed)
    yield shot("run-of-now", "run", newest(c, "tune").id)


def _work(c: Connection) -> Iterator[Shot]:
    yield shot("pipelines", "pipelines", phone=True)
    yield shot("pipelines-project", "pipelines", "vision")
    for name in (
        "train",
        "check",
        "tune",
        "archive-scans",
        "nightly-report",
        "model-server",
        "summary",
    ):
        yield shot(f"pipeline-{name}", "pipeline", name, phone=name == "check")
    yield shot("pipeline-new", "new_pipeline")
    yield shot("pipeline-edit", "edit_pipeline", "inference", phone=True)
    yield shot("pipeline-plan", "edit_pipeline", "inference", first=_plan)
    yield shot("pipeline-version", "pipeline_version", "inference", 2)
    yield shot("jobs", "jobs", phone=True)
    yield shot("jobs-failed", "jobs", "check", state="failed")
    yield shot("jobs-none", "jobs", "check", state="killed")
    jobs = {
        name: newest(c, name).id for name in ("check", "train", "tune", "summary", "model-server")
    }
    for name, job in jobs.items():
        yield shot(f"job-{name}", "job", name, job, phone=name == "check")
    yield shot("job-explain", "explain_job", "check", jobs["check"])
    yield shot("job-explain-train", "explain_job", "train", jobs["train"])
    yield shot("datums", "datums", "check", jobs["check"], phone=True)
    yield shot("datums-failed", "datums", "check", jobs["check"], state="failed")
    yield shot("datums-nothing", "datums", "check", jobs["check"], find="orchid")
    datums = list(c.datums.list_datums(f"check@{jobs['check']}"))
    bad = next(one for one in datums if one.state == "failed")
    good = next(one for one in datums if one.state == "success")
    yield shot("datum", "datum", "check", jobs["check"], good.id, phone=True)
    yield shot("datum-failed", "datum", "check", jobs["check"], bad.id)
    at_work = [
        one for one in c.datums.list_datums(f"tune@{jobs['tune']}") if one.state != "success"
    ]
    yield shot("datum-running", "datum", "tune", jobs["tune"], at_work[0].id)


def _server() -> Iterator[Shot]:
    yield shot("schedules", "schedules", phone=True)
    yield shot("workers", "workers", phone=True)
    yield shot("storage", "storage", phone=True)
    yield shot("storage-measured", "storage", first=_keep_up)
    yield shot("settings", "settings", phone=True)
    yield shot("audit", "audit", phone=True)
    yield Shot(name="no-such-page", kind="problem", address="/ui/orchids", phone=True)
    yield Shot(name="no-such-repo", kind="problem", address=urls.repo("orchids"))


def nothing() -> Iterator[Shot]:
    """What an empty server shows."""
    for kind in (
        "home",
        "repos",
        "pipelines",
        "jobs",
        "runs",
        "dag",
        "schedules",
        "workers",
        "storage",
        "settings",
        "search",
    ):
        yield shot(f"empty-{kind}", kind, phone=kind == "home")


def _choose(page: Page) -> None:
    page.get_by_label("pipeline, check").click()
    page.locator(".graph-panel").get_by_role("heading").wait_for()
    page.mouse.move(0, 0)


def _lay_over(page: Page) -> None:
    page.get_by_role("button", name="Over each other").click()
    page.get_by_role("slider").fill("40")


def _viewed(page: Page) -> None:
    page.wait_for_timeout(8000)  # the viewer of the browser tells nobody when it is done


def _plan(page: Page) -> None:
    spec = page.get_by_label("Spec")
    spec.fill(spec.input_value().replace("infer.py", "infer_better.py"))
    page.get_by_role("button", name="Plan").click()
    page.get_by_role("heading", name="Plan", exact=True).wait_for()


def _keep_up(page: Page) -> None:
    for button, told in (
        ("Measure all commits", "Its alone"),
        ("Check structure", "all is well"),
        ("See what would go", "Removable"),
    ):
        page.get_by_role("button", name=button).click()
        page.get_by_text(told).wait_for()


class Camera:
    """Takes the pictures, and remembers what was wrong."""

    def __init__(self, directory: Path, context: BrowserContext, checks: bool) -> None:
        self.directory = directory
        self.checks = checks
        self.page = context.new_page()
        self.problems: list[str] = []
        self.taken = 0
        self._now = ""
        self.page.on("console", lambda said: self._complain(said.text, said.type == "error"))
        self.page.on("pageerror", lambda error: self._complain(str(error)))

    def take(self, origin: str, wanted: Shot) -> None:
        self._now = wanted.name
        page = self.page
        page.set_viewport_size(DESK)
        page.emulate_media(color_scheme="light")
        page.goto(origin + wanted.address)
        if wanted.first is not None:
            wanted.first(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(SETTLED_MS)
            self._keep(scheme)
            if self.checks:
                found = Axe().run(page)
                self._complain(f"{scheme}: {found.generate_report()}", found.violations_count > 0)
        if wanted.phone:
            page.emulate_media(color_scheme="light")
            page.set_viewport_size(PHONE)
            page.reload()
            page.wait_for_timeout(SETTLED_MS)
            self._keep("phone")
            wide = page.evaluate("document.documentElement.scrollWidth")
            self._complain(f"{wide} pixels wide on a phone", wide > PHONE["width"])

    def _keep(self, ending: str) -> None:
        self.page.screenshot(path=self.directory / f"{self._now}-{ending}.png", full_page=True)
        self.taken += 1

    def _complain(self, problem: str, really: bool = True) -> None:
        # A page that there is none of is meant to be one.
        if really and not (self._now.startswith("no-such") and "404" in problem):
            self.problems.append(f"{self._now}: {problem}")


@contextmanager
def logged_in(camera: Camera) -> Iterator[str]:
    """The origin of the server of the environment, at which the browser is logged in then."""
    address = run("trunkline", "ui", "--no-browser").strip()
    camera.page.goto(address)
    yield address.partition("/ui")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--no-checks", action="store_true")
    wanted = parser.parse_args()
    wanted.directory.mkdir(parents=True, exist_ok=True)
    with private_home() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        camera = Camera(wanted.directory, browser.new_context(), not wanted.no_checks)
        login = Shot(name="login", kind="login", address="/ui/", phone=True)
        seen = _take_all(camera, place, wanted.home, wanted.only, login)
        browser.close()
    kinds = {
        name
        for name, it in inspect.getmembers(urls, inspect.isfunction)
        if it.__module__ == urls.__name__ and not name.startswith("_")
    }
    for kind in sorted(kinds - NOT_PAGES - seen):
        camera.problems.append(f"{kind} of urls.py is not among the pictures")
    print(f"{camera.taken} pictures in {wanted.directory}")
    print("\n".join(camera.problems))
    return 1 if camera.problems else 0


def _take_all(camera: Camera, place: Path, home: Path | None, only: str, login: Shot) -> set[str]:
    """Visit what a word is in the name of; the kinds of all pages."""
    seen = set()
    os.environ["TRUNKLINE_HOME"] = str(place / "empty")
    with logged_in(camera) as origin:
        for one in nothing():
            if only in one.name:
                camera.take(origin, one)
    camera.page.goto("about:blank")  # it would miss the server
    run("trunkline", "down")
    os.environ["TRUNKLINE_HOME"] = str(home or place / "home")
    with trunkline.connect() as c:
        if home is None or not home.exists():
            fill(place, c)
        origin = run("trunkline", "ui", "--no-browser").strip().partition("/ui")[0]
        camera.page.context.clear_cookies()
        if only in login.name:
            camera.take(origin, login)
        with logged_in(camera):
            for one in shots(c):
                seen.add(one.kind)
                if only in one.name:
                    camera.take(origin, one)
        camera.page.goto("about:blank")
    return seen


if __name__ == "__main__":
    sys.exit(main())
