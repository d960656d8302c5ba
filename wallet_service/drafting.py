"""What a command means: which accounts, which way, what it costs; and the first judgement of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.checks import checked_note, is_id
from wallet_service.commands import Command, Pay, PayBill, TopUp, Transfer, Withdraw
from wallet_service.context import Context
from wallet_service.factors import second_factors
from wallet_service.limits import Spending, needs_second
from wallet_service.money import Fen, bounded, checked_amount
from wallet_service.numbers import is_merchant_number, is_wallet_number
from wallet_service.orders import new_order
from wallet_service.posting import check_payee, check_payer
from wallet_service.profile import Profile, profile_of
from wallet_service.risk import check_hints
from wallet_service.schema import PAYS_BILL, accounts, billers, bills, cards, orders, subscriptions, users
from wallet_service.sheet import Sheet

_WALLET = (
    select(accounts.c.id, accounts.c.city)
    .join(users, users.c.id == accounts.c.user_id)
    .where(
        accounts.c.user_id == bindparam("user_id"),
        accounts.c.city == func.coalesce(bindparam("city", type_=String), users.c.default_city),
    )
)
_BY_NUMBER = select(accounts.c.id, accounts.c.user_id).where(
    accounts.c.number == bindparam("number"), accounts.c.kind == bindparam("kind")
)
_CARD = select(cards.c.kind).where(
    cards.c.id == bindparam("card"), cards.c.user_id == bindparam("user_id"), cards.c.status == "bound"
)
_PAID = exists().where(orders.c.bill_id == bills.c.id, PAYS_BILL)
_BILL = (
    select(bills.c.amount, billers.c.account_id, accounts.c.city, _PAID.label("paid"))
    .join(billers, billers.c.id == bills.c.biller_id)
    .join(accounts, accounts.c.id == billers.c.account_id)
    .join(
        subscriptions,
        (subscriptions.c.biller_id == bills.c.biller_id) & (subscriptions.c.customer_index == bills.c.customer_index),
    )
    .where(bills.c.id == bindparam("bill"), subscriptions.c.user_id == bindparam("user_id"))
)


def plain_inputs(command: Command) -> list[object]:
    """Give what a key stands for: the command's kind and its fields."""
    fields = [getattr(command, name) for name in command.__dataclass_fields__]
    return [type(command).__name__, *(bounded(value) if isinstance(value, Fen) else value for value in fields)]


async def draft(context: Context, connection: AsyncConnection, command: Command) -> dict[str, Any]:
    """Find the accounts of a command and give the row of its order, without what its confirmation needs."""
    if isinstance(command, PayBill):
        return await _bill(context, connection, command)
    amount, note = checked_amount(command.amount), checked_note(getattr(command, "note", None))
    if isinstance(command, Transfer | Pay):
        check_hints(command.hints)
    if command.city is not None:
        profile_of(context.profiles, command.city)
    wallet = await _wallet(connection, command.payer, command.city)
    row: dict[str, Any] = {"payer_id": wallet.id, "amount": amount, "note": note, "actor_id": command.payer}
    if isinstance(command, Transfer):
        delays = context.profiles[wallet.city].arrival.delays
        if type(command.delay) is not int or command.delay not in delays:  # the code is bound to how it is written
            raise errors.InvalidDelay(delays=list(delays))
        payee = await _payee(connection, command.payee, "wallet")
        if payee.user_id == command.payer:
            raise errors.SelfTransfer
        return {**row, "kind": "transfer", "payee_id": payee.id, "delay": command.delay}
    if isinstance(command, Pay):
        payee = await _payee(connection, command.merchant, "merchant")
        method = "static" if command.static else "dynamic"
        return {**row, "kind": "pay", "payee_id": payee.id, "method": method}
    return {**row, **await _by_card(context, connection, command, wallet)}


async def outlay(context: Context, connection: AsyncConnection, user_id: int, amount: Fen, city: str | None) -> dict[str, Any]:
    """Give the row of a transfer whose payee is not known yet: what its payer's own rules need."""
    fen = checked_amount(amount)
    if city is not None:
        profile_of(context.profiles, city)
    wallet = await _wallet(connection, user_id, city)
    return new_order(kind="transfer", payer_id=wallet.id, amount=fen, actor_id=user_id)


async def _wallet(connection: AsyncConnection, user_id: int, city: str | None) -> Any:
    found = await connection.execute(_WALLET, {"user_id": user_id, "city": city})
    row = found.one_or_none()
    if row is None:
        raise errors.NoWallet(city=city)
    return row


async def _payee(connection: AsyncConnection, number: str, kind: str) -> Any:
    known = is_wallet_number(number) if kind == "wallet" else is_merchant_number(number)
    row = (await connection.execute(_BY_NUMBER, {"number": number, "kind": kind})).one_or_none() if known else None
    if row is None:
        raise errors.PayeeNotFound
    return row


async def _by_card(context: Context, connection: AsyncConnection, command: TopUp | Withdraw, wallet: Any) -> dict[str, Any]:
    _connected(context, "bank")
    found = await connection.execute(_CARD, {"card": command.card, "user_id": command.payer}) if is_id(command.card) else None
    kind = found.scalar() if found is not None else None
    if kind is None or (isinstance(command, Withdraw) and kind != "debit"):
        raise errors.CardNotFound
    bank = context.system[wallet.city, "clearing"]
    row = {"card_id": command.card, "method": f"{kind}_card", "outside": "bank"}
    if isinstance(command, TopUp):
        return {**row, "kind": "top_up", "payer_id": bank, "payee_id": wallet.id}
    return {**row, "kind": "withdraw", "payee_id": bank}


async def _bill(context: Context, connection: AsyncConnection, command: PayBill) -> dict[str, Any]:
    _connected(context, "biller")
    asked = {"bill": command.bill, "user_id": command.payer}
    bill = (await connection.execute(_BILL, asked)).one_or_none() if is_id(command.bill) else None
    if bill is None:  # or of a household whose customer number this person never gave: what others owe is not told
        raise errors.BillNotFound
    if bill.paid:
        raise errors.BillPaid
    wallet = await _wallet(connection, command.payer, bill.city)
    parties = {"payer_id": wallet.id, "payee_id": bill.account_id, "actor_id": command.payer}
    return {**parties, "kind": "bill", "amount": bill.amount, "bill_id": command.bill, "outside": "biller"}


def _connected(context: Context, outside: str) -> None:
    if outside not in context.outside:
        raise errors.ChannelMissing(outside=outside)


async def judge(context: Context, connection: AsyncConnection, drafted: dict[str, Any], sheet: Sheet) -> dict[str, Any]:
    """Give the whole row of a drafted order, with its fee and whether it needs a second factor, or refuse it."""
    row = new_order(**drafted)
    await sheet.look(connection, (row["payer_id"], row["payee_id"]))
    await judge_payer(context, connection, row, sheet)
    check_payee(sheet, row, room=False)
    return row


async def judge_payer(context: Context, connection: AsyncConnection, row: dict[str, Any], sheet: Sheet) -> None:
    """Price an order and see whether it needs a second factor, or refuse it by its payer's own rules."""
    payer = sheet.accounts[row["payer_id"]]
    profile = profile_of(context.profiles, payer["city"])
    price(profile, row, payer, sheet)
    if payer["user_id"] is not None:
        spending = Spending.of(payer).at(sheet.now)
        if needs_second(profile, spending, row["kind"], row["amount"]):
            row["second"] = "needed" if await second_factors(connection, row["actor_id"]) else ""
    check_payer(sheet, {**row, "second": "proven" if row["second"] else ""})


def price(profile: Profile, row: dict[str, Any], payer: dict[str, Any], sheet: Sheet) -> None:
    """Set an order's fee and the part of a free quota that it takes."""
    kind = "top_up_credit_card" if row["kind"] == "top_up" and row["method"] == "credit_card" else row["kind"]
    fee = profile.fees[kind]
    used = Spending.of(payer).at(sheet.now, fee).quota_used if fee.quota_period is not None else 0
    row["fee"] = fee.of(row["amount"], used)
    row["quota_used"] = min(row["amount"], max(fee.free_quota - used, 0)) if fee.quota_period is not None else 0


def outside_number(order_id: int, nonce: bytes, created: str) -> str:
    """Give the number by which the channel outside knows an order, for good."""
    return f"{created}{order_id:010d}{nonce[:4].hex()}"
