"""Opens a database by its URL, and loads a driver only then."""

from trunkline.db.database import ServerDatabase
from trunkline.errors import InvalidInput, NotSupported, shown

_SCHEMES = ("postgresql", "postgres")


def open_database(url: str, *, alone: bool = False, beside: str = "") -> ServerDatabase:
    """The database at a URL such as `postgresql://USER:PASSWORD@HOST/DATABASE`.

    With `alone`, nobody else may have it open like that. With `beside`, the tables are in a schema
    of their own, whose name is that of the first in the search path and this word. Raises
    InvalidInput, NotSupported without the driver, and what the database's own class does.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise InvalidInput(
            "the URL of a database begins with postgresql://, not "
            f"{shown(scheme, 30) if mark else 'like this one'}"
        )
    try:
        from trunkline.db.postgres import PostgresDatabase
    except ImportError as error:
        raise NotSupported(
            "a catalog in PostgreSQL needs its driver: `pip install 'trunkline[postgres]'` "
            f"({error})"
        ) from error
    return PostgresDatabase(url, alone=alone, beside=beside)
