"""Posting many finished movements at once (demo data, benchmarks): the book and rows of ordinary orders, in few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.codes import CODE_LIFE, confirmation
from wallet_service.context import Context
from wallet_service.ledger import Book, post
from wallet_service.limits import SPENDING, Spending
from wallet_service.orders import new_order
from wallet_service.posting import receipt_no
from wallet_service.schema import orders

_NOTHING = Spending()
_DONE = ("authorised_at", "posted_at", "posted_amount", "receipt_no", "code_hash", "spent_day")
_POSTED = update(orders).where(orders.c.id == bindparam("order"))
_POSTED = _POSTED.values(status="posted", **{name: bindparam(f"new_{name}") for name in _DONE})


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
    """Insert rows and give their ids in the same order."""
    found = await connection.execute(insert(table).returning(table.c.id, sort_by_parameter_order=True), rows)
    return list(found.scalars())


async def post_movements(context: Context, connection: AsyncConnection, movements: Sequence[Movement]) -> None:
    """Post movements, oldest first, between accounts that nothing was posted to before."""
    rows = [_order(context, movement) for movement in movements]
    ids = await insert_rows(connection, orders, rows)
    book = Book({account: 0 for movement in movements for account in (movement.debit, movement.credit)})
    spent: dict[int, Spending] = {}
    posted = []
    for order_id, row, movement in zip(ids, rows, movements, strict=True):
        debit, amount, at = movement.debit, movement.amount, movement.at
        book.move(order_id, movement.kind, debit=debit, credit=movement.credit, amount=amount, at=at)
        day = 0
        if movement.kind in SPENDING:
            spent[debit] = spent.get(debit, _NOTHING).at(at).plus(amount)
            day = spent[debit].day
        proof = confirmation(context.keys, order_id, row, at, amount)
        done = (at, at, amount, receipt_no(order_id, at), proof, day)
        posted.append({"order": order_id, **{f"new_{name}": value for name, value in zip(_DONE, done, strict=True)}})
    await connection.execute(_POSTED, posted)
    await post(connection, book, spent)


def _order(context: Context, movement: Movement) -> dict[str, Any]:
    return new_order(
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
