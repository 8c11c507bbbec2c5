"""The engines that are compared: how each is installed, and does the same copies.

Each has a *workspace* of its own, with the inputs in `in`; it is to make `out` equal to `in`, one
task `cp in/NAME out/NAME` for each file, two at a time, as its documentation advises for work on
one machine. `run` is the command that one would give each time; it is given once with nothing
there, again with nothing changed, and again with one input changed, and finds out by itself what
there is to do. Afterwards `out` is compared with `in`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

INSTALL_S = 900.0
# What keeps a peer from its own bytecode, or has it call home.
_UNSET = ("PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
_SET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# What a script of a peer prints last: how long its tasks took, without the start of the engine.
_TOLD = "print(time.perf_counter() - began)"


class TooLong(Exception):
    """A step took longer than one wants to wait."""


class Engine:
    """One command in a workspace; what differs between engines is in the subclasses."""

    name = ""
    packages: tuple[str, ...] = ()  # of Python; none: a program of the system
    program = ""
    arguments: tuple[str, ...] = ()
    script = ("", "")  # name and text of the file in the workspace that says what is to be done
    remembers = True  # whether a second run knows what the first has done
    lacks = ""  # what it does not do that Trunkline does, or what is not counted

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._place = Path()
        self._program = ""

    def install(self, cache: Path) -> str:
        """Make the program available; says why that is not possible, or nothing."""
        found = shutil.which(self.program) if not self.packages else None
        place = cache / self.name
        self._program = found or str(place / "bin" / self.program)
        if found or (place / "ready").exists():
            return ""
        if not self.packages:
            return f"there is no {self.program} on this machine"
        pip = [str(place / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        try:
            for words in ([sys.executable, "-m", "venv", "--clear", str(place)], pip):
                added = self.packages if words is pip else ()
                done = subprocess.run(
                    [*words, *added], capture_output=True, text=True, timeout=INSTALL_S
                )
                if done.returncode != 0:
                    return (done.stderr.strip() or "pip failed").splitlines()[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        (place / "ready").touch()
        return ""

    def fresh(self, place: Path) -> None:
        """Begin anew in a workspace, which has `in`. Not timed."""
        self._place = place
        (place / "out").mkdir()
        name, text = self.script
        if name:
            (place / name).write_text(text)

    def run(self) -> dict[str, float]:
        """Do what there is to do; gives further figures, in seconds, by name. Raises TooLong."""
        last = self._command(self._program, *self.arguments).rpartition("\n")[2]
        return {f"{self.name}, tasks alone": float(last)} if not self.remembers and last else {}

    def outputs(self) -> Path:
        """The directory that is to be equal to `in`. Not timed."""
        return self._place / "out"

    def stop(self) -> None:
        """End what still runs. Not timed."""

    def _command(self, *words: str) -> str:
        kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
        path = f"{Path(self._program).parent}{os.pathsep}{kept['PATH']}"
        process = subprocess.Popen(
            words,
            cwd=self._place,
            env={**kept, **_SET, "HOME": str(self._place), "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, errors = process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TooLong(f"more than {self._limit_s:,.0f} s") from None
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {out[-1000:]}{errors[-3000:]}")
        return out.strip()


class Trunkline(Engine):
    """Ours, with its server running and the pipeline there: put, and wait for the commit."""

    name = "trunkline"
    program = "trunkline"
    lacks = "what it made is in a commit, durably; writing that out into a directory is not counted"

    def install(self, _: Path) -> str:
        self._program = str(Path(sys.executable).with_name(self.program))
        return ""

    def fresh(self, place: Path) -> None:
        self.stop()
        self._place = place
        spec = {
            "pipeline": {"name": "copy"},
            "transform": {"cmd": ["cp", "-r", "/pfs/source/.", "/pfs/out/"]},
            "parallelism_spec": {"constant": 2},
            "input": {"pfs": {"repo": "source", "glob": "/*"}},
        }
        (place / "spec.json").write_text(json.dumps(spec))
        self._own("create", "repo", "source")
        self._ready()

    def run(self) -> dict[str, float]:
        self._own("put", "file", "-r", "source@master:/", "-f", "in")
        self._own("flush", "commit", "source@master")
        return {}

    def outputs(self) -> Path:
        out = self._place / f"out{time.monotonic_ns()}"
        self._own("get", "file", "-r", "copy@master:/", "-o", str(out))
        return out

    def stop(self) -> None:
        if self._place.name:
            self._own("down")
            self._place = Path()

    def _ready(self) -> None:
        """The pipeline is there, and its workers wait."""
        self._own("create", "pipeline", "-f", "spec.json")
        (self._place / "warm").mkdir()
        (self._place / "warm" / "warm").write_text("warm\n")
        self._own("put", "file", "-r", "source@master:/", "-f", "warm")
        self._own("flush", "commit", "source@master")
        self._own("delete", "file", "source@master:/warm")
        self._own("flush", "commit", "source@master")

    def _own(self, *words: str) -> None:
        os.environ["TRUNKLINE_HOME"] = str(self._place / "home")
        done = subprocess.run(
            [self._program, *words], cwd=self._place, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")


class TrunklineCold(Trunkline):
    """The same, but the pipeline is made in the measured time: its workers start then."""

    name = "trunkline, new pipeline"
    remembers = False  # from then on it is as the other
    lacks = "the same, with making the pipeline and the start of its workers"

    def _ready(self) -> None:
        pass

    def run(self) -> dict[str, float]:
        self._own("create", "pipeline", "-f", "spec.json")
        return super().run()


class Xargs(Engine):
    name = "xargs -P2"
    program = "bash"
    arguments = ("-c", "ls in | xargs -P2 -I{} cp in/{} out/{}")
    remembers = False
    lacks = "the floor: starts the copies, and nothing else"


class Make(Engine):
    name = "make"
    program = "make"
    arguments = ("-s", "-j2")
    script = (
        "Makefile",
        "all: $(patsubst in/%,out/%,$(wildcard in/*))\nout/%: in/%\n\tcp $< $@\n",
    )
    lacks = "goes by times of files: no hashes, no versions, no record, nothing durable"


class Doit(Engine):
    name = "doit"
    packages = ("doit",)
    program = "doit"
    arguments = ("run", "-n", "2", "-v", "0")
    script = (
        "dodo.py",
        """
from pathlib import Path

def task_copy():
    for file in Path("in").iterdir():
        source, target = str(file), str(Path("out", file.name))
        action = ["cp", source, target]
        yield {"name": file.name, "file_dep": [source], "targets": [target], "actions": [action]}
""",
    )
    lacks = "hashes inputs that have a new time; outputs are not kept, versioned or made durable"


class Dask(Engine):
    name = "dask"
    packages = ("distributed",)
    program = "python"
    arguments = ("flow.py",)
    script = (
        "flow.py",
        f"""
import os, subprocess, time
from distributed import Client, LocalCluster

def copy(name):
    subprocess.run(["cp", f"in/{{name}}", f"out/{{name}}"], check=True)

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            began = time.perf_counter()
            client.gather(client.map(copy, os.listdir("in"), pure=False))
            {_TOLD}
""",
    )
    remembers = False
    lacks = "forgets everything at its end: no hashes, no versions, no record"


class Luigi(Engine):
    name = "luigi"
    packages = ("luigi",)
    program = "python"
    arguments = ("flow.py",)
    script = (
        "flow.py",
        """
import os, subprocess, sys
import luigi

class Copy(luigi.Task):
    name = luigi.Parameter()

    def output(self):
        return luigi.LocalTarget(f"out/{self.name}")

    def run(self):
        with self.output().temporary_path() as target:
            subprocess.run(["cp", f"in/{self.name}", target], check=True)

class All(luigi.WrapperTask):
    def requires(self):
        return [Copy(name) for name in os.listdir("in")]

if __name__ == "__main__":
    sys.exit(not luigi.build([All()], workers=2, local_scheduler=True, log_level="ERROR"))
""",
    )
    lacks = "looks only whether an output is there: no hashes, no versions, no record"


class Ray(Engine):
    name = "ray"
    packages = ("ray",)
    program = "python"
    arguments = ("flow.py",)
    script = (
        "flow.py",
        f"""
import os, subprocess, time
import ray

@ray.remote
def copy(name):
    subprocess.run(["cp", os.path.join(HERE, "in", name), os.path.join(HERE, "out", name)],
                   check=True)

HERE = os.getcwd()
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
began = time.perf_counter()
ray.get([copy.remote(name) for name in os.listdir("in")])
{_TOLD}
""",
    )
    remembers = False
    lacks = "forgets everything at its end: no hashes, no versions, no record"


class Prefect(Engine):
    name = "prefect"
    packages = ("prefect>=3,<4",)
    program = "python"
    arguments = ("flow.py",)
    script = (
        "flow.py",
        f"""
import os, subprocess, time
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

@task
def copy(name):
    subprocess.run(["cp", f"in/{{name}}", f"out/{{name}}"], check=True)

@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def everything():
    began = time.perf_counter()
    copy.map(os.listdir("in")).wait()
    {_TOLD}

if __name__ == "__main__":
    everything()
""",
    )
    remembers = False
    lacks = "records runs in a database; does all again each time, unless tasks are given results"


class Snakemake(Engine):
    name = "snakemake"
    packages = ("snakemake",)
    program = "snakemake"
    arguments = ("--cores", "2", "--quiet", "all")
    script = (
        "Snakefile",
        """
NAMES = glob_wildcards("in/{name}").name

rule all:
    input: expand("out/{name}", name=NAMES)

rule copy:
    input: "in/{name}"
    output: "out/{name}"
    shell: "cp {input} {output}"
""",
    )
    lacks = "goes by times, and hashes of small inputs; outputs are not versioned or made durable"


class Dagster(Engine):
    name = "dagster"
    packages = ("dagster",)
    program = "python"
    arguments = ("flow.py",)
    script = (
        "flow.py",
        f"""
import os, subprocess, time
from dagster import DynamicOut, DynamicOutput, job, op

@op(out=DynamicOut(str))
def names():
    for name in os.listdir("in"):
        yield DynamicOutput(name, mapping_key=name.replace(".", "_"))

@op
def copy(name: str):
    subprocess.run(["cp", f"in/{{name}}", f"out/{{name}}"], check=True)

@job
def everything():
    names().map(copy)

if __name__ == "__main__":
    began = time.perf_counter()
    everything.execute_in_process()
    {_TOLD}
""",
    )
    remembers = False
    lacks = "one after the other in one process (a process for each step takes far longer)"


class Redun(Engine):
    name = "redun"
    packages = ("redun",)
    program = "redun"
    arguments = ("run", "flow.py", "everything")
    script = (
        "flow.py",
        """
import os, subprocess
from redun import File, task

redun_namespace = "bench"

@task()
def copy(source: File, target: str) -> File:
    subprocess.run(["cp", source.path, target], check=True)
    return File(target)

@task(cache=False)
def everything() -> list:
    return [copy(File(f"in/{name}"), f"out/{name}") for name in sorted(os.listdir("in"))]
""",
    )
    lacks = "its hashes are of time and size; outputs are recorded, not versioned or made durable"

    def fresh(self, place: Path) -> None:
        super().fresh(place)
        settings = place / ".redun" / "redun.ini"
        settings.parent.mkdir()
        settings.write_text("[executors.default]\ntype = local\nmax_workers = 2\n")


OURS: tuple[type[Engine], ...] = (Trunkline, TrunklineCold)
FLOOR = Xargs
PEERS: tuple[type[Engine], ...] = (Make, Doit, Dask, Luigi)
SLOW: tuple[type[Engine], ...] = (Ray, Prefect, Snakemake, Dagster, Redun)
