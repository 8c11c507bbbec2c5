"""What a run measured: gathered, printed as ratios, and kept as JSON.

The JSON (`bench/results/<name>.json`) is an object: `date`, `machine` {`cores`, `memory_gib`,
`python`}, `scale` (1 is full size), `missing` (a line for each peer that could not be installed),
`remarks` {tool: what it does not do} and `workloads`, a list of {`key`, `title`, `unit`, `floor`
(the tool that is the limit of the hardware, or null), `targets` {tool: largest ratio of ours to
it}, `tools` {tool: {`median`, `all`}}, `remarks` {tool: why it has no figure}}. `docs/charts.py`
draws from it.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OURS = "trunkline"
RESULTS = Path(__file__).parent / "results"


@dataclass(kw_only=True)
class Workload:
    """One thing that several tools do; smaller figures are better, unless it is a rate."""

    key: str
    title: str
    unit: str = "s"
    floor: str | None = None
    targets: dict[str, float] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)  # why a tool has no figure

    def add(self, tool: str, figure: float) -> None:
        self.figures.setdefault(tool, []).append(figure)

    def median(self, tool: str) -> float:
        return statistics.median(self.figures[tool])


class Results:
    def __init__(self, *, scale: float, missing: list[str], growth: Sequence[int] = ()) -> None:
        self.scale = scale
        self.growth = growth  # sizes of trees, if others than usual are wanted
        self.missing = missing
        self.remarks: dict[str, str] = {}  # what a tool does not do that others do
        self._workloads: dict[str, Workload] = {}

    def declare(self, key: str, title: str, **more: object) -> Workload:
        """The workload with this key; made at the first call."""
        if key not in self._workloads:
            self._workloads[key] = Workload(key=key, title=title, **more)  # type: ignore[arg-type]
        return self._workloads[key]

    def find(self, key: str) -> Workload | None:
        """The workload with this key, if it was declared."""
        return self._workloads.get(key)

    def print(self) -> None:
        for line in self.missing:
            print(f"missing: {line}")
        for workload in self._workloads.values():
            print(f"\n{workload.title}")
            ours = workload.median(OURS) if OURS in workload.figures else None
            for tool in sorted(workload.figures, key=workload.median):
                figure = workload.median(tool)
                line = f"  {tool:24}{figure:12,.3f} {workload.unit:8}"
                if ours is not None and tool != OURS and figure:
                    ratio = ours / figure
                    line += f"ours is {ratio:8.3f} of it"
                    if tool in workload.targets:
                        most = workload.targets[tool]
                        line += f"   (wanted: {most:g}) {'ok' if ratio <= most else 'MISSED'}"
                elif OURS in workload.targets and tool == OURS:
                    most = workload.targets[OURS]
                    line += f"   (wanted: {most:g}) {'ok' if figure <= most else 'MISSED'}"
                print(line)
            for tool, remark in workload.remarks.items():
                print(f"  {tool:24}{remark}")
        print()
        for tool, remark in self.remarks.items():
            print(f"{tool}: {remark}")

    def save(self, name: str) -> Path:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
        document = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": {
                "cores": os.cpu_count(),
                "memory_gib": round(memory),
                "python": platform.python_version(),
            },
            "scale": self.scale,
            "missing": self.missing,
            "remarks": self.remarks,
            "workloads": [
                {
                    "key": workload.key,
                    "title": workload.title,
                    "unit": workload.unit,
                    "floor": workload.floor,
                    "targets": workload.targets,
                    "tools": {
                        tool: {
                            "median": round(workload.median(tool), 6),
                            "all": [round(figure, 6) for figure in figures],
                        }
                        for tool, figures in workload.figures.items()
                    },
                    "remarks": workload.remarks,
                }
                for workload in self._workloads.values()
            ],
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path
