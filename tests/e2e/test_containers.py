"""Pipelines in containers through the real command line: what they see, and what ends them."""

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as library
import pytest
import stage_images
from typing_user import TypingUser

Run = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE_S = 60.0
SCRIPT = "cat $TRUNKLINE_DATUM_STDERR; run 2> /dev/null; echo $? $MINE"


@pytest.fixture
def engine(docker: str) -> Iterator[library.APIClient]:
    with contextlib.closing(
        library.APIClient(base_url=f"unix://{docker}", version="1.40")
    ) as client:
        yield client


class Stage:
    """A data directory whose pipelines run in containers."""

    def __init__(self, home: Path, place: Path, command: Run, engine: library.APIClient) -> None:
        self.home = home
        self._place = place
        self._command = command
        self._engine = engine
        self("create repo data")

    def __call__(self, line: str, *, more: str | None = None, stdin: str = "") -> str:
        words = [*line.split(), *([] if more is None else [more])]
        return self._command("trunkline", *words, cwd=self._place, stdin=stdin).stdout

    def types(self, line: str) -> TypingUser:
        """Somebody at a terminal, who ran this."""
        env = {"SHELL": "/no/such/shell", "TERM": "dumb"}
        return TypingUser("trunkline", *line.split(), cwd=str(self._place), env=env)

    def refused(self, line: str) -> str:
        return self._command("trunkline", *line.split(), cwd=self._place, ok=False).stderr

    def put(self, name: str, text: str) -> None:
        self(f"put file data@master:/{name} -f -", stdin=text)

    def write(self, name: str = "made", **more: Any) -> str:
        """Writes a spec; gives the name of the file."""
        transform = {"runtime": "docker", "cmd": ["sh"], **more.pop("transform")}
        document = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            **more,
            "transform": transform,
        }
        (self._place / f"{name}.json").write_text(json.dumps(document))
        return f"{name}.json"

    def create(self, name: str = "made", **more: Any) -> None:
        self(f"create pipeline -f {self.write(name, **more)}")

    def read(self, path: str, name: str = "made") -> str:
        return self(f"get file {name}@master:/{path}")

    def info(self, name: str = "made") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(f"inspect pipeline {name} --raw"))
        return found

    def told(self, words: str) -> dict[str, Any] | None:
        """The pipeline, if its reason has these words."""
        found = self.info()
        return found if words in found["reason"] else None

    def containers(self, *, running: bool = False) -> list[str]:
        """The ids of the containers there are."""
        labels = [f"trunkline.home={self.home}"]
        found = self._engine.containers(all=not running, filters={"label": labels})
        return [one["Id"] for one in found]

    def until(self, what: Callable[[], Any]) -> Any:
        """What something gives once it gives something."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.05)
        return found

    def at_work(self) -> bool:
        """Whether some command has begun, in the container that runs."""
        for id_ in self.containers(running=True):
            with contextlib.suppress(library.errors.APIError):
                rows = self._engine.top(id_)["Processes"]
                if any("sleep" in word for row in rows for word in row):
                    return True
        return False


@pytest.fixture
def stage(
    home: Path, tmp_path: Path, command: Run, docker: str, engine: library.APIClient
) -> Stage:
    place = tmp_path / "work"
    place.mkdir()
    return Stage(home, place, command, engine)


@pytest.fixture
def shell(docker: str) -> str:
    return stage_images.shell_image(docker, "ENV FROM_IMAGE=yes", "WORKDIR /tmp")


def test_a_stage_sees_its_inputs_code_variables_and_place(
    stage: Stage, shell: str, tmp_path: Path
) -> None:
    (tmp_path / "work" / "code").mkdir()
    (tmp_path / "work" / "code" / "run.sh").write_text(
        'echo "$data $FROM_IMAGE $MINE $PWD"; id -un'
    )
    stage.put("a", "1\n")
    stage.put("b", "2\n")

    stage.create(
        transform={
            "image": shell,
            "code": "code",
            "env": {"MINE": "too"},
            "user": stage_images.USER,
            "stdin": [
                "set -e",
                "sh /code/run.sh > /pfs/out/told-$(basename $data)",
                "cp $data /pfs/out/",
                "ln -s /pfs/data/$(basename $data) /pfs/out/link-$(basename $data)",
                "ln -s ../data/$(basename $data) /pfs/out/beside-$(basename $data)",
                "ln -s told-$(basename $data) /pfs/out/own-$(basename $data)",
            ],
        },
        parallelism_spec={"constant": 2},
    )
    stage("flush commit data@master")

    assert stage.read("told-a") == "/pfs/data/a yes too /tmp\nworker\n"
    assert stage.read("own-a") == stage.read("told-a")
    assert (stage.read("a"), stage.read("link-b"), stage.read("beside-b")) == ("1\n", "2\n", "2\n")
    assert stage.info()["runtime"] == "docker"
    assert stage.info()["state"] == "running"
    stage("down")
    assert stage.containers() == []


def test_the_entry_point_of_an_image_is_run_without_a_cmd(stage: Stage, docker: str) -> None:
    image = stage_images.shell_image(
        docker, 'ENTRYPOINT ["cp", "-r"]', 'CMD ["/pfs/data", "/pfs/out/copy"]'
    )
    stage.put("a", "1\n")

    stage.create(transform={"image": image, "cmd": []})
    stage("flush commit data@master")

    assert stage.read("copy/a") == "1\n"


def test_a_link_out_of_the_inputs_is_refused_by_name(stage: Stage, shell: str) -> None:
    stage.put("a", "1\n")

    stage.create(
        transform={"image": shell, "stdin": ["ln -s /etc/passwd /pfs/out/stolen"]}, datum_tries=1
    )
    stage.refused("flush commit data@master")

    assert "/pfs/out/stolen is a link to /etc/passwd" in stage("list job -p made --raw")


def test_secrets_are_files_and_variables(stage: Stage, shell: str, tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
    secret |= {"stringData": {"word": "sesame", "other": "more"}}
    (tmp_path / "work" / "secret.json").write_text(json.dumps(secret))
    stage("create secret -f secret.json")
    stage.put("a", "1\n")

    stage.create(
        transform={
            "image": shell,
            "stdin": ["cat /keys/word | wc -c > /pfs/out/file; echo $WORD | wc -c > /pfs/out/env"],
            "secrets": [
                {"name": "key", "mount_path": "/keys"},
                {"name": "key", "key": "word", "env_var": "WORD"},
            ],
        },
    )
    stage("flush commit data@master")

    assert (stage.read("file"), stage.read("env")) == ("6\n", "7\n")


def test_lazy_inputs_batches_and_err_cmd_work_there_too(stage: Stage, docker: str) -> None:
    image = stage_images.python_image(docker)
    client = (
        "import json, os, socket\n"
        "line = socket.socket(socket.AF_UNIX)\n"
        "line.connect(os.environ['TRUNKLINE_NEXT_DATUM'])\n"
        "talk = line.makefile('rw')\n"
        "while True:\n"
        "    talk.write('{}\\n'); talk.flush()\n"
        "    env = json.loads(talk.readline())['env']\n"
        "    name = os.path.basename(env['data'])\n"
        "    open('/pfs/out/' + name, 'w').write(f\"{os.getpid()} {open(env['data']).read()}\")\n"
    )
    for name in ("a", "b", "c"):
        stage.put(name, f"{name}\n")

    stage.create(
        "lazy",
        transform={"image": image, "stdin": ["cat $data > /pfs/out/$(basename $data)"]},
        input={"pfs": {"repo": "data", "glob": "/*", "lazy": True}},
    )
    stage.create(
        "batch",
        transform={"image": image, "cmd": ["python3", "-c", client], "datum_batching": True},
    )
    stage.create("saved", transform={"image": image, "stdin": ["exit 1"], "err_cmd": ["true"]})
    stage("flush commit data@master")

    assert stage.read("b", "lazy") == "b\n"
    batched = [stage.read(name, "batch").split() for name in ("a", "b", "c")]
    assert [word for _, word in batched] == ["a", "b", "c"]
    assert len({pid for pid, _ in batched}) == 1
    assert '"recovered": 3' in stage("list job -p saved --raw")


def test_too_much_memory_is_told_as_such(stage: Stage, shell: str) -> None:
    stage.put("a", "1\n")

    stage.create(
        transform={"image": shell, "stdin": ["head -c 200000000 /dev/zero | tail -c 200000000"]},
        resource_limits={"memory": "32Mi"},
        datum_tries=1,
    )
    told = stage.refused("flush commit data@master")

    assert "out of memory: peak 32 MiB, limit 32 MiB" in told


@pytest.mark.parametrize("how", ["container", "worker", "server"])
def test_what_is_killed_at_work_is_done_again_and_leaves_no_container(
    stage: Stage, shell: str, how: str, engine: library.APIClient, processes: Any
) -> None:
    stage.put("a", "1\n")
    stage.create(
        transform={
            "image": shell,
            "stdin": ["[ -e /pfs/data/go ] || sleep 3", "cp /pfs/data/a /pfs/out/"],
        },
        input={"pfs": {"repo": "data", "glob": "/"}},
    )
    stage.until(stage.at_work)
    [before] = stage.containers()

    if how == "container":
        engine.kill(before)
    elif how == "worker":
        os.kill(json.loads(stage("list worker --raw"))["pid"], signal.SIGKILL)
    else:
        server = json.loads((stage.home / "server.json").read_text())["pid"]
        os.kill(server, signal.SIGKILL)
        stage.until(lambda: not processes(stage.home))
        assert stage.containers() == []
    stage("flush commit data@master")

    assert stage.read("a") == "1\n"
    stage.until(lambda: before not in stage.containers())
    stage("down")
    assert stage.containers() == []


def test_what_containers_can_not_do_is_refused_when_it_is_made(stage: Stage, shell: str) -> None:
    spout = stage.write("out", transform={"image": shell}, input=None, spout={})
    service = stage.write("serve", transform={"image": shell}, service={"internal_port": 8000})
    document = json.loads((Path(stage._place) / spout).read_text())
    del document["input"]
    (Path(stage._place) / spout).write_text(json.dumps(document))

    assert "a spout puts files into its repo" in stage.refused(f"create pipeline -f {spout}")
    assert 'set `transform.network` to "host"' in stage.refused(f"create pipeline -f {service}")


def test_an_image_without_a_shell_is_the_state_of_its_pipeline(stage: Stage, docker: str) -> None:
    stage.put("a", "1\n")
    image = stage_images.bare_image(docker)

    stage.create(transform={"image": image})
    told = stage.refused("flush commit data@master")

    assert f"image {image} has no /bin/sh, which starts commands in containers" in told
    assert stage.info()["state"] == "crashing"
    assert "has no /bin/sh" in stage.info()["reason"]


def test_a_service_in_the_network_of_this_machine_is_reached(stage: Stage, docker: str) -> None:
    image = stage_images.python_image(docker)
    stage.put("page", "hello\n")
    serve = (
        "import http.server, os\n"
        "os.chdir('/pfs/data')\n"
        "where = ('127.0.0.1', int(os.environ['PORT']))\n"
        "http.server.HTTPServer(where, http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )

    stage.create(
        transform={"image": image, "cmd": ["python3", "-c", serve], "network": "host"},
        input={"pfs": {"repo": "data", "glob": "/"}},
        service={"internal_port": 8917, "external_port": 8918},
    )
    stage("flush commit data@master")
    page = subprocess.run(
        ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8918/page"],
        capture_output=True,
        text=True,
    )

    assert page.stdout == "hello\n"
    stage("stop pipeline made")
    stage.until(lambda: not stage.containers())


def test_debug_datum_is_in_the_container_of_its_datum(stage: Stage, shell: str) -> None:
    stage.put("a", "apple\n")
    stage.create(
        transform={
            "image": shell,
            "env": {"MINE": "yes"},
            "stdin": ["echo broken >&2; cat $data; exit 7"],
        },
        datum_tries=1,
    )
    stage.refused("flush commit data@master")
    [job] = json.loads(f"[{stage('list job -p made --raw')}]")
    [datum] = json.loads(stage(f"list datum made@{job['id']} -o json"))

    told = stage(f"debug datum made@{job['id']} {datum['id']} --command", more=SCRIPT)
    user = stage.types(f"debug datum made@{job['id']} {datum['id']}")
    user.types("tty; echo $MINE-$(cat $data)\n")
    device = user.sees(r"(/dev/(pts/\d+|console))")
    user.sees("yes-apple")
    user.types("sleep 100\n")
    stage.until(stage.at_work)
    user.types("\x03")
    user.types("run; echo ended-$?\n")
    user.sees("ended-7")
    user.types("exit 5\n")

    assert told == "broken\napple\n7 yes\n"
    assert device
    assert user.exit_status() == 5
    assert len(stage.containers()) == len(stage.containers(running=True))  # of the worker alone
    stage("down")
    assert stage.containers() == []


# --- the engine itself ----------------------------------------------------------------------------


class Daemon:
    """A Docker daemon of the test's own."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.socket = str(place / "sock")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none"]
        for option in ("data-root", "exec-root", "pidfile"):
            words += [f"--{option}", str(self._place / option)]
        with open(self._place / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*words, "-H", f"unix://{self.socket}"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with socket.socket(socket.AF_UNIX) as door, contextlib.suppress(OSError):
                door.connect(self.socket)
                return
            assert time.monotonic() < deadline, (self._place / "log").read_text()
            time.sleep(0.1)

    def end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(timeout=PATIENCE_S)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a Docker daemon can be started by root only, where it is installed")
    place = Path(tempfile.mkdtemp(prefix="dk-", dir="/tmp"))
    made = Daemon(place)
    made.start()
    monkeypatch.setenv("TRUNKLINE_CONTAINER_HOST", made.socket)
    try:
        yield made
    finally:
        made.end(signal.SIGTERM)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library forgets sockets that broke
            gc.collect()
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{place}/")]
        for point in reversed(points):
            subprocess.run(["umount", "-l", point])
        shutil.rmtree(place)


@pytest.mark.slow
def test_work_goes_on_when_the_engine_that_was_stopped_is_back(
    daemon: Daemon, home: Path, tmp_path: Path, command: Run
) -> None:
    with contextlib.closing(
        library.APIClient(base_url=f"unix://{daemon.socket}", version="1.40")
    ) as engine:
        (tmp_path / "work").mkdir()
        stage = Stage(home, tmp_path / "work", command, engine)
        stage.put("a", "1\n")
        stage.create(
            transform={
                "image": stage_images.shell_image(daemon.socket),
                "stdin": ["sleep 2", "cp $data /pfs/out/"],
            },
        )
        stage.until(stage.at_work)
        daemon.end(signal.SIGTERM)
        told = stage.until(lambda: stage.told("container engine"))
        daemon.start()
        stage("flush commit data@master")
        after = stage.info()
        daemon.end(signal.SIGKILL)  # its containers stay, until it is back
        stage.put("b", "2\n")
        stage("flush commit data@master")
        daemon.start()
        stage.put("c", "3\n")
        stage("flush commit data@master")
        stage("down")

        assert told["state"] in ("starting", "restarting", "crashing")
        assert after["state"] == "running"
        assert [stage.read(name) for name in ("a", "b", "c")] == ["1\n", "2\n", "3\n"]
        stage("down")
        assert stage.containers() == []
