"""Wishes that move money, combined: those that wait are decided in one transaction, one after the other, and committed once.

Each is all or nothing for itself and is answered only after the commit. A refusal touches nobody else; should the transaction
itself fail, its wishes are taken one by one, so that only the one that cannot be done fails. A wish that finds nobody before it
starts at once: nothing is ever delayed to gather company.

There are two ways. By locks: rows are locked, read, decided on and written. Ahead (PostgreSQL, for wishes that name no orders):
rows are decided on as this process knows them, and one statement writes what was decided, unless one of them has changed; while
it is under way the next batch is decided on the rows as it leaves them. What fails ahead, for whatever reason, goes by locks.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors, outages
from wallet_service.context import Context
from wallet_service.database import Begin, Line
from wallet_service.idempotency import ATTEMPTS, Outcome, digest_of, is_lost_race, is_stale, rest_before, restore, shown, written
from wallet_service.remembered import Remembered
from wallet_service.schema import replays
from wallet_service.sets import VERSION, Change, Unlocked, pairs
from wallet_service.sheet import Sheet

T = TypeVar("T")
_KEPT = (replays.c.scope, replays.c.key, replays.c.digest, replays.c.outcome)
MOST = 512  # wishes in one transaction
_HALVED = 12  # wishes: from here on one half is decided while the other is written
_WARY = 1.0  # seconds in which all goes by locks, after two batches in a row found their rows changed by somebody else


class Wish(ABC, Generic[T]):
    """Something that moves or holds money: which rows it needs, and what it decides on them.

    ``decide`` raises a :class:`WalletError` to refuse; what it changed on the sheet before that stays (a wrong try counts).
    One that names its ``operation`` needs a ``key`` and is done once, as :func:`~wallet_service.idempotency.once` does; of any
    other its order's state decides.
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
    sent: bool = False  # the database may have done it
    settled: bool = False  # told what came of it, whether or not anybody still waits for that


@dataclass(slots=True)
class _Ahead:
    """A batch that was decided on rows which nobody has locked."""

    batch: list[_Waiting]
    sheet: Sheet
    answers: list[Any]
    changes: Unlocked
    writing: asyncio.Task[None] | None = None
    version: int | None = None  # of the rows that it has written


@dataclass(slots=True)
class Combiner:
    """One queue a process, and one task that works on it while anything waits."""

    context: Context
    _queue: deque[_Waiting] = field(default_factory=deque)
    _taken: list[_Waiting] = field(default_factory=list)  # from the queue, and not answered yet
    _task: asyncio.Task[None] | None = None
    _remembered: Remembered = field(default_factory=Remembered)  # of one run only: what a process rests on grows old
    _stale: int = 0  # batches in a row whose rows somebody else had changed
    _wary_until: float = 0.0  # of the loop's clock: until then everything goes by locks

    async def submit(self, wish: Wish[T]) -> T:
        """Have a wish decided; a caller who goes away does not take it back."""
        digest = b""
        if wish.operation:  # first, since a key or a person that cannot be is refused here
            digest = digest_of(self.context, wish.operation, wish.scope, wish.key, wish.inputs())
        waiting = _Waiting(wish, asyncio.get_running_loop().create_future(), digest)
        self._queue.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="wallet-combiner")
        result: T = await waiting.answer
        return result

    async def close(self) -> None:
        """Wait until nothing waits any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        """Settle what waits; after a failure on a connection that is looked at anew."""
        try:
            while self._queue:
                try:
                    async with self.context.database.writing() as line:
                        await self._work(line)
                except Exception as fault:
                    self._remembered = Remembered()
                    await self._each(self._left() or self._batch(), fault)
        finally:  # in the very step in which nothing waited: who comes after it must not count on this task
            self._task, self._remembered = None, Remembered()

    def _left(self) -> list[_Waiting]:
        """Give who was taken from the queue and not answered."""
        self._taken = [waiting for waiting in self._taken if not waiting.settled]
        return self._taken

    async def _work(self, line: Line) -> None:
        """Settle one batch after the other; what can be decided ahead is, while the one before it is written."""
        before: _Ahead | None = None
        batch = self._batch()
        while batch or before is not None:
            if before is not None and not self._knows_enough(batch):
                if await self._landed(before, line):
                    _answer_all(before.batch, before.answers)
                before = None  # the line is free, to look at what is not known
            ahead = await self._decide_ahead(batch, line) if self._may_go_ahead(batch) else None
            if before is not None and not await self._landed(before, line):
                before = ahead = None  # the one was settled by locks, the other decided on what has not come to be
            if ahead is not None:
                self._send(ahead, before)  # first of all: the database is not to wait until everybody has their answer
            if before is not None:
                _answer_all(before.batch, before.answers)
            if batch and ahead is None:
                await self._settle(batch, line)
            before = ahead
            batch = await self._next(flying=before is not None)

    def _may_go_ahead(self, batch: list[_Waiting]) -> bool:
        """Tell whether a batch may be decided on rows that nobody has locked."""
        if not batch or self.context.database.is_sqlite or any(waiting.wish.order_ids() for waiting in batch):
            return False
        return asyncio.get_running_loop().time() >= self._wary_until

    def _knows_enough(self, batch: list[_Waiting]) -> bool:
        """Tell whether a batch can be decided without a look into the database."""
        if not self._may_go_ahead(batch) or not self.context.order_ids.has(sum(waiting.wish.new_orders() for waiting in batch)):
            return False
        return self._remembered.knows(account for waiting in batch for account in waiting.wish.account_ids())

    async def _decide_ahead(self, batch: list[_Waiting], line: Line) -> _Ahead | None:
        """Decide a batch on rows as they are known; what goes wrong with it will show by locks."""
        sheet, connection = Sheet(self.context, self.context.now()), cast("AsyncConnection", line.connection)
        wanted = {account for waiting in batch for account in waiting.wish.account_ids()}
        try:
            sheet.accounts = self._remembered.recall(wanted)
            if unknown := wanted - sheet.accounts.keys():
                await sheet.look(connection, unknown)
            answers, kept = await _decide(self.context, connection, batch, sheet, {})
            return _Ahead(batch, sheet, answers, sheet.unlocked(connection, kept))
        except Exception:
            return None

    def _send(self, ahead: _Ahead, before: _Ahead | None) -> None:
        """Have a decided batch written on rows as the one ``before`` it left them."""
        if before is not None and before.version is not None:
            ahead.changes.follow(before.version)
            ahead.sheet.follow(before.version)
        for row in ahead.sheet.changed_accounts():
            row[VERSION] = None
        self._remembered.keep(ahead.sheet.accounts)
        for waiting in ahead.batch:
            waiting.sent = True
        ahead.writing = asyncio.create_task(self._write(ahead), name="wallet-writing")

    async def _write(self, ahead: _Ahead) -> None:
        with outages.told() as commit:
            commit.begun = True  # the statement is its own transaction
            ahead.version = await ahead.changes.write()

    async def _landed(self, ahead: _Ahead, line: Line) -> bool:
        """Wait until a batch is written; if somebody was faster settle it by locks, and tell that it was not."""
        try:
            await cast("asyncio.Task[None]", ahead.writing)
        except Exception as fault:
            self._remembered.forget(ahead.sheet.accounts)
            if not isinstance(fault, DBAPIError) or not is_lost_race(fault):
                raise
            self.context.order_ids.drop_if_taken(fault)
            if is_stale(fault):
                self._stale += 1
                if self._stale > 1:  # somebody else works on the same accounts
                    self._wary_until = asyncio.get_running_loop().time() + _WARY
            await self._settle(ahead.batch, line, fresh=False)
            return False
        self._stale = 0
        for row in ahead.sheet.changed_accounts():
            row[VERSION] = ahead.version
        return True

    async def _next(self, *, flying: bool) -> list[_Waiting]:
        """Take the next batch: whoever was answered just now may have their next wish."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self._batch(flying=flying)

    def _batch(self, *, flying: bool = False) -> list[_Waiting]:
        """Take what waits; of one key only the first: the second must find its outcome."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        keys: set[object] = {(waiting.wish.scope, waiting.wish.key) for waiting in self._left()}
        while self._queue and len(batch) < MOST:
            waiting = self._queue.popleft()
            key = (waiting.wish.scope, waiting.wish.key)
            if waiting.wish.key is not None and key in keys:
                later.append(waiting)
                continue
            keys.add(key)
            batch.append(waiting)
        if not flying and len(batch) >= _HALVED and self._may_go_ahead(batch):
            later = batch[len(batch) // 2 :] + later
            del batch[len(batch) // 2 :]
        self._queue.extendleft(reversed(later))
        self._taken += batch
        return batch

    async def _each(self, batch: list[_Waiting], fault: Exception) -> None:
        """Take the wishes of a batch that failed one by one, on a new connection: only the one that cannot be done fails."""
        unknown = isinstance(fault, errors.ServiceUnavailable) and fault.facts["unknown"]
        if isinstance(fault, errors.ServiceUnavailable) and not outages.may_pass(fault):
            for waiting in batch:
                _answer(waiting, errors.ServiceUnavailable(unknown=unknown and waiting.sent))
            return
        if len(batch) == 1 and not isinstance(fault, errors.ServiceUnavailable):
            _answer(batch[0], fault)
            return
        for place, waiting in enumerate(batch):
            was_sent = waiting.sent
            try:
                async with self.context.database.writing() as line:
                    await self._settle([waiting], line)
            except errors.ServiceUnavailable as outage:  # it goes on: nobody's own fault, and each would wait for it anew
                _answer(waiting, errors.ServiceUnavailable(unknown=outage.facts["unknown"] or (unknown and was_sent)))
                for other in batch[place + 1 :]:
                    _answer(other, errors.ServiceUnavailable(unknown=unknown and other.sent))
                return
            except Exception as own:
                _answer(waiting, own)

    async def _settle(self, batch: list[_Waiting], line: Line, *, fresh: bool = True) -> None:
        """Settle a batch by locks."""
        for waiting in batch:
            waiting.sent = True
        _answer_all(batch, await self._attempts(batch, line.begin, fresh))

    async def _attempts(self, batch: list[_Waiting], begin: Begin, fresh: bool) -> list[Any]:
        """Decide a batch, at first as if no key were known: one that is breaks the transaction, and is then looked up."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                keys_are_new = fresh and attempt == 1
                return await _transact(self.context, batch, begin, fresh=keys_are_new, remembered=self._remembered)
            except DBAPIError as fault:
                self.context.order_ids.drop_if_taken(fault)
                if attempt == ATTEMPTS or not is_lost_race(fault):
                    raise
                await rest_before(self.context, attempt + 1)
        raise AssertionError("unreachable")


def _answer_all(batch: Sequence[_Waiting], answers: Sequence[Any]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        _answer(waiting, answer)


def _answer(waiting: _Waiting, answer: Any) -> None:
    waiting.settled = True
    if waiting.answer.done():
        return
    if isinstance(answer, Exception):
        waiting.answer.set_exception(answer)
        waiting.answer.exception()  # whoever asked may be gone
    else:
        waiting.answer.set_result(answer)


async def _transact(context: Context, batch: list[_Waiting], begin: Begin, *, fresh: bool, remembered: Remembered) -> list[Any]:
    """Decide a batch in one transaction, by locks; give each one's result or refusal."""
    async with begin() as connection:
        known = {} if fresh else await _known(context, connection, batch)
        open_ones = [waiting.wish for waiting in batch if (waiting.wish.scope, waiting.wish.key) not in known]
        sheet = Sheet(context, context.now())
        await sheet.load(
            connection,
            [order for wish in open_ones for order in wish.order_ids()],
            [account for wish in open_ones for account in wish.account_ids()],
        )
        remembered.forget(sheet.accounts)
        answers, kept = await _decide(context, connection, batch, sheet, known)
        await sheet.write(connection, kept)
    return answers


async def _decide(
    context: Context,
    connection: AsyncConnection,
    batch: list[_Waiting],
    sheet: Sheet,
    known: Mapping[tuple[int, str | None], Outcome],
) -> tuple[list[Any], Change]:
    """Decide on a sheet, one wish after the other; give each one's result or refusal, and what is to be kept of their keys."""
    wished = sum(waiting.wish.new_orders() for waiting in batch if (waiting.wish.scope, waiting.wish.key) not in known)
    ids = iter(await context.order_ids.take(connection, wished))
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
    return answers, Change(replays, kept)


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
