"""PostgreSQL understands every statement there is.

Each function of the modules with SQL is called with made-up arguments of the types that it names,
on a catalog without rows: what counts is that the database can read the statement and its types.
"""

import dataclasses
import enum
import inspect
import itertools
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from postgres_schemas import catalog_schema, needs_postgres

from trunkline.db.database import Transaction
from trunkline.db.opening import open_database
from trunkline.jobs import tables as jobs
from trunkline.pipelines import cron_tables, default_tables
from trunkline.pipelines import tables as pipelines
from trunkline.versions import tables as versions

pytestmark = needs_postgres
MODULES = (versions, jobs, pipelines, cron_tables, default_tables)
WANTED = 290  # statements; there are some more
# They are given what no type says: the name of a table with a condition, or rows of it.
SPECIAL: dict[str, list[dict[str, Any]]] = {
    "keep_where": [{"table": "repo", "where": "number = :n", "n": 1}],
    "put_row": [{"table": "tag", "row": [1, 1, "n", 1, 1]}],
    "seal_row": [{"table": "commit_record"}, {"table": "trash_commit"}],
    "name_of_row": [{"table": table} for table in ("repo", "branch", "tag", "commit_record")],
    "put_rows": [{"pipeline": ["p", "n", 1, "s", "", 1], "versions": [[1, *"abcde", 1, *"xyz"]]}],
}


def functions() -> Iterator[Callable[..., Any]]:
    seen = set()
    for module in MODULES:
        for name, found in inspect.getmembers(module, inspect.isfunction):
            place = found.__module__
            if ".tables" in place or place.endswith("_tables"):
                first = next(iter(inspect.signature(found).parameters), "")
                if first == "tx" and not name.startswith("_") and found not in seen:
                    seen.add(found)
                    yield found


def values_of(kind: Any, depth: int = 0) -> list[Any]:
    """Some values of a type: of an optional one also None."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return [value for one in inside for value in values_of(one, depth)]
    if kind is type(None):
        return [None]
    if origin is tuple:
        if inside[-1:] == (Ellipsis,):
            return [(values_of(inside[0], depth)[0],)]
        return [tuple(values_of(one, depth)[0] for one in inside)]
    if origin in (list, Sequence, Collection, Iterable, set, frozenset):
        return [[value for one in inside for value in values_of(one, depth)]]
    if origin in (dict, Mapping):
        return [{values_of(inside[0], depth)[0]: values_of(inside[1], depth)[0]}]
    if kind in PLAIN:
        return PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [next(iter(kind))]
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        names = getattr(kind, "_fields", None) or [f.name for f in dataclasses.fields(kind)]
        made = [{name: values_of(hints[name], depth + 1)[-1] for name in names}]
        made.append({name: values_of(hints[name], depth + 1)[0] for name in names})
        return [kind(**each) for each in made]
    supertype = getattr(kind, "__supertype__", None)
    return values_of(supertype, depth) if supertype is not None else ["x"]


PLAIN: dict[Any, list[Any]] = {
    int: [1],
    bool: [True],
    str: ["x"],
    float: [0.5],
    bytes: [b"\x01"],
    datetime: [datetime(2024, 5, 6, tzinfo=UTC)],
    timedelta: [timedelta(seconds=1)],
    object: ["x"],
    Any: ["x"],
}


def calls_of(function: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Arguments: all values of each at least once."""
    hints = typing.get_type_hints(function)
    parameters = [
        name
        for name, parameter in itertools.islice(
            inspect.signature(function).parameters.items(), 1, None
        )
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    choices = {name: values_of(hints[name]) for name in parameters}
    for number in range(max((len(values) for values in choices.values()), default=1)):
        base = {name: values[number % len(values)] for name, values in choices.items()}
        for special in SPECIAL.get(function.__name__, [{}]):
            fits = all(name in choices or name == "n" for name in special)
            yield {**base, **special} if fits else base


class Noting:
    """Passes statements on, and notes those that the database can't read."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.statements: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._tx, name)

        def ask(*arguments: Any, **named: Any) -> Any:
            if arguments and name in ("rows", "row", "ask", "execute", "change", "execute_many"):
                self.statements.add(arguments[0])
            return asked(*arguments, **named)

        return ask


class Undone(Exception):
    pass


def call(tx: Noting, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Call it, and read what it gives; its own complaints about made-up rows don't matter."""
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    rest = ["x"] if inspect.Parameter.VAR_POSITIONAL in kinds else []
    try:
        result = function(tx, *rest, **arguments)
        if isinstance(result, Iterator):
            list(itertools.islice(result, 1000))
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError):
        raise
    except Exception as error:
        for problem in (error, error.__cause__, error.__context__):
            if isinstance(problem, psycopg.ProgrammingError | psycopg.DataError):
                raise problem from None


@pytest.fixture(scope="module")
def database():
    with catalog_schema() as url, closing(open_database(url)) as made:
        yield made


def test_every_statement_is_understood(database) -> None:
    problems, statements, count = [], set(), 0
    for function in functions():
        for arguments in calls_of(function):
            count += 1
            try:
                with database.write() as tx:
                    noting = Noting(tx)
                    call(noting, function, arguments)
                    raise Undone
            except Undone:
                pass
            except Exception as error:
                problems.append(f"{function.__module__}.{function.__name__}: {error}")
            statements |= noting.statements

    assert problems == []
    assert len(statements) >= WANTED
