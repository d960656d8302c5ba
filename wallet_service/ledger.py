"""The accounts of the books: a wallet's, a merchant's, and the house's own in every city, so that all money has two sides."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from wallet_service.context import Context
from wallet_service.limits import Spending
from wallet_service.schema import accounts

SYSTEM_KINDS = ("clearing", "fees", "promotions", "settlement")


def new_account(kind: str, city: str, **columns: Any) -> dict[str, Any]:
    """Give the row of an empty account."""
    empty = {"user_id": None, "number": None, "name": "", "balance": 0, "held": 0}
    return {**empty, **Spending().columns(), "kind": kind, "city": city, **columns}


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
            await connection.execute(context.database.insert_if_new(accounts), rows)  # another process may be at it too
        context.system.update({(row.city, row.kind): row.id for row in await connection.execute(wanted)})
