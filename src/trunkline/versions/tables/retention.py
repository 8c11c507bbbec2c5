"""SQL on the rules that say which commits of a branch stay."""

from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.versions import Retention

_RULES = "last, within_s, hourly, daily, weekly, monthly, yearly, tagged, derived, created_us"


def replace_retention(tx: Transaction, branch: int, rules: Retention, now: datetime) -> None:
    remove_retention(tx, branch)
    tx.execute(
        f"INSERT INTO branch_retention (branch, {_RULES}) VALUES (:branch, :last, :within_s, "
        ":hourly, :daily, :weekly, :monthly, :yearly, :tagged, :derived, :now)",
        branch=branch,
        last=rules.last,
        within_s=rules.within_s,
        hourly=rules.hourly,
        daily=rules.daily,
        weekly=rules.weekly,
        monthly=rules.monthly,
        yearly=rules.yearly,
        tagged=int(rules.tagged),
        derived=int(rules.derived),
        now=to_microseconds(now),
    )


def remove_retention(tx: Transaction, branch: int) -> bool:
    """Whether there was one."""
    return tx.change("DELETE FROM branch_retention WHERE branch = :b", b=branch) > 0


def retention_of(tx: Transaction, branch: int) -> tuple[Retention, datetime] | None:
    row = tx.row(f"SELECT {_RULES} FROM branch_retention WHERE branch = :branch", branch=branch)
    return None if row is None else _rules(row)


def branches_with_retention(tx: Transaction) -> list[int]:
    """The numbers of all branches that have rules."""
    return [int(n) for (n,) in tx.rows("SELECT branch FROM branch_retention ORDER BY branch")]


def _rules(row: Row) -> tuple[Retention, datetime]:
    last, within_s, hourly, daily, weekly, monthly, yearly, tagged, derived, created_us = row
    rules = Retention(
        last=last,
        within_s=within_s,
        hourly=hourly,
        daily=daily,
        weekly=weekly,
        monthly=monthly,
        yearly=yearly,
        tagged=bool(tagged),
        derived=bool(derived),
    )
    return rules, from_microseconds(created_us)
