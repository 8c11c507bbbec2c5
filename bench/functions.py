"""A Python function as a pipeline: in a warm interpreter, beside a Python started for each datum.

usage: functions.py [DATUMS [REPETITIONS]]

Each datum reads a number and writes its double, with 2 workers. The floor is
`multiprocessing.Pool`, which calls the same function on the same files and neither stages, hashes,
stores nor commits anything. Trunkline's times are from `create pipeline` to the end of the job,
workers started cold.
"""

import os
import subprocess
import sys
from itertools import count

from measure import medians, private_home, run

import trunkline

FLOW = """
from pathlib import Path
import trunkline

@trunkline.pipeline(input=trunkline.pfs("numbers", "/*"), workers=2)
def double(numbers: Path, out: Path) -> None:
    (out / numbers.name).write_text(str(2 * int(numbers.read_text())))
"""
SCRIPT = """
import os
from pathlib import Path
numbers = Path(os.environ["numbers"])
Path("/pfs/out", numbers.name).write_text(str(2 * int(numbers.read_text())))
"""
POOL = """
import multiprocessing, sys
from functools import partial
from pathlib import Path

def double(numbers: Path, out: Path) -> None:
    (out / numbers.name).write_text(str(2 * int(numbers.read_text())))

if __name__ == "__main__":
    out = Path(sys.argv[2])
    out.mkdir()
    with multiprocessing.Pool(2) as pool:
        pool.map(partial(double, out=out), Path(sys.argv[1]).iterdir())
"""


def main(datums: int, repetitions: int) -> None:
    with private_home() as place:
        source, code = place / "in", place / "code"
        source.mkdir()
        code.mkdir()
        for number in range(datums):
            (source / f"{number:06}").write_text(str(number))
        (place / "flow.py").write_text(FLOW)
        (place / "pool.py").write_text(POOL)
        (code / "double.py").write_text(SCRIPT)
        sys.path.insert(0, str(place))
        import flow

        with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
            run("trunkline", "create", "repo", "numbers")
            run("trunkline", "put", "file", "numbers@master:/", "-r", "-f", str(source))
            fresh = count(1)

            def warm() -> None:
                flow.double.name = f"warm{next(fresh)}"
                connection.create_pipeline(flow.double)
                check(connection, flow.double.name, datums)

            def spawned() -> None:
                name = f"spawned{next(fresh)}"
                spec = {
                    "pipeline": {"name": name},
                    "transform": {"cmd": [sys.executable, "/code/double.py"]},
                    "parallelism_spec": {"constant": 2},
                    "input": trunkline.pfs("numbers", "/*"),
                }
                connection.create_pipeline(spec, code=code)
                check(connection, name, datums)

            def pool() -> None:
                out = place / f"pool{next(fresh)}"
                subprocess.run([sys.executable, place / "pool.py", source, out], check=True)

            floor, function, script = medians(repetitions, pool, warm, spawned)
    print(f"{datums:,} datums, 2 workers, medians of {repetitions}")
    for name, took in (
        ("multiprocessing.Pool", floor),
        ("@trunkline.pipeline", function),
        ("python3 per datum", script),
    ):
        each = took / datums * 1000
        print(f"{name:22}{took:7.2f} s {each:7.2f} ms a datum {took / function:6.1f}")


def check(connection: "trunkline.connect.connection.Connection", name: str, datums: int) -> None:
    [job] = connection.pipeline(name).jobs()
    info = job.wait()
    if info.processed != datums or info.state != "success":
        sys.exit(f"the job did not process every datum: {info}")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]] + [1000, 3][len(sys.argv) - 1 :]
    main(*numbers)
