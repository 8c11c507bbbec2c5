"""Which image a pipeline version runs in: chosen when it is made, recorded by content, told."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from registries import Registry, busybox, layer, registry

from trunkline.config import load
from trunkline.errors import (
    InUse,
    InvalidInput,
    InvalidSpec,
    NotAllowed,
    NotFound,
    NotSupported,
    PipelineNotFound,
    Unavailable,
)
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineInfo
from trunkline.runtimes.containers.engine import open_engine

LOGIN = ("reader", "pass word")
STARTED = {"constant": 1}


@pytest.fixture
def shelf() -> Iterator[Registry]:
    with registry() as served:
        yield served


@pytest.fixture
def fruit(shelf: Registry) -> str:
    """An image that can be pulled."""
    return some_image(shelf)


@pytest.fixture
def opened(open_engine: Callable[..., Any], docker: str) -> Callable[..., Any]:
    """Opens engines that know a container engine, with a repo `data`."""

    def run(runtime: str = "auto", **more: str) -> Any:
        more = {"TRUNKLINE_CONTAINER_HOST": docker, **more}
        driver = open_engine(TRUNKLINE_RUNTIME=runtime, **more)
        if not list(driver.engine.repos.list_repos()):
            driver.engine.repos.create_repo("data")
        return driver

    return run


@pytest.fixture
def data(opened: Callable[..., Any]) -> Any:
    return opened()


def some_image(shelf: Registry, name: str = "fruit", tag: str = "1", **config: object) -> str:
    return shelf.put(name, layer({"a": uuid4().bytes}), tag=tag, **config)


def make(driver: Any, image: str = "", *, update: bool = False, **transform: Any) -> PipelineInfo:
    spec = {
        "pipeline": {"name": "made"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["true"], **({"image": image} if image else {}), **transform},
    }
    return driver.engine.pipelines.create_pipeline(spec, update=update)


def pull(driver: Any, reference: str) -> None:
    for _ in driver.engine.images.pull_image(reference):
        pass


def remove(docker: str, name: str) -> None:
    with closing(open_engine(load({"TRUNKLINE_CONTAINER_HOST": docker}))) as engine:
        engine.api.remove_image(name, force=True)


def not_started(image: str, why: str = "") -> str:
    reason = f", as {why}" if why else ""
    return f"image '{image}' is not started: cmd runs directly on this machine{reason}"


# --- the choice -----------------------------------------------------------------------------------


def test_an_image_that_can_be_had_is_pulled_and_run_in_containers(data, fruit) -> None:
    info = make(data, fruit)

    assert info.runtime == "docker"
    assert info.warnings == ()
    assert info.image is not None
    assert info.image.reference == fruit
    assert info.image.id.startswith("sha256:")
    assert info.image.digest.startswith(fruit.rsplit(":", 1)[0])


def test_a_spec_without_image_runs_on_the_machine(data) -> None:
    info = make(data)

    assert (info.runtime, info.image, info.warnings) == ("process", None, ())


def test_an_image_that_can_not_be_had_is_no_hindrance_but_a_warning(data, shelf) -> None:
    missing = f"{shelf.address}/missing:1"

    info = make(data, missing)

    assert (info.runtime, info.image) == ("process", None)
    assert [w.partition(": there is")[0] for w in info.warnings] == [
        not_started(missing, f"image '{missing}'")
    ]


def test_without_a_container_engine_code_runs_on_the_machine_as_ever(engine, tmp_path) -> None:
    engine.engine.repos.create_repo("data")

    info = make(engine, "fruit:1")

    assert info.runtime == "process"
    assert info.warnings == (not_started("fruit:1"),)


def test_an_engine_that_was_named_and_is_not_there_is_told(open_engine, tmp_path) -> None:
    driver = open_engine(TRUNKLINE_RUNTIME="auto", TRUNKLINE_CONTAINER_HOST=f"{tmp_path}/sock")
    driver.engine.repos.create_repo("data")

    [warning] = make(driver, "fruit:1").warnings

    assert warning.startswith(not_started("fruit:1", "there is no container engine at"))


def test_the_container_engine_is_told_or_why_there_is_none(
    opened, open_engine, docker, tmp_path
) -> None:
    there = opened().engine.images.inspect_container_engine()
    named = {"TRUNKLINE_CONTAINER_HOST": "tcp://10.0.0.1:2375"}
    elsewhere = open_engine(tmp_path / "other", **named)

    told = elsewhere.engine.images.inspect_container_engine()

    assert (there.socket, there.problem, there.runtime) == (docker, "", "auto")
    assert there.name.startswith(("Docker ", "Podman "))
    assert (told.name, told.runtime) == ("", "process")
    assert "is not on this machine" in told.problem


@pytest.mark.parametrize("by", ["setting", "spec"])
def test_containers_that_are_asked_for_and_can_not_be_had_are_an_error(
    open_engine, tmp_path, by
) -> None:
    setting = "docker" if by == "setting" else "auto"
    driver = open_engine(TRUNKLINE_RUNTIME=setting, TRUNKLINE_CONTAINER_HOST=f"{tmp_path}/sock")
    driver.engine.repos.create_repo("data")

    with pytest.raises(Unavailable, match="there is no container engine at"):
        make(driver, "fruit:1", **({"runtime": "docker"} if by == "spec" else {}))

    with pytest.raises(PipelineNotFound):
        driver.engine.pipelines.inspect_pipeline("made")


def test_an_image_that_is_asked_for_and_can_not_be_had_is_an_error(opened, shelf) -> None:
    with pytest.raises(NotFound, match="there is no such image"):
        make(opened("docker"), f"{shelf.address}/missing:1")


def test_a_server_of_containers_refuses_a_spec_without_image(opened) -> None:
    with pytest.raises(InvalidInput, match="names no image, and this server runs code in contain"):
        make(opened("docker"))


def test_a_spec_has_its_code_on_the_machine_if_it_says_so(opened, fruit) -> None:
    info = make(opened("docker"), fruit, runtime="process")

    assert info.runtime == "process"
    assert info.warnings == (not_started(fruit),)


def test_a_spec_leaves_the_choice_to_what_there_is_if_it_says_so(opened, fruit) -> None:
    driver = opened("process")

    assert make(driver, fruit).runtime == "process"
    assert make(driver, fruit, runtime="auto", update=True).runtime == "docker"


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ({"runtime": "docker"}, "transform.runtime is docker, which needs an image"),
        ({"runtime": "podman"}, "podman"),
        ({"image": "x", "runtime": "process", "cmd": []}, "is run in containers only"),
        ({"cmd": []}, "nothing to run"),
    ],
)
def test_what_can_not_go_together_is_refused(data, transform, words) -> None:
    with pytest.raises(InvalidSpec, match=words):
        make(data, **transform)


# --- what is recorded -----------------------------------------------------------------------------


def test_an_image_counts_by_its_content_and_not_by_its_name(data, shelf) -> None:
    content = layer({"a": uuid4().bytes})
    first = make(data, shelf.put("one", content))
    renamed = make(data, shelf.put("other", content, tag="2"), update=True)
    other = make(data, some_image(shelf), update=True)

    assert first.salt == renamed.salt
    assert first.salt != other.salt


def test_a_tag_that_has_moved_is_told_and_taken_by_the_next_update(data, shelf, fruit) -> None:
    first = make(data, fruit)
    assert some_image(shelf) == fruit
    unpulled = data.engine.pipelines.inspect_pipeline("made")
    pull(data, fruit)
    moved = data.engine.pipelines.inspect_pipeline("made")
    told = data.engine.lineage.explain_pipeline("made")
    second = make(data, fruit, update=True)

    assert unpulled.alerts == ()
    assert moved.image == first.image
    assert [alert.partition(":1'")[2].partition(" by now")[0] for alert in moved.alerts] == [
        " is another one"
    ]
    assert second.alerts == ()
    assert moved.alerts[0] in told.sentences
    assert second.image is not None
    assert first.image is not None
    assert second.image.id != first.image.id
    assert second.salt != first.salt
    assert data.engine.pipelines.inspect_pipeline("made", version=1).image == first.image


def test_a_rerun_stays_with_its_image(data, shelf, fruit) -> None:
    first = make(data, fruit)
    some_image(shelf)
    pull(data, fruit)

    again = data.engine.pipelines.rerun_pipeline("made")

    assert (again.version, again.image, again.salt) == (2, first.image, first.salt)


def test_an_update_keeps_an_image_that_is_not_here_any_more(data, docker, fruit, shelf) -> None:
    first = make(data, fruit)
    remove(docker, fruit)
    asked = len(shelf.pulls)

    second = make(data, fruit, update=True, env={"A": "1"})

    assert second.image == first.image
    assert len(shelf.pulls) == asked


def test_what_ran_in_containers_does_not_fall_back_to_the_machine(data, fruit, shelf) -> None:
    make(data, fruit)

    with pytest.raises(NotFound, match=r"has run in containers so far: `--runtime process`"):
        make(data, f"{shelf.address}/missing:1", update=True)

    assert data.engine.pipelines.inspect_pipeline("made").version == 1
    assert make(data, fruit, update=True, runtime="process").runtime == "process"


def test_versions_tell_what_differs_in_their_images(data, shelf, fruit) -> None:
    first = make(data, fruit)
    some_image(shelf)
    pull(data, fruit)
    second = make(data, fruit, update=True)

    found = data.engine.pipelines.diff_pipeline("made")

    assert second.image is not None
    assert first.image is not None
    assert found.spec == ()
    assert found.old_image == f"{fruit} ({first.image.id})"
    assert found.new_image == f"{fruit} ({second.image.id})"
    assert not found.empty
    assert not found.keeps_results


def test_the_image_is_in_the_spec_commit(data, fruit) -> None:
    info = make(data, fruit, cmd=["true"])

    stored = json.loads(data.read("__spec__", "image.json", info.spec_commit))

    assert info.image is not None
    assert stored["id"] == info.image.id
    assert stored["digest"] == info.image.digest


def test_an_image_goes_into_the_trash_and_back_with_its_pipeline(data, fruit) -> None:
    image = make(data, fruit).image
    data.engine.pipelines.delete_pipeline("made")

    data.engine.trash.undelete("pipeline", "made")

    assert data.engine.pipelines.inspect_pipeline("made").image == image


def test_the_image_is_that_of_the_version_after_a_restart(opened, fruit) -> None:
    driver = opened()
    image = make(driver, fruit).image
    driver.engine.close()

    again = opened()

    assert again.engine.pipelines.inspect_pipeline("made").image == image


# --- registries -----------------------------------------------------------------------------------


def test_an_image_of_a_private_registry_is_pulled_with_a_secret(opened) -> None:
    driver = opened("docker")
    with registry(LOGIN) as locked:
        private = some_image(locked)
        auth = base64.b64encode(":".join(LOGIN).encode()).decode()
        text = json.dumps({"auths": {locked.address: {"auth": auth}}})
        encoded = base64.b64encode(text.encode()).decode()
        driver.engine.secrets.create_secret("hub", data={".dockerconfigjson": encoded})
        driver.engine.secrets.create_secret("odd", data={"password": encoded})

        with pytest.raises(NotAllowed, match="needs a login"):
            make(driver, private)
        with pytest.raises(NotFound, match=r"'odd' .* has no key \.dockerconfigjson"):
            make(driver, private, image_pull_secrets=["odd"])
        with pytest.raises(NotFound, match="there is no secret 'hubb'; did you mean 'hub'"):
            make(driver, private, image_pull_secrets=["hubb"])
        info = make(driver, private, image_pull_secrets=["hub"])

    with pytest.raises(InUse, match="needed by made"):
        driver.engine.secrets.delete_secret("hub")
    assert info.runtime == "docker"
    assert LOGIN[1] not in json.dumps(info.spec)
    assert not [w for w in info.warnings if "image_pull_secrets" in w]


def test_a_worker_pulls_an_image_again_that_was_removed_meanwhile(opened, docker) -> None:
    driver = opened("docker")
    with registry(LOGIN) as locked:
        private = locked.put("tool", busybox(mark=uuid4().bytes), tag="1")
        auth = base64.b64encode(":".join(LOGIN).encode()).decode()
        text = json.dumps({"auths": {locked.address: {"auth": auth}}})
        encoded = base64.b64encode(text.encode()).decode()
        driver.engine.secrets.create_secret("hub", data={".dockerconfigjson": encoded})
        driver.pipeline(
            "made",
            "echo here > /pfs/out/said",
            transform={"image": private, "image_pull_secrets": ["hub"], "env": {"PATH": "/bin"}},
            autoscaling=True,  # so that no container holds the image
        )
        locked.put("tool", busybox(mark=uuid4().bytes), tag="1")  # the tag moves on
        remove(docker, private)

        driver.put("data", {"a": "apple"})
        job = driver.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert driver.tree("made") == {"said": "here\n"}
    assert job.image == driver.engine.pipelines.inspect_pipeline("made").image


def test_a_job_tells_which_image_made_its_files_and_why_it_ran_again(data, shelf) -> None:
    name = shelf.put("tool", busybox(mark=uuid4().bytes), tag="1")
    data.put("data", {"a": "apple"})
    transform = {"image": name, "env": {"PATH": "/bin"}}
    data.pipeline("made", "cp $data /pfs/out/", transform=transform)
    first = data.job("made")
    shelf.put("tool", busybox(mark=uuid4().bytes), tag="1")
    pull(data, name)
    data.pipeline("made", "cp $data /pfs/out/", transform=transform, update=True)
    second = data.job("made")

    steps = list(data.engine.lineage.why_file("made", "master", "/a"))
    [origin] = [step.datum for step in steps if step.datum is not None]
    changes = data.engine.lineage.explain_job(f"made@{second.id}").changes

    assert first.image is not None
    assert second.image is not None
    assert (second.processed, second.skipped) == (1, 0)
    assert origin.image == second.image.named
    assert [(c.before, c.after) for c in changes if c.part == "image"] == [
        (first.image.named, second.image.named)
    ]


def test_planning_pulls_nothing(data, fruit, shelf) -> None:
    spec = {
        "pipeline": {"name": "made"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["true"], "image": fruit},
    }

    [draft] = data.engine.pipelines.validate_specs(json.dumps(spec))
    data.engine.plans.plan_pipelines([spec])

    assert shelf.pulls == []
    assert (draft.missing_image, draft.warnings) == (fruit, ())


def test_nothing_is_pulled_while_a_transaction_is_carried_out(opened, fruit, shelf) -> None:
    driver = opened("docker")
    spec = {
        "pipeline": {"name": "made"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["true"], "image": fruit},
    }
    transactions = driver.engine.transactions
    first = transactions.start_transaction()
    transactions.add_step(first.id, "create_pipeline", {"spec": spec})

    with pytest.raises(NotSupported, match="can't be pulled within a transaction"):
        transactions.finish_transaction(first.id)
    assert shelf.pulls == []

    pull(driver, fruit)
    transactions.finish_transaction(first.id)
    assert driver.engine.pipelines.inspect_pipeline("made").runtime == "docker"


# --- entry points ---------------------------------------------------------------------------------


def test_a_spec_without_cmd_runs_what_the_image_runs(data, shelf) -> None:
    info = make(data, some_image(shelf, Entrypoint=["/go"], Cmd=["now"]), cmd=[])

    assert info.image is not None
    assert info.image.command == ("/go", "now")


def test_a_spec_without_cmd_needs_an_image_that_has_one(data, fruit) -> None:
    with pytest.raises(InvalidInput, match=f"image '{fruit}' has no entry point either"):
        make(data, fruit, cmd=[])


def test_a_spec_without_cmd_does_not_run_on_the_machine(data, shelf) -> None:
    with pytest.raises(InvalidInput, match=r"is run in containers only \(image '.*missing:1'"):
        make(data, f"{shelf.address}/missing:1", cmd=[])
