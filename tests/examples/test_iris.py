"""The stages of the Iris example, as plain programs."""

import json
import subprocess
from pathlib import Path

import pytest

SPECS = ("pre-process.json", "train.json", "infer.json")


def stage(iris: Path, name: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["python3", str(iris / "code" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def trained(iris: Path, tmp_path: Path) -> Path:
    """A directory with the prepared data and the model."""
    out = tmp_path / "out"
    out.mkdir()
    assert stage(iris, "pre_process.py", iris / "data" / "iris.csv", out).returncode == 0
    assert stage(iris, "train.py", out, out).returncode == 0
    return out


def test_the_model_is_right_for_more_than_95_percent_of_its_training_data(
    iris: Path, trained: Path
) -> None:
    done = stage(iris, "infer.py", trained / "model", trained / "x_train.csv", trained)

    assert done.returncode == 0, done.stderr
    guesses = (trained / "x_train.csv").read_text().split()
    truth = (trained / "y_train.csv").read_text().split()
    right = sum(guess == label for guess, label in zip(guesses, truth, strict=True))
    assert len(truth) == 150
    assert right / len(truth) > 0.95


def test_equal_data_gives_an_equal_model(iris: Path, trained: Path) -> None:
    first = (trained / "model").read_bytes()

    assert stage(iris, "train.py", trained, trained).returncode == 0

    assert (trained / "model").read_bytes() == first


def test_other_data_gives_another_model(iris: Path, trained: Path) -> None:
    first = (trained / "model").read_bytes()

    stage(iris, "pre_process.py", iris / "data" / "iris-changed.csv", trained)
    stage(iris, "train.py", trained, trained)

    assert (trained / "model").read_bytes() != first


def test_the_unlabelled_flowers_are_named_as_in_the_tutorial(
    iris: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "named"
    out.mkdir()

    for name in ("test1.csv", "test2.csv"):
        assert stage(iris, "infer.py", trained / "model", iris / "data" / name, out).returncode == 0

    assert (out / "test1.csv").read_text().split() == [
        "Iris-versicolor",
        *["Iris-virginica"] * 3,
        *["Iris-setosa"] * 2,
    ]
    assert (out / "test2.csv").read_text().split() == [*["Iris-virginica"] * 2, "Iris-setosa"]


def test_a_broken_row_stops_the_first_stage_with_a_sentence(iris: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("5.1,3.5,1.4,0.2,Iris-setosa\n5.1,wide,1.4,0.2,Iris-setosa\n")

    done = stage(iris, "pre_process.py", tmp_path / "bad.csv", tmp_path)

    assert done.returncode == 1
    assert done.stderr == "bad.csv, flower 2: 'wide' is not a number\n"


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_runs_a_stage_that_is_there(iris: Path, name: str) -> None:
    spec = json.loads((iris / name).read_text())

    assert spec["parallelism_spec"] == {"constant": "1"}
    (line,) = spec["transform"]["stdin"]
    script = line.split()[1].removeprefix("/code/")
    assert (iris / spec["transform"]["code"] / script).is_file()
