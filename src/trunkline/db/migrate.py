"""Brings a database to the newest schema. Migration files are numbered and append-only."""

from importlib import resources
from sqlite3 import complete_statement

from trunkline.db.database import Database
from trunkline.errors import Corrupt, StoreTooNew


def migrate(database: Database, series: str, *, where: str) -> int:
    """Apply the missing migrations of a series (`catalog` or `index`), each in one transaction.

    Returns the number of the newest one. Raises StoreTooNew (changing nothing) for a database that
    a newer version wrote; `where` names it in the sentence.
    """
    known = _migrations(series)
    with database.read() as tx:
        there = tx.row("SELECT 1 FROM sqlite_master WHERE name = 'migration'")
        done = {n for (n,) in tx.rows("SELECT number FROM migration")} if there else set()
    if not all(isinstance(number, int) for number in done):
        raise Corrupt(f"the database in {where}", "numbers of migrations", repr(done))
    newest = max(known)
    current = max(done, default=0)
    if current > newest:
        raise StoreTooNew(where, current, newest)
    for number in sorted(known):
        if number in done:
            continue
        with database.write() as tx:
            if number == 1:
                tx.execute(
                    "CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY NOT NULL)"
                )
            if tx.row("SELECT 1 FROM migration WHERE number = :n", n=number):
                continue
            for statement in _statements(known[number]):
                tx.execute(statement)
            tx.execute("INSERT INTO migration (number) VALUES (:n)", n=number)
    return newest


def _migrations(series: str) -> dict[int, str]:
    folder = resources.files("trunkline.db").joinpath("migrations", series)
    return {
        int(entry.name.split("_", 1)[0]): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }


def _statements(text: str) -> list[str]:
    """The statements of a file; a trigger has semicolons inside."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    found: list[str] = []
    statement = ""
    for part in "\n".join(lines).split(";"):
        statement += part + ";"
        if complete_statement(statement):
            found.append(statement.strip())
            statement = ""
    return [statement for statement in found if statement != ";"]
