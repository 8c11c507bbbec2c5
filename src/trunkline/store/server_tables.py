"""The SQL of what several servers of one store tell each other."""

from collections.abc import Iterable

from trunkline.db.database import Transaction


def enter(tx: Transaction, server: str) -> None:
    """A server is there from now on."""
    tx.execute("INSERT INTO server (id, beat, leads, address) VALUES (:id, 0, 0, '')", id=server)


def beat(tx: Transaction, server: str) -> None:
    """A server shows that it is there."""
    tx.execute("UPDATE server SET beat = beat + 1 WHERE id = :id", id=server)


def beats(tx: Transaction) -> dict[str, int]:
    """How often each server that is there has shown it."""
    return {str(row[0]): int(row[1]) for row in tx.rows("SELECT id, beat FROM server")}


def leave(tx: Transaction, servers: Iterable[str]) -> None:
    """Servers count as gone, with all that they hold."""
    for server in servers:
        tx.execute("DELETE FROM hold WHERE server = :id", id=server)
        tx.execute("DELETE FROM turn WHERE server = :id", id=server)
        tx.execute("DELETE FROM server WHERE id = :id", id=server)


def leaders(tx: Transaction) -> list[tuple[str, str]]:
    """(server, address) of who leads: one, or none."""
    rows = tx.rows("SELECT id, address FROM server WHERE leads = 1")
    return [(str(server), str(address)) for server, address in rows]


def lead(tx: Transaction, server: str) -> None:
    """A server leads; whoever did counts as gone."""
    leave(tx, [other for other, _ in leaders(tx) if other != server])
    tx.execute("UPDATE server SET leads = 1 WHERE id = :id", id=server)


def set_address(tx: Transaction, server: str, address: str) -> None:
    """Where others reach a server."""
    tx.execute("UPDATE server SET address = :a WHERE id = :id", a=address, id=server)


def epoch(tx: Transaction) -> int:
    """The number of this epoch."""
    row = tx.row("SELECT MAX(number) FROM epoch")
    return 0 if row is None or row[0] is None else int(row[0])


def set_epoch(tx: Transaction, number: int) -> None:
    tx.execute("DELETE FROM epoch")
    tx.execute("INSERT INTO epoch (number) VALUES (:n)", n=number)


def hold(tx: Transaction, server: str, number: int) -> None:
    """A server may be at work since this epoch."""
    tx.execute(
        "INSERT INTO hold (server, epoch) VALUES (:id, :n) ON CONFLICT DO NOTHING",
        id=server,
        n=number,
    )


def let_go(tx: Transaction, server: str, numbers: Iterable[int]) -> None:
    """Nobody of a server is at work since one of these epochs any more."""
    for number in numbers:
        tx.execute("DELETE FROM hold WHERE server = :id AND epoch = :n", id=server, n=number)


def held_before(tx: Transaction, number: int) -> bool:
    """Whether some server may be at work since before an epoch."""
    return tx.row("SELECT 1 FROM hold WHERE epoch < :n LIMIT 1", n=number) is not None


def take_turn(tx: Transaction, name: str, server: str) -> bool:
    """Whether a server has a turn, which nobody else had."""
    return (
        tx.change(
            "INSERT INTO turn (name, server) VALUES (:name, :id) ON CONFLICT DO NOTHING",
            name=name,
            id=server,
        )
        > 0
    )


def end_turn(tx: Transaction, name: str, server: str) -> None:
    tx.execute("DELETE FROM turn WHERE name = :name AND server = :id", name=name, id=server)


def kept(tx: Transaction, kind: str) -> dict[str, str]:
    """By name, what is kept for all servers beside the catalog."""
    rows = tx.rows("SELECT name, content FROM kept WHERE kind = :kind ORDER BY name", kind=kind)
    return {str(name): str(content) for name, content in rows}


def keep(tx: Transaction, kind: str, name: str, content: str) -> None:
    tx.execute(
        "INSERT INTO kept (kind, name, content) VALUES (:kind, :name, :content)"
        " ON CONFLICT (kind, name) DO UPDATE SET content = excluded.content",
        kind=kind,
        name=name,
        content=content,
    )


def keep_no_more(tx: Transaction, kind: str, name: str) -> None:
    tx.execute("DELETE FROM kept WHERE kind = :kind AND name = :name", kind=kind, name=name)
