"""Authorisation: the order's own code, a last check, and the posting or the hold, in one transaction.

A refusal at the last check ends the order, since its code is spent; a wrong code only counts, up to five, and a second factor
that is missing is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from wallet_service import brakes, errors
from wallet_service.checks import is_id
from wallet_service.codes import TRIES, typed_code
from wallet_service.combining import Wish
from wallet_service.orders import over
from wallet_service.posting import check_means, check_payee, check_payer, hold, post
from wallet_service.sheet import Sheet
from wallet_service.views import Order


@dataclass(frozen=True, slots=True)
class Authorize(Wish[Order]):
    """Take the code of an order and post it, or hold its money if it arrives later or a channel outside has its part to do."""

    order_id: int
    code: str
    scope: int
    key: str
    operation = "authorize"

    def inputs(self) -> object:
        """Give the order and the code."""
        return [self.order_id, self.code]

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> Order:
        """Judge the code, then everything else once more."""
        order = sheet.orders.get(self.order_id)
        if order is None or order["actor_id"] != self.scope:
            raise errors.OrderNotFound
        person = _person(sheet, order)
        if (reason := over(order, sheet.now)) is not None:
            if isinstance(reason, errors.CodeExpired) and order["status"] == "proposed":
                sheet.change_order(self.order_id, status="expired")
            raise reason
        brakes.check_lock(person["locked_until"], sheet.now)
        keys = sheet.context.keys
        if not keys.code_matches(order["nonce"], typed_code(self.code), order["code_hash"]):
            _count_wrong_try(sheet, order, person)
        if person["wrong_codes"]:
            sheet.change_user(self.scope, wrong_codes=0, locked_until=None)
        try:
            check_means(sheet, order)
            spending = check_payer(sheet, order)
            check_payee(sheet, order, room=not order["delay"])
        except errors.SecondFactorMissing:
            if not order["second"]:  # none was, when it was proposed: other payments came between
                sheet.change_order(self.order_id, second="needed")
            raise
        except errors.WalletError as refusal:
            sheet.change_order(self.order_id, status="refused", refusal=refusal.code)
            raise
        if order["outside"]:
            hold(sheet, self.order_id, spending, due_at=sheet.now)
        elif order["delay"]:
            hold(sheet, self.order_id, spending, due_at=sheet.now + timedelta(seconds=order["delay"]))
            sheet.tell("order_scheduled", user_id=self.scope, order_id=self.order_id)
        else:
            post(sheet, self.order_id, spending)
        return sheet.view(self.order_id)


def _person(sheet: Sheet, order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the account of whoever acts: they pay, or it is their own wallet that is topped up."""
    payer = sheet.accounts[order["payer_id"]]
    return payer if payer["user_id"] is not None else sheet.accounts[order["payee_id"]]


def _count_wrong_try(sheet: Sheet, order: Mapping[str, Any], person: Mapping[str, Any]) -> None:
    """Count it for the order and for the person, whose fifth in a row ends the order too, whichever the others were for."""
    tries = max(order["tries"], person["wrong_codes"] % TRIES) + 1
    wrong = person["wrong_codes"] + 1
    locked_until = brakes.lock_after(wrong, sheet.now)
    sheet.change_user(order["actor_id"], wrong_codes=wrong, locked_until=locked_until)
    if tries < TRIES:
        sheet.change_order(order["id"], tries=tries)
        raise errors.WrongCode(tries_left=TRIES - tries)
    sheet.change_order(order["id"], tries=tries, status="refused", refusal=errors.OrderLocked.code)
    if locked_until is not None:
        sheet.tell("payments_locked", user_id=order["actor_id"])
        raise errors.PaymentsLocked(retry_at=locked_until.isoformat())
    raise errors.OrderLocked(tries=TRIES)


def authorize(order_id: int, code: str, *, actor: int, key: str) -> Authorize:
    """Give the wish to post an order with its code."""
    if not is_id(order_id) or not is_id(actor):
        raise errors.OrderNotFound
    return Authorize(order_id, code, actor, key)
