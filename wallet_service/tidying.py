"""Removing what is over: keys whose outcome nobody asks for again, notices that were sent or came too late, one-time pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, delete, func, select

from wallet_service.context import Context
from wallet_service.idempotency import HOUSE
from wallet_service.schema import outbox, replays, tickets

# What stays, however old: notices that wait, and the keys of the house. A booking or a part of a refund has nothing but its key
# to keep its repeat from moving the money again; what a person repeats, their order's own state refuses or asks a code for.
_STAYS: Mapping[Table, ColumnElement[bool]] = {outbox: outbox.c.status == "waiting", replays: replays.c.scope == HOUSE}
KEPT = timedelta(days=7)  # an idempotency key is good for a day at least (as Stripe's); the brakes look back two days
_BATCH = 5_000  # rows a transaction: a writer must not keep the others waiting


async def tidy(context: Context) -> None:
    """Remove rows older than a week, but for those that must stay."""
    before = context.now() - KEPT
    await _remove(context, replays, before)
    await _remove(context, outbox, before)
    await _remove(context, tickets, before)


async def _remove(context: Context, table: Table, before: datetime) -> None:
    """Walk a table from its oldest row on and stop at the first batch that has a young one: ids grow with time."""
    last = 0
    while True:
        batch = select(table.c.id, table.c.created_at).where(table.c.id > last).order_by(table.c.id).limit(_BATCH).subquery()
        wanted = select(func.max(batch.c.id), func.count()).where(batch.c.created_at < before)
        async with context.database.write() as connection:
            newest, count = (await connection.execute(wanted)).one()
            if not count:
                return
            over = (table.c.id > last) & (table.c.id <= newest) & (table.c.created_at < before)
            if table in _STAYS:
                over &= ~_STAYS[table]
            await connection.execute(delete(table).where(over))
        if count < _BATCH:
            return
        last = newest
