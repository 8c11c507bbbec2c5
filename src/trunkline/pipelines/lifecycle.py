"""The life of a pipeline in the catalog: versions, their salts, states.

Every function works in the caller's transaction. Branches, provenance and jobs that must change
with a pipeline are the caller's to change, in the same transaction.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from trunkline.db.database import Transaction
from trunkline.errors import AlreadyExists, Conflict, InvalidInput, NotFound, PipelineNotFound
from trunkline.model.images import ON_HOST, Image, Placement, Runtime
from trunkline.model.names import bare_name, check_full_name, project_of
from trunkline.model.pipelines import PipelineInfo, PipelineSpec, PipelineState
from trunkline.pipelines import cron_tables, default_tables, git_tables, identity, tables
from trunkline.pipelines.defaults import Defaults
from trunkline.pipelines.inputs import branches_of, shorthand
from trunkline.pipelines.remarks import warnings
from trunkline.pipelines.spec import spec_from_document, worker_count
from trunkline.pipelines.tables import PipelineRecord as PipelineRecord
from trunkline.versions import trash
from trunkline.versions.projects import require_project


@dataclass(frozen=True, slots=True, kw_only=True)
class Salt:
    """A salt and the nonce in it, which the versions to come inherit."""

    value: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """The Python packages of a version as they are locked, and the chunk of the lock."""

    names: tuple[str, ...] = ()
    lock: str = ""


NO_PACKAGES = Packages()
_CLUSTER = ""  # whose defaults are those of all projects
_KEPT_MAX = 4096  # specs; fewer than there are pipelines, and a list of all reads each anew
_KEPT_LETTERS_MAX = 16 * 1024  # specs with longer texts are read each time


def insert_version(
    tx: Transaction,
    spec: PipelineSpec,
    *,
    update: bool,
    code: str,
    salt: Salt,
    spec_commit: str,
    now: datetime,
    given: dict[str, object] | None = None,
    packages: Packages = NO_PACKAGES,
    placement: Placement = ON_HOST,
) -> PipelineRecord:
    """Record a new pipeline, or (with `update`) a new version of an existing one.

    `given` is the spec as its user gave it, if that is not all of it. A stopped pipeline stays
    stopped when it is updated. Raises AlreadyExists, PipelineNotFound.
    """
    existing = tables.find(tx, spec.name, None)
    if existing is None:
        if update:
            raise PipelineNotFound(spec.name, tables.names(tx))
        tables.insert_pipeline(tx, spec.name, PipelineState.RUNNING)
    elif not update:
        raise AlreadyExists(
            "pipeline",
            spec.name,
            "update it with `update pipeline`, delete it with `delete pipeline`",
        )
    elif existing.state is not PipelineState.PAUSED:
        tables.update_state(tx, spec.name, PipelineState.RUNNING)
    tables.add_version(
        tx,
        spec.name,
        spec=spec.document,
        user_spec=spec.document if given is None else given,
        code=code,
        salt=salt.value,
        nonce=salt.nonce,
        lock=packages.lock,
        packages=packages.names,
        spec_commit=spec_commit,
        now=now,
        placement=placement,
    )
    return get(tx, spec.name)


def choose_salt(
    previous: PipelineRecord | None,
    spec: PipelineSpec,
    *,
    code: str,
    packages: tuple[str, ...] = (),
    placement: Placement = ON_HOST,
    new_nonce: str,
    reprocess: bool = False,
    keep_results: bool = False,
) -> Salt:
    """The salt of a new version: the old one as long as nothing changed that can change results.

    `reprocess` puts `new_nonce` into it, so that no remembered result fits; `keep_results` keeps
    the old salt whatever changed. It is empty where it depends on an image that is not here yet.
    Raises InvalidInput for both at once, Conflict where there is no old salt to be kept yet.
    """
    if reprocess and keep_results:
        raise InvalidInput(
            "--reprocess forgets remembered results and --keep-results keeps them; choose one"
        )

    def salted(nonce: str) -> str:
        return identity.salt(
            spec, code=code, packages=packages, image_id=_image_id(placement), nonce=nonce
        )

    if previous is not None and keep_results:
        if not previous.salt:
            raise Conflict(
                f"--keep-results is not possible yet: pipeline '{spec.name}' waits for its image "
                f"'{spec_of(previous).transform.image}', and has no results before that is here"
            )
        return Salt(value=previous.salt, nonce=previous.nonce)
    nonce = "" if previous is None else previous.nonce
    if reprocess:
        nonce = new_nonce
    if not placement.settled:
        return Salt(value="", nonce=nonce)
    return Salt(value=_kept_or(previous, salted(nonce)), nonce=nonce)


def _kept_or(previous: PipelineRecord | None, after: str) -> str:
    """The salt of the version before if that is what it would be by itself too, else `after`.

    Not simply `after`: an earlier keep_results may have kept a salt from before a change.
    """
    if previous is None:
        return after
    before = identity.salt(
        spec_of(previous),
        code=previous.code,
        packages=previous.packages,
        image_id=_image_id(previous.placement),
        nonce=previous.nonce,
    )
    return previous.salt if before == after and previous.salt else after


def settle_image(tx: Transaction, record: PipelineRecord, image: Image) -> bool:
    """Complete a version that waited for its image; False if it is not there or waits no more."""
    previous = tables.find(tx, record.name, record.version - 1) if record.version > 1 else None
    after = identity.salt(
        spec_of(record),
        code=record.code,
        packages=record.packages,
        image_id=image.id,
        nonce=record.nonce,
    )
    salt = record.salt or _kept_or(previous, after)
    return tables.settle_image(
        tx, record.name, record.version, spec_commit=record.spec_commit, image=image, salt=salt
    )


def waiting_for_images(tx: Transaction) -> list[PipelineRecord]:
    """The newest versions of pipelines that are not stopped and wait for their images."""
    return [
        record for record in tables.newest_unsettled(tx) if record.state is not PipelineState.PAUSED
    ]


def salted_parts(record: PipelineRecord) -> dict[str, tuple[str, ...]]:
    """What of a version results depend on, by part.

    Its salt may be an older one, if results were kept.
    """
    return identity.salted_parts(
        spec_of(record),
        code=record.code,
        packages=record.packages,
        image_id=_image_id(record.placement),
        nonce=record.nonce,
    )


def _image_id(placement: Placement) -> str:
    return "" if placement.image is None else placement.image.id


def get(tx: Transaction, name: str, version: int | None = None) -> PipelineRecord:
    """A pipeline as of its newest or the given version; below 1, so many before the newest.

    Raises PipelineNotFound, ProjectNotFound, InvalidName, and NotFound for a missing version.
    """
    newest = tables.find(tx, name, None)
    if newest is None:
        if "/" in name:
            check_full_name("pipeline", name)  # no name at all, rather than none that is known
        require_project(tx, project_of(name))
        raise PipelineNotFound(name, tables.names(tx))
    if version is None or version in (0, newest.newest):
        return newest
    wanted = version if version > 0 else newest.newest + version
    found = tables.find(tx, name, wanted) if wanted > 0 else None
    if found is not None:
        return found
    which = str(wanted) if wanted > 0 else f"so far back ({-version} before the newest)"
    raise NotFound(f"pipeline '{name}' has no version {which}; its newest is {newest.newest}")


def records_of(
    tx: Transaction, wanted: Collection[tuple[str, int]]
) -> Mapping[tuple[str, int], PipelineRecord]:
    """Some versions of pipelines, by name and version; those that there are."""
    return tables.records_of(tx, wanted)


def find(tx: Transaction, name: str) -> PipelineRecord | None:
    """The newest version of a pipeline, or None if there is no such pipeline."""
    return tables.find(tx, name, None)


def version_of_commit(tx: Transaction, name: str, spec_commit: str) -> int:
    """The version that a commit in the spec repo holds; raises NotFound."""
    version = tables.version_of_commit(tx, name, spec_commit)
    if version is None:
        raise NotFound(f"commit {spec_commit} of the spec repo is no version of pipeline '{name}'")
    return version


def find_version(tx: Transaction, name: str, spec_commit: str) -> int | None:
    """The version that a commit in the spec repo holds, if it holds one of this pipeline."""
    return tables.version_of_commit(tx, name, spec_commit)


def list_pipelines(tx: Transaction, project: str | None = None) -> list[PipelineRecord]:
    """The newest version of every pipeline (of a project), last changed first.

    Raises ProjectNotFound.
    """
    if project is not None:
        require_project(tx, project)
    return tables.newest_of_all(tx, project)


def count_pipelines(tx: Transaction) -> int:
    return len(tables.names(tx))


def readers_of(tx: Transaction, repo: str) -> list[PipelineRecord]:
    """The pipelines with an input that reads a repo, whether it is there or not."""
    return [
        record
        for record in tables.newest_with_word(tx, bare_name(repo))
        if any(branch.repo == repo for branch in branches_of(spec_of(record).input))
    ]


def residents(tx: Transaction) -> list[PipelineRecord]:
    """The newest versions of all pipelines that may be services or spouts, and perhaps others."""
    return tables.newest_with_field(tx, "service", "spout")


def versions_of(tx: Transaction, name: str, least: int = 1) -> list[PipelineRecord]:
    """The versions of a pipeline from `least` on, newest first; raises PipelineNotFound."""
    return tables.versions_of(tx, get(tx, name).name, least)


def stop(tx: Transaction, name: str) -> bool:
    """Pause a pipeline; False if it was paused already. Raises PipelineNotFound."""
    if get(tx, name).state is PipelineState.PAUSED:
        return False
    tables.update_state(tx, name, PipelineState.PAUSED)
    return True


def start(tx: Transaction, name: str) -> bool:
    """Resume a paused pipeline; False if it was not paused. Raises PipelineNotFound."""
    if get(tx, name).state is not PipelineState.PAUSED:
        return False
    tables.update_state(tx, name, PipelineState.RUNNING)
    return True


def delete(tx: Transaction, name: str) -> None:
    """Forget a pipeline and all its versions; raises PipelineNotFound."""
    if not tables.delete_pipeline(tx, name):
        raise PipelineNotFound(name, tables.names(tx))


def keep(tx: Transaction, entry: int, name: str) -> None:
    """Keep a pipeline that is about to be deleted, with all versions, in an entry of the trash."""
    pipeline, versions = tables.rows_of(tx, name)
    trash.keep_rows(tx, entry, "pipeline", pipeline)
    trash.keep_rows(tx, entry, "pipeline_version", versions)
    trash.keep_rows(tx, entry, "pipeline_cron", cron_tables.rows_of(tx, name))
    trash.keep_rows(tx, entry, "pipeline_git", git_tables.rows_of(tx, name))


def put_back(tx: Transaction, entry: int) -> str | None:
    """Bring back the pipeline of an entry; its name, or None if the entry holds none.

    Raises Conflict where there is another pipeline of that name by now.
    """
    rows = trash.kept_rows(tx, entry, "pipeline")
    if not rows:
        return None
    name = tables.name_in_row(rows[0])
    if find(tx, name) is not None:
        raise Conflict(
            f"there is another pipeline '{name}' by now; this one can only come back once that is "
            "deleted"
        )
    tables.put_rows(tx, rows[0], trash.kept_rows(tx, entry, "pipeline_version"))
    cron_tables.put_rows(tx, name, trash.kept_rows(tx, entry, "pipeline_cron"))
    git_tables.put_rows(tx, name, trash.kept_rows(tx, entry, "pipeline_git"))
    return name


def defaults(tx: Transaction) -> Defaults:
    """The defaults of specs that are in force."""
    found = default_tables.all_defaults(tx)
    return Defaults(cluster=found.pop(_CLUSTER, {}), projects=found)


def defaults_of(tx: Transaction, project: str | None) -> tuple[dict[str, object], datetime] | None:
    """The defaults of a project (None: of all) and when they were set; raises ProjectNotFound."""
    if project is not None:
        require_project(tx, project)
    return default_tables.find_defaults(tx, project or _CLUSTER)


def set_defaults(
    tx: Transaction, project: str | None, spec: dict[str, object], *, now: datetime
) -> None:
    """Set the defaults of a project (None: of all); pipelines stay as they are.

    Raises ProjectNotFound.
    """
    if project is not None:
        require_project(tx, project)
    default_tables.put_defaults(tx, project or _CLUSTER, spec, now)


def delete_all_defaults(tx: Transaction) -> None:
    default_tables.delete_all_defaults(tx)


def spec_of(record: PipelineRecord) -> PipelineSpec:
    """The checked spec of a recorded version; one object for many callers, so never to be changed.

    What it is follows from its text alone, whichever version of which installation that is of.
    """
    if len(record.spec_text) <= _KEPT_LETTERS_MAX:
        return _kept(record.spec_text)
    return spec_from_document(record.spec, stored=True)


@lru_cache(maxsize=_KEPT_MAX)
def _kept(text: str) -> PipelineSpec:
    return spec_from_document(json.loads(text), stored=True)


def _warnings_of(record: PipelineRecord) -> tuple[str, ...]:
    """What its author should know of a version where code runs on the machine of the server."""
    if len(record.spec_text) <= _KEPT_LETTERS_MAX:
        return _kept_warnings(record.spec_text, record.placement)
    return warnings(spec_of(record), record.placement)


@lru_cache(maxsize=_KEPT_MAX)
def _kept_warnings(text: str, placement: Placement) -> tuple[str, ...]:
    return warnings(_kept(text), placement)


def to_info(
    record: PipelineRecord,
    *,
    state: PipelineState,
    reason: str,
    cores: int,
    job_counts: Mapping[str, int],
    recent_error: str = "",
    alerts: tuple[str, ...] = (),
) -> PipelineInfo:
    """The version as users see it; what its jobs tell comes as arguments."""
    spec = spec_of(record)
    return PipelineInfo(
        name=record.name,
        version=record.version,
        state=state,
        reason=reason,
        description=spec.description,
        input=shorthand(spec.input),
        output_branch=spec.output_branch,
        spec_commit=record.spec_commit,
        created=record.created,
        spec=record.spec,
        user_spec=record.user_spec,
        code=record.code,
        salt=record.salt,
        runtime=Runtime.PROCESS if record.placement.image is None else Runtime.DOCKER,
        workers=worker_count(spec.parallelism, cores),
        job_counts=dict(job_counts),
        recent_error=recent_error,
        warnings=_warnings_of(record),
        packages=record.packages,
        image=record.placement.image,
        alerts=alerts,
    )
