"""1,000 one-file `cp` datums with 2 workers beside `xargs -P2` doing the same copies.

usage: datums.py [DATUMS [REPETITIONS]]

Trunkline's time is from `create pipeline` to the end of its job: workers start cold, each datum's
input is read from the store and its output is hashed, stored and committed durably. `xargs` only
spawns `cp`. A second job after one changed file shows what is not done again.
"""

import json
import sys
from itertools import count
from pathlib import Path

from measure import medians, private_home, run, seconds


def main(datums: int, repetitions: int) -> None:
    with private_home() as place:
        source = place / "in"
        source.mkdir()
        for number in range(datums):
            (source / f"{number:06}.txt").write_text(f"{number}\n" * 100)
        run("trunkline", "create", "repo", "source")
        run("trunkline", "put", "file", "source@master:/", "-r", "-f", str(source))
        numbers = count(1)
        floor, ours = medians(
            repetitions,
            lambda: copy_with_xargs(source, place / f"out{next(numbers)}"),
            lambda: copy_with_pipeline(place, f"copy{next(numbers)}", datums),
        )
        changed = seconds(lambda: change_one(place))
    print(f"{datums:,} datums, 2 workers, medians of {repetitions}")
    print(f"xargs -P2  {floor:7.2f} s  {datums / floor:7.0f} copies/s   1.0")
    print(f"trunkline  {ours:7.2f} s  {datums / ours:7.0f} datums/s   {ours / floor:.1f}")
    print(f"one file changed, {repetitions} pipelines follow: {changed:.2f} s")


def copy_with_xargs(source: Path, out: Path) -> None:
    out.mkdir()
    run("bash", "-c", f"ls '{source}' | xargs -P2 -I{{}} cp '{source}/{{}}' '{out}/{{}}'")


def copy_with_pipeline(place: Path, name: str, datums: int) -> None:
    spec = {
        "pipeline": {"name": name},
        "transform": {"cmd": ["cp", "-r", "/pfs/source/.", "/pfs/out/"]},
        "parallelism_spec": {"constant": 2},
        "input": {"pfs": {"repo": "source", "glob": "/*"}},
    }
    file = place / f"{name}.json"
    file.write_text(json.dumps(spec))
    run("trunkline", "create", "pipeline", "-f", str(file))
    run("trunkline", "flush", "commit", "source@master", "-r", name)
    job = run("trunkline", "list-job", "-p", name).splitlines()[1]
    if f" {datums} + 0 / {datums} " not in job or not job.rstrip().endswith("success"):
        sys.exit(f"the job did not process every datum:\n{job}")


def change_one(place: Path) -> None:
    changed = place / "changed.txt"
    changed.write_text("changed\n")
    run("trunkline", "put", "file", "source@master:/000000.txt", "-f", str(changed))
    run("trunkline", "flush", "commit", "source@master")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] + [1000, 3][len(sys.argv) - 1 :]
    main(*numbers)
