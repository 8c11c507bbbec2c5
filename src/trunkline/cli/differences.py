"""Commands that compare: what differs between two commits, and the history of one path."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from trunkline.cli.arguments import at_most, file_of
from trunkline.cli.command import command, option
from trunkline.cli.files import slashed
from trunkline.cli.output import Table, note, show_all, size, when, write
from trunkline.cli.session import Shape, current, operations
from trunkline.errors import InvalidInput, OperationFailed
from trunkline.model.differences import CellChange, ContentDifference, ContentKind, RowChange
from trunkline.model.versions import FileDifference, FileInfo, FileType, FileVersion, Side

_FILES_SHOWN = 20  # whose contents are compared unless more are asked for
_LINES_SHOWN = 200  # of each

_TWO_SIDES: Table[FileInfo] = Table(
    titles=("NAME", "TYPE", "SIZE"),
    cells=lambda file: (file.path, file.type.value, size(file.size_bytes)),
)
_DIFFERENCES: Table[FileDifference] = Table(
    titles=("OP", "SIZE", "NAME"),
    cells=lambda found: (
        *("+" if found.side == Side.NEW else "-", size(found.file.size_bytes)),
        slashed(found.file),
    ),
    width=0,
    padding=1,
)
_CONTENTS: Table[ContentDifference] = Table(
    titles=("OP", "KIND", "ADDED", "REMOVED", "CHANGED", "NAME"),
    cells=lambda found: (
        *(found.op.value, found.kind.value),
        *("?" if n is None else str(n) for n in (found.added, found.removed, found.changed)),
        f"/{found.path}",
    ),
    width=0,
    padding=1,
)
_VERSIONS: Table[FileVersion] = Table(
    titles=("COMMIT", "CHANGE", "FINISHED", "SIZE", "DESCRIPTION"),
    cells=lambda found: (
        *(found.commit, found.change.value, when(found.finished)),
        "-" if found.file is None else size(found.file.size_bytes),
        found.description,
    ),
    width=0,
    padding=1,
)


@command(
    shows=True,
    examples=[
        "diff file training@master",
        "diff file training@master:/iris.csv training@master~3:/iris.csv",
        "diff file sales@master:/orders.csv --key order_id",
        "diff file training@master --name-only",
    ],
)
@click.argument("new", metavar="REPO@REF[:/PATH]")
@click.argument("old", metavar="[REPO@REF[:/PATH]]", required=False)
@option("-s", "--shallow", is_flag=True, help="Compare only the entries of the directories.")
@option("--name-only", is_flag=True, help="Only which files differ, not what in them.")
@option("--content", is_flag=True, help="With --raw or -o: what differs in the files.")
@option("--stat", is_flag=True, help="How many lines or rows differ, file by file.")
@option("--key", multiple=True, metavar="COLUMN", help="Pair the rows of tables by this.")
@option(
    "--as",
    "kind",
    type=click.Choice([kind.value for kind in ContentKind]),
    help="Compare as this, whatever the name.",
)
@option(
    "--lines", type=click.IntRange(0, 100_000), metavar="N", help="List at most so many of a file."
)
@option("--files", type=click.IntRange(0), metavar="N", help="Compare at most so many (0: all).")
@option("--diff-command", metavar="COMMAND", help="Run this on the old and new file.")
@option("--exit-code", is_flag=True, help="Exit with 10 if there is a difference.")
def diff_file(
    new: str,
    old: str | None,
    shallow: bool,
    name_only: bool,
    content: bool,
    stat: bool,
    key: tuple[str, ...],
    kind: str | None,
    lines: int | None,
    files: int | None,
    diff_command: str | None,
    exit_code: bool,
) -> None:
    """Show what differs between two commits; OLD defaults to the parent of NEW.

    Text is compared by line, CSV, Parquet and JSON lines by row, JSON by value.
    """
    sides = _Sides(new, old)
    shape, classic = current().shape, current().classic
    if stat or (content and shape != Shape.TABLE):
        compared = list(sides.contents(kind, key, lines if content else 0, files or 0))
        show_all(compared, _CONTENTS)
        differs = bool(compared)
    else:
        found = sides.names(shallow=shallow)
        if classic and shape == Shape.TABLE:
            differs = _show_two_tables(list(found))
        else:
            listed = list(found)
            show_all(listed, _DIFFERENCES)
            differs = bool(listed)
            if diff_command is not None:
                _run_on_each(diff_command, listed)
            elif differs and shape == Shape.TABLE and not (name_only or shallow):
                most = _LINES_SHOWN if lines is None else lines
                _show_contents(sides, kind, key, most, _FILES_SHOWN if files is None else files)
    if exit_code and differs:
        raise click.exceptions.Exit(10)


class _Sides:
    """The two places that are compared, as they were typed."""

    def __init__(self, new: str, old: str | None) -> None:
        self._repo, self._ref, path = file_of(new)
        self._path = path or "/"
        old_repo, old_ref, old_path = file_of(old) if old is not None else (None, None, None)
        self._old_repo, self._old_ref = old_repo, old_ref
        self._old_path = old_path or (None if old is None else self._path)

    def names(self, *, shallow: bool) -> Iterator[FileDifference]:
        return operations().files.diff_files(
            self._repo,
            self._ref,
            self._path,
            old_repo=self._old_repo,
            old_commit=self._old_ref,
            old_path=self._old_path,
            shallow=shallow,
        )

    def contents(
        self, kind: str | None, key: tuple[str, ...], lines: int | None, files: int
    ) -> Iterator[ContentDifference]:
        return operations().files.diff_contents(
            self._repo,
            self._ref,
            self._path,
            old_repo=self._old_repo,
            old_commit=self._old_ref,
            old_path=self._old_path,
            kind=kind,
            key=list(key) or None,
            most=1000 if lines is None else lines,
            files_max=files,
        )


def _show_two_tables(found: list[FileDifference]) -> bool:
    """What 1.7 prints: what is new, then what is old; nothing where there is no difference."""
    for title, side in (("New Files:", Side.NEW), ("Old Files:", Side.OLD)):
        files = [difference.file for difference in found if difference.side == side]
        if files:
            sys.stdout.write(f"{title}\n")
            show_all(files, _TWO_SIDES)
    return bool(found)


# --- contents -------------------------------------------------------------------------------------


def _show_contents(
    sides: _Sides, kind: str | None, key: tuple[str, ...], lines: int, files: int
) -> None:
    for shown, found in enumerate(sides.contents(kind, key, lines, files + 1 if files else 0)):
        if files and shown == files:
            note(f"more files differ than the first {files}; see all with --files 0")
            return
        for line in content_lines(found):
            write(line)


def content_lines(found: ContentDifference) -> Iterator[str]:
    """What differs in one file, as text."""
    yield ""
    yield f"--- {'/dev/null' if found.old_size_bytes is None else f'a/{found.path}'}"
    yield f"+++ {'/dev/null' if found.new_size_bytes is None else f'b/{found.path}'}"
    if found.kind == ContentKind.BINARY:
        sizes = [_side_size(found.old_size_bytes), _side_size(found.new_size_bytes)]
        yield f"binary, {' → '.join(sizes)}"
    if found.note:
        yield f"({found.note})"
    for column in found.columns:
        types = " → ".join(filter(None, (column.old_type, column.new_type)))
        yield f"{column.op.value} column {column.name}{f': {types}' if types else ''}"
    if found.kind not in (ContentKind.TEXT, ContentKind.BINARY) and found.added is not None:
        paired = f", paired by {', '.join(found.key)}" if found.key else ""
        what = "values" if found.kind == ContentKind.JSON else "rows"
        yield (
            f"{found.added} {what} added, {found.removed} removed, {found.changed} changed{paired}"
        )
    yield from found.lines
    yield from map(_row_line, found.rows)
    if found.truncated:
        yield "(more differs than is listed; see more with --lines N)"


def _side_size(size_bytes: int | None) -> str:
    return "none" if size_bytes is None else size(size_bytes)


def _row_line(row: RowChange) -> str:
    return f"{row.op.value} {row.place}: {', '.join(map(_cell, row.cells))}"


def _cell(cell: CellChange) -> str:
    name = f"{cell.column}=" if cell.column else ""
    if cell.old is not None and cell.new is not None:
        return f"{name}{cell.old} → {cell.new}"
    value = cell.new if cell.old is None else cell.old
    return f"{name}{'' if value is None else value}"


def _run_on_each(command: str, found: list[FileDifference]) -> None:
    """Run a program of the user on the two versions of each file, as 2.x does."""
    import shlex
    import subprocess
    import tempfile

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"--diff-command can't be read: {error}") from error
    if not words:
        raise InvalidInput("--diff-command names no program")
    by_path: dict[str, dict[Side, FileInfo]] = {}
    for difference in found:
        if difference.file.type == FileType.FILE:
            by_path.setdefault(difference.file.path, {})[difference.side] = difference.file
    with tempfile.TemporaryDirectory(prefix="trunkline-diff-") as place:
        for path, sides in by_path.items():
            files = []
            for side in (Side.OLD, Side.NEW):
                target = Path(place) / side.value / path.rpartition("/")[2]
                target.parent.mkdir(exist_ok=True)
                _download(sides.get(side), target)
                files.append(str(target))
            sys.stdout.flush()
            try:
                subprocess.run([*words, *files], check=False)
            except OSError as error:
                raise OperationFailed(f"can't run {words[0]}: {error.strerror}") from error


def _download(file: FileInfo | None, target: Path) -> None:
    with target.open("wb") as out:
        if file is not None:
            for piece in operations().files.read_file(file.repo, file.commit, file.path):
                out.write(piece)


# --- history --------------------------------------------------------------------------------------


@command(shows=True, examples=["log training@master:/iris.csv", "log images@master:/2024 -n 10"])
@click.argument("path", metavar="REPO@REF:/PATH")
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all).")
def log(path: str, number: int) -> None:
    """Show which commits changed a file or directory, newest first."""
    repo, ref, place = file_of(path)
    show_all(
        operations().files.list_file_versions(repo, ref, place or "/", number=at_most(number)),
        _VERSIONS,
    )
