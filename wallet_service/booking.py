"""Movements that nobody confirms by a code: a refund, a merchant's payout, a gift of the house. The caller has the right to them.

They pass the same checks and the same sheet as everything else, and are done once by their key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wallet_service import errors
from wallet_service.checks import check_known, checked_note, is_id
from wallet_service.codes import CODE_LIFE
from wallet_service.combining import Wish
from wallet_service.idempotency import HOUSE
from wallet_service.money import checked_amount
from wallet_service.orders import new_order
from wallet_service.posting import check_payee, check_payer, post, post_held
from wallet_service.sheet import Sheet
from wallet_service.views import Booked

REFUNDABLE = ("pay", "bill")
BOOKABLE = ("transfer", "pay", "top_up", "withdraw", "bill", "settle")  # kinds of orders that refund no other


def _new(sheet: Sheet, order_id: int, **columns: Any) -> dict[str, Any]:
    """Give the row of an order that is posted as it is made."""
    made = {"created_at": sheet.now, "expires_at": sheet.now + CODE_LIFE}
    return new_order(id=order_id, actor_id=None, nonce=sheet.context.random.octets(16), **made, **columns)


@dataclass(frozen=True, slots=True)
class Book(Wish[Booked]):
    """Move ``amount`` fen between two accounts, both named by their ids."""

    kind: str
    payer_id: int
    payee_id: int
    amount: int
    note: str
    key: str
    operation = "book"
    scope = HOUSE

    def inputs(self) -> object:
        """Give all of it."""
        return [self.kind, self.payer_id, self.payee_id, self.amount, self.note]

    def account_ids(self) -> tuple[int, ...]:
        """Give both sides."""
        return (self.payer_id, self.payee_id)

    def new_orders(self) -> int:
        """Make one order."""
        return 1

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> Booked:
        """Judge it as any other payment, and post it."""
        if self.payer_id == self.payee_id or not {self.payer_id, self.payee_id} <= sheet.accounts.keys():
            raise errors.PayeeNotFound
        parties = {"payer_id": self.payer_id, "payee_id": self.payee_id}
        row = _new(sheet, ids[0], kind=self.kind, amount=self.amount, note=self.note, **parties)
        spending = check_payer(sheet, row)
        check_payee(sheet, row)
        sheet.add_order(row)
        post(sheet, row["id"], spending)
        return Booked(row["id"], row["receipt_no"], row["posted_at"])


@dataclass(frozen=True, slots=True)
class Refund(Wish[Booked]):
    """Give ``amount`` fen of a posted payment back, from whom it went to; all refunds together never exceed it."""

    order_id: int
    amount: int
    note: str
    key: str
    operation = "refund"
    scope = HOUSE

    def inputs(self) -> object:
        """Give all of it."""
        return [self.order_id, self.amount, self.note]

    def order_ids(self) -> tuple[int, ...]:
        """Give the payment."""
        return (self.order_id,)

    def new_orders(self) -> int:
        """Make one order."""
        return 1

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> Booked:
        """Refuse more than is left, and post it backwards."""
        paid = sheet.orders.get(self.order_id)
        if paid is None or paid["kind"] not in REFUNDABLE:
            raise errors.OrderNotFound
        if paid["status"] != "posted":
            raise errors.OrderNotOpen(status=paid["status"])
        left = paid["posted_amount"] - paid["refunded"]
        if self.amount > left:
            raise errors.RefundTooMuch(amount=self.amount, left=left)
        back = {"payer_id": paid["payee_id"], "payee_id": paid["payer_id"], "amount": self.amount, "kind": "refund"}
        row = _new(sheet, ids[0], refunds_id=self.order_id, note=self.note, **back)
        check_payer(sheet, row)
        check_payee(sheet, row)
        sheet.add_order(row)
        sheet.change_order(self.order_id, refunded=paid["refunded"] + self.amount)
        post(sheet, row["id"], None)
        return Booked(row["id"], row["receipt_no"], row["posted_at"])


@dataclass(frozen=True, slots=True)
class Capture(Wish[Booked]):
    """Post what an authorised order holds, or only ``amount`` fen of it, and let the rest go."""

    order_id: int
    amount: int
    key: str
    operation = "capture"
    scope = HOUSE

    def inputs(self) -> object:
        """Give the order and the amount."""
        return [self.order_id, self.amount]

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> Booked:
        """Post it."""
        order = sheet.orders.get(self.order_id)
        if order is None:
            raise errors.OrderNotFound
        if order["outside"]:  # only the channel outside knows whether it was done
            raise errors.OrderNotOpen(status=order["status"])
        check_payee(sheet, order)
        post_held(sheet, self.order_id, self.amount)
        return Booked(self.order_id, order["receipt_no"], order["posted_at"])


def book(kind: str, payer: int, payee: int, amount: object, note: str, key: str) -> Book:
    """Give the wish to move money between two accounts."""
    check_known("kind", kind, BOOKABLE)
    if not is_id(payer) or not is_id(payee):
        raise errors.PayeeNotFound
    return Book(kind, payer, payee, checked_amount(amount), checked_note(note), key)


def refund(order_id: int, amount: object, note: str, key: str) -> Refund:
    """Give the wish to give a payment, or a part of it, back."""
    return Refund(require_order(order_id), checked_amount(amount), checked_note(note), key)


def capture(order_id: int, amount: object, key: str) -> Capture:
    """Give the wish to post what an order holds, or a part of it."""
    return Capture(require_order(order_id), checked_amount(amount), key)


def require_order(order_id: object) -> int:
    """Refuse what cannot be the id of an order."""
    if not is_id(order_id):
        raise errors.OrderNotFound
    return order_id
