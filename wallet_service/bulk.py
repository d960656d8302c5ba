"""Posting many finished movements at once (demo data, benchmarks): ordinary orders on a sheet, of which nobody is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.codes import CODE_LIFE
from wallet_service.context import Context
from wallet_service.limits import SPENDING, Spending
from wallet_service.orders import new_order
from wallet_service.posting import post
from wallet_service.sets import Change, Ids, write_sets
from wallet_service.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Movement:
    """One finished order: who asked for it, between which accounts, how many fen, and when."""

    at: datetime
    actor: int
    kind: str
    debit: int
    credit: int
    amount: int
    note: str


async def insert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows that all name the same columns, and give their ids in the same order."""
    ids = await Ids(table).take(connection, len(rows))
    await write_sets(connection, Change(table, [{"id": row_id, **row} for row_id, row in zip(ids, rows, strict=True)]))
    return ids


async def post_movements(context: Context, connection: AsyncConnection, movements: Sequence[Movement]) -> None:
    """Post movements, oldest first, whatever the limits say; only an overdraft is refused, by the database."""
    sheet = Sheet(context, context.now(), telling=False)
    await sheet.load(connection, (), {account for movement in movements for account in (movement.debit, movement.credit)})
    ids = await context.order_ids.take(connection, len(movements))
    for order_id, movement in zip(ids, movements, strict=True):
        sheet.now = movement.at
        sheet.add_order(_order(context, order_id, movement))
        payer = Spending.of(sheet.accounts[movement.debit]).at(movement.at)
        post(sheet, order_id, payer.plus(movement.amount) if movement.kind in SPENDING else None)
    await sheet.write(connection)


def _order(context: Context, order_id: int, movement: Movement) -> dict[str, Any]:
    return new_order(
        id=order_id,
        kind=movement.kind,
        actor_id=movement.actor,
        payer_id=movement.debit,
        payee_id=movement.credit,
        amount=movement.amount,
        note=movement.note,
        nonce=context.random.octets(16),
        created_at=movement.at,
        expires_at=movement.at + CODE_LIFE,
    )
