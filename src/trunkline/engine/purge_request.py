"""What a purge is asked to do, and how that and its report are written down in the catalog."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from trunkline.db.database import Transaction
from trunkline.errors import InvalidInput, RepoNotFound
from trunkline.files.glob import Glob, compile_glob
from trunkline.model.names import DEFAULT_PROJECT, in_project
from trunkline.model.purges import KeptContent, PurgedRepo, PurgeReport
from trunkline.model.versions import is_spec_repo
from trunkline.versions import purges
from trunkline.versions.purges import PurgeRow

REASON_LENGTH_MAX = 1000
_TARGETS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """Patterns in repos, as `repo:/glob` with full names, and how to treat them."""

    targets: tuple[str, ...]
    reason: str
    forget_names: bool
    copies: bool
    rerun: bool

    def patterns(self) -> dict[str, tuple[Glob, ...]]:
        """The patterns by repo."""
        found: dict[str, list[Glob]] = {}
        for target in self.targets:
            repo, _, pattern = target.partition(":")
            found.setdefault(repo, []).append(compile_glob(pattern))
        return {repo: tuple(globs) for repo, globs in found.items()}

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def parse(text: str) -> "PurgeRequest":
        values = json.loads(text)
        values["targets"] = tuple(values["targets"])
        return PurgeRequest(**values)

    def forgotten(self) -> "PurgeRequest":
        """The same without the names in it."""
        return replace(self, targets=())


def request_of(
    tx: Transaction,
    targets: Sequence[str],
    *,
    reason: str,
    forget_names: bool,
    copies: bool,
    rerun: bool,
) -> PurgeRequest:
    """The request, checked; raises InvalidInput, InvalidGlob, RepoNotFound."""
    if not targets:
        raise InvalidInput("name what is to be purged, as REPO:/GLOB")
    if len(targets) > _TARGETS_MAX:
        raise InvalidInput(f"one purge takes at most {_TARGETS_MAX:,} patterns; make several")
    if len(reason) > REASON_LENGTH_MAX:
        raise InvalidInput(f"a reason has at most {REASON_LENGTH_MAX} characters")
    repos = set(purges.held_repos(tx).values())
    full: dict[str, None] = {}
    for target in targets:
        name, colon, pattern = target.partition(":")
        if not colon or not name or not pattern.startswith("/"):
            raise InvalidInput(
                f"{target!r} does not say what to purge; write REPO:/GLOB, as in training:/a/*.csv"
            )
        if "@" in name:
            raise InvalidInput(
                f"{target!r} names a branch or commit; a purge goes through all history: "
                "write REPO:/GLOB"
            )
        repo = in_project(DEFAULT_PROJECT, name)
        if is_spec_repo(repo):
            raise InvalidInput(f"{repo} holds the specs of pipelines, which can't be purged")
        if repo not in repos:
            raise RepoNotFound(repo, sorted(repos))
        compile_glob(pattern)
        full[f"{repo}:{pattern}"] = None
    return PurgeRequest(
        targets=tuple(full), reason=reason, forget_names=forget_names, copies=copies, rerun=rerun
    )


def report_as_json(report: PurgeReport) -> str:
    """For the catalog: what its own columns say is left out."""
    values = asdict(report)
    for name in ("id", "state", "started", "finished", "reason"):
        del values[name]
    return json.dumps(values, ensure_ascii=False)


def report_of(row: PurgeRow) -> PurgeReport:
    """The report of a purge that is done, or as far as it is."""
    request = PurgeRequest.parse(row.request)
    report = empty_report(row.id, request, started=row.started)
    values: dict[str, Any] = json.loads(row.report) if row.report else {}
    values |= {
        name: tuple(kind(**value) for value in values[name])
        for name, kind in (("repos", PurgedRepo), ("kept", KeptContent))
        if name in values
    }
    values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
    return replace(report, **values, state=row.phase, finished=row.finished, reason=row.reason)


def empty_report(purge_id: str, request: PurgeRequest, *, started: datetime) -> PurgeReport:
    """The report of a purge that has not done anything yet."""
    return PurgeReport(
        id=purge_id,
        state="rewriting",
        started=started,
        finished=None,
        reason=request.reason,
        targets=request.targets,
        forget_names=request.forget_names,
        copies=request.copies,
        repos=(),
        open_changes=0,
        datums=0,
        results_forgotten=0,
        jobs_restarted=0,
        runs=(),
        contents=0,
        contents_erased=0,
        kept=(),
        kept_total=0,
        freed_bytes=0,
        remarks=(),
    )
