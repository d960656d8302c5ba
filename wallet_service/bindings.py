"""The doors and devices that a person is logged in at: listed, and logged out from any of them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.checks import is_id, is_text
from wallet_service.context import Context
from wallet_service.events import happened, note
from wallet_service.idempotency import once
from wallet_service.schema import bindings as table
from wallet_service.standing import held_user
from wallet_service.views import Binding

_LONGEST_CHANNEL, _LONGEST_LABEL = 32, 64
_SEEN = timedelta(hours=1)  # how exactly it is kept when a door was used last: a write a turn would be too dear


def _index(context: Context, channel: str, address: str) -> bytes:
    return context.vault.index("door", f"{channel}\0{address}")


async def bind(context: Context, user_id: int, channel: str, address: str, label: str, *, key: str) -> Binding:
    """Note that a person is logged in at a door; one that is new for them is told by every way."""
    if not all(map(is_text, (channel, address, label))) or len(channel) > _LONGEST_CHANNEL:
        raise errors.BindingNotFound
    index, shown = _index(context, channel, address), label[:_LONGEST_LABEL]

    async def work(connection: AsyncConnection) -> Binding:
        now = context.now()
        await held_user(context, connection, user_id)
        same = (table.c.user_id == user_id) & (table.c.channel == channel) & (table.c.address_index == index)
        known = (await connection.execute(select(table.c.id, table.c.status, table.c.created_at).where(same))).one_or_none()
        if known is not None and known.status == "active":
            await connection.execute(update(table).where(table.c.id == known.id).values(label=shown, seen_at=now))
            return Binding(known.id, channel, shown, known.created_at, now)
        fresh = {"status": "active", "label": shown, "created_at": now, "seen_at": now}
        if known is None:
            row = {"user_id": user_id, "channel": channel, "address": address, "address_index": index, **fresh}
            number = (await connection.execute(insert(table).values(row).returning(table.c.id))).scalar_one()
        else:
            number = known.id
            await connection.execute(update(table).where(table.c.id == number).values(fresh))
        await happened(connection, user_id, "device_added", now, channel=channel, label=shown, binding=number)
        return Binding(number, channel, shown, now, now)

    return await once(context, "bind", user_id, key, [channel, index.hex(), shown], work)


async def binding_of(context: Context, user_id: int, channel: str, address: str, *, used: bool) -> int | None:
    """Give the binding by which a door speaks for a person, None when it does not (any more); one indexed read.

    ``used`` keeps that the door was used just now, to the hour.
    """
    if not (is_id(user_id) and is_text(channel)):
        return None
    here = (table.c.channel == channel) & (table.c.address_index == _index(context, channel, address))
    async with context.database.read() as connection:
        wanted = select(table.c.id, table.c.seen_at).where(table.c.user_id == user_id, here, table.c.status == "active")
        row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        return None
    now = context.now()
    if used and now - row.seen_at >= _SEEN:
        async with context.database.write() as connection:
            await connection.execute(update(table).where(table.c.id == row.id).values(seen_at=now))
    return int(row.id)


async def bindings(context: Context, user_id: int) -> tuple[Binding, ...]:
    """List where a person is logged in, the last used first."""
    if not is_id(user_id):
        raise errors.NotLoggedIn
    columns = (table.c.id, table.c.channel, table.c.label, table.c.created_at, table.c.seen_at)
    wanted = select(*columns).where(table.c.user_id == user_id, table.c.status == "active")
    async with context.database.read() as connection:
        rows = await connection.execute(wanted.order_by(table.c.seen_at.desc(), table.c.id))
        return tuple(Binding(*row) for row in rows)


async def unbind(context: Context, user_id: int, binding_id: int, *, key: str, tell: bool = True) -> None:
    """Log a person out at a door; ``tell`` is for a log-out from elsewhere."""

    async def work(connection: AsyncConnection) -> None:
        await held_user(context, connection, user_id)
        if not is_id(binding_id):
            raise errors.BindingNotFound
        mine = (table.c.id == binding_id) & (table.c.user_id == user_id) & (table.c.status == "active")
        gone = update(table).where(mine).values(status="removed").returning(table.c.channel, table.c.label)
        row = (await connection.execute(gone)).one_or_none()
        if row is None:
            raise errors.BindingNotFound
        happens = happened if tell else note
        await happens(connection, user_id, "device_removed", context.now(), channel=row.channel, label=row.label)

    await once(context, "unbind", user_id, key, [binding_id, tell], work)


async def unbind_all(context: Context, user_id: int, *, key: str, except_: int | None = None) -> None:
    """Log a person out everywhere, but for one door."""

    async def work(connection: AsyncConnection) -> None:
        await held_user(context, connection, user_id)
        if except_ is not None and not is_id(except_):
            raise errors.BindingNotFound
        removed = await remove_all(connection, user_id, besides=except_)
        if removed:
            await happened(connection, user_id, "devices_removed", context.now(), count=removed)

    await once(context, "unbind_all", user_id, key, [except_], work)


async def remove_all(connection: AsyncConnection, user_id: int, *, besides: int | None = None) -> int:
    """Remove the bindings of a person who is held, but for one; give how many were active."""
    others = (table.c.user_id == user_id) & (table.c.status == "active") & (table.c.id != (besides or 0))
    gone = await connection.execute(update(table).where(others).values(status="removed").returning(table.c.id))
    return len(gone.all())


async def forget_all(connection: AsyncConnection, user_id: int) -> None:
    """Delete every trace of a person's doors."""
    await connection.execute(delete(table).where(table.c.user_id == user_id))
