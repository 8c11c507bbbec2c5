"""Name the species of flowers with a trained model.

usage: infer.py MODEL ATTRIBUTES.csv OUT_DIRECTORY

Writes one species a line into a file with the name of the attributes file.
Needs nothing but Python 3.8 or newer.
"""

import json
import sys
from pathlib import Path

from train import predict


def main(model_file: Path, attributes: Path, out: Path) -> None:
    model = json.loads(model_file.read_text())
    lines = [line for line in attributes.read_text().splitlines() if line.strip()]
    flowers = [[float(value) for value in line.split(",")] for line in lines]
    with (out / attributes.name).open("w") as file:
        file.writelines(predict(model, flower) + "\n" for flower in flowers)
    print(f"{attributes.name}: {len(flowers)} flowers")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
