"""A line to a cluster. The only place that speaks to one."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from trunkline.errors import NotSupported, Unavailable

REFUSED = (400, 403, 404, 413, 422)  # answers that the same question gets again
_RETRY_S, _RETRY_MOST_S = 0.5, 15.0


class ApiFailed(Exception):
    """The API server refused something, or can't be reached (`code` 0)."""

    def __init__(self, code: int, message: str, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_s = retry_s  # the server asked for so much patience


def pause_s(failures: int, asked_s: float) -> float:
    """How long to wait after so many failures, one after the other."""
    return max(asked_s, min(_RETRY_MOST_S, _RETRY_S * float(1 << min(failures - 1, 10))))


def plural_of(kind: str) -> str:
    """What a kind is called in paths and rules, as Kubernetes itself forms it."""
    word = kind.lower()
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


@functools.cache
def kind_of(api_version: str, kind: str) -> Any:
    """Objects of a kind as plain documents: one that is not as a model expects it is no failure."""
    from lightkube.generic_resource import create_namespaced_resource

    group, _, version = api_version.rpartition("/")
    return create_namespaced_resource(group, version, kind, plural_of(kind))


class Connection:
    """A cluster as lightkube reaches it: from inside of a pod, or as KUBECONFIG says."""

    def __init__(self, namespace: str) -> None:
        """Raises NotSupported where lightkube is missing, Unavailable where nothing says where."""
        try:
            import httpx2
            import lightkube
            import msgspec
            from lightkube.core.exceptions import ApiError, ConfigError
        except ImportError as error:
            raise NotSupported(
                f"Kubernetes needs the extra `kubernetes` of trunkline: {error}"
            ) from error
        for name in ("httpx2", "httpcore2"):  # a line for each request is of no use to anybody
            logging.getLogger(name).setLevel(logging.WARNING)
        self._failures: tuple[type[Exception], ...] = (
            *(httpx2.HTTPError, OSError, ValueError),
            msgspec.MsgspecError,
        )
        self._refusal = ApiError
        try:
            self._client: Any = lightkube.Client(namespace=namespace, lazy=False)
        except (ConfigError, OSError) as error:
            raise Unavailable(f"nothing says where the cluster is: {error}") from error

    def ask(self, call: Callable[[Any], Any]) -> Any:
        """What a call of the client gives. Raises ApiFailed."""
        try:
            return call(self._client)
        except self._failures as error:
            if isinstance(error, self._refusal):
                asked = error.response.headers.get("retry-after", "")
                retry_s = float(asked) if asked.isdigit() else 0.0
                code = int(error.status.code or error.response.status_code)
                raise ApiFailed(code, error.status.message or str(error), retry_s) from error
            raise ApiFailed(0, str(error) or type(error).__name__) from error

    def close(self) -> None:
        self._client.close()
