"""A connection to the container engine of this machine: Docker, or Podman, which speaks the same.

Only one that is reached through a socket of this machine will do, as containers get files of its
user's directories. What the library raises is translated here, into sentences of ours.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.config import Config
from trunkline.errors import (
    InvalidInput,
    NoContainerEngine,
    NotAllowed,
    NotFound,
    NotSupported,
    OperationFailed,
    TrunklineError,
    Unavailable,
    shown,
)

if TYPE_CHECKING:
    import docker

CONNECT_S = 5.0  # for the socket to be answered at all
CALL_S = 60.0  # for one answer; engines are slow where disks are
_API_MIN = (1, 40)  # Docker 19.03, Podman 3.0
_API_ASKED = "1.40"  # by who does not know yet which it speaks
_NO_ENGINE = "what listens at {path} is no container engine"
_UNIX = "unix://"
_REASON_MAX = 1000

_NO_LIBRARY = (
    "containers need the Python package docker, which is not there; "
    "`pip install trunkline[docker]` brings it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEngine:
    """An engine that has answered. For one thread at a time; `close` it in the end."""

    socket: str  # path
    name: str  # such as Docker 26.1.5
    podman: bool
    api: "docker.APIClient"

    @contextlib.contextmanager
    def calls(self, what: str) -> Iterator[None]:
        """Whatever its API raises inside becomes an error of ours; `what` was to be done.

        Raises NotFound for a 404, NotAllowed for a 401 or 403, InvalidInput for a 400, Unavailable
        if it does not answer in time or has gone, else OperationFailed with the engine's words.
        """
        import docker.errors
        import requests.exceptions
        import urllib3.exceptions

        try:
            yield
        except docker.errors.APIError as error:
            raise translated(what, str(error.explanation or error), error.status_code) from error
        except docker.errors.DockerException as error:  # of the library itself: credentials, say
            raise OperationFailed(f"{what}: {error}") from error
        except requests.exceptions.Timeout as error:
            raise Unavailable(f"{what}: {self.name} did not answer in time") from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise Unavailable(f"{what}: the connection to {self.name} broke: {error}") from error

    def close(self) -> None:
        self.api.close()


def translated(what: str, words: str, status: int | None) -> TrunklineError:
    """The error that says what an engine said of a call."""
    sentence = f"{what}: {' '.join(words.split())[:_REASON_MAX]}"
    match status:
        case 400:
            return InvalidInput(sentence)
        case 404:
            return NotFound(sentence)
        case 401 | 403:
            return NotAllowed(sentence)
        case _:
            return OperationFailed(sentence)


def open_engine(config: Config) -> ContainerEngine:
    """The engine that the settings name, else the first that answers at a usual place.

    Raises NoContainerEngine if none has a socket, Unavailable for one that does not answer,
    NotAllowed for one that this user may not use, NotSupported for one that is too old or where the
    library is missing, InvalidInput for a setting that names no socket.
    """
    problem: TrunklineError | None = None
    for path in _places(config):
        try:
            _knock(path)
            return _opened(path)
        except FileNotFoundError:
            continue
        except PermissionError:
            problem = problem or NotAllowed(
                f"you may not use the container engine at {path}: add your user to the group of "
                "that socket (usually `docker`), or run the engine rootless"
            )
        except OSError as error:
            reason = error.strerror or str(error)
            problem = problem or Unavailable(
                f"the container engine at {path} does not answer ({reason}); is it running?"
            )
    if problem is None:
        named = config.container_host
        problem = NoContainerEngine(
            f"there is no container engine at {named}; is it running?"
            if named
            else "there is no container engine on this machine: neither Docker nor Podman has a "
            "socket at its usual place (TRUNKLINE_CONTAINER_HOST says another one)"
        )
    raise problem


def _places(config: Config) -> Sequence[str]:
    """Paths of sockets to try."""
    named = config.container_host
    if named:
        path = named.removeprefix(_UNIX)
        if not path.startswith("/"):
            raise InvalidInput(
                f"the container engine {shown(named)} is not on this machine; only a socket will "
                "do (TRUNKLINE_CONTAINER_HOST=unix:///path), as containers read files of this one"
            )
        return [path]
    home, run = config.user_home, config.run_path
    return [
        "/var/run/docker.sock",
        *([f"{run}/docker.sock"] if run else []),  # rootless
        f"{home}/.docker/run/docker.sock",  # Docker Desktop on macOS
        f"{home}/.docker/desktop/docker.sock",  # and on Linux
        *([f"{run}/podman/podman.sock"] if run else []),
        "/run/podman/podman.sock",
    ]


def _knock(path: str) -> None:
    """Raises what keeps a socket from being used, as the system says it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(CONNECT_S)
        door.connect(os.fsencode(path))


def _opened(path: str) -> ContainerEngine:
    try:
        import docker
        import docker.errors
        import requests.exceptions
    except ImportError as error:
        raise NotSupported(_NO_LIBRARY) from error
    url = f"{_UNIX}{path}"
    asking = docker.APIClient(base_url=url, version=_API_ASKED, timeout=CONNECT_S)
    try:
        # Podman looks its version up among the packages of the machine, which takes seconds.
        told = asking.get(f"{asking.base_url}/_ping", timeout=CONNECT_S).headers
    except requests.exceptions.Timeout as error:
        raise Unavailable(f"the container engine at {path} does not answer; is it well?") from error
    except (requests.exceptions.RequestException, docker.errors.DockerException) as error:
        raise Unavailable(f"{_NO_ENGINE.format(path=path)}: {error}") from error
    finally:
        asking.close()
    speaks = told.get("Api-Version", "")
    if not speaks:
        raise Unavailable(_NO_ENGINE.format(path=path))
    podman = "Libpod-Api-Version" in told
    version = told.get("Server", "").partition("/")[2].partition(" ")[0]  # Docker/26.1.5 (linux)
    name = f"{'Podman' if podman else 'Docker'} {version}".strip()
    if _numbers(speaks) < _API_MIN:
        raise NotSupported(
            f"{name} at {path} is too old: it speaks version {speaks} of the engine API, and "
            f"{'.'.join(map(str, _API_MIN))} is needed (Docker 19.03, Podman 3)"
        )
    api = docker.APIClient(base_url=url, version=speaks, timeout=CALL_S)
    return ContainerEngine(socket=path, name=name, podman=podman, api=api)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
