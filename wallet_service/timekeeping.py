"""Looking for what is due: delayed orders arrive, channels outside are asked (again), accounts close.

Everything stands in rows, so a restart forgets nothing, and any number of processes may look. A channel outside is asked with the
order's one number, however often, by one process at a time; what it answered in doubt is asked again, never sent anew. Its
answers are waited for in nobody's way: a bank that is slow delays neither arrivals nor the other orders of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import LargeBinary, bindparam, select, type_coerce, update

from wallet_service.chain import Sealer
from wallet_service.closing import close_due
from wallet_service.combining import Combiner
from wallet_service.context import Context
from wallet_service.integrity import Misplaced, agrees
from wallet_service.outside import Answer, Errand, Outside
from wallet_service.schema import IS_DUE, accounts, billers, bills, cards, orders
from wallet_service.timers import Answered, Arrive

MOST = 100  # orders that arrive at once, and that one channel outside is asked for at once
LEASE = timedelta(seconds=60)  # in which one process asks a channel before another would
PATIENCE = 45.0  # seconds that a channel's answer is waited for, less than the lease
_ROUND = 1.0  # seconds between looks
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)

_DUE = (
    select(orders.c.id, orders.c.due_at)
    .where(IS_DUE, orders.c.due_at <= bindparam("now"), orders.c.outside == bindparam("channel"))
    .order_by(orders.c.due_at, orders.c.id)
    .limit(bindparam("most"))
)
_LATER = (orders.c.due_at > bindparam("at")) | ((orders.c.due_at == bindparam("at")) & (orders.c.id > bindparam("last")))
_CLAIM = (
    update(orders)
    .where(orders.c.id.in_(_DUE.with_only_columns(orders.c.id).with_for_update(skip_locked=True)))
    .values(due_at=bindparam("until"), attempts=orders.c.attempts + 1)
    .returning(orders.c.id)
)
_ERRANDS = (
    select(
        *(orders.c[name] for name in ("id", "kind", "amount", "fee", "outside", "outside_no", "attempts")),
        type_coerce(cards.c.number, LargeBinary).label("card"),  # opened for one order alone, when its channel is asked
        type_coerce(bills.c.customer_no, LargeBinary).label("customer_no"),
        cards.c.number_index,
        bills.c.customer_index,
        accounts.c.city,
        cards.c.bank,
        bills.c.month,
        billers.c.service,
    )
    .join(accounts, accounts.c.id == orders.c.payer_id)
    .outerjoin(cards, cards.c.id == orders.c.card_id)
    .outerjoin(bills, bills.c.id == orders.c.bill_id)
    .outerjoin(billers, billers.c.id == bills.c.biller_id)
    .order_by(orders.c.id)
)


class Timekeeper:
    """Does what is due, when it is told to and, once started, by itself."""

    def __init__(self, context: Context, combiner: Combiner, sealer: Sealer) -> None:
        self._context, self._combiner, self._sealer = context, combiner, sealer
        self.notices = asyncio.Event()  # set when this process may have left some
        self._asking: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)  # by channel
        self._claiming = asyncio.Lock()  # so that whoever waits for answers has seen everything that was claimed before
        self._stirred, self._closing = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def run_due(self) -> int:
        """Do everything that is due now, and wait for the answers of channels; give how many orders and closings that were."""
        count = await self._close() + await self._arrive()
        while sent := await self._send():
            count += sent
            await self._answers()
        await self._answers()
        return count

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
        await self._answers()

    async def _run(self) -> None:
        while not self._closing.is_set():
            for job in (self._send, self._arrive, self._close):
                try:
                    await job()
                except Exception as fault:  # the database may be away: what is due stays due
                    log.warning("what is due has to wait: %s", type(fault).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _ROUND)
            self._stirred.clear()

    async def _close(self) -> int:
        """End the closings whose cooling-off is over; give how many were looked at."""
        count = await close_due(self._context, MOST)
        if count:
            self._moved()
        return count

    async def _arrive(self) -> int:
        """Let every delayed order arrive that is due, each for itself; give how many there were."""
        now, count = self._context.now(), 0
        after: dict[str, Any] = {"at": _BEGINNING, "last": 0}
        while True:
            async with self._context.database.read() as connection:
                found = await connection.execute(_DUE.where(_LATER), {"now": now, "channel": "", "most": MOST, **after})
                due = found.all()
            if not due:
                return count
            done = await asyncio.gather(*(self._combiner.submit(Arrive(row.id)) for row in due), return_exceptions=True)
            for row, fault in zip(due, done, strict=True):
                if isinstance(fault, Exception):
                    log.error("order %s could not arrive: %s", row.id, type(fault).__name__)
            self._moved()
            count += len(due)
            after = {"at": due[-1].due_at, "last": due[-1].id}

    async def _send(self) -> int:
        """Send for what the channels outside that are connected here have to do; give for how many orders."""
        count = 0
        async with self._claiming:
            for name, channel in self._context.outside.items():
                free = MOST - len(self._asking[name])
                for order in await self._claim(name, free) if free > 0 else ():
                    task = asyncio.create_task(self._ask(channel, order), name=f"wallet-asks-{name}")
                    self._asking[name].add(task)
                    task.add_done_callback(self._asking[name].discard)
                    count += 1
        return count

    async def _claim(self, channel: str, most: int) -> list[Mapping[str, Any]]:
        """Take orders that a channel is to be asked about, for the time of a lease; nothing due costs one read."""
        now = self._context.now()
        due = {"now": now, "channel": channel, "most": most}
        async with self._context.database.read() as connection:
            if (await connection.execute(_DUE, {**due, "most": 1})).first() is None:
                return []
        async with self._context.database.write() as connection:
            claimed = [row.id for row in await connection.execute(_CLAIM, {**due, "until": now + LEASE})]
            found = await connection.execute(_ERRANDS.where(orders.c.id.in_(claimed)))
            return [dict(row) for row in found.mappings()]

    async def _ask(self, channel: Outside, order: Mapping[str, Any]) -> None:
        """Ask a channel in no transaction at all, and write down what it said."""
        try:
            answer = await self._answer(channel, order)
            await self._combiner.submit(Answered(order["id"], answer))
        except Exception as fault:  # it is asked again when the lease is over
            log.warning("the answer for order %s was not written down: %s", order["id"], type(fault).__name__)
        self._moved()

    def _moved(self) -> None:
        """Have what was posted sealed, and what was left to be told sent."""
        self._sealer.wake()
        self.notices.set()

    async def _answers(self) -> None:
        while asking := [task for tasks in self._asking.values() for task in tasks]:
            await asyncio.wait(asking)

    async def _answer(self, channel: Outside, order: Mapping[str, Any]) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                return await channel.run(self._errand(order))
        except Exception as fault:  # whatever went wrong, nobody knows what was done outside
            log.warning("the %s did not answer for order %s: %s", order["outside"], order["id"], type(fault).__name__)
            return "unknown"

    def _errand(self, order: Mapping[str, Any]) -> Errand:
        def opened(field: str, sealed: bytes | None, name: str, index: bytes | None) -> str | None:
            text = None if sealed is None else self._context.vault.open(field, sealed)
            if not agrees(self._context.vault, name, text, index):
                raise Misplaced(f"{field} is not the one that was bound")  # no money goes to a number that was put there past us
            return text

        return Errand(
            number=order["outside_no"],
            kind=order["kind"],
            city=order["city"],
            amount=order["amount"],
            fee=order["fee"],
            card=opened("cards.number", order["card"], "card", order["number_index"]),
            bank=order["bank"],
            service=order["service"],
            customer_no=opened("bills.customer_no", order["customer_no"], "customer_no", order["customer_index"]),
            month=order["month"],
            again=order["attempts"] > 1,
        )
