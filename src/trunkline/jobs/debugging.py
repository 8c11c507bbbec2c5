"""Runs a command or a shell where a datum's own runs: its inputs, code, variables, kind of slot.

A process of its own, which becomes a slot as a worker does: `python -m trunkline.jobs.debugging
REQUEST`, where REQUEST is a file with the fields of a `Request`. It reads the chunk store and
writes only to its scratch directory, so that nothing of what was done there stays. It ends when
whoever asked is gone.
"""

import json
import os
import shlex
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.errors import NotSupported, TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs.datum_run import Context, DatumRun
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.segments import decode_segment
from trunkline.jobs.slots import Ground, open_slot, python_finder
from trunkline.jobs.worker import with_packages, with_secrets
from trunkline.runtimes.base import CONTAINER, PFS, Command, ExitReport, Slot, SlotLost
from trunkline.runtimes.environments import Environments, environments_below
from trunkline.runtimes.process import REWRITE
from trunkline.runtimes.spawn import DEFAULT_PATH
from trunkline.store.chunks import ChunkStore
from trunkline.store.claims import bucket_of

COMMAND_VARIABLE = "TRUNKLINE_DATUM_COMMAND"  # a script that runs what the pipeline runs
RUN = "run"  # its name, in PATH
STDERR_VARIABLE = "TRUNKLINE_DATUM_STDERR"  # a file with what the datum last printed there
_PROGRAMS = "bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that such a process needs to know; travels as JSON."""

    home: str
    scratch: str  # a directory below it
    notes: str  # a directory that the command may read, with the file `stderr`
    parent: int  # process that asked
    isolation: str
    container_host: str
    output_bytes_max: int  # 0: no limit
    context: dict[str, object]  # message of a `Context`
    datums: str  # a segment with the one datum
    job: str  # id
    command: str  # for /bin/sh; empty: `shell` on the terminal of this process
    shell: str
    terminal: str  # kind of terminal


def run(request: Request) -> int:
    """Run the command to its end; gives its exit status as a shell would."""
    home, scratch = Path(request.home), Path(request.scratch)
    if bucket_of(home / "store") and not (home / "store" / "index.db").exists():
        raise NotSupported(
            "a datum's surroundings can't be opened where servers share a store: its index is in "
            "their database; run the pipeline's code on a checkout of its inputs instead"
        )
    context = Context.parse(request.context, home=scratch)
    ground = Ground(
        home=home,
        name=scratch.name,
        scratch=scratch / "slot",
        marker="",
        isolation=request.isolation,
        container_host=request.container_host,
        output_bytes_max=request.output_bytes_max or None,
    )
    slot = open_slot(context, ground, shown={request.notes: Path(request.notes)})
    held: int | None = None
    chunks = ChunkStore(home / "store", writer=scratch.name, rebuild=False)
    try:
        runner = DatumRun(slot, Trees(chunks))
        with chunks.hold():
            [planned] = decode_segment(request.datums.encode("utf-8"))
            if context.lock:
                runner.get_ready(context)  # with what tells its Python, if that is not ours
                context, held = with_packages(
                    context,
                    chunks,
                    Environments(environments_below(home)),
                    find_python=python_finder(slot),
                    on_build=lambda _: None,
                    cancelled=lambda: _forsaken(request),
                )
            context = with_secrets(context, SecretStore(home), runner)
            own = runner.prepared(context, planned, job=request.job)
        return _status(_run(slot, own, request, batching=context.batching))
    finally:
        if held is not None:
            os.close(held)
        slot.close()
        chunks.close()


def _run(slot: Slot, own: Command, request: Request, *, batching: bool) -> ExitReport:
    notes = Path(request.notes)
    env = {**own.env, STDERR_VARIABLE: str(notes / "stderr")}
    # The names of paths are not replaced in a script, and nobody gives out datums of a batch here.
    if slot.isolation != REWRITE and not batching:
        env[COMMAND_VARIABLE] = str(_script(notes, own))
        env["PATH"] = f"{notes / _PROGRAMS}:{env.get('PATH', DEFAULT_PATH)}"
    if request.command:
        argv: tuple[str, ...] = ("/bin/sh", "-c", request.command)
    else:
        argv = ("/bin/sh" if slot.isolation == CONTAINER else request.shell,)
        env = {"TERM": request.terminal, **env}
    asked = replace(
        own, argv=argv, env=env, stdin=None, timeout_s=None, terminal=not request.command
    )
    return slot.run(asked, on_output=_show, cancelled=lambda: _forsaken(request), tick=lambda: None)


def _forsaken(request: Request) -> bool:
    """Whether the process that asked is gone; ours then has another parent."""
    return os.getppid() != request.parent


def _show(stream: str, data: bytes) -> None:
    out = sys.stderr if stream == "stderr" else sys.stdout
    out.buffer.write(data)
    out.flush()


def _status(report: ExitReport) -> int:
    if report.code is None or report.out_of_memory or report.over_quota:
        sys.stderr.write(f"{report.reason}\n")
    if report.code is not None:
        return report.code
    return 128 + (report.signal or signal.SIGKILL)


def _script(notes: Path, own: Command) -> Path:
    """What the pipeline runs, as a program without arguments."""
    given = notes / "stdin"
    given.write_bytes(own.stdin or b"")
    place = shlex.quote(os.path.join(PFS, own.working_dir))
    path = shlex.quote(own.env.get("PATH", DEFAULT_PATH))
    script = notes / _PROGRAMS / RUN
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\ncd {place} || exit\nPATH={path}\nexport PATH\n"
        f"exec {shlex.join(own.argv)} < {shlex.quote(str(given))}\n"
    )
    script.chmod(0o755)
    return script


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        return run(Request(**json.loads(Path(sys.argv[1]).read_text("utf-8"))))
    except (TrunklineError, OSError, SlotLost) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
