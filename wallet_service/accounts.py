"""Freezing and unfreezing, and how well a person is known: each change told to them by every way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import changes, errors
from wallet_service.checks import check_known, is_text
from wallet_service.context import SHANGHAI, Context
from wallet_service.events import happened
from wallet_service.factors import second_factors
from wallet_service.idempotency import once
from wallet_service.people import person_on
from wallet_service.resident_ids import is_id_number, plain_id_number
from wallet_service.schema import orders, users
from wallet_service.standing import change_user, held_user
from wallet_service.views import Change, Person

Row = Mapping[str, Any]
FreezeBy = Literal["owner", "risk", "agent"]
_FREEZERS = ("", *get_args(FreezeBy))  # ever harder to lift
_LONGEST_NAME = 50


async def freeze(context: Context, user_id: int, *, key: str, by: FreezeBy = "owner") -> Person:
    """Freeze a person's wallets at once: what is proposed is cancelled, what is posted stays, and a closing is called off.

    No code is asked for: whoever stops money in error loses minutes, whoever cannot stop it loses the money.
    """

    check_known("by", by, get_args(FreezeBy))

    async def work(connection: AsyncConnection) -> Person:
        row = await held_user(context, connection, user_id)
        if row["status"] == "frozen" and _FREEZERS.index(by) <= _FREEZERS.index(row["frozen_by"]):
            return await person_on(connection, user_id)
        await change_user(connection, user_id, status="frozen", frozen_by=by, closes_at=None)
        proposed = (orders.c.actor_id == user_id) & (orders.c.status == "proposed")
        await connection.execute(update(orders).where(proposed).values(status="cancelled"))
        await happened(connection, user_id, "wallet_frozen", context.now(), by=by)
        return await person_on(connection, user_id)

    return await once(context, "freeze", user_id, key, [by], work)


async def start_unfreeze(context: Context, user_id: int, *, key: str) -> Change:
    """Send the code that lifts the owner's own freeze."""

    async def work(connection: AsyncConnection) -> Change:
        row = await held_user(context, connection, user_id)
        require_own_freeze(row)
        return await changes.send_code(context, connection, user_id, "unfreeze", row["phone"], context.now())

    return await once(context, "start_unfreeze", user_id, key, [], work)


async def unfreeze(context: Context, user_id: int, change_id: str, *, key: str, second: str | None = None) -> Person:
    """Lift the owner's own freeze with a proven code, and with the person's second factor where there is one.

    ``second`` is a code of the authenticator or a recovery code; whoever has only a payment password types it on the page
    ``unfreeze``.
    """

    async def work(connection: AsyncConnection) -> Person:
        row = await held_user(context, connection, user_id)
        require_own_freeze(row)
        proof = await changes.find_proof(context, connection, user_id, "unfreeze", change_id)
        factors = await second_factors(connection, user_id)
        if "authenticator" in factors:
            await changes.take_second(context, connection, row, proof, second)
        elif factors:
            raise errors.SecondProofNeeded(ways=["password"])
        await changes.set_status(connection, proof["id"], "used")
        await thaw(context, connection, user_id, "owner")
        return await person_on(connection, user_id)

    return await once(context, "unfreeze", user_id, key, [change_id, second], work)


async def lift_freeze(context: Context, user_id: int, *, agent: str, key: str) -> Person:
    """Lift any freeze after a person of the house, named for the record, has looked."""

    async def work(connection: AsyncConnection) -> Person:
        row = await held_user(context, connection, user_id)
        if row["status"] != "frozen":
            raise errors.NotFrozen(status=row["status"])
        await thaw(context, connection, user_id, agent)
        return await person_on(connection, user_id)

    return await once(context, "lift_freeze", user_id, key, [agent], work)


def require_own_freeze(person: Row) -> None:
    """Refuse to lift what is no freeze, or not the owner's own."""
    if person["status"] != "frozen":
        raise errors.NotFrozen(status=person["status"])
    if person["frozen_by"] != "owner":
        raise errors.FreezeNeedsPerson(by=person["frozen_by"] or "agent")


async def thaw(context: Context, connection: AsyncConnection, user_id: int, by: str) -> None:
    """Let a person who is held pay again, and tell them by whom."""
    await change_user(connection, user_id, status="active", frozen_by="")
    await happened(connection, user_id, "wallet_unfrozen", context.now(), by=by)


async def raise_level(context: Context, user_id: int, level: int, *, name: str, id_number: str, key: str, by: str) -> Person:
    """Note that a person was identified, so far that their wallets are of class ``level`` (3 … 1); ``by`` says by whom.

    One identity, one account: the number is known by its blind index. A later level must be for the same identity.
    """
    plain, called = _identity(context.now(), name, id_number)
    check_known("level", level, (1, 2, 3))

    async def work(connection: AsyncConnection) -> Person:
        row = await held_user(context, connection, user_id)
        if row["status"] == "closing":
            raise errors.WalletClosing(city=row["default_city"])
        if level >= row["level"]:
            raise errors.LevelNotRaised(level=row["level"])
        if row["id_number"] is not None and (row["id_number"], row["name"]) != (plain, called):
            raise errors.IdentityDiffers
        index = context.vault.index("id_number", plain)
        others = (users.c.id_index == index) & (users.c.id != user_id)
        if (await connection.execute(select(users.c.id).where(others))).first() is not None:
            raise errors.IdInUse
        await change_user(connection, user_id, level=level, name=called, id_number=plain, id_index=index)
        await happened(connection, user_id, "level_raised", context.now(), by=by, level=level)
        return await person_on(connection, user_id)

    return await once(context, "raise_level", user_id, key, [level, called, plain, by], work)


def _identity(now: datetime, name: str, id_number: str) -> tuple[str, str]:
    called = re.sub(r"\s+", " ", name).strip() if is_text(name) else ""
    if not 1 < len(called) <= _LONGEST_NAME or not called.isprintable() or re.search(r"[0-9]", called):
        raise errors.InvalidName
    plain = plain_id_number(id_number) if is_text(id_number) else ""
    if not is_id_number(plain, now.astimezone(SHANGHAI).date()):
        raise errors.InvalidIdNumber
    return plain, called
