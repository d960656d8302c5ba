"""What people must be told outside the chat: written with the change they tell of, claimed by the bot, which finds the words.

A row holds ids and a counter, never a code: the code is derived at the moment in which it is sent. A claim is a lease of a
minute, so a sender that dies loses nothing; a notice whose order or login is over by then is void. A notice is written as one
row, which the first claim turns into one for each way out, so that no way repeats, delays or loses what goes by another.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, String, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.checks import checked_limit, is_id
from wallet_service.codes import CHANGE_CODE, LOGIN_CODE, ORDER_CODE, change_text, is_over, login_text, order_text
from wallet_service.context import Context
from wallet_service.integrity import UNREADABLE, agrees, tolerant
from wallet_service.masks import mask_name, mask_phone
from wallet_service.schema import accounts, challenges, orders, outbox, users
from wallet_service.views import Notice
from wallet_service.ways import WAYS, ways_of

LEASE = timedelta(seconds=60)
_MOST = 1_000  # notices claimed at once
GIVE_UP_AFTER = 150  # attempts: about a day, if they are ten minutes apart
_WHOLE = "all"  # the way of a row that is not yet one for each way
_CHALLENGES = ("login_code", "change_code", "email_code")

log = logging.getLogger(__name__)
_payer, _payee = accounts.alias("payer"), accounts.alias("payee")
_sender, _receiver = users.alias("sender"), users.alias("receiver")
_DETAILS = (
    select(
        outbox.c.id,
        outbox.c.kind,
        outbox.c.user_id,
        outbox.c.order_id,
        outbox.c.counter,
        tolerant(outbox.c.facts, "facts"),
        outbox.c.way,
        tolerant(outbox.c.to, "to"),
        outbox.c.attempts,
        outbox.c.created_at,
        tolerant(users.c.email, "email"),
        users.c.status.label("user_status"),
        users.c.locked_until,
        tolerant(users.c.phone, "user_phone"),
        users.c.phone_index.label("user_index"),
        tolerant(challenges.c.phone, "challenge_phone"),
        challenges.c.phone_index.label("challenge_index"),
        challenges.c.purpose,
        challenges.c.status.label("challenge_status"),
        challenges.c.nonce.label("challenge_nonce"),
        challenges.c.expires_at.label("challenge_expires_at"),
        challenges.c.counter.label("challenge_counter"),
        orders.c.kind.label("order_kind"),
        orders.c.status.label("order_status"),
        orders.c.counter.label("order_counter"),
        orders.c.actor_id,
        orders.c.payer_id,
        orders.c.payee_id,
        orders.c.amount,
        orders.c.fee,
        orders.c.method,
        orders.c.card_id,
        orders.c.bill_id,
        orders.c.refunds_id,
        orders.c.delay,
        orders.c.due_at.label("order_due_at"),
        orders.c.refusal,
        tolerant(orders.c.note, "note"),
        orders.c.nonce,
        orders.c.expires_at,
        orders.c.posted_at,
        orders.c.receipt_no,
        _payer.c.city.label("payer_city"),
        _payee.c.city.label("payee_city"),
        _payer.c.name.label("payer_account"),
        _payee.c.name.label("payee_account"),
        tolerant(_sender.c.name, "payer_name"),
        tolerant(_sender.c.phone, "payer_phone"),
        tolerant(_receiver.c.name, "payee_name"),
        tolerant(_receiver.c.phone, "payee_phone"),
    )
    .outerjoin(users, users.c.id == outbox.c.user_id)
    .outerjoin(challenges, challenges.c.id == outbox.c.challenge_id)
    .outerjoin(orders, orders.c.id == outbox.c.order_id)
    .outerjoin(_payer, _payer.c.id == orders.c.payer_id)
    .outerjoin(_payee, _payee.c.id == orders.c.payee_id)
    .outerjoin(_sender, _sender.c.id == orders.c.actor_id)
    .outerjoin(_receiver, _receiver.c.id == _payee.c.user_id)
)


def _due(*columns: Any) -> Select[Any]:
    """Select what waits for one of ``ways`` and is due at ``now``, oldest first."""
    due = select(*columns).where(outbox.c.status == "waiting", outbox.c.way.in_(bindparam("ways", expanding=True)))
    return due.where(outbox.c.due_at <= bindparam("now")).order_by(outbox.c.id).limit(bindparam("count"))


_DUE = _due(outbox.c.id)
_CLAIM = (
    update(outbox)
    .where(outbox.c.id.in_(_DUE.with_for_update(skip_locked=True)))
    .values(due_at=bindparam("until"), attempts=outbox.c.attempts + 1)
    .returning(outbox.c.id)
)
# Not SKIP LOCKED: who finds a row being split waits, and then sees what became of it.
_UNSPLIT = (
    _due(outbox.c.id, outbox.c.kind, users.c.email.is_not(None).label("has_mailbox")).outerjoin(users).with_for_update(of=outbox)
)
_CONTENT = [column for column in outbox.c if column is not outbox.c.id]
_ONE_WAY = [bindparam("way", type_=String) if column is outbox.c.way else column for column in _CONTENT]
# What is sealed is copied as it stands: a value that does not open any more keeps nobody else's notices waiting.
_COPY = insert(outbox).from_select(
    _CONTENT,
    select(*_ONE_WAY).where(outbox.c.id.in_(bindparam("ids", expanding=True))).order_by(outbox.c.id),
)


def notice_row(
    kind: str,
    now: datetime,
    *,
    user_id: int | None = None,
    order_id: int | None = None,
    challenge_id: int | None = None,
    counter: int = 0,
    way: str | None = None,
    to: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give the row of a notice that waits from now on; ``way`` and ``to`` are for one that goes where its person was reached."""
    ways = (way,) if way else ways_of(kind)
    return {
        "kind": kind,
        "way": ways[0] if len(ways) == 1 else _WHOLE,
        "status": "waiting",
        "user_id": user_id,
        "order_id": order_id,
        "challenge_id": challenge_id,
        "counter": counter,
        "to": to,
        "facts": dict(facts or {}),
        "attempts": 0,
        "due_at": now,
        "created_at": now,
    }


async def claim_notices(context: Context, limit: int, way: str | None) -> tuple[Notice, ...]:
    """Take notices that are due by one way (or by any), oldest first, for a minute; nothing due costs one read.

    Whoever looks for the first of ``WAYS`` makes the rows of the others too, so that not everybody tries to.
    """
    now = context.now()
    ways = WAYS if way is None else tuple(known for known in WAYS if known == way)
    unsplit = (_WHOLE,) if WAYS[0] in ways else ()
    due = {"now": now, "count": checked_limit(limit, _MOST)}
    async with context.database.read() as connection:
        if (await connection.execute(_DUE, {**due, "ways": ways + unsplit, "count": 1})).first() is None:
            return ()
    async with context.database.write() as connection:
        if unsplit:
            await _split(connection, {**due, "ways": unsplit})
        claimed = [row.id for row in await connection.execute(_CLAIM, {**due, "ways": ways, "until": now + LEASE})]
        found = await connection.execute(_DETAILS.where(outbox.c.id.in_(claimed)).order_by(outbox.c.id))
        rows = [dict(row) for row in found.mappings()]
        dead = [row["id"] for row in rows if not _is_alive(row, now)]
        if dead:
            await connection.execute(update(outbox).where(outbox.c.id.in_(dead)).values(status="void"))
    return tuple(_notice(context, row) for row in rows if row["id"] not in dead and _is_fit(context, row))


async def _split(connection: AsyncConnection, due: Mapping[str, Any]) -> None:
    """Turn what is due and still in one row into a row for each way that its person has; a phone has everybody."""
    first: dict[str, list[int]] = defaultdict(list)
    further: dict[str, list[int]] = defaultdict(list)
    for row in await connection.execute(_UNSPLIT, due):
        open_ways = [way for way in ways_of(row.kind) if way != "mail" or row.has_mailbox] or ["sms"]
        first[open_ways[0]].append(row.id)
        for way in open_ways[1:]:
            further[way].append(row.id)
    for way, ids in further.items():
        await connection.execute(_COPY, {"way": way, "ids": ids})
    for way, ids in first.items():
        await connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(way=way))


def _is_alive(row: Mapping[str, Any], now: datetime) -> bool:
    if row["attempts"] > GIVE_UP_AFTER or (row["way"] == "mail" and not _address(row)):
        return False
    if row["kind"] in _CHALLENGES:
        waits = row["challenge_status"] == "open" and not is_over(row["challenge_expires_at"], now)
        return bool(waits and row["challenge_counter"] == row["counter"])
    if row["kind"] == "payment_code":
        waits = row["order_status"] == "proposed" and not is_over(row["expires_at"], now)
        return bool(waits and row["order_counter"] == row["counter"])
    if row["kind"] == "payments_locked":
        return bool(row["locked_until"] is not None and now < row["locked_until"])
    return True


def _is_fit(context: Context, row: Mapping[str, Any]) -> bool:
    """Tell whether a notice can be made and goes to the phone that was proven; one that is not waits for its lease to end."""
    if any(value is UNREADABLE for value in row.values()):
        log.error("notice %d is set aside: something that it tells of does not open", row["id"])
        return False
    if row["way"] != "sms" or row["to"] or row["user_status"] == "closed":  # whose index is nobody's, so that the phone is free
        return True
    whose = "user" if row["challenge_phone"] is None else "challenge"
    if not agrees(context.vault, "phone", row[f"{whose}_phone"], row[f"{whose}_index"]):
        log.critical("notice %d is set aside: the phone that it would go to is not the one that was proven", row["id"])
        return False
    return True


def _notice(context: Context, row: Mapping[str, Any]) -> Notice:
    facts: dict[str, Any] = {}
    if row["kind"] == "login_code":
        text = login_text(row["challenge_phone"], row["challenge_nonce"])
        facts = {
            "code": context.keys.code(LOGIN_CODE, text, row["counter"]),
            "expires_at": row["challenge_expires_at"].isoformat(),
        }
    elif row["kind"] in _CHALLENGES:
        text = change_text(row["purpose"], row["user_id"], row["challenge_phone"], row["challenge_nonce"])
        facts = {
            "code": context.keys.code(CHANGE_CODE, text, row["counter"]),
            "purpose": row["purpose"],
            "expires_at": row["challenge_expires_at"].isoformat(),
        }
    elif row["kind"] == "payments_locked":
        facts = {"at": row["created_at"].isoformat(), "retry_at": row["locked_until"].isoformat()}
    elif row["order_id"] is None:
        facts = {"at": row["created_at"].isoformat(), "city": None, **row["facts"]}
    else:
        facts = _order_facts(row)
        if row["kind"] == "payment_code":
            facts["code"] = context.keys.code(ORDER_CODE, order_text(row["order_kind"], row), row["counter"])
            facts["expires_at"] = row["expires_at"].isoformat()
    return Notice(
        id=row["id"],
        kind=row["kind"],
        to=_address(row),
        channel=row["way"],
        user_id=row["user_id"],
        facts=facts,
        created_at=row["created_at"],
        attempts=row["attempts"],
    )


def _address(row: Mapping[str, Any]) -> str:
    """Give where a notice goes: to where it was meant to go when it was written, or else where its person is reached now."""
    reached = {"sms": row["challenge_phone"] or row["user_phone"], "mail": row["email"]}
    return row["to"] or reached.get(row["way"]) or ""


def _order_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "order_id": row["order_id"],
        "order_kind": row["order_kind"],
        "amount": row["amount"],
        "fee": row["fee"],
        "city": row["payee_city"] if row["kind"] == "money_received" else row["payer_city"],
        "payer_name_masked": mask_name(row["payer_name"]) if row["payer_phone"] else row["payer_account"],
        "payer_phone_masked": mask_phone(row["payer_phone"]) if row["payer_phone"] else "",
        "payee_name_masked": mask_name(row["payee_name"]) if row["payee_phone"] else row["payee_account"],
        "payee_phone_masked": mask_phone(row["payee_phone"]) if row["payee_phone"] else "",
        "note": row["note"],
        "receipt_no": row["receipt_no"],
        "at": row["posted_at"].isoformat() if row["posted_at"] else None,
        "due_at": row["order_due_at"].isoformat() if row["order_due_at"] else None,
        "delay": row["delay"],
        "refusal": row["refusal"],
    }


async def notice_sent(context: Context, notice_id: int) -> None:
    """Mark a notice as delivered; it never comes again."""
    if not is_id(notice_id):
        return
    async with context.database.write() as connection:
        await connection.execute(update(outbox).where(outbox.c.id == notice_id).values(status="sent"))


async def notice_failed(context: Context, notice_id: int, retry_at: datetime | None) -> bool:
    """Let a notice that could not be delivered come again at ``retry_at``, or never; tell whether it will."""
    if not is_id(notice_id):
        return False
    goes_on = retry_at is not None
    again = case((outbox.c.attempts < GIVE_UP_AFTER, "waiting"), else_="void") if goes_on else "void"
    waiting = (outbox.c.id == notice_id) & (outbox.c.status == "waiting")
    change = {"status": again, **({"due_at": retry_at} if goes_on else {})}
    async with context.database.write() as connection:
        result = await connection.execute(update(outbox).where(waiting).values(**change).returning(outbox.c.status))
        return bool(result.scalar_one_or_none() == "waiting")
