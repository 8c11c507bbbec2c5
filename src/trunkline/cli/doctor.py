"""The command that finds out why Trunkline does not work on a machine.

Each check is one line: what was looked at, what was found, and what to do if that is bad. A check
never changes anything but starting the local server, and never prints a secret.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import click

from trunkline.cli.command import command
from trunkline.cli.output import Table, show_all, size
from trunkline.cli.release import program_version
from trunkline.cli.session import operations
from trunkline.config import Config, load
from trunkline.errors import TrunklineError
from trunkline.values import dataclass

_FREE_BYTES_MIN = 1024**3


class Verdict(StrEnum):
    GOOD = "ok"
    NOTE = "note"  # works, but worth knowing
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: str
    verdict: Verdict
    found: str
    advice: str = ""


_FINDINGS: Table[Finding] = Table(
    titles=("CHECK", "STATUS", "FOUND"),
    cells=lambda finding: (
        finding.check,
        finding.verdict.value,
        f"{finding.found}; {finding.advice}" if finding.advice else finding.found,
    ),
    width=0,
    trimmed=True,
)


@command(shows=True, examples=["doctor", "doctor -o json"])
def doctor() -> None:
    """Check this machine, the data directory and the server; exit status 1 if something is bad."""
    findings = [finding for check in _CHECKS for finding in _carefully(check, load())]
    show_all(findings, _FINDINGS)
    if any(finding.verdict == Verdict.BAD for finding in findings):
        raise click.exceptions.Exit(1)


def _carefully(check: Callable[[Config], Iterator[Finding]], config: Config) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check(config):
            found.append(finding)
    except (TrunklineError, OSError) as error:
        name = check.__name__.removeprefix("_check_").replace("_", " ")
        found.append(Finding(check=name, verdict=Verdict.BAD, found=str(error)))
    return found


def _check_machine(_: Config) -> Iterator[Finding]:
    yield Finding(
        check="program",
        verdict=Verdict.GOOD,
        found=f"Trunkline {program_version()}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}",
    )


def _check_data_directory(config: Config) -> Iterator[Finding]:
    home = config.home
    if home.exists():
        writable = os.access(home, os.W_OK | os.X_OK)
        yield Finding(
            check="data directory",
            verdict=Verdict.GOOD if writable else Verdict.BAD,
            found=str(home),
            advice="" if writable else "you can't write to it; set TRUNKLINE_HOME to another one",
        )
    else:
        yield Finding(
            check="data directory",
            verdict=Verdict.NOTE,
            found=f"{home} does not exist yet",
            advice="the first command makes it",
        )
    existing = _nearest(home)
    free = shutil.disk_usage(existing).free
    yield Finding(
        check="free space",
        verdict=Verdict.GOOD if free >= _FREE_BYTES_MIN else Verdict.NOTE,
        found=f"{size(free)} on the device of {existing}",
        advice="" if free >= _FREE_BYTES_MIN else "puts and jobs stop when it is used up",
    )


def _nearest(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _check_address(config: Config) -> Iterator[Finding]:
    from trunkline.cli.contexts import active_address

    yield Finding(check="address", verdict=Verdict.GOOD, found=active_address(config))


def _check_server(_: Config) -> Iterator[Finding]:
    server = operations().admin.status()
    same = server.version == program_version()
    yield Finding(
        check="server",
        verdict=Verdict.GOOD if same else Verdict.NOTE,
        found=f"{server.version}, process {server.pid}, at {server.address}",
        advice=""
        if same
        else f"this program is {program_version()}; `down` and `up` renew the server",
    )
    alone = not server.isolation.startswith("rewrite")
    yield Finding(
        check="isolation",
        verdict=Verdict.GOOD if alone else Verdict.NOTE,
        found=server.isolation,
        advice=""
        if alone
        else "user code gets /pfs by rewriting paths, as namespaces are not available here",
    )
    counted = server.limits.startswith("control groups")
    yield Finding(
        check="limits",
        verdict=Verdict.GOOD if counted else Verdict.NOTE,
        found=server.limits,
        advice=""
        if counted
        else "`resource_limits` hold better where Trunkline may make control groups",
    )


def _check_containers(_: Config) -> Iterator[Finding]:
    engine = operations().images.inspect_container_engine()
    needed = engine.runtime == "docker"
    if engine.name:
        found = f"{engine.name} at {engine.socket}"
        unused = "" if engine.runtime != "process" else "only specs with a runtime use it"
        yield Finding(check="containers", verdict=Verdict.GOOD, found=found, advice=unused)
    else:
        yield Finding(
            check="containers",
            verdict=Verdict.BAD if needed else Verdict.NOTE,
            found=engine.problem,
            advice="" if needed else "code runs on the machine itself, whatever its image",
        )


_CHECKS = (
    *(_check_machine, _check_data_directory, _check_address, _check_server),
    _check_containers,
)
