"""What is due: delayed orders arrive, channels outside are asked again, accounts close.

Everything stands in rows, so a restart forgets nothing.
Any number of processes may look: what a row became is decided on its own state, under its lock, once. A channel outside is asked
with the order's one number, however often; what it answered in doubt is asked again, never sent anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select, update

from wallet_service import errors
from wallet_service.closing import close_due
from wallet_service.combining import Combiner, Wish
from wallet_service.context import Context
from wallet_service.outside import Answer, Errand
from wallet_service.posting import check_payee, post_held, void
from wallet_service.schema import bills, cards, orders
from wallet_service.sheet import Sheet
from wallet_service.views import Order

MOST = 100  # due orders in one round
LEASE = timedelta(seconds=60)  # in which one process asks outside before another would
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)  # before asking again
_ROUND = 1.0  # seconds between looks
log = logging.getLogger(__name__)

_DUE = (
    select(orders.c.id, orders.c.outside, orders.c.outside_state, orders.c.due_at)
    .where(orders.c.status == "authorised", orders.c.due_at <= bindparam("now"))
    .order_by(orders.c.due_at)
    .limit(bindparam("most"))
)
_CLAIM = (
    update(orders)
    .where(orders.c.id == bindparam("order"), orders.c.status == "authorised", orders.c.due_at == bindparam("was"))
    .values(due_at=bindparam("until"), attempts=orders.c.attempts + 1)
    .returning(orders.c.id)
)
_ERRAND = (
    select(orders, cards.c.number.label("card_number"), cards.c.bank, bills.c.customer_no)
    .outerjoin(cards, cards.c.id == orders.c.card_id)
    .outerjoin(bills, bills.c.id == orders.c.bill_id)
    .where(orders.c.id == bindparam("order"))
)


@dataclass(frozen=True, slots=True)
class Arrive(Wish[None]):
    """Let a delayed order arrive, or let its money go if the payee may not take it any more."""

    order_id: int

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Post it, unless it is over or not due after all."""
        order = sheet.orders[self.order_id]
        if order["status"] != "authorised" or order["outside"] or order["due_at"] is None or order["due_at"] > sheet.now:
            return
        try:
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
            return
        if self.answer == "done":
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
            raise errors.NotRecallable(status="posted" if order["status"] == "authorised" else order["status"])
        void(sheet, self.order_id, "recalled")
        sheet.tell("order_recalled", user_id=self.scope, order_id=self.order_id)
        return sheet.view(self.order_id)


async def run_due(context: Context, combiner: Combiner) -> int:
    """Do everything that is due now; give how many orders and closings that were."""
    closings = await close_due(context, MOST)
    async with context.database.read() as connection:
        due = (await connection.execute(_DUE, {"now": context.now(), "most": MOST})).all()
    if due:
        await asyncio.gather(*(_do(context, combiner, row) for row in due))
    return len(due) + closings


async def _do(context: Context, combiner: Combiner, row: Any) -> None:
    if row.outside:
        await _errand(context, combiner, row)
    else:
        await combiner.submit(Arrive(row.id))


async def _errand(context: Context, combiner: Combiner, row: Any) -> None:
    """Claim an order, ask the channel outside in no transaction at all, and write down what it said."""
    now = context.now()
    async with context.database.write() as connection:
        claimed = await connection.execute(_CLAIM, {"order": row.id, "was": row.due_at, "until": now + LEASE})
        if claimed.first() is None:
            return
        order = (await connection.execute(_ERRAND, {"order": row.id})).mappings().one()
    port = context.outside.get(row.outside)
    if port is None:  # connected once, and not in this process: it stays as it is until it is connected again
        return
    errand = Errand(
        number=order["outside_no"],
        kind=order["kind"],
        amount=order["amount"],
        fee=order["fee"],
        card=order["card_number"],
        bank=order["bank"],
        customer_no=order["customer_no"],
        again=order["outside_state"] == "unknown" or order["attempts"] > 1,
    )
    try:
        answer: Answer = await port.run(errand)
    except Exception as fault:  # whatever went wrong, nobody knows what was done outside
        log.warning("the %s did not answer: %s", row.outside, type(fault).__name__)
        answer = "unknown"
    await combiner.submit(Answered(row.id, answer))


class Timekeeper:
    """The task that looks for what is due."""

    def __init__(self, context: Context, combiner: Combiner) -> None:
        self._context, self._combiner = context, combiner
        self._stirred, self._closing = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking."""
        self._task = asyncio.create_task(self._run(), name="wallet-timekeeper")

    def stir(self) -> None:
        """Look now: an order for a channel outside was authorised."""
        self._stirred.set()

    async def stop(self) -> None:
        """End after what is under way."""
        if self._task is not None:
            self._closing.set()
            self._stirred.set()
            await self._task

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                while await run_due(self._context, self._combiner) >= MOST:
                    continue
            except Exception as fault:  # the database may be away: what is due stays due
                log.warning("what is due has to wait: %s", type(fault).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _ROUND)
            self._stirred.clear()
