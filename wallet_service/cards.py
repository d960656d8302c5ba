"""The bank cards that a person has bound."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from wallet_service.checks import is_id
from wallet_service.context import Context
from wallet_service.masks import last_four
from wallet_service.schema import cards
from wallet_service.views import Card

_BOUND = (
    select(cards)
    .where(cards.c.user_id == bindparam("user_id"), cards.c.status == "bound")
    .order_by(cards.c.is_default.desc(), cards.c.id)
)


async def bound_cards(context: Context, user_id: int) -> tuple[Card, ...]:
    """Give a person's cards, the default one first; of their numbers only the end."""
    if not is_id(user_id):
        return ()
    async with context.database.read() as connection:
        rows = (await connection.execute(_BOUND, {"user_id": user_id})).all()
    return tuple(Card(row.id, row.bank, last_four(row.number), row.kind, row.is_default) for row in rows)
