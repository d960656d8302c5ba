"""What becomes of orders that wait: a delayed one arrives or is recalled, a channel outside has answered for another.

What a row became is decided on its own state, under its lock, once, whoever asks and however often.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from wallet_service import errors
from wallet_service.combining import Wish
from wallet_service.orders import require_ids
from wallet_service.outside import Answer
from wallet_service.posting import check_payee, post_held, require_active, void
from wallet_service.sheet import Sheet
from wallet_service.views import Order

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)  # before a channel outside is asked again
_ENDS = {"done": "posted", "refused": "voided"}  # what an order is whose channel outside has said so
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrive(Wish[None]):
    """Let a delayed order arrive, or let its money go if its payer may not pay or its payee may not take it any more."""

    order_id: int

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Post it, unless it is over or not due after all."""
        order = sheet.orders[self.order_id]
        if order["status"] != "authorised" or order["outside"] or order["due_at"] is None or order["due_at"] > sheet.now:
            return
        payer = sheet.accounts[order["payer_id"]]
        try:
            require_active(payer["status"], payer["city"])
            check_payee(sheet, order)
        except errors.WalletError as refusal:
            void(sheet, self.order_id, refusal.code)
            sheet.tell("order_voided", user_id=order["actor_id"], order_id=self.order_id)
        else:
            post_held(sheet, self.order_id)


@dataclass(frozen=True, slots=True)
class Answered(Wish[None]):
    """Do with an order what the channel outside said of it."""

    order_id: int
    answer: Answer

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Post what was done, void what was refused, and ask again where nobody knows."""
        order = sheet.orders[self.order_id]
        if order["status"] != "authorised":
            self._compare(sheet)
        elif self.answer == "done":
            sheet.change_order(self.order_id, outside_state="done")
            post_held(sheet, self.order_id)
        elif self.answer == "refused":
            sheet.change_order(self.order_id, outside_state="refused")
            void(sheet, self.order_id, "outside_refused")
            sheet.tell("order_voided", user_id=order["actor_id"], order_id=self.order_id)
        else:
            pause = min(FIRST_PAUSE * 2 ** min(max(order["attempts"] - 1, 0), 20), LONGEST_PAUSE)
            if order["outside_state"] == "waiting":
                sheet.tell("order_unknown", user_id=order["actor_id"], order_id=self.order_id)
            sheet.change_order(self.order_id, outside_state="unknown", due_at=sheet.now + pause)

    def _compare(self, sheet: Sheet) -> None:
        """Hold an answer against what its order became; a channel that takes its word back is noted for ``verify`` to find."""
        status = sheet.orders[self.order_id]["status"]
        if _ENDS.get(self.answer, status) != status:
            log.critical("ORDER %s IS %s HERE, AND THE CHANNEL OUTSIDE SAYS %s", self.order_id, status, self.answer)
            sheet.change_order(self.order_id, outside_state=self.answer)


@dataclass(frozen=True, slots=True)
class Recall(Wish[Order]):
    """Call a delayed order back before it arrives."""

    order_id: int
    scope: int
    key: str
    operation = "recall"

    def inputs(self) -> object:
        """Give the order."""
        return [self.order_id]

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> Order:
        """Let its money go, unless it has arrived or a channel outside has it."""
        order = sheet.orders.get(self.order_id)
        if order is None or order["actor_id"] != self.scope:
            raise errors.OrderNotFound
        due = order["due_at"]
        if order["status"] != "authorised" or order["outside"] or due is None or due <= sheet.now:
            arrived = order["status"] == "authorised" and not order["outside"]
            raise errors.NotRecallable(status="posted" if arrived else order["status"])
        void(sheet, self.order_id, "recalled")
        sheet.tell("order_recalled", user_id=self.scope, order_id=self.order_id)
        return sheet.view(self.order_id)


def recall(order_id: int, *, actor: int, key: str) -> Recall:
    """Give the wish to call a delayed order back."""
    require_ids(order_id, actor)
    return Recall(order_id, actor, key)
