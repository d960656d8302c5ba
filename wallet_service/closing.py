"""Closing an account: what has to be settled first, a cooling-off in which its owner may think better of it, and the end.

What was paid and by whom is kept, sealed, as the law demands (anti-money-laundering, years); what lets anybody in is removed, and
the phone and the identity are free for a new account.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import changes, errors
from wallet_service.bindings import forget_all
from wallet_service.checks import is_id
from wallet_service.context import Context
from wallet_service.events import happened
from wallet_service.idempotency import once
from wallet_service.people import person_on
from wallet_service.schema import (
    accounts,
    authenticators,
    cards,
    contacts,
    orders,
    passwords,
    recovery_codes,
    subscriptions,
    tickets,
    users,
)
from wallet_service.standing import change_user, held_row, held_user
from wallet_service.views import Change, ClosingCheck, Obstacle, Person

RECORDS_LAST = timedelta(days=30)  # how long records that were taken along count as taken
_CREDENTIALS: tuple[Table, ...] = (authenticators, recovery_codes, passwords, tickets)


async def close_check(context: Context, user_id: int) -> ClosingCheck:
    """Tell what keeps a person's account from being closed, in the order in which it is best settled."""
    async with context.database.read() as connection:
        row = await _person(connection, user_id)
        return await _check(context, connection, row, context.now())


async def start_closing(context: Context, user_id: int, change_id: str, *, key: str) -> Person:
    """Begin the cooling-off with a proven code; nothing is paid or received from now on."""

    async def work(connection: AsyncConnection) -> Person:
        now = context.now()
        row = await held_user(context, connection, user_id)
        if row["status"] == "closing":
            raise errors.WalletClosing(city=row["default_city"])
        days = await _require_settled(context, connection, row, now)
        await changes.spend_proof(context, connection, user_id, "close", change_id)
        closes_at = now + timedelta(days=days)
        await change_user(connection, user_id, status="closing", closes_at=closes_at)
        await happened(connection, user_id, "closing_started", now, closes_at=closes_at.isoformat())
        return await person_on(connection, user_id)

    return await once(context, "start_closing", user_id, key, [change_id], work)


async def send_closing_code(context: Context, user_id: int, *, key: str) -> Change:
    """Send the code that begins the cooling-off, unless something has to be settled first."""

    async def work(connection: AsyncConnection) -> Change:
        row = await held_user(context, connection, user_id)
        if row["status"] == "closing":
            raise errors.WalletClosing(city=row["default_city"])
        now = context.now()
        await _require_settled(context, connection, row, now)
        return await changes.send_code(context, connection, user_id, "close", row["phone"], now)

    return await once(context, "send_closing_code", user_id, key, [], work)


async def cancel_closing(context: Context, user_id: int, *, key: str) -> Person:
    """Call a closing off; being logged in is enough, since the account only becomes what it was."""

    async def work(connection: AsyncConnection) -> Person:
        row = await held_user(context, connection, user_id)
        if row["status"] != "closing":
            raise errors.NotClosing
        await _stay(connection, user_id, context.now(), by="owner")
        return await person_on(connection, user_id)

    return await once(context, "cancel_closing", user_id, key, [], work)


async def close_due(context: Context, limit: int) -> int:
    """End the closings whose cooling-off is over, each in a transaction of its own; give how many were looked at.

    What has to be settled is judged again: where something came in between, the account stays and its owner is told.
    """
    due = select(users.c.id).where(users.c.status == "closing", users.c.closes_at <= context.now())
    async with context.database.read() as connection:
        found = [row.id for row in await connection.execute(due.order_by(users.c.closes_at).limit(limit))]
    for user_id in found:
        await _end(context, user_id)
    return len(found)


async def _end(context: Context, user_id: int) -> None:
    now = context.now()
    async with context.database.write() as connection:
        row = await held_row(context, connection, user_id)
        if row is None or row["status"] != "closing" or row["closes_at"] > now:
            return  # called off, or another worker was first
        check = await _check(context, connection, row, now, lock=True)
        left = [each for each in check.obstacles if each.kind != "records"]  # they were taken along when it began
        if left:
            await _stay(connection, user_id, now, by="closing", obstacles=_facts(left))
            return
        await happened(connection, user_id, "wallet_closed", now)
        await _lock_out(context, connection, user_id)


async def _lock_out(context: Context, connection: AsyncConnection, user_id: int) -> None:
    """Remove whatever lets somebody in as this person; their phone and identity may open an account anew."""
    for table in (*_CREDENTIALS, subscriptions, contacts):
        owner = table.c.owner_id if table is contacts else table.c.user_id
        await connection.execute(delete(table).where(owner == user_id))
    await forget_all(connection, user_id)
    await connection.execute(update(cards).where(cards.c.user_id == user_id).values(status="unbound", is_default=False))
    nobodys = context.vault.index("closed", str(user_id))
    await change_user(connection, user_id, status="closed", closes_at=None, phone_index=nobodys, id_index=None)


async def _stay(connection: AsyncConnection, user_id: int, now: datetime, *, by: str, **facts: Any) -> None:
    await change_user(connection, user_id, status="active", closes_at=None)
    await happened(connection, user_id, "closing_cancelled", now, by=by, **facts)


async def _require_settled(context: Context, connection: AsyncConnection, row: Mapping[str, Any], now: datetime) -> int:
    check = await _check(context, connection, row, now, lock=True)
    if check.obstacles:
        raise errors.ClosingObstructed(obstacles=_facts(check.obstacles))
    return check.cooling_off_days


def _facts(obstacles: Any) -> list[dict[str, Any]]:
    return [{"kind": each.kind, "city": each.city, "amount": each.amount, "count": each.count} for each in obstacles]


async def _person(connection: AsyncConnection, user_id: int) -> dict[str, Any]:
    wanted = select(users).where(users.c.id == user_id, users.c.status != "closed")
    row = (await connection.execute(wanted)).mappings().one_or_none() if is_id(user_id) else None
    if row is None:
        raise errors.NotLoggedIn
    return dict(row)


async def _check(
    context: Context, connection: AsyncConnection, person: Mapping[str, Any], now: datetime, *, lock: bool = False
) -> ClosingCheck:
    """Hold the preconditions of every city in which the person has a wallet against what there is."""
    own = select(accounts.c.id, accounts.c.city, accounts.c.balance).where(accounts.c.user_id == person["id"])
    own = own.order_by(accounts.c.id)
    wallets = (await connection.execute(own.with_for_update() if lock else own)).all()
    rules = [context.profiles[wallet.city].closing for wallet in wallets if wallet.city in context.profiles]
    wanted = {each for rule in rules for each in rule.preconditions}
    found = [Obstacle("frozen")] if person["status"] == "frozen" else []
    if "nothing_pending" in wanted and (count := await _pending(connection, person["id"], [row.id for row in wallets], now)):
        found.append(Obstacle("pending", count=count))
    if "no_balance" in wanted:
        found += [Obstacle("balance", city=row.city, amount=row.balance) for row in wallets if row.balance]
    taken = person["exported_at"]
    if "records_exported" in wanted and (taken is None or now - taken > RECORDS_LAST):
        found.append(Obstacle("records"))
    return ClosingCheck(tuple(found), max((rule.cooling_off_days for rule in rules), default=0), taken)


async def _pending(connection: AsyncConnection, user_id: int, wallets: list[int], now: datetime) -> int:
    """Count the orders that may still move this person's money: held ones of either side, and open proposals."""
    sides = or_(orders.c.payer_id.in_(wallets), orders.c.payee_id.in_(wallets))
    held = select(func.count()).where(orders.c.status == "authorised", sides)
    asked = (orders.c.actor_id == user_id) & (orders.c.status == "proposed") & (orders.c.expires_at > now)
    both = select((held.scalar_subquery() + select(func.count()).where(asked).scalar_subquery()).label("count"))
    count: int = (await connection.execute(both)).scalar_one()
    return count
