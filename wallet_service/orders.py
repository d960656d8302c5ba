"""Orders: proposed, confirmed by a code bound to them, posted once; or expired, cancelled, refused.

The money of a proposed order is not held: it is checked at the proposal and, finally, in the transaction that posts. A hold
would lock a customer's money for five minutes behind every abandoned proposal, and protect nobody, since the final check
decides either way. A refusal at the final check ends the order: its code is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors, ledger
from wallet_service.codes import CODE_LIFE, ORDER_CODE, TRIES, order_text
from wallet_service.commands import Transfer
from wallet_service.context import SHANGHAI, Context
from wallet_service.idempotency import once
from wallet_service.limits import Spending, check_spending
from wallet_service.masks import mask_name, mask_phone
from wallet_service.money import MAX_AMOUNT, Fen
from wallet_service.outbox import notice_row
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, orders, outbox, users
from wallet_service.views import Order, OrderStatus

SENDS = 4  # codes for one order: the first and three more
LONGEST_NOTE = 100

_payer, _payee = accounts.alias("payer"), accounts.alias("payee")
_owner, _receiver = users.alias("owner"), users.alias("receiver")
_ORDER = (
    select(
        orders,
        _payer.c.city.label("city"),
        _payer.c.balance.label("payer_balance"),
        _payer.c.held.label("payer_held"),
        _payer.c.day,
        _payer.c.day_spent,
        _payer.c.year,
        _payer.c.year_spent,
        _owner.c.level.label("payer_level"),
        _owner.c.status.label("payer_status"),
        _payee.c.balance.label("payee_balance"),
        _payee.c.number.label("payee_wallet"),
        _payee.c.city.label("payee_city"),
        _payee.c.name.label("payee_account_name"),
        _receiver.c.name.label("payee_name"),
        _receiver.c.phone.label("payee_phone"),
        _receiver.c.level.label("payee_level"),
        _receiver.c.status.label("payee_status"),
        _receiver.c.id.label("payee_user_id"),
    )
    .join(_payer, _payer.c.id == orders.c.payer_id)
    .join(_owner, _owner.c.id == orders.c.actor_id)
    .join(_payee, _payee.c.id == orders.c.payee_id)
    .outerjoin(_receiver, _receiver.c.id == _payee.c.user_id)
)
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
).join(users, users.c.id == accounts.c.user_id)


def status_of(stored: str, expires_at: datetime, now: datetime) -> OrderStatus:
    """Judge an order's status now: nobody has to come by for an order to expire."""
    status: OrderStatus = "expired" if stored == "proposed" and now >= expires_at else stored  # type: ignore[assignment]
    return status


def _view(row: Mapping[str, Any], now: datetime) -> Order:
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
        posted_at=row["posted_at"],
        receipt_no=row["receipt_no"],
        refusal=row["refusal"],
    )


async def _load(connection: AsyncConnection, order_id: int, actor: int, *, lock: bool = False) -> dict[str, Any]:
    wanted = _ORDER.where(orders.c.id == order_id, orders.c.actor_id == actor)
    if lock:
        wanted = wanted.with_for_update(of=[orders, _payer, _payee])
    row = (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise errors.OrderNotFound
    return dict(row)


async def order(context: Context, order_id: int, actor: int) -> Order:
    """Show an order to its payer."""
    async with context.database.read() as connection:
        return _view(await _load(connection, order_id, actor), context.now())


def check_payment(
    context: Context,
    *,
    city: str,
    level: int,
    status: str,
    spending: Spending,
    available: int,
    amount: int,
    fee: int,
    now: datetime,
) -> Spending:
    """Give the payer's spending after a payment, or refuse it."""
    if status != "active":
        raise errors.WalletFrozen(city=city)
    after = check_spending(profile_of(context.profiles, city).limits[level], spending, amount, now)
    if available < amount + fee:
        raise errors.InsufficientFunds(amount=amount, fee=fee, available=available, missing=amount + fee - available)
    return after


def check_payee(context: Context, *, city: str, level: int, status: str, balance: int, amount: int) -> None:
    """Refuse a payee whose wallet may not take the money; figures of somebody else's wallet are not told."""
    if status != "active":
        raise errors.PayeeUnavailable
    if balance + amount > profile_of(context.profiles, city).limits[level].balance.fen:
        raise errors.PayeeLimitExceeded


async def _parties(connection: AsyncConnection, command: Transfer) -> tuple[Any, Any]:
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


def _check_command(context: Context, command: Transfer, actor: int) -> None:
    if command.payer != actor:
        raise errors.NotAllowed
    if Fen(command.amount) <= 0:
        raise errors.AmountNotPositive(amount=command.amount)
    if command.amount > MAX_AMOUNT:
        raise errors.AmountTooLarge(amount=command.amount, limit=MAX_AMOUNT)
    if command.city is not None:
        profile_of(context.profiles, command.city)
    if len(command.note or "") > LONGEST_NOTE:
        raise errors.InvalidNote(limit=LONGEST_NOTE)


async def propose(context: Context, command: Transfer, *, actor: int, key: str, replaces: int | None) -> Order:
    """Keep an order that nothing can change any more, and send the code that confirms exactly it.

    ``replaces`` is cancelled in the same transaction, even when the new order is refused: its data were taken back.
    """
    _check_command(context, command, actor)

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        if replaces is not None:
            await _withdraw(connection, replaces, actor, now)
        payer, payee = await _parties(connection, command)
        fee = profile_of(context.profiles, payer.city).fee("transfer", command.amount)
        if payee.user_id == payer.user_id:
            raise errors.SelfTransfer
        check_payee(
            context, city=payee.city, level=payee.level, status=payee.status, balance=payee.balance, amount=command.amount
        )
        check_payment(
            context,
            city=payer.city,
            level=payer.level,
            status=payer.status,
            spending=Spending(payer.day, payer.day_spent, payer.year, payer.year_spent),
            available=payer.balance - payer.held,
            amount=command.amount,
            fee=fee,
            now=now,
        )
        row: dict[str, Any] = {
            "kind": "transfer",
            "status": "proposed",
            "actor_id": actor,
            "payer_id": payer.id,
            "payee_id": payee.id,
            "amount": int(command.amount),
            "fee": fee,
            "note": command.note or "",
            "nonce": context.random.octets(16),
            "counter": 0,
            "tries": 0,
            "created_at": now,
            "expires_at": now + CODE_LIFE,
        }
        row["code_hash"] = context.keys.code_hash(row["nonce"], context.keys.code(ORDER_CODE, order_text(row["kind"], row), 0))
        row["id"] = (await connection.execute(insert(orders).values(row).returning(orders.c.id))).scalar_one()
        await connection.execute(insert(outbox).values(notice_row("payment_code", now, user_id=actor, order_id=row["id"])))
        shown = {"city": payer.city, "payee_wallet": payee.number, "payee_city": payee.city, "payee_name": payee.name}
        unset = {"posted_at": None, "receipt_no": None, "refusal": None}
        return _view({**row, **shown, **unset, "payee_phone": payee.phone}, now)

    inputs = ["transfer", command.payer, command.payee, int(command.amount), command.city, command.note, replaces]
    return await once(context, "propose", actor, key, inputs, work)


async def _withdraw(connection: AsyncConnection, order_id: int, actor: int, now: datetime) -> None:
    """Cancel an open order that a new one replaces; one that was posted already must not be paid a second time."""
    row = await _load(connection, order_id, actor, lock=True)
    status = status_of(row["status"], row["expires_at"], now)
    if status in ("authorised", "posted"):
        raise errors.OrderNotOpen(status=status)
    if status == "proposed":
        await _set(connection, order_id, status="cancelled")


async def _set(connection: AsyncConnection, order_id: int, **columns: Any) -> None:
    await connection.execute(update(orders).where(orders.c.id == order_id).values(**columns))


async def cancel(context: Context, order_id: int, *, actor: int, key: str) -> Order:
    """Cancel an open order; one that is over without having moved money is left as it is."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        await _withdraw(connection, order_id, actor, now)
        return _view(await _load(connection, order_id, actor), now)

    return await once(context, "cancel", actor, key, [order_id], work)


async def _require_open(connection: AsyncConnection, row: Mapping[str, Any], now: datetime) -> None:
    status = status_of(row["status"], row["expires_at"], now)
    if status == "expired":
        if row["status"] == "proposed":
            await _set(connection, row["id"], status="expired")
        raise errors.CodeExpired(expired_at=row["expires_at"].isoformat())
    if row["refusal"] == errors.OrderLocked.code:
        raise errors.OrderLocked(tries=TRIES)
    if status != "proposed":
        raise errors.OrderNotOpen(status=status)


async def resend_code(context: Context, order_id: int, *, actor: int, key: str) -> Order:
    """Send a new code for an open order: the old one is dead, wrong tries stay counted, five minutes start again."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        row = await _load(connection, order_id, actor, lock=True)
        await _require_open(connection, row, now)
        counter = row["counter"] + 1
        if counter >= SENDS:
            raise errors.TooManyCodes(limit=SENDS, retry_at=None)
        code = context.keys.code(ORDER_CODE, order_text(row["kind"], row), counter)
        fresh = {
            "counter": counter,
            "code_hash": context.keys.code_hash(row["nonce"], code),
            "expires_at": now + CODE_LIFE,
        }
        await _set(connection, order_id, **fresh)
        notice = notice_row("payment_code", now, user_id=actor, order_id=order_id, counter=counter)
        await connection.execute(insert(outbox).values(notice))
        return _view({**row, **fresh}, now)

    return await once(context, "resend_code", actor, key, [order_id], work)


async def authorize(context: Context, order_id: int, code: str, *, actor: int, key: str) -> Order:
    """Take the code of an order and post it, all in one transaction."""

    async def work(connection: AsyncConnection) -> Order:
        now = context.now()
        row = await _load(connection, order_id, actor, lock=True)
        await _require_open(connection, row, now)
        if not context.keys.code_matches(row["nonce"], code.strip(), row["code_hash"]):
            await _count_wrong_try(connection, row)
        try:
            spending = _final_check(context, row, now)
        except errors.WalletError as refusal:
            await _set(connection, order_id, status="refused", refusal=refusal.code)
            raise
        await _set(connection, order_id, status="authorised", authorised_at=now)
        return await _post(context, connection, row, spending, now)

    return await once(context, "authorize", actor, key, [order_id, code], work)


async def _count_wrong_try(connection: AsyncConnection, row: Mapping[str, Any]) -> None:
    tries = row["tries"] + 1
    if tries < TRIES:
        await _set(connection, row["id"], tries=tries)
        raise errors.WrongCode(tries_left=TRIES - tries)
    await _set(connection, row["id"], tries=tries, status="refused", refusal=errors.OrderLocked.code)
    raise errors.OrderLocked(tries=TRIES)


def _final_check(context: Context, row: Mapping[str, Any], now: datetime) -> Spending:
    check_payee(
        context,
        city=row["payee_city"],
        level=row["payee_level"],
        status=row["payee_status"],
        balance=row["payee_balance"],
        amount=row["amount"],
    )
    return check_payment(
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
    done = {"status": "posted", "posted_at": now, "receipt_no": receipt_no(row["id"], now)}
    await _set(connection, row["id"], **done)
    notices = [
        notice_row("payment_posted", now, user_id=row["actor_id"], order_id=row["id"]),
        notice_row("money_received", now, user_id=row["payee_user_id"], order_id=row["id"]),
    ]
    await connection.execute(insert(outbox), notices)
    return _view({**row, **done}, now)


def receipt_no(order_id: int, now: datetime) -> str:
    """Give the receipt's number: the day in Asia/Shanghai, then the order's id."""
    return f"{now.astimezone(SHANGHAI):%Y%m%d}{order_id:010d}"
