"""Double entry: the only place where entries are made and balances move."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.context import Context
from wallet_service.limits import Spending
from wallet_service.schema import accounts, entries

SYSTEM_KINDS = ("clearing", "fees", "promotions", "settlement")
_ADD = update(accounts).where(accounts.c.id == bindparam("account")).values(balance=accounts.c.balance + bindparam("delta"))
_SPEND = _ADD.values({name: bindparam(f"new_{name}") for name in ("day", "day_spent", "year", "year_spent")})


class Book:
    """Works out entries against known balances, in memory; the rows are written by whoever holds the transaction."""

    def __init__(self, balances: Mapping[int, int]) -> None:
        self.balances = dict(balances)
        self.before = dict(balances)
        self.rows: list[dict[str, Any]] = []

    def move(self, order_id: int, kind: str, *, debit: int, credit: int, amount: int, at: datetime) -> None:
        """Debit one account and credit another by ``amount`` fen."""
        self.balances[debit] -= amount
        self.balances[credit] += amount
        self.rows.append(
            {
                "order_id": order_id,
                "kind": kind,
                "debit_id": debit,
                "credit_id": credit,
                "amount": amount,
                "debit_balance": self.balances[debit],
                "credit_balance": self.balances[credit],
                "at": at,
            }
        )

    def changes(self) -> dict[int, int]:
        """Give by how many fen each touched account changed."""
        return {account: balance - self.before[account] for account, balance in self.balances.items()}


async def post(connection: AsyncConnection, book: Book, spending: Mapping[int, Spending]) -> None:
    """Write a book whose accounts are locked by this transaction, and what each paying wallet has now spent."""
    changes = book.changes()
    paying = [
        {
            "account": account,
            "delta": changes.pop(account),
            "new_day": spent.day,
            "new_day_spent": spent.day_spent,
            "new_year": spent.year,
            "new_year_spent": spent.year_spent,
        }
        for account, spent in sorted(spending.items())
    ]
    receiving = [{"account": account, "delta": delta} for account, delta in sorted(changes.items())]
    for statement, rows in ((_SPEND, paying), (_ADD, receiving)):
        if rows:
            await connection.execute(statement, rows)
    await connection.execute(insert(entries), book.rows)


async def locked_balance(connection: AsyncConnection, account_id: int) -> int:
    """Lock an account for this transaction and give its balance in fen."""
    found = await connection.execute(
        select(accounts.c.balance).where(accounts.c.id == account_id).with_for_update(key_share=True)
    )
    balance: int = found.scalar_one()
    return balance


def new_account(kind: str, city: str, **columns: Any) -> dict[str, Any]:
    """Give the row of an empty account."""
    empty = {"user_id": None, "number": None, "name": "", "balance": 0, "held": 0}
    return {**empty, "day": 0, "day_spent": 0, "year": 0, "year_spent": 0, "kind": kind, "city": city, **columns}


async def ensure_system_accounts(context: Context) -> None:
    """Learn the ids of every city's system accounts, and make those that a new city lacks."""
    wanted = select(accounts.c.city, accounts.c.kind, accounts.c.id).where(accounts.c.kind.in_(SYSTEM_KINDS))
    async with context.database.read() as connection:
        context.system.update({(row.city, row.kind): row.id for row in await connection.execute(wanted)})
    missing = [(city, kind) for city in context.profiles for kind in SYSTEM_KINDS if (city, kind) not in context.system]
    if not missing:
        return
    async with context.database.write() as connection:
        known = {(row.city, row.kind) for row in await connection.execute(wanted)}
        rows = [new_account(kind, city) for city, kind in missing if (city, kind) not in known]
        if rows:
            await connection.execute(insert(accounts), rows)
        context.system.update({(row.city, row.kind): row.id for row in await connection.execute(wanted)})
