"""Commands on the files of commits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from trunkline.api.changes import CopyFile, DeleteFile, FileChange
from trunkline.cli.arguments import file_of, local_files, may_be_pattern
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, show_one, size
from trunkline.cli.putting import noting_interruption, sending, watched
from trunkline.cli.session import current, deeds, operations
from trunkline.cli.treatments import Treatment, treatment_of, treatment_options
from trunkline.errors import InvalidInput, LocalPathDiffers

if TYPE_CHECKING:
    from trunkline.cli.sources import Placing, Source
    from trunkline.model.versions import FileInfo

_CLASSIC: Table[FileInfo] = Table(
    titles=("NAME", "TYPE", "SIZE"),
    cells=lambda file: (file.path, file.type.value, size(file.size_bytes)),
)
_SPACED: Table[FileInfo] = Table(
    titles=("SIZE", "NAME"),
    cells=lambda file: (size(file.size_bytes), slashed(file)),
    width=0,
    padding=1,
)


_message = option("-m", "--message", "--description", default="", metavar="TEXT", help="What for.")


def slashed(file: FileInfo) -> str:
    """The path as 2.x shows it: from the root, directories with a slash at the end."""
    from trunkline.model.versions import FileType

    if not file.path:
        return "/"
    return f"/{file.path}/" if file.type == FileType.DIR else f"/{file.path}"


@command(
    examples=[
        "put file training@master:/iris.csv -f iris.csv",
        "put file training@master -f a.csv -f b.csv",
        "put file training@master:/images -r -f images",
        "put file training@master:/images -r --delete -f images",
        "put file training@master:/notes.txt < notes.txt",
        "put file training@master:/iris.csv -f https://example.org/iris.csv",
        "put file images@master:/2024 -r -f s3://bucket/images/2024",
        "put file images@master:/2024 --extract -f images.tar.gz",
        "put file log@master:/rows -f log.csv --split csv --header-records 1 "
        "--target-file-datums 10000",
    ]
)
@click.argument("target", metavar="REPO@BRANCH[:/PATH]")
@option(
    *("-f", "--file", "files"),
    multiple=True,
    metavar="FILE|URL|-",
    shell_complete=local_files,
    help="What to put; repeatable.",
)
@option(
    *("-i", "--input-file", "lists"),
    multiple=True,
    metavar="FILE|URL|-",
    shell_complete=local_files,
    help="A list of them.",
)
@option("-r", "--recursive", is_flag=True, help="Put all that is in a directory.")
@option("-a", "--append", "append", flag_value=True, default=False, help="Add to a file.")
@option("-o", "--overwrite", "append", flag_value=False, help="Replace a file (default).")
@option("--delete", "mirror", is_flag=True, help="Remove what is not in the directory.")
@option("--if-changed", is_flag=True, help="Make no commit if no file would change.")
@option("--full-path", is_flag=True, help="Keep the directories of a source in its name.")
@option("--server-fetch", is_flag=True, help="URLs are fetched by the server, not here.")
@_message
@option("-p", "--parallelism", type=int, hidden=True)
@option("-c", "--compress", is_flag=True, hidden=True)
@option(
    "--progress",
    type=click.Choice(["auto", "plain", "json", "none"]),
    is_flag=False,
    flag_value="auto",
    default="auto",
    help="How it goes on, on stderr: a line that changes on a terminal, else one each 10 s (auto).",
)
@treatment_options
def put_file(
    target: str,
    files: tuple[str, ...],
    lists: tuple[str, ...],
    recursive: bool,
    append: bool,
    mirror: bool,
    if_changed: bool,
    full_path: bool,
    server_fetch: bool,
    message: str,
    parallelism: int | None,
    compress: bool,
    progress: str,
    **treatment: object,
) -> None:
    """Put files into a branch, as one commit, or into the commit that is open there.

    One source is stored under PATH; several go below it, and without PATH each keeps its name.
    Without -f, standard input is read. Archives are unpacked below PATH, all of them or nothing.
    What is split becomes files 0000000000000000, … in a directory: they replace what is there, or
    with -a continue its numbers.

    Putting a directory again reads only the files that have changed. Each put makes a commit, also
    if it changes nothing; with --if-changed or --delete it makes one only if something changes.
    """
    from trunkline.cli.sources import STDIN, Placing, find_sources, read_list

    how = treatment_of(**treatment)
    repo, ref, path = file_of(target)
    names = [*files, *(name for listed in lists for name in read_list(listed))]
    if not names:
        if lists:
            raise InvalidInput(f"{', '.join(lists)} names no file; nothing was changed")
        names = [STDIN]
    sources = find_sources(
        names, path, recursive=recursive, full_path=full_path, together=how.unpack is not None
    )
    if mirror and (append or not all(source.is_directory for source in sources)):
        raise InvalidInput(
            "--delete makes a directory of the repo equal to one here: put directories only, with "
            "-r and without -a; nothing was changed"
        )
    if how.links and not any(source.is_directory for source in sources):
        raise InvalidInput(
            "--links is for archives (with --extract, --untar or --unzip) and for directories "
            "(with -r); nothing was changed"
        )
    links = how.links or "inside"
    placing = Placing(append=append, mirror=mirror, by_server=server_fetch, links=links)
    resumes = recursive and current().link.local and links != "follow"
    with noting_interruption(resumes=resumes):
        _send(
            repo,
            ref,
            sources,
            placing,
            how,
            message=message,
            if_changed=if_changed or mirror,
            progress=progress,
        )


def _send(
    repo: str,
    ref: str,
    sources: list[Source],
    placing: Placing,
    how: Treatment,
    *,
    message: str,
    if_changed: bool,
    progress: str,
) -> None:
    from trunkline.cli.sources import handed_over, streamed, total_bytes

    link = current().link
    changes = handed_over(sources, placing) if link.local else None
    if changes is not None:
        token = os.urandom(8).hex()
        try:
            with watched(progress, lambda: link.operations.files.put_progress(token)):
                deeds().files.modify_files(
                    repo,
                    ref,
                    list(how.applied(changes)),
                    description=message,
                    if_changed=if_changed,
                    progress=token,
                )
            return
        except LocalPathDiffers:
            pass  # another mount namespace or user: the bytes have to travel
    size = total_bytes(sources, placing) if progress != "none" else None
    with sending(f"{repo}@{ref}", size, progress) as advance:
        deeds().files.modify_files(
            repo,
            ref,
            how.applied(streamed(sources, placing, advance=advance)),
            description=message,
            if_changed=if_changed,
        )


@command(
    examples=[
        "get file inference@master:/test1.csv",
        "get file training@master^:/iris.csv -o old.csv",
        "get file images@master:/ -r -o images",
        "get file 'images@master:/*.png' -o images",
        "get file images@master:/ -r --tar | tar -x",
        "get file training@master:/iris.csv --offset 100 --size 50",
    ]
)
@click.argument("file", metavar="REPO@REF:/PATH")
@option("-r", "--recursive", is_flag=True, help="Get all that is in a directory.")
@option(
    *("-o", "--output"),
    metavar="PATH",
    shell_complete=local_files,
    help="Write there instead of to stdout.",
)
@option("--offset", default=0, metavar="BYTES", help="Begin there.")
@option("--size", type=int, metavar="BYTES", help="Get no more than that.")
@option("--tar", is_flag=True, help="With -r: as a tar archive, to stdout or PATH.")
@option("-p", "--parallelism", type=int, hidden=True)
@option("--retry", is_flag=True, hidden=True)
def get_file(
    file: str,
    recursive: bool,
    output: str | None,
    offset: int,
    size: int | None,
    tar: bool,
    parallelism: int | None,
    retry: bool,
) -> None:
    """Get the content of a file, or with -r of a directory.

    A directory goes into the directory PATH, which is made if need be; `-o -` or --tar make it a
    tar archive. What a pattern matches goes into PATH too, under its path from the first wild card.
    """
    from trunkline.cli.download import write_file, write_out, write_tar, write_tree
    from trunkline.cli.patterns import get_matches, matches
    from trunkline.model.versions import FileType

    repo, ref, path = file_of(file)
    if offset < 0 or (size is not None and size < 0):
        raise InvalidInput("--offset and --size can't be negative")
    found = matches(repo, ref, path)
    if found is not None:
        alone = len(found) == 1 and found[0].type is FileType.FILE
        if tar or ((offset or size is not None) and not alone):
            raise InvalidInput("--tar, --offset and --size are for one path, not for a pattern")
        if not alone or recursive:
            assert path is not None
            get_matches(repo, path, found, output, recursive=recursive)
            return
        ref, path = found[0].commit, found[0].path
    if recursive or tar:
        if offset or size is not None:
            raise InvalidInput("--offset and --size are for a part of one file, without -r")
        if tar or output == "-":
            write_tar(repo, ref, path or "/", output)
        elif output is None:
            raise InvalidInput(
                "an output path needs to be specified when using the --recursive flag; "
                "`-o -` gives a tar archive"
            )
        else:
            write_tree(repo, ref, path or "/", output)
        return
    if not (path or "").strip("/"):
        raise InvalidInput(f"{file!r} does not name a file; write repo@branch:/path, or add -r")
    assert path is not None
    if output is None or output == "-":
        write_out(
            operations().files.read_file(repo, ref, path, offset_bytes=offset, size_bytes=size)
        )
        return
    if os.path.isdir(output):
        output = os.path.join(output, os.path.basename(path.rstrip("/")))
    write_file(repo, ref, path, output, offset=offset, size=size)


@command(examples=["copy file training@master:/iris.csv archive@master:/2024/iris.csv"])
@click.argument("source", metavar="REPO@REF:/PATH")
@click.argument("target", metavar="REPO@BRANCH[:/PATH]")
@option("-a", "--append", "append", flag_value=True, default=False, help="Add to a file.")
@option("-o", "--overwrite", "append", flag_value=False, help="Replace a file (default).")
@_message
@option("--src-project", metavar="NAME", help="The project of the source.")
@option("--dest-project", metavar="NAME", help="The project of the target.")
def copy_file(
    source: str,
    target: str,
    append: bool,
    message: str,
    src_project: str | None,
    dest_project: str | None,
) -> None:
    """Copy a file or directory of any commit, without moving its bytes."""
    source_repo, source_commit, source_path = file_of(source, src_project)
    repo, ref, path = file_of(target, dest_project)
    if source_path is None:
        raise InvalidInput(f"{source!r} does not name a file; write repo@branch:/path")
    change = CopyFile(
        path=path or source_path,
        source_repo=source_repo,
        source_commit=source_commit,
        source_path=source_path,
        append=append,
    )
    _modify(repo, ref, [change], message)


@command(
    examples=[
        "delete file training@master:/iris.csv",
        "delete file logs@master:'/2024-*/*.txt' --dry-run",
    ]
)
@click.argument("file", metavar="REPO@BRANCH:/PATH")
@option("-r", "--recursive", is_flag=True, help="Directories that a pattern matches too.")
@option("--dry-run", is_flag=True, help="List the files instead of deleting them.")
@_message
def delete_file(file: str, recursive: bool, dry_run: bool, message: str) -> None:
    """Delete a file, or a directory with all that is in it, or what a pattern matches."""
    from trunkline.cli.patterns import delete_matches

    repo, ref, path = file_of(file)
    if path is None:
        raise InvalidInput(f"{file!r} does not name a file; write repo@branch:/path")
    matched = delete_matches(repo, ref, path, recursive=recursive, dry_run=dry_run, message=message)
    if not matched:
        _modify(repo, ref, [DeleteFile(path=path)], message)


def _modify(repo: str, ref: str, changes: Iterable[FileChange], message: str) -> None:
    deeds().files.modify_files(repo, ref, changes, description=message)


@command(shows=True, examples=["inspect file training@master:/iris.csv"])
@click.argument("file", metavar="REPO@REF:/PATH")
def inspect_file(file: str) -> None:
    """Show one file or directory."""
    repo, ref, path = file_of(file)
    show_one(operations().files.inspect_file(repo, ref, path or "/"), _block)


def _block(file: FileInfo) -> str:
    lines = [
        f"Path: {file.path if current().classic else slashed(file)}",
        f"Type: {file.type.value}",
        f"Size: {size(file.size_bytes)}",
        f"Children: {' '.join(file.children)}",
    ]
    if not current().classic:
        lines.append(f"Digest: {file.digest}")
    return "\n".join(lines)


@command(
    shows=True,
    examples=[
        "list file training@master",
        "list file images@master:/2024",
        "list file a@master -r",
        "list file 'a@master:/*.csv'",
        "list file a@master -r --name-only",
    ],
)
@click.argument("directory", metavar="REPO@REF[:/PATH]")
@option("-r", "--recursive", is_flag=True, help="All files below, not only the entries.")
@option("--name-only", "names", is_flag=True, help="Print nothing but paths, one a line.")
def list_file(directory: str, recursive: bool, names: bool) -> None:
    """List the entries of a directory, or what a pattern matches."""
    repo, ref, path = file_of(directory)
    if path and may_be_pattern(path):
        from trunkline.cli.patterns import files_of, matches, outermost

        matched = matches(repo, ref, path)
        if matched is not None:
            _list(files_of(repo, outermost(matched)) if recursive else iter(matched), names=names)
            return
    if names and recursive:
        from trunkline.cli.download import write_out

        write_out(operations().files.list_paths(repo, ref, path or "/"))
        return
    found = operations().files.list_files(repo, ref, path or "/", recursive=recursive)
    _list(found, names=names)


def _list(files: Iterator[FileInfo], *, names: bool) -> None:
    if not names:
        _show_files(files)
        return
    from trunkline.cli.download import write_out

    write_out(f"{slashed(file)[1:]}\n".encode() for file in files)


@command(shows=True, examples=["glob file 'training@master:/*.csv'"])
@click.argument("pattern", metavar="REPO@REF:PATTERN")
def glob_file(pattern: str) -> None:
    """List the files and directories that match a pattern."""
    repo, ref, glob = file_of(pattern)
    if glob is None:
        raise InvalidInput(f"{pattern!r} has no pattern; write 'repo@branch:/*.csv'")
    _show_files(operations().files.glob_files(repo, ref, glob))


def _show_files(files: Iterator[FileInfo]) -> None:
    show_all(files, _CLASSIC if current().classic else _SPACED)
