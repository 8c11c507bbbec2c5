"""Opens the slot that a version of a pipeline runs in: on this machine, or in a container."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.config import load
from trunkline.jobs.datum_run import PACKAGE, PACKAGE_PLACE, Context, runs_function
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.stages import holdings_of, server_fetcher
from trunkline.model.images import Image
from trunkline.runtimes import process
from trunkline.runtimes.base import Slot
from trunkline.runtimes.containers import images, slot
from trunkline.runtimes.containers.container import Owner
from trunkline.runtimes.containers.engine import open_engine
from trunkline.runtimes.containers.images import NotWanted as NotWanted
from trunkline.runtimes.containers.slot import ContainerSlot
from trunkline.runtimes.environments import SEEN_AT, open_to_all
from trunkline.runtimes.kubernetes import slot as pods
from trunkline.runtimes.kubernetes import stage_slot as stages
from trunkline.runtimes.pythons import Python

PythonFinder = Callable[[Mapping[str, str]], tuple[Python, str]]  # by variables: it, and their PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What slots of one data directory stand on."""

    home: Path
    name: str  # of the worker, or of the session
    scratch: Path  # directory of this slot alone, below the home
    marker: str  # that stands for the home
    isolation: str  # of the process runtime
    container_host: str  # where the container engine is, as the settings say
    output_bytes_max: int | None
    pod: str = ""  # the directory that the containers of its pod share, where it is in one
    secret_places: tuple[str, ...] = ()  # of that pod
    shared: bool = False  # whether servers with other data directories have the same store

    @property
    def owner(self) -> Owner:
        """Whose the containers of this slot are."""
        return Owner(home=str(self.home), marker=self.marker, worker=self.name)


def open_slot(
    context: Context,
    ground: Ground,
    *,
    shown: Mapping[str, Path] | None = None,
    on_delay: Callable[[str], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Slot:
    """The slot for a version; this process is of no use for another one then.

    `shown` are directories of this machine that commands in a container are to see too. What takes
    long is told to `on_delay`. Raises NotWanted where `cancelled` meanwhile, Unavailable where it
    may go well later, and OperationFailed, NotSupported, NotFound, NotAllowed.
    """
    if ground.pod:
        return pods.open_slot(
            Path(ground.pod),
            secret_places=ground.secret_places,
            output_bytes_max=ground.output_bytes_max,
            marker=ground.marker,
        )
    if context.stage is not None:
        return stages.open_slot(
            ground.scratch,
            holdings=holdings_of(ground.home, shared=ground.shared),
            namespace=context.namespace,
            fetcher=lambda: server_fetcher(load(home=ground.home)),
        )
    if context.image is None:
        return process.open_slot(
            ground.scratch,
            isolation=ground.isolation,
            output_bytes_max=ground.output_bytes_max,
            marker=ground.marker,
        )
    image = Image(**context.image)
    config = replace(load(home=ground.home), container_host=ground.container_host)
    with ExitStack() as undo:
        engine = open_engine(config)
        undo.callback(engine.close)
        images.ensure(
            engine,
            image,
            credentials=lambda: SecretStore(ground.home).logins(context.pull_secrets),
            on_pull=lambda: on_delay(f"image {image.shown} is pulled again"),
            cancelled=cancelled,
        )
        opened = slot.open_slot(
            engine,
            ground.scratch,
            kind=slot.Kind(
                image=image.id,
                image_name=image.reference,
                network=context.network,
                gpus=context.gpus,
            ),
            owner=replace(
                ground.owner,
                labels={
                    "trunkline.pipeline": context.pipeline,
                    "trunkline.version": str(context.version),
                },
            ),
            output_bytes_max=ground.output_bytes_max,
            shown={**_packages_for(context, ground.home), **(shown or {})},
        )
        undo.pop_all()
    return opened


def python_finder(slot: Slot) -> PythonFinder | None:
    """What finds the Python of its commands, where that is not ours."""
    if isinstance(slot, pods.PodSlot | ContainerSlot):
        return slot.find_python
    return None


def _packages_for(context: Context, home: Path) -> dict[str, Path]:
    """Python environments, and what a command that runs a function needs of us."""
    own = {f"{PACKAGE_PLACE}/{PACKAGE.name}": PACKAGE} if runs_function(context.cmd) else {}
    return {**own, SEEN_AT: open_to_all(home)} if context.lock else own
