"""Images of pipelines: options of `create pipeline` and `update pipeline` on them."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.command import option
from trunkline.cli.output import note, warn
from trunkline.cli.progress import waiting
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput
from trunkline.values import dataclass

if TYPE_CHECKING:
    from trunkline.model.images import Image, ImageStep
    from trunkline.model.pipelines import PipelineDraft, PipelineInfo

_RUNTIMES = ("auto", "process", "docker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What a command is told about images besides its specs."""

    runtime: str | None  # instead of what specs say
    pull: bool
    build: bool


AS_IN_SPECS = ImageOptions(runtime=None, pull=False, build=False)


def image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command has `runtime`, `pull`, `build` and `push`."""
    for add in (
        option(
            "--runtime",
            type=click.Choice(_RUNTIMES),
            help="Where its code runs: in a container of its image (docker), or on the machine.",
        ),
        option("--pull", is_flag=True, help="Take its image as it is in its registry now."),
        option(
            *("-b", "--build", "build"),
            is_flag=True,
            help="Build its image from the Dockerfile beside the spec.",
        ),
        # Of pachctl, to push what it built; accepted, and answered with a note.
        option("-p", "--push-images", "push", is_flag=True, hidden=True),
        option("-r", "--registry", hidden=True),
        option("-u", "--username", hidden=True),
        option("--password", hidden=True),
    ):
        function = add(function)
    return function


def chosen(
    *,
    runtime: str | None,
    pull: bool,
    build: bool,
    push: bool,
    registry: str | None,
    username: str | None,
    password: str | None,
) -> ImageOptions:
    """What the options say together; raises InvalidInput where they do not fit."""
    if push or registry or username or password:
        warn("images are not pushed to a registry; -p, -r, -u and --password are ignored")
    if pull and build:
        raise InvalidInput("--pull and --build exclude each other; use one of them")
    return ImageOptions(runtime=runtime, pull=pull, build=build)


def with_images(draft: "PipelineDraft", wanted: ImageOptions, *, spec_file: str) -> "PipelineDraft":
    """The draft as the options have it, once its image is pulled or built."""
    if wanted.build:
        draft = _changed(draft, image=_built(draft, spec_file))
    if wanted.runtime is not None:
        draft = _changed(draft, runtime=wanted.runtime)
    if wanted.pull:
        transform = _transform(draft)
        if not transform.get("image"):
            raise InvalidInput(f"pipeline '{draft.name}' has no image that --pull could pull")
        secrets = transform.get("image_pull_secrets") or transform.get("imagePullSecrets") or []
        _followed(operations().images.pull_image(transform["image"], pull_secrets=secrets))
    return draft


@contextmanager
def getting_image(draft: "PipelineDraft") -> Iterator[None]:
    """Shows that the pipeline waits for its image, while it is made."""
    if not draft.missing_image:
        yield
        return
    with waiting(f"pipeline '{draft.name}' waits for image '{draft.missing_image}'"):
        yield


def tell_image(draft: "PipelineDraft", info: "PipelineInfo", *, update: bool) -> None:
    """Say what a version that was just made runs in, where its user could not know it."""
    for warning in info.warnings:
        if warning not in draft.warnings:
            warn(f"pipeline '{draft.name}': {warning}")
    image = info.image
    if image is not None and not image.known:
        note(f"pipeline '{draft.name}' starts when its image is here: {info.reason}")
    if not update or image is None or info.version < 2:
        return
    before = operations().pipelines.inspect_pipeline(info.name, version=info.version - 1).image
    if before is None or not (before.known and image.known):
        return
    if before.reference == image.reference and before.id != image.id:
        note(
            f"pipeline '{draft.name}': image '{image.reference}' is another one than before: "
            f"{image.id}, it was {before.id}"
        )


def _transform(draft: "PipelineDraft") -> dict[str, Any]:
    given = draft.spec.get("transform")
    return given if isinstance(given, dict) else {}


def _changed(draft: "PipelineDraft", **fields: str) -> "PipelineDraft":
    spec = {**draft.spec, "transform": {**_transform(draft), **fields}}
    [changed] = operations().pipelines.validate_specs(
        json.dumps(spec), source=f"pipeline '{draft.name}'", project=current().project
    )
    return changed


def _built(draft: "PipelineDraft", spec_file: str) -> str:
    """The tag of the image that is built for a pipeline."""
    from trunkline.connect.build_context import dockerfile_of, tag_of, upload_context

    if spec_file == "-" or "://" in spec_file:
        raise InvalidInput("--build needs a spec in a file, as its Dockerfile is beside it")
    dockerfile = dockerfile_of(Path(spec_file), str(_transform(draft).get("dockerfile") or ""))
    context = upload_context(operations(), dockerfile.parent)
    tag = tag_of(draft.name, context, dockerfile.name)
    _followed(operations().images.build_image(tag, context, dockerfile=dockerfile.name))
    return tag


def _followed(steps: "Iterable[ImageStep]") -> "Image":
    """Print what a pull or a build tells, for the person at the terminal; the image in the end."""
    image = None
    for step in steps:
        if step.text:
            note(step.text)
        image = step.image or image
    assert image is not None, "the last step has it"
    return image
