"""The agent desk: the queue, who holds which conversation, and what agents say.

The bot's side calls ``request``, ``leave``, ``place`` and ``follow``; the pages call the rest. Whatever changes here rings a
bell that the live pages of this process wait for; the engine rings it for every turn, and the pages of other processes look
again every few seconds.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from bot.desk.agents import now_ms
from bot.desk.errors import BadRequest, Forbidden
from bot.desk.store import Agent, DeskStore, End, Ending, Handoff, Place
from bot.dialogue.store import Store
from bot.messages import Reply
from locales import Locale
from wallet_service import Database

log = structlog.get_logger()

Deliver = Callable[[str, str], Awaitable[object]]  # (channel, sender): show there what waits
Resume = Callable[[int], Awaitable[object]]  # conversation id: ask the interrupted question again
NameOf = Callable[[int], Awaitable[str]]  # wallet user's id: the name as an agent may see it, masked

TEXT: Final = 2000  # characters an agent may send at once; a Telegram message takes 4096
KEY: Final = 64


@dataclass(frozen=True, slots=True)
class Overview:
    """What an agent sees at a glance; ``others`` is what colleagues hold, for those who supervise."""

    queue: tuple[Handoff, ...]
    mine: tuple[Handoff, ...]
    others: tuple[Handoff, ...]


class Bell:
    """Wakes everybody who listens; a listener asks for the next ring before it looks, so that it misses none."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Give the event that the next ring sets."""
        return self._next

    def ring(self) -> None:
        """Wake all listeners."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()


class Desk:
    """Brings customers and agents together; the bot is silent from ``take`` to ``hand_back`` or ``close``."""

    def __init__(
        self,
        database: Database,
        locale: Locale,
        *,
        deliver: Deliver,
        resume: Resume,
        name_of: NameOf | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.bell = Bell()
        self.stopped = False
        self._store = DeskStore(database)
        self._record = Store(database)
        self._locale = locale
        self._deliver = deliver
        self._resume = resume
        self._name_of = name_of
        self._clock = clock

    async def request(self, conversation_id: int, *, topic: str, city: str, reason: str, context: Mapping[str, Any]) -> Place:
        """Put a conversation into the queue and say where it stands; one that waits already keeps its place.

        ``context`` is shown to agents as it is, so everything in it must be masked: ``customer`` (a name; without one that of
        ``person``, a wallet user's id, is looked up), ``flow`` (the open flow's name) and ``slots`` (names to texts).
        """
        person = context.get("person")
        if person is not None and "customer" not in context and self._name_of is not None:
            context = {**context, "customer": await self._name_of(person)}
        place = await self._store.request(
            conversation_id, topic=topic, city=city, reason=reason, context=context, at=self._clock()
        )
        self.bell.ring()
        return place

    async def place(self, conversation_id: int) -> Place:
        """Say where a conversation stands in the queue; position 0 when it does not wait."""
        return await self._store.place(conversation_id)

    async def leave(self, conversation_id: int) -> bool:
        """Take a conversation out of the queue; False when it does not wait there (any more)."""
        left = await self._store.leave(conversation_id, self._clock())
        self.bell.ring()
        return left

    async def follow(self, conversation_id: int, to: int) -> None:
        """Take a waiting customer's place along when a log-in points the door to another conversation."""
        await self._store.follow(conversation_id, to, self._clock())
        self.bell.ring()

    async def overview(self, agent: Agent) -> Overview:
        """Give the queue, what this agent holds, and to those who supervise what colleagues hold."""
        _serving(agent)
        every = await self._store.open()
        held = [one for one in every if one.state == "held"]
        return Overview(
            queue=tuple(one for one in every if one.state == "waiting"),
            mine=tuple(one for one in held if one.agent_id == agent.id),
            others=tuple(one for one in held if one.agent_id != agent.id) if agent.supervises else (),
        )

    async def view(self, handoff_id: int, agent: Agent) -> Handoff:
        """Give a handoff that this agent may see: one that waits, an own one, or any to those who supervise."""
        _serving(agent)
        handoff = await self._store.get(handoff_id)
        if handoff.state != "waiting" and handoff.agent_id != agent.id and not agent.supervises:
            raise Forbidden("not_yours", agent=handoff.agent or "")
        return handoff

    async def transcript(self, handoff: Handoff, after: int = 0) -> tuple[dict[str, Any], ...]:
        """Give what was said in a handoff's conversation since an event, masked as it is stored."""
        return await self._record.transcript(handoff.conversation_id, after=after)

    async def take(self, handoff_id: int, agent: Agent) -> None:
        """Give a waiting conversation to this agent, tell the customer, and silence the bot."""
        _serving(agent)
        notice = self._notice("utter_agent_joined", agent)
        ends = await self._store.take(handoff_id, agent, notice, self._clock())
        await self._changed(ends)

    async def say(self, handoff_id: int, agent: Agent, text: str, key: str) -> int:
        """Tell the customer something, once for each ``key``; gives the number of ends it went to (0: nobody is there)."""
        _serving(agent)
        words = clean(text)
        if not words:
            raise BadRequest("empty_text")
        if len(words) > TEXT:
            raise BadRequest("text_too_long", limit=TEXT)
        if not 1 <= len(key) <= KEY:
            raise BadRequest("bad_request", field="key")
        ends = await self._store.say(handoff_id, agent, Reply(words, author="agent"), key, self._clock())
        if ends is None:
            return 1
        await self._changed(ends)
        return len(ends)

    async def hand_back(self, handoff_id: int, agent: Agent) -> None:
        """Give the conversation back to the bot, which then asks again what it had asked last."""
        conversation_id = await self._finish(handoff_id, agent, "returned", "utter_agent_left")
        try:
            await self._resume(conversation_id)
        except Exception as error:  # the conversation is the bot's again, whatever became of its question
            log.error("resume failed", conversation=conversation_id, fault=type(error).__name__)

    async def close(self, handoff_id: int, agent: Agent) -> None:
        """End the service: the bot is there again and waits for the customer's next wish."""
        await self._finish(handoff_id, agent, "ended", "utter_agent_closed")

    def stop(self) -> None:
        """Let every live page end, so that the server can shut down at once."""
        self.stopped = True
        self.bell.ring()

    async def _finish(self, handoff_id: int, agent: Agent, ending: Ending, notice: str) -> int:
        _serving(agent)
        conversation_id, ends = await self._store.finish(handoff_id, agent, ending, self._notice(notice, agent), self._clock())
        await self._changed(ends)
        return conversation_id

    def _notice(self, name: str, agent: Agent) -> Reply:
        return Reply(self._locale.say(name, {"agent": agent.name}).text, system=True)

    async def _changed(self, ends: Sequence[End]) -> None:
        """Wake the live pages, and the doors that have something to show; what a door cannot show now waits for it."""
        self.bell.ring()
        results = await asyncio.gather(*(self._deliver(*end) for end in ends), return_exceptions=True)
        for (channel, _), result in zip(ends, results, strict=True):
            if isinstance(result, Exception):
                log.error("delivery failed", channel=channel, fault=type(result).__name__)


def clean(text: str) -> str:
    """Drop what no messenger shows (control characters, half surrogates) and the space around a text."""
    return "".join(one for one in text if one == "\n" or unicodedata.category(one) not in ("Cc", "Cs")).strip()


def _serving(agent: Agent) -> None:
    if not agent.serves:
        raise Forbidden("wrong_role")
