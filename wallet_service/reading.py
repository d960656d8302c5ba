"""Balances and histories: one SELECT each, whatever the length of the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row, Select, String, bindparam, func, literal_column, select, union_all

from wallet_service import errors
from wallet_service.checks import checked_limit, is_id
from wallet_service.context import Context, day_start
from wallet_service.masks import mask_name, mask_phone
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, entries, orders, users
from wallet_service.views import Balance, HistoryItem, Period

MOST_ITEMS = 200
_NO_BOUND = 2**63 - 1  # above every id
_FIRST, _LAST = date(1970, 1, 1), date(9999, 1, 1)
_ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


def _own_wallet(*columns: Any) -> Select[Any]:
    """Select from the wallet of :user_id in :city, or in their default city when :city is null."""
    city = func.coalesce(bindparam("city", type_=String), users.c.default_city)
    return (
        select(*columns)
        .select_from(accounts.join(users, users.c.id == accounts.c.user_id))
        .where(accounts.c.user_id == bindparam("user_id"), accounts.c.city == city)
    )


_WALLET = _own_wallet(accounts.c.id).scalar_subquery()


def _side(own: str, other: str, sign: str) -> Select[Any]:
    """Give one side's newest entries: each side walks its own index backwards and stops at :count."""
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
        .where(
            entries.c[f"{own}_id"] == _WALLET,
            entries.c.id < bindparam("before"),
            entries.c.at >= bindparam("start"),
            entries.c.at < bindparam("end"),
        )
        .order_by(entries.c.id.desc())
        .limit(bindparam("count"))
        .subquery()
    )
    return select(newest)


def _history() -> Select[Any]:
    moved = union_all(_side("debit", "credit", "-1"), _side("credit", "debit", "1")).subquery()
    other, friend, own = accounts.alias("other"), users.alias("friend"), accounts.alias("own")
    return (
        select(
            moved,
            orders.c.note,
            orders.c.status,
            other.c.name.label("other_name"),
            friend.c.name.label("friend_name"),
            friend.c.phone.label("friend_phone"),
            own.c.city,
        )
        .join(orders, orders.c.id == moved.c.order_id)
        .join(other, other.c.id == moved.c.other_id)
        .outerjoin(friend, friend.c.id == other.c.user_id)
        .join(own, own.c.id == _WALLET)
        .order_by(moved.c.id.desc())
        .limit(bindparam("count"))
    )


# Built once: SQLAlchemy takes longer to put the history's statement together than SQLite takes to answer it.
_HISTORY = _history()
_ACCOUNT = _own_wallet(accounts, users.c.level, users.c.status)


async def own_account(context: Context, user_id: int, city: str | None) -> Mapping[str, Any]:
    """Give the row of a person's wallet in a city (else their default one), with the person's level."""
    if city is not None:
        profile_of(context.profiles, city)
    if not is_id(user_id):
        raise errors.NoWallet(city=city)
    async with context.database.read() as connection:
        row = (await connection.execute(_ACCOUNT, {"user_id": user_id, "city": city})).mappings().one_or_none()
    if row is None:
        raise errors.NoWallet(city=city)
    return dict(row)


async def balance(context: Context, user_id: int, city: str | None) -> Balance:
    """Give what a person's wallet holds, in fen."""
    row = await own_account(context, user_id, city)
    return Balance(
        city=row["city"],
        wallet_id=row["number"],
        available=row["balance"] - row["held"],
        held=row["held"],
        status=row["status"],
        as_of=context.now(),
    )


async def history(
    context: Context, user_id: int, period: Period | None, *, city: str | None, limit: int, before: int | None
) -> tuple[HistoryItem, ...]:
    """Give a wallet's movements, newest first; ``before`` is the id of the last item already seen."""
    if city is not None:
        profile_of(context.profiles, city)
    if not is_id(user_id):
        raise errors.NoWallet(city=city)
    if before is not None and not is_id(before):
        return ()
    start, end = bounds(period)
    asked = {
        "user_id": user_id,
        "city": city,
        "before": _NO_BOUND if before is None else before,
        "start": start,
        "end": end,
        "count": max(1, checked_limit(limit, MOST_ITEMS)),
    }
    async with context.database.read() as connection:
        rows = (await connection.execute(_HISTORY, asked)).all()
    if not rows:
        await balance(context, user_id, city)  # refuses with no_wallet where there is none
    return tuple(_item(row) for row in rows)


def bounds(period: Period | None) -> tuple[datetime, datetime]:
    """Give the moments between which a period's days lie; without one, all of time."""
    return _ALWAYS if period is None else (_bound(period.start), _bound(period.end))


def _bound(day: date) -> datetime:
    return day_start(max(_FIRST, min(day, _LAST)))


def _shown(name: str, phone: str) -> str:
    return mask_name(name) or mask_phone(phone)


def _item(row: Row[Any]) -> HistoryItem:
    return HistoryItem(
        id=row.id,
        order_id=row.order_id,
        kind=row.kind,
        amount=row.amount,
        counterparty=_shown(row.friend_name, row.friend_phone) if row.friend_phone else row.other_name,
        note=row.note,
        at=row.at,
        status=row.status,
        balance_after=row.balance_after,
        city=row.city,
    )
