"""What the workers of this machine may request together: cores, memory, GPUs.

Pure accounting: nothing here keeps a worker within what it requested; limits do that.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from trunkline.config import Config
from trunkline.model.images import Runtime
from trunkline.model.pipelines import Resources
from trunkline.runtimes.bounds import amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is to give."""

    cpu: float
    memory_bytes: int
    gpus: tuple[str, ...]  # as CUDA_VISIBLE_DEVICES names them


def machine_of(config: Config) -> Machine | None:
    """What the settings say, and the machine itself where they don't; None if others give it."""
    if config.runtime == Runtime.KUBERNETES:
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = sorted(
        (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")), key=int
    )
    gpus = found if config.gpus is None else [g.strip() for g in config.gpus.split(",")]
    return Machine(
        cpu=config.cpus or float(os.cpu_count() or 1),
        memory_bytes=config.memory_bytes or memory,
        gpus=tuple(gpu for gpu in gpus if gpu),
    )


class Budget:
    """Who holds what; a worker that requests nothing always fits."""

    def __init__(self, machine: Machine | None) -> None:
        self._machine = machine
        self._held: dict[str, tuple[Resources, tuple[str, ...]]] = {}  # by worker

    def hold(self, worker: str, wanted: Resources) -> None:
        """Give a worker what it requests; `missing` has said that it fits."""
        if wanted == Resources():  # of these there may be thousands
            return
        taken = {gpu for _, gpus in self._held.values() for gpu in gpus}
        there = () if self._machine is None else self._machine.gpus
        free = [gpu for gpu in there if gpu not in taken]
        self._held[worker] = (wanted, tuple(free[: wanted.gpus or 0]))

    def give_back(self, worker: str) -> None:
        """A worker is gone."""
        self._held.pop(worker, None)

    def holds(self, worker: str) -> bool:
        """Whether somebody else could start if this worker left."""
        asked = self._held.get(worker, (Resources(), ()))[0]
        return self._machine is not None and asked != Resources()

    def gpus_of(self, worker: str) -> tuple[str, ...]:
        """The GPUs that are a worker's own."""
        return self._held[worker][1] if worker in self._held else ()

    def missing(self, wanted: Resources) -> str:
        """What keeps one more worker from starting now, or nothing."""
        if self._machine is None:
            return ""
        cpu = sum(held.cpu or 0.0 for held, _ in self._held.values())
        memory = sum(held.memory_bytes or 0 for held, _ in self._held.values())
        gpus = sum(len(held) for _, held in self._held.values())
        machine = self._machine
        left = Machine(
            cpu=machine.cpu - cpu,
            memory_bytes=machine.memory_bytes - memory,
            gpus=machine.gpus[gpus:],
        )
        return _excess(wanted, left)

    def never(self, wanted: Resources) -> str:
        """Why no worker that requests this can ever start here, or nothing."""
        excess = "" if self._machine is None else _excess(wanted, self._machine)
        return f"a worker requests {excess} on this machine" if excess else ""


def _excess(wanted: Resources, there: Machine) -> str:
    # A thousandth of a core is nobody's: sums of decimals are not exact.
    if (wanted.cpu or 0.0) > there.cpu + 0.001:
        return f"{wanted.cpu:g} CPU cores, and there are {max(there.cpu, 0.0):g}"
    if (wanted.memory_bytes or 0) > there.memory_bytes:
        free = amount(max(there.memory_bytes, 0))
        return f"{amount(wanted.memory_bytes or 0)} of memory, and there are {free}"
    if (wanted.gpus or 0) > len(there.gpus):
        return f"{wanted.gpus} GPUs, and there are {len(there.gpus)}"
    return ""
