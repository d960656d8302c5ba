"""Where a person is reached: moving an account to another phone, and the mailbox for notices; both are proven and told."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import bindings, brakes, changes, errors
from wallet_service.checks import is_id, is_text
from wallet_service.context import Context
from wallet_service.events import happened
from wallet_service.factors import second_factors
from wallet_service.idempotency import once
from wallet_service.numbers import is_phone, plain_digits
from wallet_service.outbox import notice_row
from wallet_service.people import person_on, phone_index
from wallet_service.resident_ids import plain_id_number
from wallet_service.schema import outbox, users
from wallet_service.standing import change_user, held_user
from wallet_service.views import Change, Person

Row = Mapping[str, Any]
_LONGEST_EMAIL = 254  # RFC 5321
_EMAIL = re.compile(r"[^\s@<>(),:;\"\\]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+")


async def start_phone_change(context: Context, user_id: int, phone: str, *, key: str) -> Change:
    """Send a code to the phone that a person wants to have from now on; nothing tells yet whether somebody has it."""
    number = plain_digits(phone) if isinstance(phone, str) else ""
    if not is_phone(number):
        raise errors.InvalidPhone

    async def work(connection: AsyncConnection) -> Change:
        row = await held_user(context, connection, user_id)
        _require_free_hands(row)
        if row["phone"] == number:
            raise errors.SamePhone
        return await changes.send_code(context, connection, user_id, "new_phone", number, context.now())

    return await once(context, "start_phone_change", user_id, key, [number], work)


async def change_phone(
    context: Context, user_id: int, change_id: str, *, key: str, binding: int | None = None, **proof: str | None
) -> Person:
    """Move the account to a phone that is proven, with one ``proof`` more, named as :func:`phone_proofs` names it.

    ``old_phone`` is the id of a change that is proven too, ``authenticator`` a code of it or a recovery code, ``id_number`` the
    number. Every door but ``binding`` is logged out; both phones are told; the risk rules are strict about payments soon after.
    """
    named = {way: given for way, given in proof.items() if given is not None}
    if len(named) > 1:
        raise errors.InvalidArgument(argument=min(named))
    way, given = next(iter(named.items()), ("", None))

    async def work(connection: AsyncConnection) -> Person:
        now = context.now()
        row = await held_user(context, connection, user_id)
        _require_free_hands(row)
        fresh = await changes.find_proof(context, connection, user_id, "new_phone", change_id)
        phone, index = fresh["phone"], phone_index(context, fresh["phone"])
        if (await connection.execute(select(users.c.id).where(users.c.phone_index == index))).first() is not None:
            raise errors.PhoneInUse
        await _prove_once_more(context, connection, row, fresh, way, given)
        await changes.set_status(connection, fresh["id"], "used")
        await change_user(connection, user_id, phone=phone, phone_index=index)
        await bindings.remove_all(connection, user_id, besides=binding)
        await happened(connection, user_id, "phone_changed", now, proof=way)
        old = notice_row("phone_changed", now, user_id=user_id, way="sms", to=row["phone"], facts={"by": "owner", "proof": way})
        await connection.execute(insert(outbox).values(old))
        return await person_on(connection, user_id)

    return await once(context, "change_phone", user_id, key, [change_id, way, given, binding], work)


def _require_free_hands(row: Row) -> None:
    """Refuse to move an account that is closing, or that the house has frozen: it may be in the wrong hands."""
    if row["status"] == "closing":
        raise errors.WalletClosing(city=row["default_city"])
    if row["status"] == "frozen" and row["frozen_by"] != "owner":
        raise errors.FreezeNeedsPerson(by=row["frozen_by"] or "agent")


async def _prove_once_more(
    context: Context, connection: AsyncConnection, row: Row, fresh: Row, way: str, given: str | None
) -> None:
    ways = await _proofs(connection, row)
    if given is None or way not in ways:
        raise errors.SecondProofNeeded(ways=ways)
    if way == "old_phone":
        await changes.spend_proof(context, connection, row["id"], "old_phone", given)
    elif way == "authenticator":
        await changes.take_second(context, connection, row, fresh, given)
    else:
        now = context.now()
        brakes.check_lock(row["locked_until"], now)
        index = context.vault.index("id_number", plain_id_number(given) if is_text(given) else "")
        await changes.judge(connection, row, fresh, hmac.compare_digest(index, row["id_index"]), now)


async def phone_proofs(context: Context, user_id: int) -> tuple[str, ...]:
    """Tell by what a person may move to a new phone besides its code."""
    async with context.database.read() as connection:
        wanted = select(users.c.id, users.c.id_index).where(users.c.id == user_id, users.c.status != "closed")
        row = (await connection.execute(wanted)).mappings().one_or_none() if is_id(user_id) else None
        if row is None:
            raise errors.NotLoggedIn
        return tuple(await _proofs(connection, dict(row)))


async def _proofs(connection: AsyncConnection, row: Row) -> list[str]:
    """List them, the id number only where there is nothing stronger."""
    if "authenticator" in await second_factors(connection, row["id"]):
        return ["old_phone", "authenticator"]
    return ["old_phone", "id_number"] if row["id_index"] is not None else ["old_phone"]


async def start_email(context: Context, user_id: int, address: str, *, key: str) -> Change:
    """Send a code to the mailbox that a person wants to be told at."""
    plain = address.strip() if is_text(address) else ""
    if not _EMAIL.fullmatch(plain.lower()) or len(plain) > _LONGEST_EMAIL:
        raise errors.InvalidEmail

    async def work(connection: AsyncConnection) -> Change:
        row = await held_user(context, connection, user_id)
        _require_free_hands(row)
        return await changes.send_code(context, connection, user_id, "email", plain, context.now())

    return await once(context, "start_email", user_id, key, [plain], work)


async def set_email(context: Context, user_id: int, change_id: str, *, key: str) -> Person:
    """Take a mailbox that is proven; the one before it is told too."""

    async def work(connection: AsyncConnection) -> Person:
        now = context.now()
        row = await held_user(context, connection, user_id)
        _require_free_hands(row)
        address = await changes.spend_proof(context, connection, user_id, "email", change_id)
        if row["email"] is not None:
            old = notice_row("email_changed", now, user_id=user_id, way="mail", to=row["email"], facts={"by": "owner"})
            await connection.execute(insert(outbox).values(old))
        await change_user(connection, user_id, email=address)
        await happened(connection, user_id, "email_changed", now)
        return await person_on(connection, user_id)

    return await once(context, "set_email", user_id, key, [change_id], work)
