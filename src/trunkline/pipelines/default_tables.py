"""SQL on the defaults of specs."""

import json
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds, to_microseconds

Document = dict[str, object]


def all_defaults(tx: Transaction) -> dict[str, Document]:
    """By project; those of all projects have the name ''."""
    rows = tx.rows("SELECT project, spec FROM pipeline_defaults")
    return {str(project): json.loads(spec) for project, spec in rows}


def find_defaults(tx: Transaction, project: str) -> tuple[Document, datetime] | None:
    row = tx.row(
        "SELECT spec, changed_us FROM pipeline_defaults WHERE project = :project", project=project
    )
    return None if row is None else (json.loads(row[0]), from_microseconds(row[1]))


def put_defaults(tx: Transaction, project: str, spec: Document, now: datetime) -> None:
    """Set the defaults of a project; an empty document leaves it without any."""
    tx.execute("DELETE FROM pipeline_defaults WHERE project = :project", project=project)
    if spec:
        tx.execute(
            "INSERT INTO pipeline_defaults (project, spec, changed_us) "
            "VALUES (:project, :spec, :now)",
            project=project,
            spec=json.dumps(spec, ensure_ascii=False, separators=(",", ":")),
            now=to_microseconds(now),
        )


def delete_all_defaults(tx: Transaction) -> None:
    tx.execute("DELETE FROM pipeline_defaults")
