"""Train a softmax classifier on the pre-processed flowers.

usage: train.py DIRECTORY OUT_DIRECTORY

Reads x_train.csv and y_train.csv, writes `model` (JSON: species, scaling, weights). Multinomial
logistic regression by full-batch gradient descent on standardised measurements: no randomness, so
equal data gives an equal model. Needs nothing but Python 3.8 or newer.
"""

import json
import math
import sys
from pathlib import Path
from typing import Dict, List

STEPS = 300
RATE = 1.0
DECAY = 1e-3  # of the weights, so that separable species do not drive them to infinity
DIGITS = 6  # kept of each number: beyond them machines may disagree


def main(prepared: Path, out: Path) -> None:
    rows = [
        [float(value) for value in line.split(",")]
        for line in (prepared / "x_train.csv").read_text().splitlines()
    ]
    labels = (prepared / "y_train.csv").read_text().splitlines()
    if not rows or len(rows) != len(labels):
        sys.exit(f"{len(rows)} rows of measurements but {len(labels)} species")
    model = train(rows, labels)
    (out / "model").write_text(json.dumps(model, indent=1) + "\n")
    right = sum(predict(model, row) == label for row, label in zip(rows, labels))
    print(f"accuracy on the training data: {right / len(rows):.3f}")


def train(rows: List[List[float]], labels: List[str]) -> Dict[str, list]:
    """The model that fits the rows: one weight per species and (constant + measurement)."""
    columns = list(zip(*rows))
    means = [math.fsum(column) / len(rows) for column in columns]
    spreads = [
        math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(rows)) or 1.0
        for column, mean in zip(columns, means)
    ]
    points = [scaled(row, means, spreads) for row in rows]
    species = sorted(set(labels))
    truth = [species.index(label) for label in labels]
    weights = [[0.0] * len(points[0]) for _ in species]
    for _ in range(STEPS):
        descend(weights, points, truth)
    return {
        "species": species,
        "means": [round(value, DIGITS) for value in means],
        "spreads": [round(value, DIGITS) for value in spreads],
        "weights": [[round(value, DIGITS) for value in line] for line in weights],
    }


def descend(weights: List[List[float]], points: List[List[float]], truth: List[int]) -> None:
    """One step down the mean cross-entropy, in place."""
    slopes = [[0.0] * len(line) for line in weights]
    for point, target in zip(points, truth):
        chances = softmax([dot(line, point) for line in weights])
        for kind, chance in enumerate(chances):
            error = chance - (kind == target)
            slopes[kind] = [slope + error * value for slope, value in zip(slopes[kind], point)]
    for kind, line in enumerate(weights):
        weights[kind] = [
            weight - RATE * (slope / len(points) + DECAY * weight)
            for weight, slope in zip(line, slopes[kind])
        ]


def predict(model: Dict[str, list], row: List[float]) -> str:
    """The most probable species of one flower."""
    point = scaled(row, model["means"], model["spreads"])
    scores = [dot(line, point) for line in model["weights"]]
    return model["species"][scores.index(max(scores))]


def scaled(row: List[float], means: List[float], spreads: List[float]) -> List[float]:
    """The row with mean 0 and spread 1 per measurement, and a constant 1 in front."""
    return [1.0] + [(value - m) / s for value, m, s in zip(row, means, spreads)]


def dot(left: List[float], right: List[float]) -> float:
    return sum(a * b for a, b in zip(left, right))


def softmax(scores: List[float]) -> List[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
