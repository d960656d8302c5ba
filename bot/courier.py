"""What leaves without being asked: the wallet's notices by SMS or to a person's chats, and words left for a door."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import structlog

from bot.dialogue.store import Store
from bot.messages import Door, Reply
from bot.metrics import NOTICES
from locales import Locale
from wallet_service import Notice, Wallet

log = structlog.get_logger()

_RETRY = dt.timedelta(seconds=10)
_TIDY = dt.timedelta(days=1)
_IDLE = 5.0  # seconds between looks at what other processes may have written
_KEPT = 500  # messages that the simulated phone remembers
_SMS_SECONDS = 10


class SmsPort(Protocol):
    """The way to a phone outside the chat."""

    async def send(self, to: str, text: str, *, notice: Notice) -> None:
        """Send one message; raises when it was not taken."""
        ...


class SimulatedPhone:
    """The demo's phones: keeps what was "sent", newest first."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self._clock = clock
        self._messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._shown: Callable[[dict[str, Any]], None] | None = None
        self.drain: Callable[[], Awaitable[None]] = _nothing  # set by the composition root: sends what waits

    def watch(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Have every message shown as it comes."""
        self._shown = show

    async def send(self, to: str, text: str, *, notice: Notice) -> None:
        """Put a message on a phone."""
        message = {"to": to, "channel": "sms", "text": text, "at": self._clock().isoformat()}
        if "code" in notice.facts:
            message["code"] = notice.facts["code"]
        self._messages.appendleft(message)
        if self._shown is not None:
            self._shown(message)

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """Give the messages of one phone, or of all, newest first."""
        return [message for message in self._messages if to is None or message["to"] == to]


class SmsWebhook:
    """Posts each message as JSON to a gateway: ``{"to", "text", "kind", "id"}``; the id lets the gateway drop repeats."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def send(self, to: str, text: str, *, notice: Notice) -> None:
        """Post it; anything but a 2xx counts as not sent."""
        body = {"to": to, "text": text, "kind": notice.kind, "id": notice.id}
        timeout = aiohttp.ClientTimeout(total=_SMS_SECONDS)
        async with self._session.post(self._url, json=body, timeout=timeout) as response:
            response.raise_for_status()


class Courier:
    """Carries notices and pushes; whatever cannot be delivered now waits in the database."""

    def __init__(self, wallet: Wallet, store: Store, locale: Locale, sms: SmsPort, clock: Callable[[], dt.datetime]) -> None:
        self._wallet, self._store, self._locale, self._sms, self._clock = wallet, store, locale, sms, clock
        self.doors: dict[str, Door] = {}
        self.sweeps: list[Callable[[], Awaitable[None]]] = []  # doors that look for words left by another process
        self._sending = asyncio.Lock()
        self._delivering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send notices as they come and clear away what is over once a day, until cancelled."""
        tidied = self._clock() - _TIDY
        while True:
            try:
                if self._clock() - tidied >= _TIDY:
                    tidied = self._clock()
                    await self._wallet.tidy()
                await self.drain()
                for sweep in self.sweeps:
                    await sweep()
            except Exception as fault:  # the database may be away for a while; the notices wait in it
                log.error("notices stopped for a moment", fault=type(fault).__name__)
            await self._wallet.wait_for_notices(_IDLE)

    async def drain(self) -> None:
        """Send everything that is due now."""
        async with self._sending:
            while notices := await self._wallet.claim_notices():
                for notice in notices:
                    await self._send(notice)

    async def _send(self, notice: Notice) -> None:
        try:
            text = self._locale.say(f"utter_notice_{notice.kind}", notice.facts).text
            await self._sms.send(notice.to, text, notice=notice)
            if notice.user_id is not None and notice.kind in ("money_received", "payment_posted"):
                # who paid has read it in the chat already, unless an agent took over in that very moment
                held = notice.kind == "payment_posted"
                await self.tell(await self._store.doors_of_person(notice.user_id, held=held), Reply(text, system=True))
            await self._wallet.notice_sent(notice.id)
            NOTICES.labels(notice.kind, "sent").inc()
        except Exception as fault:
            NOTICES.labels(notice.kind, "failed").inc()
            log.warning("notice not sent", kind=notice.kind, fault=type(fault).__name__)
            await self._wallet.notice_failed(notice.id, self._clock() + _RETRY)

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
        waiting = await self._store.claim_pushes(channel, sender)
        if waiting and not await door.push(sender, waiting):
            at = int(self._clock().timestamp() * 1000)
            for reply in waiting:
                await self._store.add_pushes(((channel, sender),), reply, at)


async def _nothing() -> None:
    """Wait for nothing."""
