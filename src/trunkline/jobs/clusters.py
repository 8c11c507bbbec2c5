"""What stands behind a scheduler whose workers are in pods of a cluster."""

from collections.abc import Mapping
from typing import Any

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.errors import InvalidInput, NotSupported
from trunkline.jobs.door import Door, make_key
from trunkline.jobs.doors import ClusterDoors, Doors, MachineDoors
from trunkline.jobs.elsewhere import PodLauncher
from trunkline.jobs.launchers import EitherLauncher
from trunkline.jobs.pool import Launcher
from trunkline.jobs.stage_keeper import StageKeeper
from trunkline.jobs.stages import check_address
from trunkline.jobs.workloads import workload_of
from trunkline.model.images import Runtime
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines import lifecycle
from trunkline.runtimes.kubernetes.cluster import ClusterApi, Pods
from trunkline.runtimes.kubernetes.objects import ClusterObjects
from trunkline.runtimes.kubernetes.pods import Ground, owned_labels, pod_manifest
from trunkline.runtimes.kubernetes.services import Services

_PORT_MAX = 65535
SERVER = "trunkline"  # name of its StatefulSet
_SHARED = ("store", "cache", "secrets")  # directories that pods mount; whoever mounts makes them


def check_settings(config: Config) -> None:
    """Raises NotSupported for what can't be together."""
    if config.runtime == Runtime.KUBERNETES and config.store:
        raise NotSupported(
            "code can't run in pods of a cluster while the packs are in a bucket: pods do not have "
            "its credentials yet; leave out TRUNKLINE_STORE, or set TRUNKLINE_RUNTIME to process"
        )


def runs_here(config: Config, spec: PipelineSpec) -> bool:
    """Whether this server can run a pipeline at all: what needs a cluster has to have one."""
    return spec.stage is None or config.runtime == Runtime.KUBERNETES


def check_for_pods(config: Config, spec: PipelineSpec) -> None:
    """Raises NotSupported, InvalidSpec and InvalidInput for what can't run in pods."""
    transform = spec.transform
    if spec.stage is not None:
        try:
            check_address(config, spec.stage)
        except NotSupported as error:
            raise NotSupported(f"pipeline '{spec.name}' can't run here: {error}") from error
        return
    what = ""
    if spec.spout and not config.data_url:
        what = (
            "its code has to reach this server, whose address nobody said: set TRUNKLINE_DATA_URL"
        )
    elif not transform.cmd:
        what = "in pods a cmd is needed; the entry point of an image is run by Docker only"
    elif transform.requirements:
        what = "packages (transform.requirements) are not installed in pods; put them in the image"
    elif transform.datum_batching:
        what = "datum_batching is not possible in pods yet"
    elif transform.runtime not in (None, Runtime.AUTO):
        what = (
            f"this server runs all code in pods, so transform.runtime can't be {transform.runtime}"
        )
    if what:
        raise NotSupported(f"pipeline '{spec.name}' can't run here: {what}")
    pod_manifest(workload_of(spec, 1), ground_of(config), "pipeline")


def ground_of(config: Config) -> Ground:
    """What pods stand on, by the settings."""
    name, _, uid = config.pod_owner.partition("/")
    return Ground(
        namespace=config.pod_namespace,
        image=config.pod_image,
        claim=config.pod_claim,
        server=SERVER,
        owner=(name, uid) if uid else None,
        door=config.workers_address,
    )


def cluster_launcher(
    config: Config, database: Database, processes: Launcher, *, marker: str
) -> EitherLauncher:
    """Starts the workers of a server in pods, but for those that have nothing to run there."""

    def orders_only(pipeline: str, version: int) -> bool:
        with database.read() as tx:
            return lifecycle.spec_of(lifecycle.get(tx, pipeline, version=version)).stage is not None

    return EitherLauncher(pod_launcher(config, database, marker=marker), processes, orders_only)


def stage_keeper(config: Config, database: Database) -> StageKeeper | None:
    """What looks after the objects of a server on a cluster."""
    if config.runtime != Runtime.KUBERNETES:
        return None
    return StageKeeper(config, database, lambda: ClusterObjects(config.pod_namespace))


def doors_of(config: Config) -> Doors:
    """Where the services of a server are reached."""
    if config.runtime != Runtime.KUBERNETES:
        return MachineDoors()
    services = Services(lambda: ClusterObjects(config.pod_namespace))
    return ClusterDoors(services, config.pod_namespace)


def pod_launcher(config: Config, database: Database, *, marker: str) -> PodLauncher:
    """Starts workers in pods."""

    def open_door() -> Door:
        host, _, port = config.workers_listen.rpartition(":")
        if not port.isdigit() or int(port) > _PORT_MAX:
            raise InvalidInput(
                f"TRUNKLINE_WORKERS_LISTEN is {config.workers_listen!r}; it must be host:port"
            )
        for name in _SHARED:
            (config.home / name).mkdir(mode=0o700, exist_ok=True)
        door = Door(make_key(config.home / "door"))
        door.open(host, int(port))
        return door

    def manifest_of(name: str, pipeline: str, version: int) -> Mapping[str, Any]:
        with database.read() as tx:
            record = lifecycle.get(tx, pipeline, version=version)
        ground = ground_of(config)
        return pod_manifest(workload_of(lifecycle.spec_of(record), version), ground, name)

    labels = owned_labels(SERVER)
    settings = {
        "home": "",
        "isolation": config.isolation,
        "marker": marker,
        "container_host": "",
        "output_bytes_max": str(config.output_bytes_max or 0),
    }
    places = Pods(lambda: ClusterApi(config.pod_namespace, labels))
    return PodLauncher(open_door, places, manifest_of, settings)
