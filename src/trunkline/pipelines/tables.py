"""All SQL on pipelines; one function is one statement or one small step.

The name of a pipeline is its full name; no rule is decided here.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from trunkline.db.database import Row, Transaction, Value, among
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.images import ON_HOST, Image, Placement
from trunkline.model.names import project_of
from trunkline.model.pipelines import PipelineState
from trunkline.model.versions import DEFAULT_BRANCH


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRecord:
    """One version of a pipeline; the state is what its user wants, running or paused."""

    name: str
    version: int
    newest: int  # version of the pipeline; `version` is this one unless an older one was asked for
    state: PipelineState
    spec: dict[str, object]  # canonical document, with the defaults of its time
    spec_text: str  # the same, as it is stored
    user_spec: dict[str, object]  # as it was given
    code: str  # root of the file set at /code, or empty
    lock: str  # chunk of the lock of its Python packages, or empty
    packages: tuple[str, ...]  # of the lock
    salt: str
    nonce: str
    spec_commit: str
    created: datetime  # of this version
    placement: Placement = ON_HOST

    @property
    def output_branch(self) -> str:
        return str(self.spec.get("output_branch") or DEFAULT_BRANCH)


_PAGE = 300
_RECORD = (
    "SELECT p.name, v.version, p.version, p.state, v.spec, v.code, v.salt, v.nonce, "
    "v.spec_commit, v.created_us, v.lock, v.packages, v.user_spec, v.image, v.why_host "
    "FROM pipeline p JOIN pipeline_version v ON v.pipeline = p.number "
)

_UNSETTLED = """'{"reference":"%","id":"","digest":"",%'"""  # an image that is not known yet


def insert_pipeline(tx: Transaction, name: str, state: PipelineState) -> None:
    """A pipeline without a version; `add_version` must follow in the same transaction."""
    tx.execute(
        "INSERT INTO pipeline (project, name, version, state, changed) "
        "VALUES (:project, :name, 0, :state, :changed)",
        project=project_of(name),
        name=name,
        state=state.value,
        changed=_next_change(tx),
    )


def add_version(
    tx: Transaction,
    name: str,
    *,
    spec: dict[str, object],
    user_spec: dict[str, object],
    code: str,
    salt: str,
    nonce: str,
    lock: str,
    packages: Sequence[str],
    spec_commit: str,
    now: datetime,
    placement: Placement,
) -> None:
    """Make this the newest version of the pipeline."""
    tx.execute(
        "UPDATE pipeline SET version = version + 1, changed = :changed "
        "WHERE project = :project AND name = :name",
        project=project_of(name),
        name=name,
        changed=_next_change(tx),
    )
    tx.execute(
        "INSERT INTO pipeline_version "
        "(pipeline, version, spec, user_spec, code, salt, nonce, lock, packages, spec_commit, "
        "created_us, image, why_host) "
        "SELECT number, version, :spec, :user_spec, :code, :salt, :nonce, :lock, :packages, "
        ":spec_commit, :created_us, :image, :why_host "
        "FROM pipeline WHERE project = :project AND name = :name",
        project=project_of(name),
        name=name,
        spec=_as_json(spec),
        user_spec="" if user_spec == spec else _as_json(user_spec),
        code=code,
        salt=salt,
        nonce=nonce,
        lock=lock,
        packages="\n".join(packages),
        spec_commit=spec_commit,
        created_us=to_microseconds(now),
        image="" if placement.image is None else _as_json(asdict(placement.image)),
        why_host=placement.why_host,
    )


def settle_image(
    tx: Transaction, name: str, version: int, *, spec_commit: str, image: Image, salt: str
) -> bool:
    """Give a version without one its image and its salt; False if there is no such version."""
    changed = tx.change(
        "UPDATE pipeline_version SET image = :image, salt = :salt "
        "WHERE pipeline = (SELECT number FROM pipeline WHERE project = :project AND name = :name) "
        f"AND version = :version AND spec_commit = :spec_commit AND image LIKE {_UNSETTLED}",
        project=project_of(name),
        name=name,
        version=version,
        spec_commit=spec_commit,
        image=_as_json(asdict(image)),
        salt=salt,
    )
    return changed > 0


def newest_unsettled(tx: Transaction) -> list[PipelineRecord]:
    """The newest versions of pipelines that have an image without an id, oldest pipeline first."""
    rows = tx.rows(
        f"{_RECORD} WHERE v.version = p.version AND v.image LIKE {_UNSETTLED} ORDER BY p.number"
    )
    return [_record(row) for row in rows]


def find(tx: Transaction, name: str, version: int | None) -> PipelineRecord | None:
    """A pipeline as of a version, the newest for None."""
    row = tx.row(
        f"{_RECORD} WHERE p.project = :project AND p.name = :name "
        "AND v.version = COALESCE(:version, p.version)",
        project=project_of(name),
        name=name,
        version=version,
    )
    return None if row is None else _record(row)


def records_of(
    tx: Transaction, wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], PipelineRecord]:
    """Some versions of pipelines, by name and version; those that there are."""
    found: dict[tuple[str, int], PipelineRecord] = {}
    left = list(wanted)
    for start in range(0, len(left), _PAGE):
        page = left[start : start + _PAGE]
        names, of_names = among(sorted({name for name, _ in page}))
        versions, of_versions = among(sorted({version for _, version in page}), "v")
        rows = tx.rows(
            f"{_RECORD} WHERE p.name IN {names} AND v.version IN {versions}",
            **of_names,
            **of_versions,
        )
        for row in rows:
            if (which := (str(row[0]), int(row[1]))) in wanted:
                found[which] = _record(row)
    return found


def newest_of_all(tx: Transaction, project: str | None) -> list[PipelineRecord]:
    """The newest version of every pipeline (of a project), last changed first."""
    rows = tx.rows(
        f"{_RECORD} WHERE p.project = COALESCE(:project, p.project) AND v.version = p.version "
        "ORDER BY p.changed DESC",
        project=project,
    )
    return [_record(row) for row in rows]


def newest_with_word(tx: Transaction, word: str) -> list[PipelineRecord]:
    """The newest versions of pipelines whose spec has a word as a string, oldest pipeline first."""
    rows = tx.rows(
        f"{_RECORD} WHERE v.version = p.version AND {_has('word')} ORDER BY p.number",
        word=f'"{word}"',
    )
    return [_record(row) for row in rows]


def _has(name: str) -> str:
    """A condition: the spec has the text in the parameter of this name, in any database."""
    return f"REPLACE(v.spec, :{name}, '') <> v.spec"


def newest_with_field(tx: Transaction, *fields: str) -> list[PipelineRecord]:
    """The newest versions of pipelines whose spec has one of some fields, oldest first."""
    has = " OR ".join(map(_has, fields))
    rows = tx.rows(
        f"{_RECORD} WHERE v.version = p.version AND ({has}) ORDER BY p.number",
        **{field: f'"{field}":' for field in fields},
    )
    return [_record(row) for row in rows]


def versions_of(tx: Transaction, name: str, least: int = 1) -> list[PipelineRecord]:
    """The versions of a pipeline from `least` on, newest first."""
    rows = tx.rows(
        f"{_RECORD} WHERE p.project = :project AND p.name = :name AND v.version >= :least "
        "ORDER BY v.version DESC",
        project=project_of(name),
        name=name,
        least=least,
    )
    return [_record(row) for row in rows]


def version_of_commit(tx: Transaction, name: str, spec_commit: str) -> int | None:
    """The version whose spec is in this commit of the spec repo."""
    row = tx.row(
        "SELECT v.version FROM pipeline p JOIN pipeline_version v ON v.pipeline = p.number "
        "WHERE p.project = :project AND p.name = :name AND v.spec_commit = :spec_commit",
        project=project_of(name),
        name=name,
        spec_commit=spec_commit,
    )
    return None if row is None else int(row[0])


def names(tx: Transaction) -> list[str]:
    rows = tx.rows("SELECT name FROM pipeline ORDER BY name")
    return [str(row[0]) for row in rows]


def update_state(tx: Transaction, name: str, state: PipelineState) -> None:
    """Set the state, and move the pipeline to the front of lists."""
    tx.execute(
        "UPDATE pipeline SET state = :state, reason = '', changed = :changed "
        "WHERE project = :project AND name = :name",
        project=project_of(name),
        name=name,
        state=state.value,
        changed=_next_change(tx),
    )


def delete_pipeline(tx: Transaction, name: str) -> int:
    """Remove a pipeline with all its versions; returns how many pipelines were removed."""
    return tx.change(
        "DELETE FROM pipeline WHERE project = :project AND name = :name",
        project=project_of(name),
        name=name,
    )


# Columns of the tables whose rows are kept in the trash; a test compares them with the schema.
# Not the number of a pipeline, which may have been given out again.
KEPT_COLUMNS: dict[str, tuple[str, ...]] = {
    "pipeline": ("project", "name", "version", "state", "reason", "changed"),
    "pipeline_version": (
        *("version", "spec", "code", "salt", "nonce", "spec_commit", "created_us"),
        *("lock", "packages"),  # not in rows that were kept before there were locks
        "user_spec",  # nor this before there were defaults
        *("image", "why_host"),  # nor these before there were containers
    ),
}


def rows_of(tx: Transaction, name: str) -> tuple[list[Row], list[Row]]:
    """A pipeline and its versions as rows, to be kept."""
    pipeline = ", ".join(KEPT_COLUMNS["pipeline"])
    version = ", ".join(f"v.{column}" for column in KEPT_COLUMNS["pipeline_version"])
    return (
        tx.rows(f"SELECT {pipeline} FROM pipeline WHERE name = :name", name=name),
        tx.rows(
            f"SELECT {version} FROM pipeline_version v JOIN pipeline p ON p.number = v.pipeline "
            "WHERE p.name = :name ORDER BY v.version",
            name=name,
        ),
    )


def name_in_row(row: Sequence[Value]) -> str:
    """The name of the pipeline that a kept row is of."""
    return str(row[KEPT_COLUMNS["pipeline"].index("name")])


def code_in_row(row: Sequence[Value]) -> str:
    """The root of the code of the version that a kept row is of, or nothing."""
    return str(row[KEPT_COLUMNS["pipeline_version"].index("code")])


def lock_in_row(row: Sequence[Value]) -> str:
    """The chunk of the lock of the version that a kept row is of, or nothing."""
    at = KEPT_COLUMNS["pipeline_version"].index("lock")
    return str(row[at]) if at < len(row) else ""


def put_rows(
    tx: Transaction, pipeline: Sequence[Value], versions: Sequence[Sequence[Value]]
) -> None:
    """Insert a pipeline and its versions as they were kept."""
    columns = KEPT_COLUMNS["pipeline"]
    tx.execute(
        f"INSERT INTO pipeline ({', '.join(columns)}) VALUES "
        f"({', '.join(':' + column for column in columns)})",
        **dict(zip(columns, pipeline, strict=True)),
    )
    columns = KEPT_COLUMNS["pipeline_version"]
    tx.execute_many(
        f"INSERT INTO pipeline_version (pipeline, {', '.join(columns)}) SELECT number, "
        f"{', '.join(':' + column for column in columns)} FROM pipeline WHERE name = :_name",
        [
            {"_name": name_in_row(pipeline)}
            | dict.fromkeys(("lock", "packages", "user_spec", "image", "why_host"), "")
            | dict(zip(columns, version, strict=False))
            for version in versions
        ],
    )


def codes(tx: Transaction) -> list[str]:
    """The roots of the code of all versions of all pipelines."""
    rows = tx.rows("SELECT DISTINCT code FROM pipeline_version WHERE code <> '' ORDER BY code")
    return [str(code) for (code,) in rows]


def locks(tx: Transaction) -> list[str]:
    """The chunks of the locks of all versions of all pipelines."""
    rows = tx.rows("SELECT DISTINCT lock FROM pipeline_version WHERE lock <> '' ORDER BY lock")
    return [str(lock) for (lock,) in rows]


def newest_locks(tx: Transaction) -> list[str]:
    """The chunks of the locks of the newest versions."""
    rows = tx.rows(
        "SELECT v.lock FROM pipeline p JOIN pipeline_version v "
        "ON v.pipeline = p.number AND v.version = p.version WHERE v.lock <> ''"
    )
    return [str(lock) for (lock,) in rows]


def _as_json(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _next_change(tx: Transaction) -> int:
    row = tx.row("SELECT COALESCE(MAX(changed), 0) + 1 FROM pipeline")
    assert row is not None, "an aggregate always has a row"
    return int(row[0])


def _record(row: Row) -> PipelineRecord:
    name, version, newest, state, spec, code, salt, nonce, *rest = row
    spec_commit, created_us, lock, packages, user_spec, image, why_host = rest
    document = json.loads(spec)
    return PipelineRecord(
        name=name,
        version=version,
        newest=newest,
        state=PipelineState(state),
        spec=document,
        spec_text=spec,
        user_spec=json.loads(user_spec) if user_spec else document,
        code=code,
        lock=lock,
        packages=tuple(packages.splitlines()),
        salt=salt,
        nonce=nonce,
        spec_commit=spec_commit,
        created=from_microseconds(created_us),
        placement=Placement(image=_image(image) if image else None, why_host=why_host),
    )


def _image(text: str) -> Image:
    given = json.loads(text)
    return Image(**given | {name: tuple(given[name]) for name in ("entrypoint", "cmd", "env")})
