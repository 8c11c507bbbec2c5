"""The example of the tutorial, in the project `iris`, for the pages of the console."""

import json
from pathlib import Path

from console_world import ConsoleWorld

from trunkline.api.changes import PutFile

EXAMPLE = Path(__file__).parents[2] / "examples" / "iris"
STAGES = ("pre_process", "train", "inference")


def fill_with_flowers(world: ConsoleWorld) -> None:
    """Flowers, their three pipelines (which have run) and the correction of the measurements."""
    world.engine.projects.create_project("iris")
    world.put("iris/training", {"iris.csv": _data("iris.csv")}, "flowers as they were measured")
    world.put("iris/attributes", {"test1.csv": _data("test1.csv")}, "flowers without a species")
    for file in ("pre-process", "train", "infer"):
        create_stage(world, file)
    wait_for_flowers(world)


def correct_flowers(world: ConsoleWorld) -> None:
    """A second commit of the measurements, and what comes of it."""
    world.put("iris/training", {"iris.csv": _data("iris-changed.csv")}, "two rows corrected")
    wait_for_flowers(world)


def wait_for_flowers(world: ConsoleWorld) -> None:
    for name in STAGES:
        world.engine.jobs.inspect_job(f"iris/{name}", wait=True)


def create_stage(world: ConsoleWorld, file: str) -> None:
    """A pipeline of the example, with its code."""
    spec = json.loads((EXAMPLE / f"{file}.json").read_text())
    spec["pipeline"]["project"] = {"name": "iris"}
    code = [
        PutFile(path=path.name, content=[path.read_bytes()])
        for path in sorted((EXAMPLE / "code").glob("*.py"))
    ]
    root = world.engine.files.create_file_set(code).root
    world.engine.pipelines.create_pipeline(spec, code=root)


def _data(name: str) -> bytes:
    return (EXAMPLE / "data" / name).read_bytes()
