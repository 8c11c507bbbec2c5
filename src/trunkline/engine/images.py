"""Which image a pipeline version runs in, and getting one here; see `api.images`.

What a version runs in is decided when it is made, and recorded with it by content: workers, reruns
and the identity of datums go by that, whatever the tag names later
(docs/decisions/0048-images.md).
"""

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from trunkline.api.waiting import check_wanted
from trunkline.engine.services import Services
from trunkline.errors import (
    InvalidInput,
    InvalidSpec,
    NoContainerEngine,
    NotFound,
    NotSupported,
    TrunklineError,
    Unavailable,
)
from trunkline.files.manifest import RootId
from trunkline.jobs.arrivals import without_command
from trunkline.jobs.clusters import check_for_pods, runs_here
from trunkline.jobs.secrets import SecretStore
from trunkline.model.images import (
    ON_HOST,
    ContainerEngineInfo,
    Image,
    ImageStep,
    Placement,
    Runtime,
    unknown_image,
)
from trunkline.model.names import check_path
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.contained import lacking
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.pipelines.spec import NO_ENTRY_POINT
from trunkline.runtimes.containers import images
from trunkline.runtimes.containers.engine import open_engine
from trunkline.versions.liveness import require_file_set

_CONTEXT_FILE = "context.tar"
_ANSWER_S = 10.0  # for a registry to say whether it has an image, while its caller waits


class EngineImages:
    def __init__(self, services: Services) -> None:
        self._services = services

    def inspect_container_engine(self) -> ContainerEngineInfo:
        config = self._services.config
        name = place = problem = ""
        try:
            with closing(open_engine(config)) as engine:
                name, place = engine.name, engine.socket
        except TrunklineError as error:
            problem = str(error)
        return ContainerEngineInfo(runtime=config.runtime, name=name, socket=place, problem=problem)

    def pull_image(
        self, reference: str, *, pull_secrets: list[str] | None = None
    ) -> Iterator[ImageStep]:
        yield from _pulled(self._services, reference, tuple(pull_secrets or ()))

    def build_image(
        self, tag: str, context: str, *, dockerfile: str = "Dockerfile"
    ) -> Iterator[ImageStep]:
        services = self._services
        check_path(dockerfile)
        with (
            closing(open_engine(services.config)) as engine,
            tempfile.TemporaryDirectory(prefix="trunkline-image-") as name,
        ):
            place = Path(name)
            _unpack(services, context, place)
            try:
                yield from images.build(
                    engine, place, dockerfile=dockerfile, tag=tag, cancelled=_unwanted(services)
                )
            except images.NotWanted:
                raise Unavailable("the server is shutting down") from None


def _unpack(services: Services, context: str, place: Path) -> None:
    with services.database.read() as tx:
        require_file_set(tx, context)
    row = services.trees.find(RootId(context), _CONTEXT_FILE)
    if row is None:
        raise NotFound(f"the file set has no {_CONTEXT_FILE}, which the image would be built of")
    with tempfile.TemporaryFile() as file:
        for piece in services.trees.read(row):
            file.write(piece)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file) as archive:
                archive.extractall(place, filter="tar")  # refuses what would leave the place
        except (tarfile.TarError, OSError) as error:
            raise InvalidInput(f"{_CONTEXT_FILE} can't be unpacked: {error}") from error


def placement_for(
    services: Services,
    pipeline: PipelineSpec,
    previous: PipelineRecord | None,
    *,
    may_pull: bool,
    planned: bool = False,
) -> Placement:
    """Where the code of a version that is about to be made runs.

    An image that is on this machine is taken as it is, another one pulled, if that is allowed and
    the version before did not have it under the same name. It has no id yet if it is only `planned`
    or if getting it takes long: then the scheduler goes on with that. Where the choice is the
    server's (`auto`), what keeps an image from being started keeps a pipeline on the machine
    itself, unless its version before ran in containers.

    Raises NotFound, NotAllowed, NotSupported, Unavailable, OperationFailed, InvalidInput and
    InvalidSpec.
    """
    if not runs_here(services.config, pipeline):  # nothing of it runs, wherever
        return ON_HOST
    if services.config.runtime == Runtime.KUBERNETES:
        check_for_pods(services.config, pipeline)
        return ON_HOST
    transform = pipeline.transform
    wanted = transform.runtime or Runtime(services.config.runtime)
    if not transform.image:
        if wanted is Runtime.DOCKER:
            raise InvalidInput(
                f"pipeline '{pipeline.name}' names no image, and this server runs code in "
                "containers only (TRUNKLINE_RUNTIME); set transform.image"
            )
        _check_command(pipeline, ON_HOST)
        return ON_HOST
    before = None if previous is None else previous.placement.image
    try:
        found = (
            ON_HOST
            if wanted is Runtime.PROCESS
            else _in_container(services, pipeline, before, may_pull=may_pull, planned=planned)
        )
    except TrunklineError as error:
        if wanted is Runtime.DOCKER:
            raise
        if before is not None:
            error.args = (
                f"{error}; pipeline '{pipeline.name}' has run in containers so far: `--runtime "
                "process` has it run on this machine",
            )
            raise
        found = Placement(why_host="" if _is_plain(services, error) else str(error))
    _check_command(pipeline, found)
    return found


def _in_container(
    services: Services,
    pipeline: PipelineSpec,
    before: Image | None,
    *,
    may_pull: bool,
    planned: bool,
) -> Placement:
    reference = pipeline.transform.image
    if why := lacking(pipeline):
        raise NotSupported(why)
    with closing(open_engine(services.config)) as engine:
        found = images.find(engine, reference)
    if found is None and before is not None and before.reference == reference:
        found = before  # workers get it again if they need it
    if found is None and planned:
        found = unknown_image(reference)
    if found is None and not may_pull:
        raise NotSupported(
            f"image '{reference}' is not on this machine and can't be pulled within a transaction, "
            "which nobody may have to wait for; create or update the pipeline by itself"
        )
    if found is None or (may_pull and not found.known):
        found = _on_its_way(services, pipeline, insists=before is not None)
    return Placement(image=found)


def _on_its_way(services: Services, pipeline: PipelineSpec, *, insists: bool) -> Image:
    """The image of a pipeline, without an id if it is not here soon; its pull goes on then.

    Where nothing else will do (`insists`, or the pipeline does), a registry that does not answer
    now is waited for too. Raises as `images.pull`.
    """
    transform = pipeline.transform
    wanted = transform.runtime or Runtime(services.config.runtime)
    insists = insists or wanted is Runtime.DOCKER
    pull = services.scheduler.pulls.begin(transform.image, transform.pull_secrets)
    try:
        found = pull.first_word(_unwanted(services), answer_s=_ANSWER_S if insists else None)
    except images.NotWanted:
        raise Unavailable("the server is shutting down") from None
    except Unavailable:
        if not insists:
            raise
        found = None
    return found or unknown_image(transform.image)


def _is_plain(services: Services, error: TrunklineError) -> bool:
    """Whether there just is no container engine, which needs no explanation."""
    return isinstance(error, NoContainerEngine) and not services.config.container_host


def _check_command(pipeline: PipelineSpec, placement: Placement) -> None:
    """Refuse a version that has nothing to run, or that could not read what it needs."""
    transform = pipeline.transform
    if placement.image is None and transform.requirements and transform.user:
        raise InvalidSpec(
            "transform can't have both requirements and user on this machine: the environment is "
            "kept in the data directory, which no other user can read"
        )
    if pipeline.transform.cmd:
        return
    image = placement.image
    if not pipeline.transform.image:
        raise InvalidInput("transform must specify a cmd, unless `--build` builds its dockerfile")
    if image is None:
        why = f" ({placement.why_host})" if placement.why_host else ""
        raise InvalidInput(f"transform must specify a cmd: {NO_ENTRY_POINT}{why}")
    if image.known and not image.command:
        raise InvalidInput(without_command(image))


def outlook(services: Services, pipeline: PipelineSpec) -> Placement | None:
    """Where code would run, as far as that can be told at once; None if it can't."""
    try:
        found = placement_for(services, pipeline, None, may_pull=False, planned=True)
    except TrunklineError:  # told by who makes it
        return None
    return found if found.settled else None


def moved(services: Services, record: PipelineRecord) -> str:
    """A sentence if the tag of the image that a version runs in names another one by now."""
    image = record.placement.image
    if image is None or not image.known:
        return ""
    try:
        with closing(open_engine(services.config)) as engine:
            now = images.find(engine, image.reference)
    except TrunklineError:
        return ""
    if now is None or now.id == image.id:
        return ""
    return (
        f"image '{image.reference}' is another one by now: {now.shown}; this version runs in "
        f"{image.shown}, and `update pipeline` makes one that takes the new one"
    )


def _pulled(
    services: Services, reference: str, pull_secrets: tuple[str, ...]
) -> Iterator[ImageStep]:
    credentials = SecretStore(services.config.home).logins(pull_secrets)
    try:
        with closing(open_engine(services.config)) as engine:
            yield from images.pull(
                engine, reference, credentials=credentials, cancelled=_unwanted(services)
            )
    except images.NotWanted:
        raise Unavailable("the server is shutting down") from None


def _unwanted(services: Services) -> Callable[[], bool]:
    def unwanted() -> bool:
        check_wanted()
        return services.closing.is_set()

    return unwanted
