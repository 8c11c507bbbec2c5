"""Commands on transactions: several changes that are made at once, or not at all."""

import click

from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one, when, write
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput
from trunkline.model.versions import RunInfo, TransactionInfo

_TRANSACTIONS: Table[TransactionInfo] = Table(
    titles=("TRANSACTION", "STARTED", "OPS"),
    cells=lambda info: (info.id, when(info.started), str(len(info.steps))),
    width=0,
    padding=1,
)


def _meant(transaction: str | None) -> str:
    """The transaction that was named, or else the active one."""
    found = transaction or current().transaction
    if found is None:
        raise InvalidInput("no transaction is active; name one, or begin with `start transaction`")
    return found


@command(examples=["start transaction"])
@option("-m", "--message", "--description", default="", metavar="TEXT", help="What it is for.")
def start_transaction(message: str) -> None:
    """Begin a transaction: the commands to come wait until `finish transaction`.

    They are then carried out at once and as one run, or not at all. Prints its id.
    """
    if current().transaction is not None:
        raise InvalidInput(
            f"transaction {current().transaction} is active already: finish, delete or stop it"
        )
    started = operations().transactions.start_transaction(description=message)
    current().take_part(started.id)
    write(started.id)


@command(shows=True, examples=["finish transaction"])
@click.argument("transaction", required=False)
def finish_transaction(transaction: str | None) -> None:
    """Carry out all steps of a transaction (the active one) at once, or none of them."""
    chosen = _meant(transaction)
    done = operations().transactions.finish_transaction(chosen)
    _leave(chosen)
    show_one(done, _made)


def _made(run: RunInfo) -> str:
    lines = [f"Run: {run.id}", f"Commits: {', '.join(str(name) for name in run.commits)}"]
    if run.jobs:
        lines.append(f"Jobs: {', '.join(f'{pipeline}@{run.id}' for pipeline in run.jobs)}")
    return "\n".join(lines)


@command(examples=["delete transaction"])
@click.argument("transaction", required=False)
def delete_transaction(transaction: str | None) -> None:
    """Give up a transaction (the active one): nothing of it happens."""
    chosen = _meant(transaction)
    operations().transactions.delete_transaction(chosen)
    _leave(chosen)


@command(shows=True, examples=["list transaction"])
def list_transaction() -> None:
    """List the transactions that wait, newest first."""
    show_all(operations().transactions.list_transactions(), _TRANSACTIONS)


@command(shows=True, examples=["inspect transaction"])
@click.argument("transaction", required=False)
def inspect_transaction(transaction: str | None) -> None:
    """Show the steps of a transaction (the active one)."""
    show_one(operations().transactions.inspect_transaction(_meant(transaction)), _block)


def _block(info: TransactionInfo) -> str:
    lines = [f"Transaction: {info.id}", f"Started: {when(info.started)}"]
    if info.description:
        lines.append(f"Description: {info.description}")
    lines.append(f"Steps: {len(info.steps)}")
    lines += [f"  {number}. {step}" for number, step in enumerate(info.steps, start=1)]
    return "\n".join(lines)


@command(examples=["stop transaction"])
def stop_transaction() -> None:
    """Leave the active transaction: it waits, and the commands to come are carried out at once."""
    chosen = _meant(None)
    current().take_part(None)
    note(f"transaction {chosen} waits: {current().program} resume transaction {chosen}")


@command(examples=["resume transaction 4f2a…"])
@click.argument("transaction")
def resume_transaction(transaction: str) -> None:
    """Let the commands to come take part in a transaction again."""
    operations().transactions.inspect_transaction(transaction)
    current().take_part(transaction)


def _leave(transaction: str) -> None:
    if current().transaction == transaction:
        current().take_part(None)
