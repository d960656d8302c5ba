"""Orders: what they are, how they read, and how they end without moving money.

An order goes from proposed to authorised to posted, or it expires, is cancelled or refused. ``proposing`` makes them,
``authorizing`` posts them; the database's own trigger refuses every other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors
from wallet_service.checks import is_id
from wallet_service.codes import CODE_LIFE, ORDER_CODE, TRIES, is_over, order_text
from wallet_service.context import Context
from wallet_service.idempotency import once
from wallet_service.masks import mask_name, mask_phone
from wallet_service.outbox import notice_row
from wallet_service.schema import accounts, orders, outbox, users
from wallet_service.views import Order, OrderStatus

SENDS = 4  # codes for one order: the first and three more

PAYER, _payee = accounts.alias("payer"), accounts.alias("payee")
_owner, _receiver = users.alias("owner"), users.alias("receiver")
ORDER_ROWS = (  # orders joined with both parties, as order_view reads them
    select(
        orders,
        PAYER.c.city.label("city"),
        _owner.c.locked_until,
        _payee.c.number.label("payee_wallet"),
        _payee.c.city.label("payee_city"),
        _payee.c.name.label("payee_account_name"),
        _receiver.c.name.label("payee_name"),
        _receiver.c.phone.label("payee_phone"),
    )
    .join(PAYER, PAYER.c.id == orders.c.payer_id)
    .join(_owner, _owner.c.id == orders.c.actor_id)
    .join(_payee, _payee.c.id == orders.c.payee_id)
    .outerjoin(_receiver, _receiver.c.id == _payee.c.user_id)
)


def new_order(**columns: Any) -> dict[str, Any]:
    """Give the row of a new order: what is not said is what an immediate payment from the balance has."""
    return {
        "status": "proposed",
        "fee": 0,
        "note": "",
        "method": "balance",
        "card_id": None,
        "bill_id": None,
        "refunds_id": None,
        "refunded": 0,
        "delay": 0,
        "counter": 0,
        "tries": 0,
        "second": "",
        "warnings": [],
        "spent_day": 0,
        "quota_used": 0,
        "quota_period": 0,
        "due_at": None,
        "outside": "",
        "outside_no": None,
        "outside_state": "",
        "attempts": 0,
        "code_hash": None,
        "refusal": None,
        "authorised_at": None,
        "posted_at": None,
        "posted_amount": None,
        "receipt_no": None,
        **columns,
    }


MUTABLE = (
    "status",
    "refusal",
    "tries",
    "second",
    "refunded",
    "code_hash",
    "authorised_at",
    "spent_day",
    "quota_used",
    "quota_period",
    "due_at",
    "outside_state",
    "attempts",
    "posted_at",
    "posted_amount",
    "receipt_no",
)


def status_of(stored: str, expires_at: datetime, now: datetime) -> OrderStatus:
    """Judge an order's status now: nobody has to come by for an order to expire."""
    status: OrderStatus = "expired" if stored == "proposed" and is_over(expires_at, now) else stored  # type: ignore[assignment]
    return status


def order_view(row: Mapping[str, Any], now: datetime) -> Order:
    """Show an order as its payer sees it, from a row of orders joined with its parties."""
    return Order(
        id=row["id"],
        kind=row["kind"],
        status=status_of(row["status"], row["expires_at"], now),
        amount=row["amount"],
        fee=row["fee"],
        city=row["city"],
        payee_wallet=row["payee_wallet"] or "",
        payee_city=row["payee_city"],
        payee_name_masked=mask_name(row["payee_name"]) if row["payee_phone"] else row["payee_account_name"],
        payee_phone_masked=mask_phone(row["payee_phone"]) if row["payee_phone"] else "",
        note=row["note"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        tries_left=TRIES - row["tries"],
        method=row["method"],
        delay=row["delay"],
        due_at=row["due_at"],
        second=row["second"],
        warnings=tuple(row["warnings"]),
        refunded=row["refunded"],
        outside_state=row["outside_state"],
        posted_amount=row["posted_amount"],
        posted_at=row["posted_at"],
        receipt_no=row["receipt_no"],
        refusal=row["refusal"],
    )


def require_ids(*ids: object) -> None:
    """Refuse what cannot be the id of an order or of its actor."""
    if not all(map(is_id, ids)):
        raise errors.OrderNotFound


async def load_order(connection: AsyncConnection, order_id: int, actor: int, *, lock: bool = False) -> dict[str, Any]:
    """Read an actor's order with both parties; ``lock`` keeps the order still until the transaction ends."""
    require_ids(order_id, actor)
    wanted = ORDER_ROWS.where(orders.c.id == order_id, orders.c.actor_id == actor)
    if lock:
        wanted = wanted.with_for_update(of=[orders])
    row = (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise errors.OrderNotFound
    return dict(row)


async def order(context: Context, order_id: int, actor: int) -> Order:
    """Show an order to its payer."""
    async with context.database.read() as connection:
        return order_view(await load_order(connection, order_id, actor), context.now())


async def withdraw(connection: AsyncConnection, order_id: int, actor: int, now: datetime) -> dict[str, Any]:
    """Cancel an open order of a person who is held, and give it; one that was posted already is told so, not paid twice."""
    row = await load_order(connection, order_id, actor, lock=True)
    status = status_of(row["status"], row["expires_at"], now)
    if status in ("authorised", "posted"):
        raise errors.OrderNotOpen(status=status)
    if status == "proposed":
        await change_order(connection, order_id, status="cancelled")
    return row


async def change_order(connection: AsyncConnection, order_id: int, **columns: Any) -> None:
    """Write some columns of an order."""
    await connection.execute(update(orders).where(orders.c.id == order_id).values(**columns))


async def cancel(context: Context, order_id: int, *, actor: int, key: str) -> Order:
    """Cancel an open order; one that is over without having moved money is left as it is."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        await brakes.hold(context, connection, actor)
        await withdraw(connection, order_id, actor, now)
        return order_view(await load_order(connection, order_id, actor), now)

    require_ids(order_id)
    return await once(context, "cancel", actor, key, [order_id], work)


def over(row: Mapping[str, Any], now: datetime) -> errors.WalletError | None:
    """Give why an order waits for no code any more, None while it does."""
    status = status_of(row["status"], row["expires_at"], now)
    if status == "proposed":
        return None
    if status == "expired":
        return errors.CodeExpired(expired_at=row["expires_at"].isoformat())
    if row["refusal"] == errors.OrderLocked.code:
        return errors.OrderLocked(tries=TRIES)
    return errors.OrderNotOpen(status=status)


async def resend_code(context: Context, order_id: int, *, actor: int, key: str) -> Order:
    """Send a new code for an open order: the old one is dead, wrong tries stay counted, five minutes start again."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        await brakes.hold(context, connection, actor)
        row = await load_order(connection, order_id, actor, lock=True)
        if (refusal := over(row, now)) is not None:
            raise refusal
        brakes.check_lock(row["locked_until"], now)
        counter = row["counter"] + 1
        if counter >= SENDS:
            raise errors.TooManyCodes(limit=SENDS, retry_at=None)
        await brakes.check_payment_codes(context, connection, actor, now)
        code = context.keys.code(ORDER_CODE, order_text(row["kind"], row), counter)
        fresh = {
            "counter": counter,
            "code_hash": context.keys.code_hash(row["nonce"], code),
            "expires_at": now + CODE_LIFE,
        }
        await change_order(connection, order_id, **fresh)
        notice = notice_row("payment_code", now, user_id=actor, order_id=order_id, counter=counter)
        await connection.execute(insert(outbox).values(notice))
        return order_view({**row, **fresh}, now)

    require_ids(order_id)
    return await once(context, "resend_code", actor, key, [order_id], work)
