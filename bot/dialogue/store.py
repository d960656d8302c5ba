"""Conversations, their turns and events in the database: one read to load a turn, one commit to keep it.

Times are UTC milliseconds since 1970. The state of a conversation is one JSON column, so that loading costs the same however
long the conversation is; events are appended for the record and never read to answer a message. What people say, and the ends
of channels that they say it at (a Telegram chat, whatever names a REST caller's customers), stand sealed; an end is found by
its blind index, and only ``doors`` holds what it is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.messages import Outcome, Reply
from wallet_service import Database, Sealed, SealedJson

metadata = sa.MetaData()


def _sender_index() -> sa.Column[bytes]:
    return sa.Column("sender_index", sa.LargeBinary(32), nullable=False)  # of channel and sender


conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("person", sa.Integer, index=True),  # the wallet user, once logged in
    sa.Column("holder", sa.Integer),  # the agent who holds it; the bot is silent then
    sa.Column("version", sa.Integer, nullable=False),  # raised by every commit; a turn over an old version runs again
    sa.Column("state", SealedJson("conversations.state"), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
doors = sa.Table(
    "doors",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("channel", sa.String(32), nullable=False),
    sa.Column("sender", Sealed("doors.sender"), nullable=False),
    _sender_index(),
    sa.Column("conversation_id", sa.ForeignKey("conversations.id"), nullable=False, index=True),
    sa.Column("used_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("channel", "sender_index"),
)
turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("channel", sa.String(32), nullable=False),
    _sender_index(),
    sa.Column("message_id", sa.String(255), nullable=False),
    sa.Column("conversation_id", sa.ForeignKey("conversations.id"), nullable=False),
    sa.Column("outcome", SealedJson("turns.outcome"), nullable=False),
    sa.UniqueConstraint("channel", "sender_index", "message_id"),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("conversation_id", sa.ForeignKey("conversations.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),  # user, bot, agent, command, action, slot, flow, handoff
    sa.Column("data", SealedJson("events.data"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
pushes = sa.Table(
    "pushes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("channel", sa.String(32), nullable=False),
    _sender_index(),
    sa.Column("reply", SealedJson("pushes.reply"), nullable=False),
    sa.Column("taken", sa.Boolean, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("pushes_waiting", "channel", "sender_index", "taken"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a conversation, for the record; ``data`` holds no secret and no unmasked code."""

    kind: str
    data: Mapping[str, Any]
    at: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it stood when it was loaded; ``outcome`` is set when the message was answered before."""

    id: int
    version: int
    person: int | None
    holder: int | None
    state: dict[str, Any]
    updated_at: int
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Where a door goes whose log-in ended: to another conversation, or to a clean one with this person and state."""

    to: int | None
    person: int | None
    state: Mapping[str, Any]


@dataclass(slots=True)
class Kept:
    """What one turn leaves behind."""

    state: Mapping[str, Any]
    person: int | None
    outcome: Outcome
    events: list[Event] = field(default_factory=list)
    leave: Leave | None = None


def _outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    return {"replies": [reply.to_json() for reply in outcome.replies], "forget": outcome.forget_message}


def _outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    return Outcome(tuple(Reply.from_json(reply) for reply in data["replies"]), data["forget"])


def door_of(database: Database, channel: str, sender: str) -> dict[str, Any]:
    """Give the columns that an end of a channel is found by."""
    return {"channel": channel, "sender_index": database.blind_index("door", f"{channel}\0{sender}")}


# The statements of every turn are built once: building one costs as much as running it.
_DOOR = (doors.c.channel == sa.bindparam("channel"), doors.c.sender_index == sa.bindparam("sender_index"))
_FIND = sa.select(doors.c.conversation_id).where(*_DOOR)
_LOAD = (
    sa.select(conversations, turns.c.outcome)
    .select_from(
        doors.join(conversations).outerjoin(
            turns,
            sa.and_(
                turns.c.channel == doors.c.channel,
                turns.c.sender_index == doors.c.sender_index,
                turns.c.message_id == sa.bindparam("message"),
            ),
        )
    )
    .where(*_DOOR)
)
_ADVANCE = (
    sa.update(conversations)
    .where(conversations.c.id == sa.bindparam("of"), conversations.c.version == sa.bindparam("from_version"))
    .values(
        version=sa.bindparam("to_version"), state=sa.bindparam("new"), person=sa.bindparam("who"), updated_at=sa.bindparam("at")
    )
)
_ADD_TURN = sa.insert(turns)
_ADD_EVENTS = sa.insert(events)
_WAITING = sa.select(pushes.c.id).where(
    pushes.c.channel == sa.bindparam("channel"), pushes.c.sender_index == sa.bindparam("sender_index"), ~pushes.c.taken
)


class Store:
    """The conversations' half of the database; the wallet owns the other half and the connection rules."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def find(self, channel: str, sender: str) -> int | None:
        """Say which conversation this end of a channel points to."""
        async with self.database.read() as connection:
            found: int | None = (await connection.execute(_FIND, self._door(channel, sender))).scalar_one_or_none()
        return found

    async def load(self, channel: str, sender: str, message_id: str) -> Conversation | None:
        """Load the conversation of this end of a channel, with the stored outcome if the message id was seen before."""
        door = {**self._door(channel, sender), "message": message_id}
        async with self.database.read() as connection:
            row = (await connection.execute(_LOAD, door)).one_or_none()
        return None if row is None else _conversation(row, row.outcome)

    async def get(self, conversation_id: int) -> Conversation:
        """Load a conversation by its id; raises ``sqlalchemy.exc.NoResultFound`` when there is none."""
        async with self.database.read() as connection:
            row = (await connection.execute(sa.select(conversations).where(conversations.c.id == conversation_id))).one()
        return _conversation(row, None)

    async def open(self, channel: str, sender: str, state: Mapping[str, Any], at: int) -> None:
        """Start a conversation and point this end of the channel to it; a no-op when somebody just did."""
        door = self._door(channel, sender)
        async with self.database.write() as connection:
            if (await connection.execute(_FIND, door)).first() is None:
                new_id = await _new_conversation(connection, state, None, at)
                row = {**door, "sender": sender, "conversation_id": new_id, "used_at": at}
                await connection.execute(sa.insert(doors).values(row))

    async def keep(self, before: Conversation, channel: str, sender: str, message_id: str, kept: Kept, at: int) -> bool:
        """Commit one turn: state, replies, events and where the door goes. False when the conversation changed meanwhile."""
        async with self.database.write() as connection:
            if not await _advance(connection, before, kept.state, kept.person, at):
                return False
            await self._add_turn(connection, before, channel, sender, message_id, kept.outcome)
            await _append(connection, before.id, kept.events)
            if kept.leave is not None:
                await _leave(connection, self._door(channel, sender), kept.leave, at)
        return True

    async def change(self, before: Conversation, state: Mapping[str, Any], new: Sequence[Event], at: int) -> bool:
        """Commit a change of state that no message asked for (a hand-back). False when the conversation changed meanwhile."""
        async with self.database.write() as connection:
            if not await _advance(connection, before, state, before.person, at):
                return False
            await _append(connection, before.id, new)
        return True

    async def record(self, conversation_id: int, new: Sequence[Event]) -> None:
        """Append events outside a turn (an agent's words, a customer's words to an agent)."""
        async with self.database.write() as connection:
            await _append(connection, conversation_id, new)

    async def keep_silent(
        self, before: Conversation, channel: str, sender: str, message_id: str, outcome: Outcome, event: Event
    ) -> bool:
        """Keep a message that goes to the agent who holds the conversation: recorded and deduplicated, answered by nobody here.

        False when the holder changed meanwhile, or another process kept this very message.
        """
        try:
            async with self.database.write() as connection:
                held = sa.select(conversations.c.holder).where(conversations.c.id == before.id).with_for_update()
                if (await connection.execute(held)).scalar_one() != before.holder:
                    return False
                await self._add_turn(connection, before, channel, sender, message_id, outcome)
                await _append(connection, before.id, [event])
        except IntegrityError:
            return False
        return True

    async def leave(self, channel: str, sender: str, leave: Leave, at: int) -> None:
        """Point this end of a channel elsewhere, outside a turn."""
        async with self.database.write() as connection:
            await _leave(connection, self._door(channel, sender), leave, at)

    async def latest_of(self, person: int, *, besides: int) -> int | None:
        """Say which other conversation of this person was used last."""
        query = sa.select(conversations.c.id).where(conversations.c.person == person, conversations.c.id != besides)
        async with self.database.read() as connection:
            last = await connection.execute(query.order_by(conversations.c.updated_at.desc()).limit(1))
            found: int | None = last.scalar_one_or_none()
        return found

    async def move(self, source: Conversation, to: Conversation, door: tuple[str, str], states: tuple[Any, Any], at: int) -> bool:
        """Carry what is open in one conversation into another and point the door there. False when either changed meanwhile.

        ``states`` are the two new states, of the source and of the target.
        """
        async with self.database.write() as connection:
            if not await _advance(connection, source, states[0], None, at):  # empty from now on, and nobody's
                return False
            if not await _advance(connection, to, states[1], to.person, at):
                await connection.rollback()
                return False
            said = sa.update(events).where(events.c.conversation_id == source.id)
            await connection.execute(said.values(conversation_id=to.id))  # what led to the log-in belongs to the record there
            await connection.execute(_point(self._door(*door), to.id, at))
        return True

    async def doors_of(self, conversation_id: int) -> tuple[tuple[str, str], ...]:
        """List the (channel, sender) ends that point to a conversation, the last used first."""
        query = sa.select(doors.c.channel, doors.c.sender).where(doors.c.conversation_id == conversation_id)
        async with self.database.read() as connection:
            rows = await connection.execute(query.order_by(doors.c.used_at.desc()))
        return tuple((row.channel, row.sender) for row in rows)

    async def doors_of_person(self, person: int, *, held: bool = False) -> tuple[tuple[str, str], ...]:
        """List the (channel, sender) ends of every conversation of a person, or only of those that an agent holds."""
        query = sa.select(doors.c.channel, doors.c.sender).join(conversations).where(conversations.c.person == person)
        if held:
            query = query.where(conversations.c.holder.is_not(None))
        async with self.database.read() as connection:
            return tuple((row.channel, row.sender) for row in await connection.execute(query))

    async def add_pushes(self, ends: Sequence[tuple[str, str]], reply: Reply, at: int) -> None:
        """Leave a reply for each of these ends of channels."""
        if ends:
            row = {"reply": reply.to_json(), "taken": False, "at": at}
            async with self.database.write() as connection:
                rows = [{**self._door(*end), **row} for end in ends]
                await connection.execute(sa.insert(pushes), rows)

    async def claim_pushes(self, channel: str, sender: str) -> tuple[Reply, ...]:
        """Take what waits for one end of a channel, oldest first, each once."""
        return tuple((await self.take_pushes(channel, sender)).values())

    async def take_pushes(self, channel: str, sender: str) -> dict[int, Reply]:
        """Take it by ids, for one who may have to give it back."""
        door = self._door(channel, sender)
        async with self.database.read() as connection:
            if (await connection.execute(_WAITING, door)).first() is None:
                return {}
        async with self.database.write() as connection:
            query = _WAITING.add_columns(pushes.c.reply).order_by(pushes.c.id).with_for_update(skip_locked=True)
            rows = (await connection.execute(query, door)).all()
            await connection.execute(sa.update(pushes).where(pushes.c.id.in_([row.id for row in rows])).values(taken=True))
        return {row.id: Reply.from_json(row.reply) for row in rows}

    async def give_back(self, push_ids: Collection[int]) -> None:
        """Let waiting words wait on that could not be shown; those of a log-in that ended meanwhile are gone."""
        async with self.database.write() as connection:
            await connection.execute(sa.update(pushes).where(pushes.c.id.in_(push_ids)).values(taken=False))

    async def transcript(self, conversation_id: int, *, after: int = 0, limit: int = 200) -> tuple[dict[str, Any], ...]:
        """Give what was said (masked as stored), oldest first, with event ids to go on from."""
        spoken = ("user", "bot", "agent", "handoff")
        query = sa.select(events).where(
            events.c.conversation_id == conversation_id, events.c.kind.in_(spoken), events.c.id > after
        )
        async with self.database.read() as connection:
            rows = (await connection.execute(query.order_by(events.c.id.desc()).limit(limit))).all()
        return tuple({"id": row.id, "kind": row.kind, "at": row.at, **row.data} for row in reversed(rows))

    def _door(self, channel: str, sender: str) -> dict[str, Any]:
        return door_of(self.database, channel, sender)

    async def _add_turn(
        self, connection: AsyncConnection, before: Conversation, channel: str, sender: str, message_id: str, outcome: Outcome
    ) -> None:
        turn = {"message_id": message_id, "conversation_id": before.id, "outcome": _outcome_to_json(outcome)}
        await connection.execute(_ADD_TURN, {**self._door(channel, sender), **turn})


def _conversation(row: Any, outcome: Mapping[str, Any] | None) -> Conversation:
    return Conversation(
        id=row.id,
        version=row.version,
        person=row.person,
        holder=row.holder,
        state=row.state,
        updated_at=row.updated_at,
        outcome=None if outcome is None else _outcome_from_json(outcome),
    )


async def _leave(connection: AsyncConnection, door: Mapping[str, Any], leave: Leave, at: int) -> None:
    # Words for who was here are not for who comes; nor those that somebody tries to show just now, and would give back.
    theirs = (pushes.c.channel == door["channel"], pushes.c.sender_index == door["sender_index"])
    await connection.execute(sa.delete(pushes).where(*theirs))
    to = leave.to or await _new_conversation(connection, leave.state, leave.person, at)
    await connection.execute(_point(door, to, at))


async def _new_conversation(connection: AsyncConnection, state: Mapping[str, Any], person: int | None, at: int) -> int:
    values = {"person": person, "version": 1, "state": state, "updated_at": at}
    result = await connection.execute(sa.insert(conversations).values(values).returning(conversations.c.id))
    return int(result.scalar_one())


def _point(door: Mapping[str, Any], conversation_id: int, at: int) -> sa.Update:
    there = sa.update(doors).where(doors.c.channel == door["channel"], doors.c.sender_index == door["sender_index"])
    return there.values(conversation_id=conversation_id, used_at=at)


async def _advance(
    connection: AsyncConnection, before: Conversation, state: Mapping[str, Any], person: int | None, at: int
) -> bool:
    """Move a conversation on by one version, unless somebody else did."""
    change = {"of": before.id, "from_version": before.version, "to_version": before.version + 1}
    result = await connection.execute(_ADVANCE, {**change, "new": state, "who": person, "at": at})
    return result.rowcount == 1


async def _append(connection: AsyncConnection, conversation_id: int, new: Sequence[Event]) -> None:
    if new:
        rows = [
            {"conversation_id": conversation_id, "kind": event.kind, "data": dict(event.data), "at": event.at} for event in new
        ]
        await connection.execute(_ADD_EVENTS, rows)
