"""Runs a command where a datum's own would run: its inputs, code, variables and kind of slot.

A process of its own, which becomes a slot as a worker does: `python -m trunkline.jobs.debugging
REQUEST`, where REQUEST is a file with the fields of a `Request`. It reads the chunk store and
writes only to its scratch directory, so that nothing of what was done there stays.
"""

import json
import os
import shlex
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs.datum_run import Context, DatumRun
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.segments import decode_segment
from trunkline.jobs.worker import with_packages, with_secrets
from trunkline.runtimes.base import Command, ExitReport, Slot
from trunkline.runtimes.environments import Environments, environments_below
from trunkline.runtimes.process import NAMESPACE, open_slot
from trunkline.store.chunks import ChunkStore

COMMAND_VARIABLE = "TRUNKLINE_DATUM_COMMAND"  # a script that runs what the pipeline runs
STDERR_VARIABLE = "TRUNKLINE_DATUM_STDERR"  # a file with what the datum last printed there


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that such a process needs to know; travels as JSON."""

    home: str
    scratch: str  # a directory below it
    notes: str  # a directory that the command may read, with the file `stderr`
    isolation: str
    context: dict[str, object]  # message of a `Context`
    datums: str  # a segment with the one datum
    job: str  # id
    command: str  # for a shell


def run(request: Request) -> int:
    """Run the command to its end; gives its exit status as a shell would."""
    home, scratch = Path(request.home), Path(request.scratch)
    slot = open_slot(scratch / "slot", isolation=request.isolation)
    held: int | None = None
    chunks = ChunkStore(home / "store", writer=scratch.name)
    try:
        runner = DatumRun(slot, Trees(chunks))
        context = Context.parse(request.context, home=scratch)
        with chunks.hold():
            [planned] = decode_segment(request.datums.encode("utf-8"))
            if context.lock:
                context, held = with_packages(
                    context,
                    chunks,
                    Environments(environments_below(home)),
                    on_build=lambda _: None,
                    cancelled=lambda: False,
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
    if slot.isolation == NAMESPACE and not batching:
        env[COMMAND_VARIABLE] = str(_script(notes, own))
    asked = replace(
        own, argv=("/bin/sh", "-c", request.command), env=env, stdin=None, timeout_s=None
    )
    return slot.run(asked, on_output=_show, cancelled=lambda: False, tick=lambda: None)


def _show(stream: str, data: bytes) -> None:
    out = sys.stderr if stream == "stderr" else sys.stdout
    out.buffer.write(data)
    out.flush()


def _status(report: ExitReport) -> int:
    if report.code is None or report.out_of_memory:
        sys.stderr.write(f"{report.reason}\n")
    if report.code is not None:
        return report.code
    return 128 + (report.signal or signal.SIGKILL)


def _script(notes: Path, own: Command) -> Path:
    """What the pipeline runs, as a program without arguments."""
    given = notes / "stdin"
    given.write_bytes(own.stdin or b"")
    script = notes / "command"
    script.write_text(f"#!/bin/sh\nexec {shlex.join(own.argv)} < {shlex.quote(str(given))}\n")
    script.chmod(0o755)
    return script


def main() -> int:
    try:
        return run(Request(**json.loads(Path(sys.argv[1]).read_text("utf-8"))))
    except (TrunklineError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
