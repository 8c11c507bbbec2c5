"""Slots in containers, for tests: each in a child process, as those on the machine itself."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
import stage_images
from slot_places import AS_ROOT, NOBODY, Place, scratch_parent

from trunkline.config import load
from trunkline.runtimes.base import Slot
from trunkline.runtimes.containers import images, leftovers
from trunkline.runtimes.containers.container import HOME_LABEL, MEMORY, Owner
from trunkline.runtimes.containers.engine import open_engine
from trunkline.runtimes.containers.slot import Kind, open_slot

T = TypeVar("T")
KINDS = ("worker is root", "worker is a user") if AS_ROOT else ("worker is a user",)


@dataclass
class ContainerPlace(Place):
    """A scratch directory for slots in containers of one image."""

    socket: str
    image: str
    network: str = "none"

    @property
    def owner(self) -> Owner:
        return Owner(home=str(self.home), marker=self.marker, worker=self.scratch.name)

    @property
    def home(self) -> Path:
        """The data directory of the worker."""
        return self.scratch.parent.parent

    def here(self, function: Callable[[Slot], T], **options: object) -> T:
        engine = open_engine(replace(load({}), container_host=self.socket))
        image = images.find(engine, self.image)
        assert image is not None
        slot = open_slot(
            engine,
            self.scratch,
            kind=Kind(image=image.id, image_name=self.image, network=self.network, gpus=()),
            owner=self.owner,
            **options,  # type: ignore[arg-type]
        )
        result = function(slot)
        slot.close()
        return result

    def containers(self) -> list[str]:
        """The ids of those that there are now."""
        with closing(open_engine(replace(load({}), container_host=self.socket))) as engine:
            labels = [f"{HOME_LABEL}={self.home}"]
            found = engine.api.containers(all=True, filters={"label": labels})
        return [one["Id"] for one in found]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, docker: str) -> Iterator[ContainerPlace]:
    """A place for containers of an image with a Python."""
    uid = NOBODY if request.param.endswith("a user") and AS_ROOT else None
    with scratch_parent(uid) as parent:
        marker = f"test-{uuid.uuid4().hex}"
        (parent / "scratch").mkdir()
        if uid is not None:
            os.chown(parent / "scratch", uid, uid)
        image = stage_images.python_image(docker)
        made = ContainerPlace(
            "container", uid, parent / "scratch" / "test-worker", marker, docker, image
        )
        yield made
        left = made.containers()
        made.away(lambda: leftovers.clear(parent, made.owner.worker))
        memory = list(MEMORY.glob(f"{made.owner.memory_prefix}*"))
    died = "dead_worker" in request.node.name
    assert died or not left, "containers of the slot are left"
    assert not memory
    assert not made.containers()
