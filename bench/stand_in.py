"""A worker host whose workers give each datum the result of `cp $input /pfs/out/`, and run nothing.

For benchmarks of what comes after a job of very many datums: the state is the one that real workers
leave, row by row, but no process is started and no file is staged for a datum. `stood_in` makes the
engines of this process begin such hosts; run as a program, this is one.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock


@contextmanager
def stood_in() -> Iterator[None]:
    from trunkline.jobs import launcher

    def start(words: list[str], **how: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([words[0], str(Path(__file__)), *words[3:]], **how)

    ways = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    with mock.patch.object(launcher, "subprocess", ways):
        yield


def answered(self: Any, context: Any, planned: Any, *, position: int, writer: Any, **_: Any) -> Any:
    """The outcome of a datum of one file."""
    from dataclasses import replace

    from trunkline.jobs.datum_run import Outcome
    from trunkline.model.jobs import DatumState

    began = time.time_ns() // 1000
    (file,) = planned.datum.files
    row = self.trees.find(file.root, file.path)
    name = row.path.rpartition("/")[2]
    writer.put_row(replace(row, path=name, datum=planned.key))
    return Outcome(
        position=position,
        key=planned.key,
        state=DatumState.SUCCESS,
        tries=1,
        started=began,
        finished=time.time_ns() // 1000,
        downloaded_bytes=row.size_bytes,
        uploaded_bytes=row.size_bytes,
        files=1,
        download_us=0,
        process_us=1,
        upload_us=0,
        log=(),
        reason="",
        last_words="",
    )


def main() -> None:
    from trunkline.jobs import datum_run, host

    with mock.patch.object(datum_run.DatumRun, "run", answered):
        host.main()


if __name__ == "__main__":
    sys.path.pop(0)  # the directory of the benchmarks has modules of common names
    main()
