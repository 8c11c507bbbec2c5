"""Compares two versions of a file by what it holds; falls back to lines, and then to bytes."""

from collections.abc import Sequence
from dataclasses import replace

from trunkline.compare.content import EMPTY, Content, NotComparable
from trunkline.compare.csv_tables import csv_tables
from trunkline.compare.jsons import compare_documents, line_tables
from trunkline.compare.parquet import parquet_tables
from trunkline.compare.tables import KeyRepeats, Tables, compare_tables
from trunkline.compare.text import compare_texts
from trunkline.errors import InvalidInput
from trunkline.model.differences import ContentDifference, ContentKind, Op, RowChange

_SNIFFED_BYTES = 8 * 1024  # a NUL among them means that it is no text, as git has it
_KINDS = {
    "csv": ContentKind.CSV,
    "tsv": ContentKind.CSV,
    "jsonl": ContentKind.JSONL,
    "ndjson": ContentKind.JSONL,
    "json": ContentKind.JSON,
    "parquet": ContentKind.PARQUET,
    "pq": ContentKind.PARQUET,
}


def compare_contents(
    path: str,
    old: Content | None,
    new: Content | None,
    *,
    kind: ContentKind | None,
    key: Sequence[str],
    most: int,
) -> ContentDifference:
    """What differs between the versions of a file (None: it is not there), with `most` details.

    `kind` None takes what the name promises, as far as the content keeps it. `key` names the
    columns by which rows of tables are paired; raises InvalidInput if one is missing or its values
    repeat.
    """
    suffix = path.rpartition(".")[2].lower()
    result = ContentDifference(
        path=path,
        op=Op.ADDED if old is None else Op.REMOVED if new is None else Op.CHANGED,
        kind=kind or _KINDS.get(suffix, ContentKind.TEXT),
        old_size_bytes=None if old is None else old.size_bytes,
        new_size_bytes=None if new is None else new.size_bytes,
    )
    before, after = old or EMPTY, new or EMPTY
    try:
        return _compared(result, before, after, tabs=suffix == "tsv", key=key, most=most)
    except NotComparable as reason:
        result = replace(result, note=str(reason))
    if kind is not None or result.kind in (ContentKind.TEXT, ContentKind.PARQUET):
        return replace(result, kind=kind or _plain_kind(before, after))
    try:
        return _compared(
            replace(result, kind=ContentKind.TEXT), before, after, tabs=False, key=(), most=most
        )
    except NotComparable as reason:
        return replace(result, kind=ContentKind.TEXT, note=str(reason))


def _plain_kind(old: Content, new: Content) -> ContentKind:
    return ContentKind.BINARY if _is_binary(old) or _is_binary(new) else ContentKind.TEXT


def _is_binary(content: Content) -> bool:
    return b"\0" in content.part(0, min(content.size_bytes, _SNIFFED_BYTES))


def _compared(
    result: ContentDifference,
    old: Content,
    new: Content,
    *,
    tabs: bool,
    key: Sequence[str],
    most: int,
) -> ContentDifference:
    if result.kind is ContentKind.PARQUET:
        return _table(result, parquet_tables(old, new), key, most)
    if result.kind is ContentKind.BINARY or _is_binary(old) or _is_binary(new):
        return replace(result, kind=ContentKind.BINARY)
    if result.kind is ContentKind.CSV:
        return _table(result, csv_tables(old, new, tabs=tabs), key, most)
    if result.kind is ContentKind.JSONL:
        return _table(result, line_tables(old, new), key, most)
    if result.kind is ContentKind.JSON and old.size_bytes and new.size_bytes:
        return _document(result, old, new, most)
    text = compare_texts(old, new, most=most)
    return replace(
        result,
        added=text.added,
        removed=text.removed,
        changed=0,
        lines=text.lines,
        truncated=text.truncated,
    )


def _table(
    result: ContentDifference, tables: Tables, key: Sequence[str], most: int
) -> ContentDifference:
    if tables.header:
        for name in key:
            if name not in tables.header:
                raise InvalidInput(
                    f"{result.path} has no column '{name}' to pair rows by; "
                    f"it has {', '.join(tables.header[:20])}"
                )
    try:
        found = compare_tables(
            tables.old,
            tables.new,
            key=key or tables.header[:1],
            key_wanted=bool(key),
            most=most,
        )
    except KeyRepeats as error:
        raise InvalidInput(
            f"rows of {result.path} can't be paired by {', '.join(key)}: its values repeat; "
            "name more columns, or leave the key out"
        ) from error
    return replace(
        result,
        columns=tables.columns,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        key=found.key,
        rows=tuple(found.rows),
        truncated=found.added + found.removed + found.changed > len(found.rows),
    )


def _document(
    result: ContentDifference, old: Content, new: Content, most: int
) -> ContentDifference:
    counts = dict.fromkeys(Op, 0)
    listed: list[RowChange] = []
    for change in compare_documents(old, new):
        counts[change.op] += 1
        if len(listed) < most:
            listed.append(change)
    return replace(
        result,
        added=counts[Op.ADDED],
        removed=counts[Op.REMOVED],
        changed=counts[Op.CHANGED],
        rows=tuple(listed),
        truncated=sum(counts.values()) > len(listed),
    )
