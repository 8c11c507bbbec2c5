"""What only a terminal gets: coloured tables and progress bars.

The one file that imports rich, and it is imported only when the output is a terminal.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

_STATE_TITLES = frozenset({"STATE", "STATUS", "STATE / LAST JOB"})
_COLORS = {
    "success": "green",
    "running": "cyan",
    "failure": "red",
    "failed": "red",
    "crashing": "red",
    "killed": "yellow",
    "unrunnable": "yellow",
    "paused": "yellow",
    "starting": "blue",
    "created": "blue",
    "skipped": "bright_black",
}


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, color: bool) -> None:
    """A table on stdout, with colour on the state column only."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(text, title) for text, title in zip(row, titles, strict=True)))
    console = Console(no_color=not color or None)
    if console.is_dumb_terminal:  # rich holds that it has 80 columns, whatever width it is told
        console = Console(force_terminal=False)
    # The terminal wraps long lines itself: an id that is cut off could not be copied.
    needed = Console(width=1_000_000).measure(table).maximum
    console.width = max(console.width, needed)
    console.print(table, soft_wrap=True)


def _cell(text: str, title: str) -> Text:
    if title not in _STATE_TITLES:
        return Text(text)
    return Text(text, style=_COLORS.get(text.partition(":")[0].partition(" ")[0].lower(), ""))


@contextmanager
def byte_bar(
    label: str, total_bytes: int | None, *, color: bool
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for bytes on their way; call what it gives with each amount."""
    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True)]
    with Progress(
        *columns,
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=not color or None),
        transient=True,
        redirect_stdout=False,  # it would send our data to stderr
    ) as progress:
        task = progress.add_task(label, total=total_bytes)
        yield lambda amount: progress.advance(task, amount)


@contextmanager
def spinner(label: str, *, color: bool) -> Iterator[None]:
    """A sign of life on stderr while something of unknown length goes on."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, no_color=not color or None),
        transient=True,
        redirect_stdout=False,  # it would send our data to stderr
    ) as progress:
        progress.add_task(label, total=None)
        yield
