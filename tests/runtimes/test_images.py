"""A real container engine: finding it, and images that get here by pulls and builds."""

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from registries import Registry, busybox, layer, registry

from trunkline.config import load
from trunkline.errors import (
    InvalidInput,
    NoContainerEngine,
    NotAllowed,
    NotFound,
    NotSupported,
    OperationFailed,
    Unavailable,
)
from trunkline.model.images import Image, ImageStep
from trunkline.runtimes.containers import images
from trunkline.runtimes.containers.engine import ContainerEngine, open_engine

LOGIN = ("reader", "pass word")


@pytest.fixture
def engine(docker: str) -> Iterator[ContainerEngine]:
    with closing(open_engine(load())) as opened:
        yield opened


@pytest.fixture
def shelf() -> Iterator[Registry]:
    with registry() as served:
        yield served


@pytest.fixture
def locked() -> Iterator[Registry]:
    with registry(LOGIN) as served:
        yield served


def never() -> bool:
    return False


def pulled(engine: ContainerEngine, reference: str, *credentials: bytes) -> Image:
    steps = list(images.pull(engine, reference, credentials=credentials, cancelled=never))
    return last_of(steps)


def last_of(steps: list[ImageStep]) -> Image:
    assert steps[-1].image is not None
    return steps[-1].image


def logins(address: str, name: str, password: str) -> bytes:
    auth = base64.b64encode(f"{name}:{password}".encode()).decode()
    return json.dumps({"auths": {address: {"auth": auth}}}).encode()


# --- the engine -----------------------------------------------------------------------------------


def test_the_engine_of_the_setting_is_found_and_tells_its_name(engine, docker) -> None:
    assert engine.socket == docker
    assert engine.name.partition(" ")[0] == ("Podman" if engine.podman else "Docker")
    assert engine.name.partition(" ")[2]


def test_docker_host_does_where_no_setting_of_ours_is_there(docker) -> None:
    with closing(open_engine(load({"DOCKER_HOST": f"unix://{docker}"}))) as engine:
        assert engine.socket == docker


def test_no_socket_is_an_engine_that_is_not_there(tmp_path: Path) -> None:
    place = tmp_path / "sock"

    with pytest.raises(
        NoContainerEngine, match=f"no container engine at unix://{place}; is it running"
    ):
        open_engine(load({"TRUNKLINE_CONTAINER_HOST": f"unix://{place}"}))


def test_a_socket_that_nobody_answers_is_told_with_the_reason(tmp_path: Path) -> None:
    place = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))

    with pytest.raises(Unavailable, match=r"does not answer \(Connection refused\)"):
        open_engine(load({"TRUNKLINE_CONTAINER_HOST": str(place)}))


def test_an_engine_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'tcp://10\.0\.0\.1:2375' is not on this machine"):
        open_engine(load({"DOCKER_HOST": "tcp://10.0.0.1:2375"}))


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        (
            {"Server": "Docker/17.03 (linux)", "Api-Version": "1.27"},
            *(NotSupported, "Docker 17.03 .* too old.*1.27"),
        ),
        ({"Server": "nginx"}, Unavailable, "is no container engine"),
        (None, Unavailable, "is no container engine"),
    ],
)
def test_what_is_too_old_or_no_engine_is_said(tmp_path: Path, told, error, words) -> None:
    pytest.importorskip("docker")
    place = tmp_path / "sock"
    with answering(place, told), pytest.raises(error, match=words):
        open_engine(load({"TRUNKLINE_CONTAINER_HOST": str(place)}))


class answering:  # noqa: N801 - used as a function
    """Something on a socket that gives one answer to everything."""

    def __init__(self, place: Path, headers: Mapping[str, str] | None) -> None:
        """The answer has these headers, or is no HTTP."""
        lines = ["HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        whole = "\r\n".join([*lines, "", "OK"])
        self._answer = b"nonsense" if headers is None else whole.encode()
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(place))
        self._door.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
            except OSError:
                return
            with caller:
                if caller.recv(65536):
                    caller.sendall(self._answer)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join()


# --- pulls ----------------------------------------------------------------------------------------


def test_what_is_not_here_is_not_found(engine) -> None:
    assert images.find(engine, f"nothing-{uuid4().hex}:1") is None


def test_a_pulled_image_is_known_with_all_that_it_says_of_itself(engine, shelf) -> None:
    name = shelf.put(
        "tools/fruit",
        busybox(),
        tag="1",
        User="1000:1000",
        WorkingDir="/srv",
        Entrypoint=["/bin/echo", "apple"],
        Cmd=["bear"],
        Env=["FRUIT=pear", "PATH=/bin"],
    )

    image = pulled(engine, name)

    assert image == images.find(engine, name)
    assert image.reference == name
    assert image.id.startswith("sha256:")
    assert image.digest.startswith(f"{shelf.place}/tools/fruit@sha256:")
    assert (image.user, image.working_dir) == ("1000:1000", "/srv")
    assert image.command == ("/bin/echo", "apple", "bear")
    assert image.env == ("FRUIT=pear", "PATH=/bin")


def test_a_pull_tells_how_far_it_is(engine, shelf) -> None:
    name = shelf.put("large", layer({"data": uuid4().bytes * 200_000}))

    steps = list(images.pull(engine, name, cancelled=never))

    assert any(step.text for step in steps)
    assert all(step.done_bytes <= step.total_bytes for step in steps)
    assert [step.image is not None for step in steps].index(True) == len(steps) - 1


def test_a_tag_that_has_moved_is_another_image_once_it_is_pulled(engine, shelf) -> None:
    name = shelf.put("moving", layer({"a": b"1"}), tag="now")
    first = pulled(engine, name)
    shelf.put("moving", layer({"a": b"2"}), tag="now")

    assert images.find(engine, name) == first
    second = pulled(engine, name)

    assert second.id != first.id
    assert images.find(engine, name) == second
    assert images.find(engine, first.id) is not None


def test_one_content_under_two_names_has_one_id(engine, shelf) -> None:
    content = layer({"a": uuid4().bytes})
    one = pulled(engine, shelf.put("one", content))
    other = pulled(engine, shelf.put("other", content, tag="x"))

    assert one.id == other.id
    assert one.digest.startswith(f"{shelf.place}/one@")
    assert other.digest.startswith(f"{shelf.place}/other@")


def test_an_image_can_be_named_by_its_digest(engine, shelf) -> None:
    first = pulled(engine, shelf.put("pinned", layer({"a": uuid4().bytes})))

    again = pulled(engine, first.digest)

    assert again.id == first.id


def test_no_such_image_is_said_with_what_could_be_done(engine, shelf) -> None:
    with pytest.raises(NotFound, match=r"nothing:1': there is no such image, or it needs a login"):
        pulled(engine, f"{shelf.address}/nothing:1")


def test_a_registry_that_can_not_be_reached_is_said(engine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(Unavailable, match=f"{re.escape(engine.name)} does not reach its registry"):
        pulled(engine, f"{address}/fruit:1")


def test_a_rate_limit_is_said(engine, shelf) -> None:
    name = shelf.put("wanted", layer({"a": b"1"}))
    shelf.refuses = 429

    with pytest.raises(Unavailable, match=r"gives no more for now \(rate limit\)"):
        pulled(engine, name)


def test_an_image_for_other_machines_is_said(engine, shelf) -> None:
    name = shelf.put("foreign", layer({"a": b"1"}), architecture="s390x")

    with pytest.raises(NotSupported, match="is not made for this kind of machine"):
        pulled(engine, name)


@pytest.mark.parametrize("reference", ["Large:1", "a b", "a:b:c", "-x", "../x"])
def test_what_is_no_name_of_an_image_is_said(engine, reference: str) -> None:
    with pytest.raises(InvalidInput, match="no name of an image"):
        images.find(engine, reference)
    with pytest.raises(InvalidInput, match="no name of an image"):
        pulled(engine, reference)


def test_a_private_image_needs_a_login(engine, locked) -> None:
    name = locked.put("private", layer({"a": uuid4().bytes}))

    with pytest.raises(NotAllowed, match=r"private:latest' needs a login .*image_pull_secrets"):
        pulled(engine, name)
    with pytest.raises(NotAllowed):
        pulled(engine, name, logins(locked.address, "reader", "wrong"))
    with pytest.raises(NotAllowed):
        pulled(engine, name, logins("127.0.0.1:1", *LOGIN))

    image = pulled(engine, name, logins("127.0.0.1:1", *LOGIN), logins(locked.address, *LOGIN))

    assert image.reference == name


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"auths": 1}', b'{"auths": {"x": {"auth": "?"}}}']
)
def test_a_file_that_has_no_logins_is_said_without_its_content(engine, shelf, text) -> None:
    with pytest.raises(InvalidInput, match=r"no file of logins: it needs the key \.dockerconfigj"):
        pulled(engine, shelf.put("some", layer({"a": b"1"})), text)


def test_the_login_of_the_user_counts_too(docker, locked, tmp_path: Path) -> None:
    name = locked.put("private", layer({"a": uuid4().bytes}))
    place = tmp_path / "docker-config"
    place.mkdir()
    (place / "config.json").write_bytes(logins(locked.address, *LOGIN))

    with closing(open_engine(load())) as engine:
        assert pulled(engine, name).reference == name


def test_a_recorded_image_that_was_removed_comes_back_by_its_digest(engine, shelf) -> None:
    name = shelf.put("kept", layer({"a": uuid4().bytes}), tag="1")
    image = pulled(engine, name)
    shelf.put("kept", layer({"a": uuid4().bytes}), tag="1")  # the tag moves on
    engine.api.remove_image(image.id, force=True)
    told: list[str] = []

    images.ensure(engine, image, on_pull=lambda: told.append("pull"), cancelled=never)
    images.ensure(engine, image, on_pull=lambda: told.append("again"), cancelled=never)

    assert told == ["pull"]
    assert images.find(engine, image.id) is not None


def test_a_recorded_image_that_was_never_in_a_registry_can_only_be_built_again(
    engine, tmp_path: Path
) -> None:
    image = built(engine, tmp_path, {"Dockerfile": f"FROM scratch\nLABEL a={uuid4().hex}\n"})
    engine.api.remove_image(image.id, force=True)

    # Podman has a digest for it all the same, and asks a registry, which does not answer here.
    told = "can't be pulled" if engine.podman else "is not on this machine any more, and was never"
    with pytest.raises(Unavailable if engine.podman else NotFound, match=told):
        images.ensure(engine, image, cancelled=never)


def test_a_pull_that_nobody_wants_any_more_ends_at_once(engine, shelf) -> None:
    name = shelf.put("unwanted", layer({"a": b"1"}))

    with pytest.raises(images.NotWanted):
        list(images.pull(engine, name, cancelled=lambda: True))


# --- builds ---------------------------------------------------------------------------------------


def built(engine: ContainerEngine, place: Path, files: dict[str, str]) -> Image:
    for name, text in files.items():
        (place / name).write_text(text)
    tag = f"trunkline-test:{uuid4().hex[:12]}"
    steps = list(images.build(engine, place, dockerfile="Dockerfile", tag=tag, cancelled=never))
    assert images.find(engine, tag) == last_of(steps)
    return last_of(steps)


def test_an_image_is_built_of_a_directory(engine, tmp_path: Path) -> None:
    text = 'FROM scratch\nADD fruit /fruit\nWORKDIR /srv\nENTRYPOINT ["/fruit"]\n'

    image = built(engine, tmp_path, {"Dockerfile": text, "fruit": "apple"})

    assert (image.working_dir, image.entrypoint) == ("/srv", ("/fruit",))
    assert engine.podman or image.digest == ""


def test_a_build_tells_its_steps(engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    steps = images.build(
        engine, tmp_path, dockerfile="Dockerfile", tag="trunkline-test:steps", cancelled=never
    )

    texts = [step.text for step in steps]

    assert re.match(r"(?i)step 1/2 ?: from scratch", texts[0])
    assert texts[-1].startswith("built trunkline-test:steps (sha256:")


def test_the_same_directory_gives_the_same_image(engine, tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM scratch\nADD fruit /fruit\n", "fruit": uuid4().hex}

    assert built(engine, tmp_path, files).id == built(engine, tmp_path, files).id


def test_a_dockerignore_counts(engine, tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM scratch\nADD fruit /\n", ".dockerignore": "fruit", "fruit": "x"}

    with pytest.raises(OperationFailed, match="the image can't be built: .*fruit"):
        built(engine, tmp_path, files)


def test_what_a_build_says_last_is_the_reason_of_its_failure(engine, tmp_path: Path) -> None:
    told = r"(?i)can't be built.*(frm|no FROM statement found)"
    with pytest.raises(OperationFailed if engine.podman else InvalidInput, match=told):
        built(engine, tmp_path, {"Dockerfile": "FRM scratch\n"})


def test_a_build_needs_its_dockerfile(engine, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no other in the directory"):
        list(images.build(engine, tmp_path, dockerfile="other", tag="x:1", cancelled=never))
