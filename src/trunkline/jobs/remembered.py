"""What is remembered of many datums: looked up in batches, and in which deltas it is."""

from collections.abc import Iterable, Iterator
from itertools import islice

from trunkline.db.database import Database
from trunkline.jobs import tables
from trunkline.jobs.tables import ResultRecord

_BATCH = 1000  # datums whose results are looked up at once


def in_batches(
    database: Database, keys: Iterable[str]
) -> Iterator[tuple[list[str], dict[str, ResultRecord]]]:
    """Some keys, in their order, with the results of those that have one, a read for each batch."""
    source = iter(keys)
    while batch := list(islice(source, _BATCH)):
        with database.read() as tx:
            results = tables.results_of(tx, batch)
        yield batch, results


def unremembered(database: Database, keys: Iterable[str]) -> Iterator[str]:
    """Those of some datums of which it is not known any more what they wrote."""
    for batch, results in in_batches(database, keys):
        yield from (key for key in batch if key not in results)


def by_delta(results: Iterable[ResultRecord]) -> dict[str, set[str]]:
    """Each delta with the keys of the datums whose output is in it.

    It may hold more than these: what a datum wrote that was run again since, beside others that
    were not.
    """
    owners: dict[str, set[str]] = {}
    for result in results:
        for delta in result.output:
            owners.setdefault(delta, set()).add(result.key)
    return owners
