"""What an order does to the books: held, posted, posted from what was held, voided. All of it on the sheet of one transaction.

An authorised order holds amount and fee of its payer until it is posted, voided or expires; each of them happens once, since
only an authorised order can end so. Limits are counted when the money is held or posted, and given back when it is let go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wallet_service import errors
from wallet_service.codes import confirmation
from wallet_service.limits import (
    SPENDING,
    Spending,
    check_limits,
    check_static,
    check_uncoded,
    day_number,
    day_of,
    needs_second,
    refuse_second,
)
from wallet_service.profile import Fee, profile_of
from wallet_service.sheet import Sheet

PAID_OUT = ("clearing", "promotions")  # these accounts may be below zero: money enters the books there
PAYING = ("authorised", "posted")  # orders of which one at most may pay a bill


def check_payer(sheet: Sheet, order: Mapping[str, Any]) -> Spending | None:
    """Give what the payer's wallet has spent after this order, or refuse it; accounts of the house count nothing."""
    payer = sheet.accounts[order["payer_id"]]
    amount, fee = order["amount"], order["fee"]
    available = payer["balance"] - payer["held"]
    if payer["user_id"] is None:
        if payer["kind"] not in PAID_OUT and available < amount + fee:
            raise errors.InsufficientFunds(amount=amount, fee=fee, available=available, missing=amount + fee - available)
        return None
    city = payer["city"]
    require_active(payer["status"], city)
    profile = profile_of(sheet.context.profiles, city)
    quota_fee = _quota_fee(profile.fees, order["kind"])
    spending = Spending.of(payer).at(sheet.now, quota_fee)
    if order["kind"] in SPENDING:
        check_limits(profile.limits[payer["level"]], spending, amount)
        if order["method"] == "static":
            check_static(profile, spending, amount)
    if available < amount + fee:
        raise errors.InsufficientFunds(amount=amount, fee=fee, available=available, missing=amount + fee - available)
    if quota_fee is not None and order["actor_id"] is not None:
        _check_fee(quota_fee, spending, amount, fee)
    if order["method"] == "code":
        check_uncoded(profile, spending, amount)
    elif order["second"] != "proven" and order["actor_id"] is not None and needs_second(profile, spending, order["kind"], amount):
        if order["second"] == "needed" or order["actor_id"] in sheet.with_second:
            raise errors.SecondFactorMissing
        refuse_second(profile, spending, amount)
    if order["kind"] not in SPENDING:
        return None
    return spending.plus(amount, static=order["method"] == "static", quota=order["quota_used"])


def _check_fee(rule: Fee, spending: Spending, amount: int, confirmed: int) -> None:
    """Refuse a fee that was worked out with a part of the free quota which another order has taken since."""
    fee = rule.of(amount, spending.quota_used)
    if fee > confirmed:
        raise errors.FeeChanged(amount=amount, fee=fee, was=confirmed)


def require_active(status: str, city: str) -> None:
    """Refuse a person whose wallets are frozen or are being closed."""
    if status in ("closing", "closed"):
        raise errors.WalletClosing(city=city)
    if status != "active":
        raise errors.WalletFrozen(city=city)


def check_payee(sheet: Sheet, order: Mapping[str, Any], *, room: bool = True) -> None:
    """Refuse a payee whose wallet may not take the money; figures are told of one's own wallet only.

    What another's wallet has ``room`` for is judged only where the money moves at once: by whatever costs nothing, a proposal or
    a transfer that can be called back, anybody could try sums until they knew what the other has.
    """
    payee = sheet.accounts[order["payee_id"]]
    if payee["user_id"] is None:
        return
    if order["kind"] == "refund":  # what was paid must be able to come back, to a frozen and to a full wallet too
        if payee["status"] == "closed":
            raise errors.PayeeUnavailable
        return
    limits = profile_of(sheet.context.profiles, payee["city"]).limits[payee["level"]]
    balance, incoming = payee["balance"], payee["incoming"]
    left = max(limits.balance.fen - balance - incoming, 0)
    if order["kind"] == "top_up":
        require_active(payee["status"], payee["city"])
        if order["amount"] > left:
            figures = {"limit": limits.balance.fen, "balance": balance, "incoming": incoming, "left": left}
            raise errors.BalanceLimitExceeded(amount=order["amount"], lifted_by=limits.lifted_by, **figures)
        return
    if payee["status"] != "active":
        raise errors.PayeeUnavailable
    if room and order["amount"] > left:
        raise errors.PayeeLimitExceeded


def check_means(sheet: Sheet, order: Mapping[str, Any]) -> None:
    """Refuse a card that was unbound, or a bill that another order pays, since the order was proposed."""
    if order["card_id"] is not None and order["card_id"] not in sheet.bound_cards:
        raise errors.CardNotFound
    if order["bill_id"] is None:
        return
    here = (other for other in sheet.orders.values() if other["bill_id"] == order["bill_id"])
    if order["bill_id"] in sheet.paid_bills or any(other["status"] in PAYING for other in here):
        raise errors.BillPaid


def _quota_fee(fees: Mapping[str, Fee], kind: str) -> Fee | None:
    fee = fees.get(kind)
    return fee if fee is not None and fee.quota_period is not None else None


def receipt_no(order_id: int, now: datetime) -> str:
    """Give the receipt's number: the day in Asia/Shanghai, then the order's id."""
    return f"{day_number(day_of(now))}{order_id:010d}"


def _count(sheet: Sheet, order: Mapping[str, Any], spending: Spending | None) -> dict[str, Any]:
    """Count an order against its payer's limits; give what the order keeps of that."""
    if spending is None:
        return {"spent_day": 0, "quota_period": 0}
    sheet.change_account(order["payer_id"], **spending.columns())
    return {"spent_day": spending.day, "quota_period": spending.quota_period if order["quota_used"] else 0}


def _uncount(sheet: Sheet, order: Mapping[str, Any], amount: int) -> None:
    """Give back what was counted and does not leave after all, as long as its day, year or period still runs."""
    payer = sheet.accounts[order["payer_id"]]
    day, year = order["spent_day"], order["spent_day"] // 10_000
    if not day:
        return
    whole = amount == order["amount"]
    changes = {
        "day_spent": amount if payer["day"] == day else 0,
        "year_spent": amount if payer["year"] == year else 0,
        "static_spent": amount if payer["day"] == day and order["method"] == "static" else 0,
        "quota_used": order["quota_used"] if whole and payer["quota_period"] == order["quota_period"] else 0,
    }
    sheet.change_account(order["payer_id"], **{name: payer[name] - back for name, back in changes.items()})


def post(sheet: Sheet, order_id: int, spending: Spending | None) -> None:
    """Post an order that needs to wait for nothing."""
    order = sheet.orders[order_id]
    counted = _count(sheet, order, spending)
    _enter(sheet, order, order["amount"], authorised_at=sheet.now, **counted)


def hold(sheet: Sheet, order_id: int, spending: Spending | None, *, due_at: datetime | None) -> None:
    """Hold the money of an order that arrives later, or that waits for a channel outside."""
    order = sheet.orders[order_id]
    counted = _count(sheet, order, spending)
    payer = sheet.accounts[order["payer_id"]]
    sheet.change_account(order["payer_id"], held=payer["held"] + order["amount"] + order["fee"])
    _expect(sheet, order, order["amount"])
    sheet.change_order(order_id, status="authorised", authorised_at=sheet.now, due_at=due_at, **counted)


def post_held(sheet: Sheet, order_id: int, amount: int | None = None) -> None:
    """Post what an authorised order holds, or only ``amount`` fen of it; the rest is let go."""
    order = sheet.orders[order_id]
    posted = order["amount"] if amount is None else amount
    if posted > order["amount"]:
        raise errors.AmountTooLarge(amount=posted, limit=order["amount"])
    _release(sheet, order)
    if posted < order["amount"]:
        _uncount(sheet, order, order["amount"] - posted)
    _enter(sheet, order, posted, due_at=None)


def void(sheet: Sheet, order_id: int, refusal: str, *, status: str = "voided") -> None:
    """Let go what an authorised order holds: nothing was moved."""
    order = sheet.orders[order_id]
    _release(sheet, order)
    _uncount(sheet, order, order["amount"])
    sheet.change_order(order_id, status=status, refusal=refusal, due_at=None)


def _release(sheet: Sheet, order: Mapping[str, Any]) -> None:
    if order["status"] != "authorised":
        raise errors.OrderNotOpen(status=order["status"])
    payer = sheet.accounts[order["payer_id"]]
    sheet.change_account(order["payer_id"], held=payer["held"] - order["amount"] - order["fee"])
    _expect(sheet, order, -order["amount"])


def _expect(sheet: Sheet, order: Mapping[str, Any], amount: int) -> None:
    """Keep room in the wallet that is topped up: what the bank has taken from the card must arrive."""
    if order["kind"] == "top_up":
        payee = sheet.accounts[order["payee_id"]]
        sheet.change_account(order["payee_id"], incoming=payee["incoming"] + amount)


def _enter(sheet: Sheet, order: Mapping[str, Any], amount: int, **columns: Any) -> None:
    order_id, payer, now = order["id"], sheet.accounts[order["payer_id"]], sheet.now
    sheet.move(order_id, order["kind"], debit=payer["id"], credit=order["payee_id"], amount=amount)
    if order["fee"]:  # linked to the principal: both stand in one transaction, or neither
        fees = sheet.context.system[payer["city"], "fees"]
        sheet.move(order_id, "fee", debit=payer["id"], credit=fees, amount=order["fee"])
    done = {"status": "posted", "posted_at": now, "posted_amount": amount, "receipt_no": receipt_no(order_id, now), **columns}
    proof = confirmation(sheet.context.keys, order_id, order, now, amount)
    sheet.change_order(order_id, code_hash=proof, **done)
    _tell(sheet, order)


# What whoever acts is told when their order is posted.
TOLD = {
    **dict.fromkeys(("transfer", "pay", "bill"), "payment_posted"),
    "top_up": "top_up_done",
    "withdraw": "withdrawal_done",
}


def _tell(sheet: Sheet, order: Mapping[str, Any]) -> None:
    """Tell who paid and who was paid."""
    payee = sheet.accounts[order["payee_id"]]["user_id"]
    if order["kind"] == "refund":
        sheet.tell("refund_received", user_id=payee, order_id=order["id"])
        return
    if order["actor_id"] is not None:
        sheet.tell("transfer_arrived" if order["delay"] else TOLD[order["kind"]], user_id=order["actor_id"], order_id=order["id"])
    if payee is not None and payee != order["actor_id"]:
        sheet.tell("money_received", user_id=payee, order_id=order["id"])
