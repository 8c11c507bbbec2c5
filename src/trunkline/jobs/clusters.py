"""What stands behind a scheduler whose workers are in pods of a cluster."""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trunkline.config import Config, packages_variables
from trunkline.db.database import Database
from trunkline.errors import InvalidInput, NotSupported
from trunkline.jobs.certificate import certificate_of
from trunkline.jobs.door import Door, given_key, make_key
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
from trunkline.runtimes.environments import open_to_all
from trunkline.runtimes.kubernetes.cluster import ClusterApi, Pods
from trunkline.runtimes.kubernetes.objects import ClusterObjects
from trunkline.runtimes.kubernetes.pods import Ground, owned_labels, pod_manifest
from trunkline.runtimes.kubernetes.services import Services
from trunkline.store.claims import record_of

_PORT_MAX = 65535
SERVER = "trunkline"  # name of its StatefulSet
_SHARED = ("store", "cache", "secrets")  # directories that pods mount; whoever mounts makes them


def check_settings(config: Config) -> None:
    """Raises NotSupported and InvalidInput for what can't be together."""
    if config.runtime != Runtime.KUBERNETES or not (config.store or config.pod_secret):
        return
    if not (config.store and config.database):
        raise NotSupported(
            "pods on any node need a store that is not on one: set both TRUNKLINE_STORE and "
            "TRUNKLINE_DATABASE, or neither of them and no TRUNKLINE_POD_SECRET"
        )
    if not config.pod_secret:
        raise InvalidInput(
            "code runs in pods and the packs are in a bucket: TRUNKLINE_POD_SECRET must name a "
            "Secret with the credentials of the bucket and TRUNKLINE_WORKERS_KEY"
        )
    given_key(config.workers_key)


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
    ground = Ground(
        namespace=config.pod_namespace,
        image=config.pod_image,
        claim=config.pod_claim,
        server=SERVER,
        owner=(name, uid) if uid else None,
        door=config.workers_address,
        secret=config.pod_secret,
        tls_name=config.tls_name or config.workers_address.rpartition(":")[0],
        tls_secret=config.pod_tls_secret,
    )
    return ground if config.tls_cert else replace(ground, tls_name="", tls_secret="")


def cluster_launcher(
    config: Config,
    database: Database,
    processes: Launcher,
    *,
    marker: str,
    serve_places: Callable[[socket.socket], None] | None,
) -> EitherLauncher:
    """Starts the workers of a server in pods, but for those that have nothing to run there.

    See `ProcessLauncher` for `serve_places`.
    """

    def orders_only(pipeline: str, version: int) -> bool:
        with database.read() as tx:
            return lifecycle.spec_of(lifecycle.get(tx, pipeline, version=version)).stage is not None

    pods = pod_launcher(config, database, marker=marker, serve_places=serve_places)
    return EitherLauncher(pods, processes, orders_only)


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


def pod_launcher(
    config: Config,
    database: Database,
    *,
    marker: str,
    serve_places: Callable[[socket.socket], None] | None,
) -> PodLauncher:
    """Starts workers in pods."""

    def open_door() -> Door:
        host, _, port = config.workers_listen.rpartition(":")
        if not port.isdigit() or int(port) > _PORT_MAX:
            raise InvalidInput(
                f"TRUNKLINE_WORKERS_LISTEN is {config.workers_listen!r}; it must be host:port"
            )
        if config.workers_key:
            key = given_key(config.workers_key)
        else:
            for name in _SHARED:
                (config.home / name).mkdir(mode=0o700, exist_ok=True)
            open_to_all(config.home)
            key = make_key(config.home / "door")
        door = Door(key, certificate_of(config.tls_cert, config.tls_key))
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
        "packages": json.dumps(packages_variables()),
        "store": "" if serve_places is None else record_of(config.home / "store"),
    }
    places = Pods(lambda: ClusterApi(config.pod_namespace, labels))
    return PodLauncher(open_door, places, manifest_of, settings, serve_places)
