"""Handoffs in the database; whatever moves one also moves its conversation, in the same transaction.

Every change first locks the conversation's row, so that on PostgreSQL a turn, an agent's words and a hand-back of one
conversation come one after the other; on SQLite there is one writer anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.desk.errors import Conflict, Forbidden, NotFound
from bot.desk.tables import agents, handoffs, said
from bot.dialogue.store import conversations, doors, events, pushes
from bot.messages import Reply
from wallet_service import Database

Role = Literal["agent", "reviewer", "supervisor", "admin"]
Ending = Literal["left", "returned", "ended"]
End = tuple[str, str]  # (channel, sender)
SHOWN: Final = 500  # open handoffs that a desk shows at once


@dataclass(frozen=True, slots=True)
class Agent:
    """A human who works at the desk."""

    id: int
    name: str
    role: str

    @property
    def serves(self) -> bool:
        """Say whether this agent talks with customers; a reviewer does not."""
        return self.role in ("agent", "supervisor", "admin")

    @property
    def supervises(self) -> bool:
        """Say whether this agent may look into and end what colleagues hold."""
        return self.role in ("supervisor", "admin")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation stands in the queue: ``position`` counts from 1, and is 0 when it does not wait."""

    position: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Handoff:
    """One conversation's way to a human and back; ``context`` is what the bot knew when it asked, masked."""

    id: int
    conversation_id: int
    topic: str
    city: str
    reason: str
    context: Mapping[str, Any]
    state: str
    agent_id: int | None
    agent: str | None
    requested_at: int
    taken_at: int | None
    closed_at: int | None
    last_id: int | None  # the customer's newest message
    last_text: str


class DeskStore:
    """The handoffs' part of the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def request(
        self, conversation_id: int, *, topic: str, city: str, reason: str, context: Mapping[str, Any], at: int
    ) -> Place:
        """Put a conversation into the queue unless it waits or is held already, and say where it stands."""
        async with self.database.write() as connection:
            await _lock(connection, conversation_id)
            open_one = sa.select(handoffs.c.id).where(handoffs.c.conversation_id == conversation_id, handoffs.c.state != "closed")
            if (await connection.execute(open_one)).first() is None:
                row = {"topic": topic, "city": city, "reason": reason, "context": dict(context)}
                new = sa.insert(handoffs).values(conversation_id=conversation_id, state="waiting", requested_at=at, **row)
                await connection.execute(new)
            return await _place(connection, conversation_id)

    async def place(self, conversation_id: int) -> Place:
        """Say where a conversation stands in the queue."""
        async with self.database.read() as connection:
            return await _place(connection, conversation_id)

    async def leave(self, conversation_id: int, at: int) -> bool:
        """Take a waiting conversation out of the queue; False when it does not wait."""
        async with self.database.write() as connection:
            await _lock(connection, conversation_id)
            waiting = sa.update(handoffs).where(handoffs.c.conversation_id == conversation_id, handoffs.c.state == "waiting")
            result = await connection.execute(waiting.values(state="closed", ending="left", closed_at=at))
        return result.rowcount == 1

    async def follow(self, conversation_id: int, to: int, at: int) -> None:
        """Let a waiting handoff follow its customer into another conversation; one that is open there already stands for both."""
        async with self.database.write() as connection:
            for one in sorted((conversation_id, to)):
                await _lock(connection, one)
            there = sa.select(handoffs.c.id).where(handoffs.c.conversation_id == to, handoffs.c.state != "closed")
            taken = (await connection.execute(there)).first() is not None
            change = {"state": "closed", "ending": "left", "closed_at": at} if taken else {"conversation_id": to}
            waiting = (handoffs.c.conversation_id == conversation_id, handoffs.c.state == "waiting")
            await connection.execute(sa.update(handoffs).where(*waiting).values(change))

    async def open(self) -> tuple[Handoff, ...]:
        """Give the handoffs that wait or are held, the longest waiting first."""
        query = _handoffs().where(handoffs.c.state != "closed").order_by(handoffs.c.id).limit(SHOWN)
        async with self.database.read() as connection:
            rows = await connection.execute(query)
            return tuple(_handoff(row) for row in rows)

    async def get(self, handoff_id: int) -> Handoff:
        """Give one handoff; raises ``NotFound``."""
        async with self.database.read() as connection:
            return await _get(connection, handoff_id)

    async def take(self, handoff_id: int, agent: Agent, notice: Reply, at: int) -> tuple[End, ...]:
        """Give a waiting conversation to an agent and silence the bot; of two who race exactly one succeeds.

        The conversation's version rises, so a turn of the bot that is under way cannot be kept and runs again, silent.
        Returns the ends of channels that have something to show; none when this agent held it before.
        """
        async with self.database.write() as connection:
            handoff = await _get_locked(connection, handoff_id)
            if handoff.state == "held" and handoff.agent_id == agent.id:
                return ()
            waiting = sa.update(handoffs).where(handoffs.c.id == handoff_id, handoffs.c.state == "waiting")
            result = await connection.execute(waiting.values(state="held", agent_id=agent.id, taken_at=at))
            if result.rowcount != 1:
                raise _no_longer(await _get(connection, handoff_id))
            await _hold(connection, handoff.conversation_id, agent.id, at)
            return await _tell(connection, handoff.conversation_id, "handoff", {"what": "taken", "agent": agent.name}, notice, at)

    async def say(self, handoff_id: int, agent: Agent, reply: Reply, key: str, at: int) -> tuple[End, ...] | None:
        """Record an agent's words and leave them for the customer; None when this ``key`` was said before."""
        async with self.database.write() as connection:
            handoff = await _get_locked(connection, handoff_id)
            if handoff.state != "held" or handoff.agent_id != agent.id:
                raise _not_held(handoff)
            before = sa.select(said.c.id).where(said.c.handoff_id == handoff_id, said.c.key == key)
            if (await connection.execute(before)).first() is not None:
                return None
            await connection.execute(sa.insert(said).values(handoff_id=handoff_id, key=key, at=at))
            data = {"text": reply.text, "agent": agent.name}
            return await _tell(connection, handoff.conversation_id, "agent", data, reply, at)

    async def finish(self, handoff_id: int, agent: Agent, ending: Ending, notice: Reply, at: int) -> tuple[int, tuple[End, ...]]:
        """Give a held conversation back to the bot; its holder may, and who supervises. Returns it, and its ends of channels."""
        async with self.database.write() as connection:
            handoff = await _get_locked(connection, handoff_id)
            if handoff.state != "held" or (handoff.agent_id != agent.id and not agent.supervises):
                raise _not_held(handoff)
            held = sa.update(handoffs).where(handoffs.c.id == handoff_id)
            await connection.execute(held.values(state="closed", ending=ending, closed_at=at))
            await _hold(connection, handoff.conversation_id, None, at)
            data = {"what": ending, "agent": agent.name}
            return handoff.conversation_id, await _tell(connection, handoff.conversation_id, "handoff", data, notice, at)


def _handoffs() -> sa.Select[Any]:
    """Select handoffs with their agent's name and the customer's newest message (found backwards along the index)."""
    said_there = sa.and_(events.c.conversation_id == handoffs.c.conversation_id, events.c.kind == "user")
    newest = sa.select(events.c.id).where(said_there).order_by(events.c.id.desc()).limit(1)
    last = events.alias("last")
    columns = (handoffs, agents.c.name.label("agent"), last.c.id.label("last_id"), last.c.data.label("last_data"))
    joined = handoffs.outerjoin(agents).outerjoin(last, last.c.id == newest.correlate(handoffs).scalar_subquery())
    return sa.select(*columns).select_from(joined)


def _handoff(row: Any) -> Handoff:
    return Handoff(
        id=row.id,
        conversation_id=row.conversation_id,
        topic=row.topic,
        city=row.city,
        reason=row.reason,
        context=row.context,
        state=row.state,
        agent_id=row.agent_id,
        agent=row.agent,
        requested_at=row.requested_at,
        taken_at=row.taken_at,
        closed_at=row.closed_at,
        last_id=row.last_id,
        last_text=str(row.last_data.get("text", "")) if row.last_data else "",
    )


def _no_longer(handoff: Handoff) -> Conflict:
    return Conflict("taken", agent=handoff.agent or "") if handoff.state == "held" else Conflict("over")


def _not_held(handoff: Handoff) -> Conflict | Forbidden:
    """Say why an agent cannot act on a handoff: nobody took it yet, it is over, or it is a colleague's."""
    if handoff.state == "held":
        return Forbidden("not_yours", agent=handoff.agent or "")
    return Conflict("not_taken" if handoff.state == "waiting" else "over")


async def _lock(connection: AsyncConnection, conversation_id: int) -> None:
    await connection.execute(sa.select(conversations.c.id).where(conversations.c.id == conversation_id).with_for_update())


async def _get(connection: AsyncConnection, handoff_id: int) -> Handoff:
    row = (await connection.execute(_handoffs().where(handoffs.c.id == handoff_id))).one_or_none()
    if row is None:
        raise NotFound("no_handoff")
    return _handoff(row)


async def _get_locked(connection: AsyncConnection, handoff_id: int) -> Handoff:
    """Lock a handoff's conversation, then read the handoff: what is read stays true until the transaction ends."""
    found = sa.select(handoffs.c.conversation_id).where(handoffs.c.id == handoff_id)
    conversation_id = (await connection.execute(found)).scalar_one_or_none()
    if conversation_id is None:
        raise NotFound("no_handoff")
    await _lock(connection, conversation_id)
    return await _get(connection, handoff_id)


async def _place(connection: AsyncConnection, conversation_id: int) -> Place:
    mine = sa.select(handoffs.c.id).where(handoffs.c.conversation_id == conversation_id, handoffs.c.state == "waiting")
    ahead = sa.func.count().filter(handoffs.c.id <= mine.scalar_subquery())
    row = (await connection.execute(sa.select(ahead, sa.func.count()).where(handoffs.c.state == "waiting"))).one()
    return Place(position=row[0], waiting=row[1])


async def _hold(connection: AsyncConnection, conversation_id: int, agent_id: int | None, at: int) -> None:
    """Change who holds a conversation, so that a turn over the old version cannot be kept."""
    one = sa.update(conversations).where(conversations.c.id == conversation_id)
    await connection.execute(one.values(holder=agent_id, version=conversations.c.version + 1, updated_at=at))


async def _tell(
    connection: AsyncConnection, conversation_id: int, kind: str, data: Mapping[str, Any], reply: Reply, at: int
) -> tuple[End, ...]:
    """Record an event and leave a reply at every end of a channel that points to the conversation."""
    event = {"conversation_id": conversation_id, "kind": kind, "data": dict(data), "at": at}
    await connection.execute(sa.insert(events).values(event))
    query = sa.select(doors.c.channel, doors.c.sender, doors.c.sender_index).where(doors.c.conversation_id == conversation_id)
    ends = (await connection.execute(query)).all()
    if ends:
        push = {"reply": reply.to_json(), "taken": False, "at": at}
        rows = [{"channel": end.channel, "sender_index": end.sender_index, **push} for end in ends]
        await connection.execute(sa.insert(pushes), rows)
    return tuple((end.channel, end.sender) for end in ends)
