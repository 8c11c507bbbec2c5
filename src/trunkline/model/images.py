"""Container images as a pipeline version records them: which one, and what it says of itself."""

from enum import StrEnum

from trunkline.values import dataclass

_SHOWN = 12  # digits of an id
_HASH = "sha256:"
_UNKNOWN = "not pulled yet"


class Runtime(StrEnum):
    """Where the code of a pipeline runs; `auto` is how a user leaves the choice to the server."""

    AUTO = "auto"
    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"  # of a server, for all of its pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image, whatever its tag names later.

    `id` is the digest of its configuration, which names all of its layers: two images with one id
    are the same, wherever they came from. Of one that has not been pulled yet there is nothing but
    the reference.
    """

    reference: str  # as the spec has it
    id: str  # sha256:…; empty until it is here
    digest: str  # where it can be had again, name@sha256:…; empty if it was only ever here
    user: str
    working_dir: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]  # NAME=value, as it is listed there

    @property
    def command(self) -> tuple[str, ...]:
        """What it runs by itself."""
        return (*self.entrypoint, *self.cmd)

    @property
    def known(self) -> bool:
        """Whether it has been here, so that its content is known."""
        return bool(self.id)

    @property
    def named(self) -> str:
        """Its reference and its id."""
        return f"{self.reference} ({self.id or _UNKNOWN})"

    @property
    def shown(self) -> str:
        """Its reference and enough of its id to tell it from others."""
        return f"{self.reference} ({short_id(self.id) if self.id else _UNKNOWN})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the code of a pipeline version runs: in containers of an image, or on this machine."""

    image: Image | None = None
    why_host: str = ""  # why on this machine though its spec names an image, as part of a sentence

    @property
    def settled(self) -> bool:
        """Whether nothing is missing before code can run: its image has not to be pulled first."""
        return self.image is None or self.image.known


ON_HOST = Placement()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStep:
    """Something that a pull or a build tells while it goes on; the last one has the image."""

    text: str  # a line of output; empty where only numbers changed
    done_bytes: int = 0  # of what is known to be fetched
    total_bytes: int = 0
    image: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEngineInfo:
    """The container engine of the server's machine, and whether code runs there."""

    runtime: str  # what specs get that say nothing: auto, process or docker
    name: str  # such as Docker 26.1.5; empty if there is none that could be used
    socket: str
    problem: str  # why there is none


def unknown_image(reference: str) -> Image:
    """What is known of an image before it is here."""
    return Image(
        reference=reference,
        id="",
        digest="",
        user="",
        working_dir="",
        entrypoint=(),
        cmd=(),
        env=(),
    )


def short_id(id_: str) -> str:
    """The first digits of an id, as people compare them."""
    return f"{_HASH}{id_.removeprefix(_HASH)[:_SHOWN]}"
