"""The brakes on codes: how many one phone or person is sent in a time, and how many wrong ones are borne in a row.

What is sent is counted from the outbox, so a code counts at the moment it was asked for. Wrong codes are counted per person over
all their payments and changes, until a right one: every fifth ends its order, and from the tenth on a rising lock stands. Second
factors have a count of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Integer, Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.codes import TRIES
from wallet_service.context import CodeLimit, Context, LoginLimit
from wallet_service.outbox import notice_row
from wallet_service.people import require_own_phone
from wallet_service.schema import challenges, outbox, users

LOCKS = (None, timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(days=1))  # after 5, 10, 15, 20, 25 …
_TEN_MINUTES, _DAY = timedelta(minutes=10), timedelta(days=1)
Counter = Literal["wrong_codes", "wrong_seconds"]  # a right code by SMS forgives no wrong password: whoever has the phone has it
_STANDING = select(
    users.c.phone, users.c.status, users.c.default_city, users.c.wrong_codes, users.c.wrong_seconds, users.c.locked_until
).where(users.c.id == bindparam("user_id"))
_PHONES = 1  # the advisory locks of phones, apart from any other that may share the database


def _windows(sent: Select[Any]) -> Select[Any]:
    """Select when the code was sent that fills a day's and ten minutes' limit, null where it is not filled."""
    newest = sent.order_by(outbox.c.created_at.desc()).limit(1)

    def filled(window: str) -> Any:
        within = newest.where(outbox.c.created_at > bindparam(f"{window}_start"))
        return within.offset(bindparam(f"{window}_others", type_=Integer)).scalar_subquery().label(window)

    return select(filled("day"), filled("ten_minutes"))


_PAYMENT_CODES = _windows(
    select(outbox.c.created_at).where(outbox.c.user_id == bindparam("who"), outbox.c.kind == "payment_code")
)
_CHALLENGE_CODES = (
    select(outbox.c.created_at)
    .join(challenges, challenges.c.id == outbox.c.challenge_id)
    .where(challenges.c.created_at > bindparam("oldest"))
)
_TO_PHONE = _windows(_CHALLENGE_CODES.where(challenges.c.phone_index == bindparam("who")))
_FROM_DOOR = _windows(_CHALLENGE_CODES.where(challenges.c.door_index == bindparam("who")))
_FROM_ALL = _windows(select(outbox.c.created_at).where(outbox.c.user_id.is_(None), outbox.c.kind == "login_code"))


async def _check_rate(
    connection: AsyncConnection, wanted: Select[Any], limit: LoginLimit | CodeLimit, now: datetime, **who: object
) -> None:
    asked = {"day_start": now - _DAY, "ten_minutes_start": now - _TEN_MINUTES}
    limits = {"day_others": limit.per_day - 1, "ten_minutes_others": limit.per_ten_minutes - 1}
    row = (await connection.execute(wanted, {**asked, **limits, **who})).one()
    for sent_at, span, most in ((row.day, _DAY, limit.per_day), (row.ten_minutes, _TEN_MINUTES, limit.per_ten_minutes)):
        if sent_at is not None:
            raise errors.TooManyCodes(limit=most, retry_at=(sent_at + span).isoformat())


async def check_phone_codes(context: Context, connection: AsyncConnection, phone_index: bytes, now: datetime) -> None:
    """Refuse one more code for a phone (or mailbox) that was sent enough; askers of one phone come one after the other."""
    if not context.database.is_sqlite:  # there the one writer queue does it
        await connection.execute(select(func.pg_advisory_xact_lock(_PHONES, func.hashtext(phone_index.hex()))))
    await _check_rate(connection, _TO_PHONE, context.login_limit, now, who=phone_index, oldest=now - 2 * _DAY)


async def check_login_codes(
    context: Context, connection: AsyncConnection, phone_index: bytes, door_index: bytes | None, now: datetime
) -> None:
    """Refuse one more login code for a phone that was sent enough, at a door that asked for enough, and when all together did.

    Nobody has to be known to ask, and each code is a message to somebody's phone. Doors that ask in the same moment may get a
    few more than their limit.
    """
    await check_phone_codes(context, connection, phone_index, now)
    limit = context.login_limit
    if door_index is not None:
        await _check_rate(connection, _FROM_DOOR, limit.door, now, who=door_index, oldest=now - 2 * _DAY)
    await _check_rate(connection, _FROM_ALL, limit.everybody, now)


async def check_payment_codes(context: Context, connection: AsyncConnection, user_id: int, now: datetime) -> None:
    """Refuse one more payment code to a person, held by :func:`hold`, who was sent enough, or whose phone is not their own."""
    await require_own_phone(context, connection, user_id)
    await _check_rate(connection, _PAYMENT_CODES, context.code_limit, now, who=user_id)


async def hold(context: Context, connection: AsyncConnection, user_id: int) -> None:
    """Keep a person to this transaction, before anything else of theirs; SQLite has one writer, who needs no locks."""
    if not context.database.is_sqlite:
        await connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))


def check_lock(locked_until: datetime | None, now: datetime) -> None:
    """Refuse a person whose payments are locked after too many wrong codes."""
    if locked_until is not None and now < locked_until:
        raise errors.PaymentsLocked(retry_at=locked_until.isoformat())


async def standing(connection: AsyncConnection, user_id: int, now: datetime) -> dict[str, Any]:
    """Read a person who is about to prove something; refuse one whose confirmations are locked."""
    row = (await connection.execute(_STANDING, {"user_id": user_id})).mappings().one_or_none()
    if row is None:
        raise errors.NotLoggedIn
    check_lock(row["locked_until"], now)
    return dict(row)


def lock_after(wrong: int, now: datetime) -> datetime | None:
    """Give until when payments are locked after so many wrong codes in a row, None when they are not."""
    lock = LOCKS[min(wrong // TRIES, len(LOCKS)) - 1] if wrong % TRIES == 0 else None
    return now + lock if lock is not None else None


async def count_wrong_code(
    connection: AsyncConnection, user_id: int, before: int, now: datetime, *, of: Counter = "wrong_codes"
) -> datetime | None:
    """Count one more wrong code after ``before`` in a row; give until when payments are locked, if they are now."""
    wrong = before + 1
    until = lock_after(wrong, now)
    await connection.execute(update(users).where(users.c.id == user_id).values({of: wrong, "locked_until": until}))
    if until is not None:
        await connection.execute(insert(outbox).values(notice_row("payments_locked", now, user_id=user_id)))
    return until


async def forgive_wrong_codes(connection: AsyncConnection, user_id: int, *, of: Counter = "wrong_codes") -> None:
    """Start counting anew after a right code."""
    await connection.execute(update(users).where(users.c.id == user_id).values({of: 0, "locked_until": None}))
