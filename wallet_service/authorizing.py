"""Authorisation: the order's own code, a last check, and the posting, in one transaction.

A refusal at the last check ends the order, since its code is spent; a wrong code only counts, up to five.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors, ledger
from wallet_service.codes import TRIES, confirmation, typed_code
from wallet_service.context import SHANGHAI, Context
from wallet_service.idempotency import once
from wallet_service.limits import Spending
from wallet_service.orders import change_order, check_payee, check_payment, load_order, order_view, require_ids, require_open
from wallet_service.outbox import notice_row
from wallet_service.schema import outbox
from wallet_service.views import Order


async def authorize(context: Context, order_id: int, code: str, *, actor: int, key: str) -> Order:
    """Take the code of an order and post it, all in one transaction."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        await brakes.hold(context, connection, actor, order_id)
        row = await load_order(connection, order_id, actor, lock=True)
        await require_open(connection, row, now)
        brakes.check_lock(row["locked_until"], now)
        if not context.keys.code_matches(row["nonce"], typed_code(code), row["code_hash"]):
            await _count_wrong_try(connection, row, now)
        if row["wrong_codes"]:
            await brakes.forgive_wrong_codes(connection, actor)
        try:
            spending = _final_check(context, row, now)
        except errors.WalletError as refusal:
            await change_order(connection, order_id, status="refused", refusal=refusal.code)
            raise
        return await _post(context, connection, row, spending, now)

    require_ids(order_id)
    return await once(context, "authorize", actor, key, [order_id, code], work)


async def _count_wrong_try(connection: AsyncConnection, row: Mapping[str, Any], now: datetime) -> None:
    """Count it for the order and for the person, whose fifth in a row ends the order too, whichever the others were for."""
    tries = max(row["tries"], row["wrong_codes"] % TRIES) + 1
    locked_until = await brakes.count_wrong_code(connection, row["actor_id"], row["wrong_codes"], now)
    if tries < TRIES:
        await change_order(connection, row["id"], tries=tries)
        raise errors.WrongCode(tries_left=TRIES - tries)
    await change_order(connection, row["id"], tries=tries, status="refused", refusal=errors.OrderLocked.code)
    if locked_until is not None:
        raise errors.PaymentsLocked(retry_at=locked_until.isoformat())
    raise errors.OrderLocked(tries=TRIES)


def _final_check(context: Context, row: Mapping[str, Any], now: datetime) -> Spending:
    spending = check_payment(
        context,
        city=row["city"],
        level=row["payer_level"],
        status=row["payer_status"],
        spending=Spending(row["day"], row["day_spent"], row["year"], row["year_spent"]),
        available=row["payer_balance"] - row["payer_held"],
        amount=row["amount"],
        fee=row["fee"],
        now=now,
    )
    check_payee(
        context,
        city=row["payee_city"],
        level=row["payee_level"],
        status=row["payee_status"],
        balance=row["payee_balance"],
        amount=row["amount"],
    )
    return spending


async def _post(
    context: Context, connection: AsyncConnection, row: Mapping[str, Any], spending: Spending, now: datetime
) -> Order:
    payer, payee = row["payer_id"], row["payee_id"]
    balances = {payer: row["payer_balance"], payee: row["payee_balance"]}
    fees = context.system[row["city"], "fees"]
    if row["fee"]:
        balances[fees] = await ledger.locked_balance(connection, fees)
    book = ledger.Book(balances)
    book.move(row["id"], row["kind"], debit=payer, credit=payee, amount=row["amount"], at=now)
    if row["fee"]:
        book.move(row["id"], "fee", debit=payer, credit=fees, amount=row["fee"], at=now)
    await ledger.post(connection, book, {payer: spending})
    proof = confirmation(context.keys, row["id"], row, now)
    done = {
        "status": "posted",
        "authorised_at": now,
        "posted_at": now,
        "posted_amount": row["amount"],
        "spent_day": spending.day,
        "receipt_no": receipt_no(row["id"], now),
        "code_hash": proof,
    }
    await change_order(connection, row["id"], **done)
    notices = [
        notice_row("payment_posted", now, user_id=row["actor_id"], order_id=row["id"]),
        notice_row("money_received", now, user_id=row["payee_user_id"], order_id=row["id"]),
    ]
    await connection.execute(insert(outbox), notices)
    return order_view({**row, **done}, now)


def receipt_no(order_id: int, now: datetime) -> str:
    """Give the receipt's number: the day in Asia/Shanghai, then the order's id."""
    return f"{now.astimezone(SHANGHAI):%Y%m%d}{order_id:010d}"
