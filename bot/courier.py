"""What leaves without being asked: the wallet's notices by SMS, by mail and to a person's chats, and words left for a door.

Each way out has a lane of its own: a mail server that hangs holds up no code.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Awaitable, Callable, Sequence

import structlog

from bot.dialogue.engine import ENDED
from bot.dialogue.store import Store
from bot.messages import Door, Reply
from bot.metrics import NOTICES
from locales import Locale
from wallet_service import WAYS, Notice, Wallet

log = structlog.get_logger()

Send = Callable[[Notice, str], Awaitable[None]]  # sends a notice in these words; raises when it was not taken

_FIRST_RETRY, _LONGEST_RETRY = 10.0, 600.0  # seconds
_TIDY = dt.timedelta(days=1)
_IDLE = 5.0  # seconds between looks at what other processes may have written
_AT_ONCE = {"mail": 4}  # notices that one lane carries at the same time
_USUALLY_AT_ONCE = 20


class Refused(Exception):
    """Nobody will ever take this message: sending it again is of no use. ``status`` is the number of the other side's answer."""

    def __init__(self, status: int | None = None) -> None:
        super().__init__(status)
        self.status = status


def backoff(attempts: int, chance: float) -> dt.timedelta:
    """Give the wait after so many attempts: 10 s, 20 s, … 10 min, less up to a quarter by ``chance`` (from 0 up to 1).

    Chance keeps apart what failed together, or it would all come back in the same moment.
    """
    longest = min(_LONGEST_RETRY, _FIRST_RETRY * 2.0 ** min(attempts - 1, 10))
    return dt.timedelta(seconds=longest * (1 - chance / 4))


class Courier:
    """Carries notices and pushes; whatever cannot be delivered now waits in the database."""

    def __init__(
        self,
        wallet: Wallet,
        store: Store,
        locale: Locale,
        clock: Callable[[], dt.datetime],
        *,
        sms: Send,
        mail: Send | None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._wallet, self._store, self._locale, self._clock, self._chance = wallet, store, locale, clock, chance
        self._ways: dict[str, Send] = {
            "sms": sms,
            "mail": mail or _no_mail_server,
            "doors": self._to_doors,
            "held": self._to_held_doors,
        }
        self.doors: dict[str, Door] = {}
        self.sweeps: list[Callable[[], Awaitable[None]]] = []  # doors that look for words left by another process
        self._lanes = {way: asyncio.Lock() for way in WAYS}
        self._bells = {way: asyncio.Event() for way in WAYS}
        self._delivering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send notices as they come and clear away what is over once a day, until cancelled."""
        tidied = self._clock() - _TIDY
        async with asyncio.TaskGroup() as lanes:
            for way in WAYS:
                lanes.create_task(self._serve(way), name=f"courier {way}")
            while True:
                self._ring()
                try:
                    if self._clock() - tidied >= _TIDY:
                        tidied = self._clock()
                        await self._wallet.tidy()
                    for sweep in self.sweeps:
                        await sweep()
                except Exception as fault:  # the database may be away for a while; what waits, waits in it
                    log.error("sweeping stopped for a moment", fault=type(fault).__name__)
                await self._wallet.wait_for_notices(_IDLE)

    def _ring(self, ways: Sequence[str] = WAYS) -> None:
        for way in ways:
            self._bells[way].set()

    async def _serve(self, way: str) -> None:
        while True:
            await self._bells[way].wait()
            self._bells[way].clear()
            try:
                while await self._carry(way):
                    pass
            except Exception as fault:
                log.error("notices stopped for a moment", way=way, fault=type(fault).__name__)

    async def drain(self) -> None:
        """Send everything that is due now."""
        first, *others = WAYS
        while any([await self._carry(first), *await asyncio.gather(*(self._carry(way) for way in others))]):
            pass

    async def _carry(self, way: str) -> bool:
        """Send some of what is due by one way, together; tell whether there was anything."""
        async with self._lanes[way]:
            notices = await self._wallet.claim_notices(_AT_ONCE.get(way, _USUALLY_AT_ONCE), way=way)
            if way == WAYS[0]:
                self._ring(WAYS[1:])  # whoever looks there makes the rows of the others, also where there is none for itself
            done = await asyncio.gather(*(self._send(notice) for notice in notices), return_exceptions=True)
        for fault in done:
            if fault is not None:
                raise fault
        return bool(notices)

    async def _send(self, notice: Notice) -> None:
        try:
            text = self._locale.say(f"utter_notice_{notice.kind}", notice.facts).text
            await self._ways[notice.channel](notice, text)
        except Exception as fault:
            await self._not_sent(notice, fault)
        else:
            await self._wallet.notice_sent(notice.id)
            NOTICES.labels(notice.kind, notice.channel, "sent").inc()

    async def _not_sent(self, notice: Notice, fault: Exception) -> None:
        """Have it come again later, unless it is refused for good or was tried too often; nothing of what it says is logged."""
        refused = isinstance(fault, Refused)
        retry_at = None if refused else self._clock() + backoff(notice.attempts, self._chance())
        comes_again = await self._wallet.notice_failed(notice.id, retry_at)
        NOTICES.labels(notice.kind, notice.channel, "failed" if comes_again else "given_up").inc()
        log.warning(
            "notice not sent" if comes_again else "notice given up",
            kind=notice.kind,
            way=notice.channel,
            attempts=notice.attempts,
            fault=type(fault).__name__,
            status=getattr(fault, "status", None),
        )

    async def _to_doors(self, notice: Notice, text: str, *, held: bool = False) -> None:
        if notice.user_id is not None:
            ends = await self._bound(notice.user_id, held=held, besides=notice.facts.get("binding"))
            await self.tell(ends, Reply(text, system=True))

    async def _bound(self, person: int, *, held: bool, besides: int | None) -> tuple[tuple[str, str], ...]:
        """Give where a person is logged in, but for one binding; a door that was logged out goes away from them now."""
        bound = []
        for end in await self._store.doors_of_person(person, held=held):
            binding = await self._wallet.binding_of(person, *end)
            if binding is None:
                await self._store.leave(*end, ENDED, int(self._clock().timestamp() * 1000))
            elif binding != besides:
                bound.append(end)
        return tuple(bound)

    async def _to_held_doors(self, notice: Notice, text: str) -> None:
        await self._to_doors(notice, text, held=True)

    async def tell(self, ends: tuple[tuple[str, str], ...], reply: Reply) -> None:
        """Leave a reply for these ends of channels, and show it in the background where somebody is there now."""
        await self._store.add_pushes(ends, reply, int(self._clock().timestamp() * 1000))
        for end in ends:
            task = asyncio.create_task(self.deliver(*end))  # a door out of reach must not hold up anybody's code
            self._delivering.add(task)
            task.add_done_callback(self._delivering.discard)

    async def deliver(self, channel: str, sender: str) -> None:
        """Show what waits for one end of a channel; what cannot be shown goes on waiting."""
        door = self.doors.get(channel)
        if door is None:
            return  # this channel fetches what waits with its next message
        waiting = await self._store.take_pushes(channel, sender)
        if waiting and not await door.push(sender, tuple(waiting.values())):
            await self._store.give_back(waiting)


async def _no_mail_server(_notice: Notice, _text: str) -> None:
    raise Refused
