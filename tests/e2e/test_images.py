"""Images through the real command line: which one a pipeline runs in, pulls and builds."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from registries import Registry, layer, registry

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shelf() -> Iterator[Registry]:
    with registry() as served:
        yield served


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where specs are."""
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def trunkline(command: Run, docker: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TRUNKLINE_RUNTIME", "auto")

    def run(line: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return command("trunkline", *line.split(), cwd=place, **more)

    run("create repo data")
    return run


@pytest.fixture
def spec(place: Path) -> Callable[..., None]:
    """Writes made.json."""

    def write(**transform: object) -> None:
        document = {
            "pipeline": {"name": "made"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["true"], **transform},
        }
        (place / "made.json").write_text(json.dumps(document))

    return write


def info(trunkline: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(trunkline("inspect pipeline made --raw").stdout)
    return found


def test_an_image_is_pulled_and_shown(trunkline, spec, shelf) -> None:
    name = shelf.put("fruit", layer({"a": uuid4().bytes}), tag="1")
    spec(image=name)

    created = trunkline("create pipeline -f made.json")
    shown = trunkline("inspect pipeline made").stdout

    assert (created.stdout, created.stderr) == ("", "")
    image = info(trunkline)["image"]
    assert f"Image: {name}\n\t{image['id']}\n\t{image['digest']}\n" in shown
    assert info(trunkline)["runtime"] == "docker"


def test_an_image_that_can_not_be_had_is_told_when_it_is_made_and_later(
    trunkline, spec, shelf
) -> None:
    name = f"{shelf.address}/missing:1"
    spec(image=name)

    created = trunkline("create pipeline -f made.json")
    shown = trunkline("inspect pipeline made").stdout

    said = f"image '{name}' is not started: cmd runs directly on this machine, as image '{name}': "
    assert created.stderr.startswith(f"warning: pipeline 'made': {said}there is no such image")
    assert f"Warning: {said}" in shown
    assert "Image:" not in shown


def test_the_command_line_says_where_code_runs(trunkline, spec, shelf) -> None:
    name = shelf.put("fruit", layer({"a": uuid4().bytes}), tag="1")
    spec(image=name)

    created = trunkline("create pipeline -f made.json --runtime process")
    here = info(trunkline)
    trunkline("update pipeline -f made.json --runtime docker")
    refused = trunkline("update pipeline -f made.json --runtime podman", ok=False)

    assert created.stderr.count("is not started: cmd runs directly on this machine\n") == 1
    assert shelf.pulls != []
    assert (here["runtime"], here["spec"]["transform"]["runtime"]) == ("process", "process")
    assert info(trunkline)["runtime"] == "docker"
    assert refused.returncode == 2


def test_a_tag_that_has_moved_is_told_when_it_is_taken(trunkline, spec, shelf) -> None:
    name = shelf.put("fruit", layer({"a": b"1" + uuid4().bytes}), tag="1")
    spec(image=name)
    trunkline("create pipeline -f made.json")
    before = info(trunkline)["image"]["id"]
    shelf.put("fruit", layer({"a": b"2" + uuid4().bytes}), tag="1")

    kept = trunkline("update pipeline -f made.json")
    pulled = trunkline("update pipeline -f made.json --pull")
    after = info(trunkline)["image"]["id"]
    differs = trunkline("diff pipeline made").stdout

    assert kept.stderr == ""
    assert pulled.stdout == ""
    assert f"pulled {name} (sha256:" in pulled.stderr
    assert pulled.stderr.endswith(
        f"pipeline 'made': image '{name}' is another one than before: {after}, it was {before}\n"
    )
    assert f"image:\n- {name} ({before})\n+ {name} ({after})\n" in differs


def test_an_image_is_built_of_the_dockerfile_beside_the_spec(trunkline, spec, place) -> None:
    (place / "Dockerfile").write_text("FROM scratch\nADD fruit /fruit\n")
    (place / "fruit").write_text(uuid4().hex)
    spec()

    created = trunkline("create pipeline --build -f made.json")
    first = info(trunkline)
    again = trunkline("update pipeline -b -f made.json")
    same = info(trunkline)
    (place / "fruit").write_text(uuid4().hex)
    trunkline("update pipeline -b -f made.json")
    other = info(trunkline)

    assert created.stdout == ""
    assert re.match(r"(?i)step 1/2 ?: from scratch\n", created.stderr)
    assert first["image"]["reference"].startswith("trunkline-made:")
    assert first["spec"]["transform"]["image"] == first["image"]["reference"]
    assert "another one than before" not in again.stderr
    assert (same["image"], same["salt"]) == (first["image"], first["salt"])
    assert other["image"]["reference"] != first["image"]["reference"]
    assert other["salt"] != first["salt"]


def test_an_image_is_built_of_the_dockerfile_that_the_spec_names(trunkline, spec, place) -> None:
    below = place / "image"
    below.mkdir()
    (below / "Own").write_text("FROM scratch\nADD run.sh /\n")
    (below / "run.sh").write_text(f"# {uuid4().hex}\n")
    spec(dockerfile="image/Own", image="overruled:1")

    created = trunkline("create pipeline --build -f made.json")

    assert re.search(r"(?i)step 2/2 ?: add run.sh /", created.stderr)
    assert info(trunkline)["image"]["reference"].startswith("trunkline-made:")


def test_a_spec_needs_no_more_than_a_dockerfile(trunkline, spec, place) -> None:
    (place / "Dockerfile").write_text('FROM scratch\nCMD ["/go"]\n')
    spec(dockerfile="Dockerfile", cmd=[])

    unbuilt = trunkline("create pipeline -f made.json", ok=False)
    trunkline("create pipeline --build -f made.json")

    assert "transform must specify a cmd" in unbuilt.stderr
    assert info(trunkline)["image"]["cmd"] == ["/go"]


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FRM scratch\n", "unknown instruction: FRM|no FROM statement found"),
        ("FROM scratch\nADD missing /\n", "the image can't be built: .*ADD.*missing"),
        (None, "there is no file or directory 'Dockerfile' on this machine, which is needed for"),
    ],
)
def test_what_can_not_be_built_makes_no_pipeline(trunkline, spec, place, dockerfile, words) -> None:
    if dockerfile is not None:
        (place / "Dockerfile").write_text(dockerfile)
    spec()

    refused = trunkline("create pipeline --build -f made.json", ok=False)

    assert refused.returncode != 0
    assert re.search(words, refused.stderr)
    assert trunkline("inspect pipeline made", ok=False).returncode == 3


def test_a_build_can_not_be_rehearsed(trunkline, spec, place) -> None:
    (place / "Dockerfile").write_text("FROM scratch\n")
    spec()

    refused = trunkline("create pipeline --build --dry-run -f made.json", ok=False)

    assert "`build image` can't be planned; nothing was changed" in refused.stderr


def test_a_dry_run_pulls_nothing(trunkline, spec, shelf) -> None:
    spec(image=shelf.put("fruit", layer({"a": uuid4().bytes}), tag="1"))

    checked = trunkline("create pipeline --dry-run -f made.json")
    trunkline("validate pipeline -f made.json")

    assert checked.stdout == "pipeline 'made' is valid\n"
    assert shelf.pulls == []
