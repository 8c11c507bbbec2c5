"""Where services are reached: ports of this machine, or Services of a cluster."""

from collections.abc import Iterable
from typing import Protocol

from trunkline.model.pipelines import Service
from trunkline.runtimes.forward import Forwarder
from trunkline.runtimes.kubernetes.services import Services, service_manifest, service_name


class Doors(Protocol):
    """One for each service that is reached, by the name of its pipeline."""

    def open(self, name: str, service: Service, port: int) -> str:
        """Be reachable for an instance that listens on a port; its address. Raises OSError."""

    def point(self, name: str, worker: str, port: int) -> None:
        """New connections go on to this instance; port 0: to nobody."""

    def connections(self, port: int) -> int:
        """How many go on to an instance now, as far as that is known."""

    def trouble(self, name: str) -> str:
        """Why a service can't be reached though it works, or nothing."""

    def keep(self, names: Iterable[str]) -> None:
        """There are no others; told once, when that is known."""

    def shut(self, name: str) -> None:
        """Be reachable no more."""

    def close(self) -> None:
        """The server ends."""


class MachineDoors:
    """Ports of this machine, whose connections go on to processes."""

    def __init__(self) -> None:
        self._forwarder = Forwarder()

    def open(self, name: str, service: Service, port: int) -> str:
        public = _public(service)
        if port == public:  # the code listens there itself
            self._forwarder.shut(name)
        else:
            self._forwarder.open(name, service.ip, public)
        return f"{service.ip}:{public}"

    def point(self, name: str, worker: str, port: int) -> None:
        self._forwarder.point(name, port or None)

    def connections(self, port: int) -> int:
        return self._forwarder.connections(port)

    def trouble(self, name: str) -> str:
        return ""

    def keep(self, names: Iterable[str]) -> None:
        """None outlives the server."""

    def shut(self, name: str) -> None:
        self._forwarder.shut(name)

    def close(self) -> None:
        self._forwarder.close()


class ClusterDoors:
    """Services of a cluster, each of which has the pod of an instance behind it.

    They stay when the server ends, as their addresses do; the next one points them anew.
    """

    def __init__(self, services: Services, namespace: str) -> None:
        self._services = services
        self._namespace = namespace
        self._open: dict[str, Service] = {}

    def open(self, name: str, service: Service, port: int) -> str:
        self._open[name] = service
        return f"{service_name(name)}.{self._namespace}:{_public(service)}"

    def point(self, name: str, worker: str, port: int) -> None:
        service = self._open.get(name)
        if service is None:
            return
        manifest = service_manifest(
            name,
            namespace=self._namespace,
            worker=worker,
            port=_public(service),
            target_port=port or service.internal_port,
            kind=service.kind,
            annotations=service.annotations,
        )
        self._services.want(name, manifest)

    def connections(self, port: int) -> int:
        return 1  # nobody here sees them

    def trouble(self, name: str) -> str:
        return self._services.trouble(name)

    def keep(self, names: Iterable[str]) -> None:
        self._services.keep({service_name(name) for name in names})

    def shut(self, name: str) -> None:
        if self._open.pop(name, None) is not None:
            self._services.drop(name)

    def close(self) -> None:
        self._services.close()


def _public(service: Service) -> int:
    return service.external_port or service.internal_port
