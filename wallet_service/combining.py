"""Wishes that move money, combined: those that wait are decided in one transaction, one after the other, and committed once.

Each is all or nothing for itself and is answered only after the commit. A refusal touches nobody else; should the transaction
itself fail, its wishes are taken one by one, so that only the one that cannot be done fails. A wish that finds nobody before it
starts at once: nothing is ever delayed to gather company.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors, outages
from wallet_service.context import Context
from wallet_service.idempotency import ATTEMPTS, Outcome, digest_of, is_lost_race, rest_before, restore, shown, written
from wallet_service.schema import replays
from wallet_service.sets import Change, pairs
from wallet_service.sheet import Sheet

T = TypeVar("T")
Begin = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
_KEPT = (replays.c.scope, replays.c.key, replays.c.digest, replays.c.outcome)
MOST = 512  # wishes in one transaction
_LANES = 2  # transactions at once on PostgreSQL


class Wish(ABC, Generic[T]):
    """Something that moves or holds money: which rows it needs, and what it decides on them.

    ``decide`` raises a :class:`WalletError` to refuse; what it changed on the sheet before that stays (a wrong try counts).
    With a ``key`` it is done once, as :func:`~wallet_service.idempotency.once` does; without one its order's state decides.
    """

    operation = ""
    scope = 0
    key: str | None = None

    def inputs(self) -> object:
        """Give what the key stands for."""
        return None

    def order_ids(self) -> tuple[int, ...]:
        """Give the orders that it decides about."""
        return ()

    def account_ids(self) -> tuple[int, ...]:
        """Give the accounts that it needs beside those of its orders."""
        return ()

    def new_orders(self) -> int:
        """Give how many orders it makes."""
        return 0

    @abstractmethod
    def decide(self, sheet: Sheet, ids: Sequence[int]) -> T:
        """Decide on the sheet; ``ids`` are those of the orders that it makes."""


@dataclass(slots=True)
class _Waiting:
    wish: Wish[Any]
    answer: asyncio.Future[Any]
    digest: bytes = b""
    marks: set[object] = field(init=False)  # what no two transactions may have at once, as far as it is known

    def __post_init__(self) -> None:
        wish = self.wish
        key = {(wish.scope, wish.key)} if wish.key is not None else set()
        self.marks = {*key, *(("order", order) for order in wish.order_ids()), *wish.account_ids()}


@dataclass(slots=True)
class Combiner:
    """One queue a process. SQLite has one writer; on PostgreSQL a second transaction starts for what the first does not touch.

    Who waits for an account that is under way is better off in the next transaction, with everybody else who does.
    """

    context: Context
    _queue: deque[_Waiting] = field(default_factory=deque)
    _lanes: set[asyncio.Task[None]] = field(default_factory=set)
    _taken: set[object] = field(default_factory=set)
    _looking: int = 0  # lanes that are about to look what waits

    async def submit(self, wish: Wish[T]) -> T:
        """Have a wish decided; a caller who goes away does not take it back."""
        digest = b""
        if wish.key is not None:  # first, since a key or a person that cannot be is refused here
            digest = digest_of(self.context, wish.operation, wish.scope, wish.key, wish.inputs())
        waiting = _Waiting(wish, asyncio.get_running_loop().create_future(), digest)
        self._queue.append(waiting)
        if not self._looking and len(self._lanes) < (1 if self.context.database.is_sqlite else _LANES):
            self._lanes.add(asyncio.create_task(self._run(), name="wallet-combiner"))
        result: T = await waiting.answer
        return result

    async def close(self) -> None:
        """Wait until nothing waits any more."""
        while self._lanes:
            await asyncio.wait(self._lanes)

    async def _run(self) -> None:
        """Settle what waits; after a failure on a connection that is looked at anew."""
        try:
            while batch := self._batch():
                try:
                    async with self.context.database.writing() as begin:
                        while batch:
                            await self._settle(batch, begin)
                            self._leave(batch)
                            batch = await self._next()
                except Exception as fault:
                    await self._each(batch, fault)
                    self._leave(batch)
        finally:  # in the very step in which nothing waited: who comes after it must not count on this lane
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _next(self) -> list[_Waiting]:
        """Take the next batch: whoever was answered just now may have their next wish, and it needs no other lane."""
        self._looking += 1
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        finally:
            self._looking -= 1
        return self._batch()

    def _batch(self) -> list[_Waiting]:
        """Take what waits and meets nothing that is under way; of one key only the first: the second must find its outcome."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        under_way, keys = frozenset(self._taken), set[object]()
        while self._queue and len(batch) < MOST:
            waiting = self._queue.popleft()
            marks, key = waiting.marks, (waiting.wish.scope, waiting.wish.key)
            if not under_way.isdisjoint(marks) or (waiting.wish.key is not None and key in keys):
                later.append(waiting)
                continue
            keys.add(key)
            self._taken |= marks
            batch.append(waiting)
        self._queue.extendleft(reversed(later))
        return batch

    def _leave(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            self._taken -= waiting.marks

    async def _each(self, batch: list[_Waiting], fault: Exception) -> None:
        """Take the wishes of a batch that failed one by one, on a new connection: only the one that cannot be done fails."""
        unknown = isinstance(fault, errors.ServiceUnavailable) and fault.facts["unknown"]
        if isinstance(fault, errors.ServiceUnavailable) and not outages.may_pass(fault):
            for waiting in batch:
                _answer(waiting, errors.ServiceUnavailable(unknown=unknown))
            return
        if len(batch) == 1 and not isinstance(fault, errors.ServiceUnavailable):
            _answer(batch[0], fault)
            return
        for place, waiting in enumerate(batch):
            try:
                async with self.context.database.writing() as begin:
                    await self._settle([waiting], begin)
            except errors.ServiceUnavailable as outage:  # it goes on: nobody's own fault, and each would wait for it anew
                for other in batch[place:]:
                    _answer(other, errors.ServiceUnavailable(unknown=unknown or outage.facts["unknown"]))
                return
            except Exception as own:
                _answer(waiting, own)

    async def _settle(self, batch: list[_Waiting], begin: Begin) -> None:
        for waiting, answer in zip(batch, await self._attempts(batch, begin), strict=True):
            _answer(waiting, answer)

    async def _attempts(self, batch: list[_Waiting], begin: Begin) -> list[Any]:
        """Decide a batch, at first as if no key were known: one that is breaks the transaction, and is then looked up."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await _transact(self.context, batch, begin, fresh=attempt == 1)
            except DBAPIError as fault:
                self.context.order_ids.drop_if_taken(fault)
                if attempt == ATTEMPTS or not is_lost_race(fault):
                    raise
                await rest_before(self.context, attempt + 1)
        raise AssertionError("unreachable")


def _answer(waiting: _Waiting, answer: Any) -> None:
    if waiting.answer.done():
        return
    if isinstance(answer, Exception):
        waiting.answer.set_exception(answer)
        waiting.answer.exception()  # whoever asked may be gone
    else:
        waiting.answer.set_result(answer)


async def _transact(context: Context, batch: list[_Waiting], begin: Begin, *, fresh: bool) -> list[Any]:
    """Decide a batch in one transaction; give each one's result or refusal."""
    async with begin() as connection:
        known = {} if fresh else await _known(context, connection, batch)
        open_ones = [waiting.wish for waiting in batch if (waiting.wish.scope, waiting.wish.key) not in known]
        sheet = Sheet(context, context.now())
        await sheet.load(
            connection,
            [order for wish in open_ones for order in wish.order_ids()],
            [account for wish in open_ones for account in wish.account_ids()],
        )
        ids = iter(await context.order_ids.take(connection, sum(wish.new_orders() for wish in open_ones)))
        answers: list[Any] = []
        kept = []
        for waiting in batch:
            wish = waiting.wish
            if (before := known.get((wish.scope, wish.key))) is not None:
                answers.append(_replayed(before, waiting.digest))
                continue
            try:
                answer: Any = wish.decide(sheet, [next(ids) for _ in range(wish.new_orders())])
                outcome = shown(answer)
            except errors.WalletError as refusal:
                answer, outcome = refusal, {"error": refusal.code, "facts": refusal.facts}
            answers.append(answer)
            if wish.key is not None:
                row = {"scope": wish.scope, "key": wish.key, "digest": waiting.digest}
                kept.append({**row, "outcome": written(outcome), "created_at": sheet.now})
        await sheet.write(connection, Change(replays, kept))
    return answers


async def _known(context: Context, connection: AsyncConnection, batch: list[_Waiting]) -> dict[tuple[int, str | None], Outcome]:
    """Find what became of the keys that were used before."""
    keys = [(waiting.wish.scope, waiting.wish.key) for waiting in batch if waiting.wish.key is not None]
    if not keys:
        return {}
    found = await connection.execute(*pairs(_KEPT, replays.c.scope, replays.c.key, keys, sqlite=context.database.is_sqlite))
    return {(row.scope, row.key): Outcome(row.digest, row.outcome) for row in found}


def _replayed(row: Outcome, digest: bytes) -> Any:
    try:
        if row.digest != digest:
            raise errors.KeyReused
        return restore(json.loads(row.outcome))
    except errors.WalletError as refusal:
        return refusal
