"""Proposals: an order that nothing can change any more, and the code that confirms exactly it.

The money of a proposed order is not held: it is checked here and, finally, in the transaction that posts. A hold would lock a
customer's money for five minutes behind every abandoned proposal, and protect nobody, since the final check decides anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors
from wallet_service.checks import is_id
from wallet_service.codes import CODE_LIFE, ORDER_CODE, TRIES, order_text
from wallet_service.commands import Transfer
from wallet_service.context import Context
from wallet_service.idempotency import once
from wallet_service.limits import Spending
from wallet_service.money import MAX_AMOUNT, Fen
from wallet_service.numbers import is_wallet_number
from wallet_service.orders import check_payee, check_payment, new_order, order_view, require_ids, withdraw
from wallet_service.outbox import notice_row
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, orders, outbox, users
from wallet_service.views import Order

LONGEST_NOTE = 100
_HUGE = 10**100
_PARTIES = select(
    accounts.c.id,
    accounts.c.number,
    accounts.c.city,
    accounts.c.balance,
    accounts.c.held,
    accounts.c.day,
    accounts.c.day_spent,
    accounts.c.year,
    accounts.c.year_spent,
    accounts.c.user_id,
    users.c.name,
    users.c.phone,
    users.c.level,
    users.c.status,
    users.c.default_city,
    users.c.wrong_codes,
    users.c.locked_until,
).join(users, users.c.id == accounts.c.user_id)


async def _parties(connection: AsyncConnection, command: Transfer) -> tuple[Any, Any]:
    if not is_wallet_number(command.payee):
        raise errors.PayeeNotFound
    city = func.coalesce(command.city, users.c.default_city)
    mine = and_(accounts.c.user_id == command.payer, accounts.c.city == city)
    rows = (await connection.execute(_PARTIES.where(or_(mine, accounts.c.number == command.payee)))).all()
    payers = [row for row in rows if row.user_id == command.payer and row.city == (command.city or row.default_city)]
    payees = [row for row in rows if row.number == command.payee]
    if not payers:
        raise errors.NoWallet(city=command.city)
    if not payees:
        raise errors.PayeeNotFound
    return payers[0], payees[0]


def _check_command(context: Context, command: Transfer, amount: int) -> None:
    if amount <= 0:
        raise errors.AmountNotPositive(amount=amount)
    if amount > MAX_AMOUNT:
        raise errors.AmountTooLarge(amount=amount, limit=MAX_AMOUNT)
    if command.city is not None:
        profile_of(context.profiles, command.city)
    if command.note is not None and not (isinstance(command.note, str) and len(command.note) <= LONGEST_NOTE):
        raise errors.InvalidNote(limit=LONGEST_NOTE)


def _check_parties(context: Context, payer: Any, payee: Any, amount: int, fee: int, now: datetime) -> None:
    # The payer first: somebody without money must not learn what a stranger's wallet may hold.
    check_payment(
        context,
        city=payer.city,
        level=payer.level,
        status=payer.status,
        spending=Spending(payer.day, payer.day_spent, payer.year, payer.year_spent),
        available=payer.balance - payer.held,
        amount=amount,
        fee=fee,
        now=now,
    )
    check_payee(context, city=payee.city, level=payee.level, status=payee.status, balance=payee.balance, amount=amount)


def _new_order(
    context: Context, payer: Any, payee: Any, amount: int, fee: int, note: str, old: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """Give the row of a new order; in place of an ``old`` one it has no more tries and codes left than that had."""
    tries = max(old["tries"] % TRIES if old else 0, payer.wrong_codes % TRIES)
    row = new_order(
        kind="transfer",
        actor_id=payer.user_id,
        payer_id=payer.id,
        payee_id=payee.id,
        amount=amount,
        fee=fee,
        note="".join(character for character in note if character.isprintable()),
        nonce=context.random.octets(16),
        counter=old["counter"] if old else 0,
        tries=tries,
        created_at=now,
        expires_at=now + CODE_LIFE,
    )
    code = context.keys.code(ORDER_CODE, order_text(row["kind"], row), row["counter"])
    return {**row, "code_hash": context.keys.code_hash(row["nonce"], code)}


async def propose(context: Context, command: Transfer, *, actor: int, key: str, replaces: int | None) -> Order:
    """Keep an order that nothing can change any more, and send the code that confirms exactly it.

    ``replaces`` is cancelled in the same transaction, even when the new order is refused: its data were taken back.
    """
    if not is_id(command.payer) or command.payer != actor:
        raise errors.NotAllowed
    if replaces is not None:
        require_ids(replaces)
    amount = max(-_HUGE, min(int(Fen(command.amount)), _HUGE))  # Python refuses to write longer numbers down

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        await brakes.hold(context, connection, actor)
        old = None if replaces is None else await withdraw(connection, replaces, actor, now)
        _check_command(context, command, amount)
        payer, payee = await _parties(connection, command)
        if payee.user_id == payer.user_id:
            raise errors.SelfTransfer
        fee = profile_of(context.profiles, payer.city).fee("transfer", amount)
        brakes.check_lock(payer.locked_until, now)
        _check_parties(context, payer, payee, amount, fee, now)
        await brakes.check_payment_codes(context, connection, actor, now)
        row = _new_order(context, payer, payee, amount, fee, command.note or "", old, now)
        row["id"] = (await connection.execute(insert(orders).returning(orders.c.id), row)).scalar_one()
        notice = notice_row("payment_code", now, user_id=actor, order_id=row["id"], counter=row["counter"])
        await connection.execute(insert(outbox), notice)
        shown = {"city": payer.city, "payee_wallet": payee.number, "payee_city": payee.city, "payee_name": payee.name}
        unset = {"posted_at": None, "receipt_no": None, "refusal": None}
        return order_view({**row, **shown, **unset, "payee_phone": payee.phone}, now)

    inputs = ["transfer", command.payer, command.payee, amount, command.city, command.note, replaces]
    return await once(context, "propose", actor, key, inputs, work)
