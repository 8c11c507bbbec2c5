"""Draws the charts of docs/images from results of bench/.

usage: charts.py bench/results/NAME.json docs/images/NAME.svg

One row of bars per workload, on a logarithmic scale: what each tool took, beside the quickest. If
one of the tools is the floor, each figure is also told as a multiple of that.
"""

import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LABEL, BAR, GAP = 860, 160, 15, 34
LEFT = LABEL + 10
COLORS = {
    "trunkline": "#1f6f5c",
    "trunkline, new pipeline": "#5fa18f",
    "restic": "#b0653a",
    "git": "#7a6fb0",
    "borg": "#8a8f3c",
}
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
        floor = workload["tools"].get(workload["floor"], {}).get("median")
        for tool, figures in sorted(workload["tools"].items(), key=lambda item: item[1]["median"]):
            median = figures["median"]
            width = max(2.0, unit * (math.log10(max(median / _least(workload), 1)) + 0.15))
            color = FLOOR if tool == workload["floor"] else COLORS.get(tool, OTHER)
            lines.append(
                f'<text x="{LABEL}" y="{y + 12}" class="tool">{escape(tool)}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{color}"/>'
                f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">'
                f"{_figure(median)} {workload['unit']}{_beside(median, floor)}</text>"
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


def _beside(median: float, floor: float | None) -> str:
    """How often the floor; nothing for the floor itself."""
    return f" ({_figure(median / floor)} x)" if floor and median != floor else ""


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    result, image = map(Path, sys.argv[1:])
    image.parent.mkdir(exist_ok=True)
    image.write_text(draw(json.loads(result.read_text())))
