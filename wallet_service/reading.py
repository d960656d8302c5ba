"""Balances and histories: one SELECT each, whatever the length of the history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal_column, select, union_all

from wallet_service import errors
from wallet_service.context import Context, day_start
from wallet_service.masks import mask_name, mask_phone
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, entries, orders, users
from wallet_service.views import Balance, HistoryItem, Period

MOST_ITEMS = 200


def _own_wallet(user_id: int, city: str | None, *columns: ColumnElement[Any]) -> Select[Any]:
    chosen = func.coalesce(city, users.c.default_city)
    return (
        select(*columns)
        .select_from(accounts.join(users, users.c.id == accounts.c.user_id))
        .where(accounts.c.user_id == user_id, accounts.c.city == chosen)
    )


async def balance(context: Context, user_id: int, city: str | None) -> Balance:
    """Give what a person's wallet holds, in fen."""
    if city is not None:
        profile_of(context.profiles, city)
    columns = (accounts.c.city, accounts.c.number, accounts.c.balance, accounts.c.held, users.c.status)
    async with context.database.read() as connection:
        row = (await connection.execute(_own_wallet(user_id, city, *columns))).one_or_none()
    if row is None:
        raise errors.NoWallet(city=city)
    return Balance(
        city=row.city,
        wallet_id=row.number,
        available=row.balance - row.held,
        held=row.held,
        status=row.status,
        as_of=context.now(),
    )


def _side(own: str, other: str, sign: str, conditions: list[ColumnElement[bool]], wallet: Any, limit: int) -> Select[Any]:
    """Give one side's newest entries: each side walks its own index backwards and stops at ``limit``."""
    newest = (
        select(
            entries.c.id,
            entries.c.order_id,
            entries.c.kind,
            (entries.c.amount * literal_column(sign)).label("amount"),
            entries.c[f"{own}_balance"].label("balance_after"),
            entries.c[f"{other}_id"].label("other_id"),
            entries.c.at,
        )
        .where(entries.c[f"{own}_id"] == wallet, *conditions)
        .order_by(entries.c.id.desc())
        .limit(limit)
        .subquery()
    )
    return select(newest)


async def history(
    context: Context, user_id: int, period: Period | None, *, city: str | None, limit: int, before: int | None
) -> tuple[HistoryItem, ...]:
    """Give a wallet's movements, newest first; ``before`` is the id of the last item already seen."""
    if city is not None:
        profile_of(context.profiles, city)
    count = max(1, min(limit, MOST_ITEMS))
    conditions: list[ColumnElement[bool]] = []
    if period is not None:
        conditions = [entries.c.at >= day_start(period.start), entries.c.at < day_start(period.end)]
    if before is not None:
        conditions.append(entries.c.id < before)
    wallet = _own_wallet(user_id, city, accounts.c.id).scalar_subquery()
    sides = (("debit", "credit", "-1"), ("credit", "debit", "1"))
    moved = union_all(*(_side(own, other, sign, conditions, wallet, count) for own, other, sign in sides)).subquery()
    other, friend, own = accounts.alias("other"), users.alias("friend"), accounts.alias("own")
    wanted = (
        select(
            moved,
            orders.c.note,
            orders.c.status,
            other.c.kind.label("other_kind"),
            other.c.name.label("other_name"),
            friend.c.name.label("friend_name"),
            friend.c.phone.label("friend_phone"),
            own.c.city,
        )
        .join(orders, orders.c.id == moved.c.order_id)
        .join(other, other.c.id == moved.c.other_id)
        .outerjoin(friend, friend.c.id == other.c.user_id)
        .join(own, own.c.id == wallet)
        .order_by(moved.c.id.desc())
        .limit(count)
    )
    async with context.database.read() as connection:
        rows = (await connection.execute(wanted)).all()
    if not rows:
        await balance(context, user_id, city)  # refuses with no_wallet where there is none
    return tuple(_item(row) for row in rows)


def _item(row: Row[Any]) -> HistoryItem:
    if row.friend_phone is None:
        counterparty = row.other_name
    else:
        counterparty = mask_name(row.friend_name) or mask_phone(row.friend_phone)
    return HistoryItem(
        id=row.id,
        order_id=row.order_id,
        kind=row.kind,
        amount=row.amount,
        counterparty=counterparty,
        note=row.note,
        at=row.at,
        status=row.status,
        balance_after=row.balance_after,
        city=row.city,
    )
