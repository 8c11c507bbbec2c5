"""Draws docs/images/versioning.svg from a result of bench/versioning.py.

usage: charts.py bench/results/NAME.json

One row of bars per workload, on a logarithmic scale: what each tool took as a multiple of ours.
"""

import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

OUT = Path(__file__).parent / "images" / "versioning.svg"
WIDTH, LABEL, BAR, GAP = 860, 150, 15, 34
LEFT = LABEL + 10
COLORS = {"trunkline": "#1f6f5c", "restic": "#b0653a", "git": "#7a6fb0", "borg": "#8a8f3c"}
OTHER, FLOOR = "#8c8c8c", "#c9c9c9"


def draw(document: dict) -> str:
    """The chart as SVG; workloads that not everybody needs time for are left out."""
    workloads = [w for w in document["workloads"] if len(w["tools"]) > 1]
    highest = max(t["median"] / _least(w) for w in workloads for t in w["tools"].values())
    unit = (WIDTH - LEFT - 120) / max(1.0, math.log10(highest) + 0.15)
    lines: list[str] = []
    y = 46
    for workload in workloads:
        lines.append(f'<text x="10" y="{y}" class="title">{escape(workload["title"])}</text>')
        y += 8
        for tool, figures in sorted(workload["tools"].items(), key=lambda item: item[1]["median"]):
            median = figures["median"]
            width = max(2.0, unit * (math.log10(max(median / _least(workload), 1)) + 0.15))
            color = FLOOR if tool == workload["floor"] else COLORS.get(tool, OTHER)
            lines.append(
                f'<text x="{LABEL}" y="{y + 12}" class="tool">{escape(tool)}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{color}"/>'
                f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">'
                f"{_figure(median)} {workload['unit']}</text>"
            )
            y += BAR
        y += GAP
    machine = document["machine"]
    head = (
        f"Medians, {document['date']}, {machine['cores']} cores, logarithmic; shorter is better"
        + ("" if document["scale"] == 1 else f"; at {document['scale']:g} of the full size")
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" role="img">',
            "<style>text{font:12px sans-serif;fill:#333}.title{font-weight:bold}"
            ".tool{text-anchor:end}</style>",
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
            f'<text x="10" y="20">{escape(head)}</text>',
            *lines,
            "</svg>",
            "",
        ]
    )


def _least(workload: dict) -> float:
    return min(max(tool["median"], 1e-6) for tool in workload["tools"].values())


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(draw(json.loads(Path(sys.argv[1]).read_text())))
