"""Images of a container engine: which one a reference names, how it gets here, how one is built.

What takes long tells what it does, step by step; who reads the steps may stop at any time. The
engine goes on with a pull that nobody waits for.
"""

import json
import queue
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trunkline.errors import (
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSupported,
    OperationFailed,
    TrunklineError,
    Unavailable,
    shown,
)
from trunkline.model.images import Image, ImageStep, short_id
from trunkline.runtimes.containers.engine import ContainerEngine, translated

PULL_SILENCE_S = 120.0  # without a word of the progress of a pull
BUILD_SILENCE_S = 3600.0  # a step of a build says nothing while its command does not
_LOOK_S = 0.2  # a waiter looks at least this often whether anybody still wants it
_DOCKER_HUB = "docker.io"
_HUB_SERVER = "https://index.docker.io/v1/"  # what files of credentials call it
_REASON_MAX = 600

_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}",
    re.ASCII,
)

Cancelled = Callable[[], bool]

# What engines and registries say, in the order in which it is looked for, and what that means.
_RATE = ("toomanyrequests", "rate limit", "too many requests")
_PLATFORM = ("no matching manifest", "no match for platform", "no image found in manifest list")
_ROUTE = (
    *("no such host", "dial tcp", "connection refused", "network is unreachable", "i/o timeout"),
    *("tls handshake timeout", "server misbehaving", "temporary failure in name resolution"),
    *("context deadline exceeded", "client.timeout", "no route to host", "pinging container"),
    *("connection reset by peer", "unexpected eof", "x509:", "http response to https client"),
    "unexpected http status: 5",
)
_MISSING = (
    *("manifest unknown", "not found", "does not exist", "no such image", "name unknown"),
    *("repository_unknown", "name_unknown", "manifest_unknown"),
)
_LOGIN = ("unauthorized", "denied", "no basic auth", "authentication required", "forbidden")


class NotWanted(Exception):
    """Nobody waits for the image any more."""


def find(engine: ContainerEngine, reference: str) -> Image | None:
    """The image that a reference (or an id) names on this machine; None if it is not here.

    Raises InvalidInput for what is no reference, NotSupported for an image of another system.
    """
    _check(reference)
    try:
        with engine.calls(f"image '{reference}'"):
            told: dict[str, Any] = engine.api.inspect_image(reference)
    except NotFound:
        return None
    system = str(told.get("Os") or "linux")
    if system != "linux":
        raise NotSupported(f"image '{reference}' is made for {system}, and this machine runs Linux")
    config = told.get("Config") or {}
    digests: list[str] = told.get("RepoDigests") or []
    wanted = _repository(reference)
    return Image(
        reference=reference,
        id=str(told["Id"]) if ":" in str(told["Id"]) else f"sha256:{told['Id']}",  # Podman's
        digest=next(
            (one for one in digests if _repository(one) == wanted), digests[0] if digests else ""
        ),
        user=str(config.get("User") or ""),
        working_dir=str(config.get("WorkingDir") or ""),
        entrypoint=_words(config.get("Entrypoint")),
        cmd=_words(config.get("Cmd")),
        env=_words(config.get("Env")),
    )


def pull(
    engine: ContainerEngine,
    reference: str,
    *,
    credentials: Sequence[bytes] = (),
    cancelled: Cancelled,
) -> Iterator[ImageStep]:
    """Get an image from its registry, even if one of that name is here; the last step has it.

    `credentials` are files as `docker login` writes them; those of the engine's user count too.
    Raises NotFound, NotAllowed, Unavailable (no way there, a rate limit, silence), NotSupported for
    no image of this platform, InvalidInput for what is no reference, OperationFailed, NotWanted.
    """
    _check(reference)
    login = _login(reference, credentials)
    name, tag = _name_and_tag(reference)

    def told() -> Iterator[dict[str, Any]]:
        with engine.calls(f"image '{reference}'"):
            yield from engine.api.pull(name, tag=tag, stream=True, decode=True, auth_config=login)

    layers: dict[str, tuple[int, int]] = {}
    try:
        for step in _events(told, silence_s=PULL_SILENCE_S, cancelled=cancelled):
            if "error" in step:
                raise translated(f"image '{reference}'", str(step["error"]), _status(step))
            layer, detail = str(step.get("id") or ""), step.get("progressDetail") or {}
            status = str(step.get("status") or "")
            if status == "Downloading" and detail.get("total"):
                layers[layer] = (int(detail.get("current") or 0), int(detail["total"]))
            elif status in ("Download complete", "Pull complete") and layer in layers:
                layers[layer] = (layers[layer][1], layers[layer][1])
            yield ImageStep(
                text="" if detail else " ".join(filter(None, (layer, status))),
                done_bytes=sum(done for done, _ in layers.values()),
                total_bytes=sum(total for _, total in layers.values()),
            )
    except TrunklineError as error:
        raise _explained(engine, reference, error) from error
    image = find(engine, reference)
    if image is None:
        raise OperationFailed(f"image '{reference}' was pulled, but {engine.name} does not have it")
    yield ImageStep(text=f"pulled {image.shown}", image=image)


def ensure(
    engine: ContainerEngine,
    image: Image,
    *,
    credentials: Callable[[], Sequence[bytes]] = tuple,
    on_pull: Callable[[], None] = lambda: None,
    cancelled: Cancelled,
) -> None:
    """See to it that an image that was recorded earlier is here, exactly that one.

    It is pulled again by its digest if it was removed, after calling `on_pull`, with the
    `credentials` of that time. Raises as `pull`, and NotFound for an image that was only ever here.
    """
    if find(engine, image.id) is not None:
        return
    if not image.digest:
        raise NotFound(
            f"image {image.shown} is not on this machine any more, and was never in a registry; "
            "build or load it again and update the pipeline"
        )
    on_pull()
    for step in pull(engine, image.digest, credentials=credentials(), cancelled=cancelled):
        found = step.image
        if found is not None and found.id != image.id and find(engine, image.id) is None:
            raise OperationFailed(
                f"image {image.shown} can't be had again: {image.digest} is {short_id(found.id)} "
                "on this machine, perhaps for another platform; update the pipeline"
            )


def build(
    engine: ContainerEngine, directory: Path, *, dockerfile: str, tag: str, cancelled: Cancelled
) -> Iterator[ImageStep]:
    """Build an image of a directory with a Dockerfile (a path below it); the last step has it.

    A .dockerignore counts. Raises NotFound for no Dockerfile, InvalidInput for one that can't be
    read, OperationFailed with what the build said last, Unavailable, NotWanted.
    """
    if not (directory / dockerfile).is_file():
        raise NotFound(f"there is no {dockerfile} in the directory of the build")

    what = "the image can't be built"

    def told() -> Iterator[dict[str, Any]]:
        with engine.calls(what):
            yield from engine.api.build(
                *(str(directory), tag),
                dockerfile=dockerfile,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=BUILD_SILENCE_S,
            )

    for step in _events(told, silence_s=BUILD_SILENCE_S, cancelled=cancelled):
        if "error" in step:
            raise translated(what, str(step["error"]), _status(step))
        for line in str(step.get("stream") or step.get("status") or "").splitlines():
            if line.strip():
                yield ImageStep(text=line.rstrip())
    image = find(engine, tag)
    if image is None:
        raise OperationFailed(f"image '{tag}' was built, but {engine.name} does not have it")
    yield ImageStep(text=f"built {image.shown}", image=image)


# --- what engines say -----------------------------------------------------------------------------


def _events(
    told: Callable[[], Iterator[dict[str, Any]]], *, silence_s: float, cancelled: Cancelled
) -> Iterator[dict[str, Any]]:
    """What a stream tells, read by a thread of its own, as its reads can't be stopped.

    Raises what it raises, NotWanted, and Unavailable after so long without a word; the thread is
    left behind then, and ends with the stream.
    """
    heard: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue(maxsize=1000)
    left = threading.Event()

    def read() -> None:
        try:
            for one in told():
                heard.put(one)
                if left.is_set():
                    return
            heard.put(None)
        except BaseException as error:
            heard.put(error)

    threading.Thread(target=read, name="image", daemon=True).start()
    waited_s = 0.0
    try:
        while True:
            if cancelled():
                raise NotWanted
            try:
                one = heard.get(timeout=_LOOK_S)
            except queue.Empty:
                waited_s += _LOOK_S
                if waited_s >= silence_s:
                    raise Unavailable(f"nothing was heard for {silence_s:g} s") from None
                continue
            waited_s = 0.0
            if one is None:
                return
            if isinstance(one, BaseException):
                raise one
            yield one
    finally:
        left.set()
        while not heard.empty():  # so that it does not wait for room
            heard.get_nowait()


def _status(step: dict[str, Any]) -> int | None:
    code = (step.get("errorDetail") or {}).get("code")
    return code if isinstance(code, int) else None


def _explained(engine: ContainerEngine, reference: str, error: TrunklineError) -> TrunklineError:
    """What went wrong with a pull, and what to do about it."""
    said = str(error).removeprefix(f"image '{reference}': ")[:_REASON_MAX]
    words = said.lower()

    def says(phrases: Sequence[str]) -> bool:
        return any(phrase in words for phrase in phrases)

    if isinstance(error, InvalidInput):
        return error
    if says(_RATE):
        return Unavailable(
            f"image '{reference}': its registry gives no more for now (rate limit); try later, or "
            f"log in there: {said}"
        )
    if says(_PLATFORM):
        return NotSupported(f"image '{reference}' is not made for this kind of machine: {said}")
    if says(_ROUTE) or isinstance(error, Unavailable):
        return Unavailable(
            f"image '{reference}' can't be pulled, as {engine.name} does not reach its registry: "
            f"{said}"
        )
    if says(_MISSING):
        return NotFound(
            f"image '{reference}': there is no such image, or it needs a login (`docker login` as "
            f"the user of the server, or transform.image_pull_secrets): {said}"
        )
    if says(_LOGIN) or isinstance(error, NotAllowed):
        return NotAllowed(
            f"image '{reference}' needs a login (`docker login` as the user of the server, or "
            f"transform.image_pull_secrets): {said}"
        )
    return OperationFailed(f"image '{reference}' can't be pulled: {said}")


def _words(given: object) -> tuple[str, ...]:
    if isinstance(given, str):  # as very old images have it: for a shell
        return ("/bin/sh", "-c", given)
    return tuple(map(str, given)) if isinstance(given, list) else ()


# --- names and logins -----------------------------------------------------------------------------


def _check(reference: str) -> None:
    """Refuse what can't be a reference; engines take some of it for the beginning of an id."""
    if not _REFERENCE.fullmatch(reference):
        raise InvalidInput(
            f"{shown(reference)} is no name of an image, such as ubuntu:22.04 or "
            "registry.example.com/team/tool:1, in small letters"
        )


def _name_and_tag(reference: str) -> tuple[str, str]:
    """A reference in two parts, the second a tag or a digest."""
    name, at, digest = reference.partition("@")
    if at:
        return name.rsplit(":", 1)[0] if ":" in name.rsplit("/", 1)[-1] else name, digest
    last = name.rsplit("/", 1)[-1]
    if ":" in last:
        return name[: -len(last)] + last.partition(":")[0], last.partition(":")[2]
    return name, "latest"


def _registry(reference: str) -> str:
    """The host that a reference is from: its first part, if that looks like one."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return _DOCKER_HUB


def _repository(reference: str) -> str:
    """A reference without tag and digest, as registries spell it in full."""
    name, _ = _name_and_tag(reference)
    registry = _registry(name)
    path = name.removeprefix(f"{registry}/")
    if registry == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path}"


def _login(reference: str, credentials: Sequence[bytes]) -> dict[str, str] | None:
    """What the files of credentials say for the registry of a reference; the first that does.

    Raises InvalidInput, without any part of the content, for what is no such file.
    """
    import docker.auth
    import docker.errors

    registry = _registry(reference)
    for text in credentials:
        try:
            parsed = json.loads(text)
            auths = docker.auth.AuthConfig({"auths": docker.auth.parse_auth(parsed["auths"])})
            found = auths.resolve_authconfig(_HUB_SERVER if registry == _DOCKER_HUB else registry)
        except (ValueError, KeyError, TypeError, AttributeError, docker.errors.DockerException):
            raise InvalidInput(
                "a secret of transform.image_pull_secrets is no file of logins: it needs the key "
                ".dockerconfigjson, as `docker login` writes ~/.docker/config.json"
            ) from None
        if found:
            return {str(key): value for key, value in found.items() if isinstance(value, str)}
    return None
