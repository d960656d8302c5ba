"""Orders that their payer follows: what is confirmed and still holds its money, and what became of the last transfers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, bindparam, literal_column

from wallet_service.checks import checked_limit, is_id
from wallet_service.context import Context
from wallet_service.orders import ORDER_ROWS, PAYER, order_view
from wallet_service.profile import profile_of
from wallet_service.reading import bounds
from wallet_service.schema import orders
from wallet_service.views import Order, Period

MOST = 100
_CITY: Any = bindparam("city", type_=String)
_HELD = (
    ORDER_ROWS.where(
        orders.c.status == literal_column("'authorised'"),  # written out: a partial index serves no parameter
        PAYER.c.user_id == bindparam("user_id"),
        _CITY.is_(None) | (PAYER.c.city == _CITY),
        orders.c.authorised_at >= bindparam("start"),
        orders.c.authorised_at < bindparam("end"),
    )
    .order_by(orders.c.due_at, orders.c.id)
    .limit(MOST)
)
_TRANSFERS = (
    ORDER_ROWS.where(
        orders.c.actor_id == bindparam("user_id"),
        orders.c.kind == "transfer",
        orders.c.status != "cancelled",
        _CITY.is_(None) | (PAYER.c.city == _CITY),
    )
    .order_by(orders.c.id.desc())
    .limit(bindparam("count"))
)


async def held_orders(context: Context, user_id: int, period: Period | None, *, city: str | None) -> tuple[Order, ...]:
    """Give what holds money of a person's wallets (of one city), confirmed in a period, soonest due first."""
    if city is not None:
        profile_of(context.profiles, city)
    start, end = bounds(period)
    return await _orders(context, _HELD, user_id, {"city": city, "start": start, "end": end})


async def transfers(context: Context, user_id: int, limit: int, *, city: str | None) -> tuple[Order, ...]:
    """Give a person's last transfers (of one city's wallet), newest first; a proposal that was cancelled is none."""
    if city is not None:
        profile_of(context.profiles, city)
    return await _orders(context, _TRANSFERS, user_id, {"city": city, "count": max(1, checked_limit(limit, MOST))})


async def _orders(context: Context, statement: Any, user_id: int, asked: dict[str, Any]) -> tuple[Order, ...]:
    if not is_id(user_id):
        return ()
    async with context.database.read() as connection:
        rows = (await connection.execute(statement, {"user_id": user_id, **asked})).mappings().all()
    now = context.now()
    return tuple(order_view(dict(row), now) for row in rows)
