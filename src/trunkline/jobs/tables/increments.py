"""SQL on what the datums of incremental pipelines can go on from; one function, one statement."""

from trunkline.db.database import Transaction


def put_increment(tx: Transaction, place: str, *, key: str, job: int, position: int) -> None:
    """Note the newest result for a place: the datum's key, and where its plan is."""
    tx.execute(
        """INSERT INTO increment (place, key, job, position)
           VALUES (:place, :key, :job, :position)
           ON CONFLICT (place) DO UPDATE SET key = excluded.key, job = excluded.job,
             position = excluded.position""",
        place=place,
        key=key,
        job=job,
        position=position,
    )


def increment_of(tx: Transaction, place: str) -> tuple[str, int, int] | None:
    """Key, job and position of the newest result for a place."""
    row = tx.row("SELECT key, job, position FROM increment WHERE place = :place", place=place)
    return None if row is None else (str(row[0]), int(row[1]), int(row[2]))
