"""A person's row: read and kept to a transaction, and changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors
from wallet_service.checks import is_id
from wallet_service.context import Context
from wallet_service.schema import accounts, users

_DECIDING = {"status", "level"}  # of what a wish is decided on


async def held_user(context: Context, connection: AsyncConnection, user_id: int) -> dict[str, Any]:
    """Keep a person to this transaction and read their row; who is closed or unknown is refused with ``not_logged_in``."""
    row = await held_row(context, connection, user_id)
    if row is None or row["status"] == "closed":
        raise errors.NotLoggedIn
    return row


async def held_row(context: Context, connection: AsyncConnection, user_id: int) -> dict[str, Any] | None:
    """Keep a person, closed or not, to this transaction and read their row."""
    if not is_id(user_id):
        return None
    await brakes.hold(context, connection, user_id)
    row = (await connection.execute(select(users).where(users.c.id == user_id))).mappings().one_or_none()
    return None if row is None else dict(row)


async def change_user(connection: AsyncConnection, user_id: int, **columns: Any) -> None:
    """Write some columns of a person's row.

    What decides whether they may pay is written on their accounts' rows too, as nothing but a new version: whoever waits for one
    of them, or has read it without a lock, learns that it has changed. The accounts come first, since who holds one may yet want
    its owner.
    """
    if _DECIDING & columns.keys():
        mine = select(accounts.c.id).where(accounts.c.user_id == user_id).order_by(accounts.c.id)
        await connection.execute(mine.with_for_update(key_share=True))  # in the order that everybody locks them in
        await connection.execute(update(accounts).where(accounts.c.user_id == user_id).values(user_id=accounts.c.user_id))
    await connection.execute(update(users).where(users.c.id == user_id).values(**columns))
