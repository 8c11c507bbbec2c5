"""Split the labelled flowers into measurements and species.

usage: pre_process.py LABELLED.csv OUT_DIRECTORY

Writes x_train.csv (four measurements a row) and y_train.csv (one species a row).
Needs nothing but Python 3.8 or newer.
"""

import csv
import sys
from pathlib import Path

MEASUREMENTS = 4


def main(labelled: Path, out: Path) -> None:
    with labelled.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    for number, row in enumerate(rows, 1):
        check(row, f"{labelled.name}, flower {number}")
    with (out / "x_train.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([float(value) for value in row[:MEASUREMENTS]] for row in rows)
    with (out / "y_train.csv").open("w") as file:
        file.writelines(row[MEASUREMENTS].strip() + "\n" for row in rows)
    print(f"{len(rows)} flowers of {len({row[MEASUREMENTS] for row in rows})} species")


def check(row: "list[str]", where: str) -> None:
    """Stop with a sentence at the first row that is not four numbers and a species."""
    if len(row) != MEASUREMENTS + 1:
        sys.exit(f"{where}: {len(row)} columns instead of {MEASUREMENTS + 1}")
    for value in row[:MEASUREMENTS]:
        try:
            float(value)
        except ValueError:
            sys.exit(f"{where}: {value!r} is not a number")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
