"""Slots in pods whose user's container is a process of this machine in its own namespaces."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest
from pod_containers import UserContainer, make_pod
from slot_places import AS_ROOT, Place, in_child, scratch_parent

from trunkline.runtimes.base import Slot
from trunkline.runtimes.cleanup import kill_leftovers
from trunkline.runtimes.kubernetes.loop import prepare
from trunkline.runtimes.kubernetes.slot import open_slot

T = TypeVar("T")


@dataclass
class PodPlace(Place):
    """A pod, for slots of the worker in it."""

    def here(self, function: Callable[[Slot], T], **options: object) -> T:
        slot = open_slot(
            self.scratch,
            secret_places=("/etc/keys",),
            output_bytes_max=options.get("output_bytes_max"),  # type: ignore[arg-type]
            marker=self.marker,
        )
        result = function(slot)
        slot.close()
        return result

    def away(self, function: Callable[[], T]) -> T:
        with UserContainer(self.scratch, {"secret-0": "/etc/keys"}):
            return in_child(function)


@pytest.fixture
def place() -> Iterator[PodPlace]:
    if not AS_ROOT:
        pytest.skip("needs root")
    with scratch_parent(None) as parent:
        pod = parent / "pod"
        make_pod(pod, secrets=1)
        prepare(pod)
        marker = f"test-{uuid.uuid4().hex}"
        yield PodPlace("container", None, pod, marker)
        assert kill_leftovers(marker) == 0, "processes of the slot were still alive"
