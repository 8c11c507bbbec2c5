"""Objects of any kind that stand for datums in a cluster: made, asked for, applied and deleted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trunkline.runtimes.kubernetes.connection import ApiFailed, Connection, kind_of

FIELD_MANAGER = "trunkline"
LOG_LINES = 500  # the last ones of a pod
_PODS_MAX = 20  # whose logs are read
_JOB_OF_POD = {  # label of the pods of an object, by its group
    "batch": "job-name",
    "kubeflow.org": "training.kubeflow.org/job-name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One object."""

    api_version: str
    kind: str
    name: str

    @staticmethod
    def of(manifest: Mapping[str, Any]) -> "Named":
        return Named(
            api_version=str(manifest["apiVersion"]),
            kind=str(manifest["kind"]),
            name=str(manifest["metadata"]["name"]),
        )

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


class ObjectApi(Protocol):
    """The few calls that are needed; each raises ApiFailed."""

    def get(self, one: Named) -> dict[str, Any] | None: ...

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]: ...

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make the object, or have it as the manifest says as far as that goes."""
        ...

    def delete(self, one: Named) -> None:
        """With all that it made; nothing to do if it is not there."""
        ...

    def names(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[str]:
        """Of all objects of a kind with these labels."""
        ...

    def logs(self, one: Named) -> Iterator[tuple[str, str]]:
        """The names of its pods, where they are known, with the ends of their logs."""
        ...

    def close(self) -> None: ...


class ClusterObjects:
    """Those of one namespace."""

    def __init__(self, namespace: str) -> None:
        """Raises NotSupported, Unavailable."""
        self._line = Connection(namespace)

    def get(self, one: Named) -> dict[str, Any] | None:
        kind = kind_of(one.api_version, one.kind)
        try:
            return dict(self._line.ask(lambda client: client.get(kind, one.name)))
        except ApiFailed as error:
            if error.code == 404 and one.name in str(error):
                return None
            raise

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        kind = kind_of(manifest["apiVersion"], manifest["kind"])
        return dict(self._line.ask(lambda client: client.create(kind(manifest))))

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        kind = kind_of(manifest["apiVersion"], manifest["kind"])
        return dict(
            self._line.ask(
                lambda client: client.apply(kind(manifest), field_manager=FIELD_MANAGER, force=True)
            )
        )

    def delete(self, one: Named) -> None:
        from lightkube.types import CascadeType

        kind = kind_of(one.api_version, one.kind)
        # Said, as a Job would leave its pods behind else.
        background = CascadeType.BACKGROUND
        try:
            self._line.ask(lambda client: client.delete(kind, one.name, cascade=background))
        except ApiFailed as error:
            if error.code != 404:
                raise

    def names(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[str]:
        wanted = kind_of(api_version, kind)
        found = self._line.ask(lambda client: list(client.list(wanted, labels=dict(labels))))
        return [str(one["metadata"]["name"]) for one in found]

    def logs(self, one: Named) -> Iterator[tuple[str, str]]:
        group = one.api_version.rpartition("/")[0]
        if group not in _JOB_OF_POD:
            return
        pod, labels = kind_of("v1", "Pod"), {_JOB_OF_POD[group]: one.name}
        pods = self._line.ask(lambda client: list(client.list(pod, labels=labels)))
        for name in sorted(str(found["metadata"]["name"]) for found in pods)[:_PODS_MAX]:
            yield name, self._log(name)

    def _log(self, pod: str) -> str:
        def read(client: Any) -> str:
            return "".join(client.log(pod, tail_lines=LOG_LINES))

        return str(self._line.ask(read))

    def close(self) -> None:
        self._line.close()
