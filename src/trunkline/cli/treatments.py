"""Options of `put file` that say what a content is: an archive to unpack, a text to split."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.command import option
from trunkline.errors import InvalidInput
from trunkline.values import dataclass

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange, Split, Unpack

_WAYS = ("line", "json", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is done with every content of one command; both None: it is stored as it is."""

    unpack: "Unpack | None" = None
    split: "Split | None" = None
    links: str = ""  # what is done about links in directories, if something was said

    def applied(self, changes: "Iterable[FileChange]") -> "Iterator[FileChange]":
        """The changes with the treatment written into those that have a content."""
        if self.unpack is None and self.split is None:
            yield from changes
            return
        from dataclasses import replace

        from trunkline.api.changes import PutFile, PutLocal, PutUrl

        for change in changes:
            if isinstance(change, PutFile | PutLocal | PutUrl):
                yield replace(change, unpack=self.unpack, split=self.split)
            else:
                yield change


def treatment_options(function: Callable[..., object]) -> Callable[..., object]:
    """The options of a command that makes a treatment; they come as arguments of these names."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


_OPTIONS = (
    option("--extract", is_flag=True, help="Unpack tar (of any compression) and zip."),
    option("--untar", is_flag=True, help="The same, for tar alone."),
    option("--unzip", is_flag=True, help="The same, for zip alone."),
    option(
        "--links",
        type=click.Choice(["inside", "refuse", "skip", "follow"]),
        help="Of an archive or directory: refuse it, leave links out, or store what they mean.",
    ),
    option(
        "--split",
        type=click.Choice([*_WAYS, "none"]),
        help="Cut between records into files of a directory PATH.",
    ),
    option("--target-file-datums", type=int, default=0, metavar="N", help="Records a file."),
    option("--target-file-bytes", type=int, default=0, metavar="N", help="Bytes a file."),
    option("--header-records", type=int, default=0, metavar="N", help="Kept in each file."),
)


def treatment_of(**given: Any) -> Treatment:
    """The treatment that the options ask for; raises InvalidInput where they make no sense."""
    forms = [
        form
        for word, form in (("extract", "auto"), ("untar", "tar"), ("unzip", "zip"))
        if given[word]
    ]
    way = given["split"] if given["split"] != "none" else None
    numbers = (given["target_file_datums"], given["target_file_bytes"], given["header_records"])
    if len(forms) > 1 or (forms and way):
        raise InvalidInput("use one of --extract, --untar, --unzip and --split")
    if any(numbers) and not way:
        raise InvalidInput(
            "--target-file-datums, --target-file-bytes and --header-records need --split"
        )
    links = given["links"] or ""
    if forms and links == "inside":
        raise InvalidInput(
            "--links inside is for directories; of an archive, --links follow stores the file of "
            "the same archive that a link means"
        )
    if forms:
        from trunkline.api.changes import Unpack

        return Treatment(unpack=Unpack(format=forms[0], links=links or "refuse"))
    if way:
        from trunkline.api.changes import Split, check_split

        records, size, header = numbers
        split = Split(by=way, file_records=records, file_bytes=size, header_records=header)
        check_split(split)
        return Treatment(split=split, links=links)
    return Treatment(links=links)
