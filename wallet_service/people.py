"""Who somebody is, whom they know, and which wallet a name, phone or number leads to: one SELECT each."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.checks import is_id, is_text
from wallet_service.context import Context
from wallet_service.integrity import agrees, tolerant
from wallet_service.masks import mask_email, mask_name, mask_phone
from wallet_service.numbers import is_phone, is_wallet_number, plain_digits
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, contacts, users
from wallet_service.views import PayeeMatch, Person

log = logging.getLogger(__name__)
_PERSON = (
    select(users, accounts.c.city.label("city"))
    .outerjoin(accounts, accounts.c.user_id == users.c.id)
    .where(users.c.id == bindparam("user_id"))
    .order_by(accounts.c.id)
)
_PHONE = select(tolerant(users.c.phone, "phone"), users.c.phone_index).where(users.c.id == bindparam("user_id"))
_CONTACT_NAMES = select(contacts.c.name).where(contacts.c.owner_id == bindparam("user_id")).order_by(contacts.c.id)
_PAYEES = (
    select(accounts.c.number, accounts.c.city, users, contacts.c.id.label("contact_id"), contacts.c.name.label("contact_name"))
    .join(users, users.c.id == accounts.c.user_id)
    .outerjoin(contacts, and_(contacts.c.user_id == users.c.id, contacts.c.owner_id == bindparam("user_id")))
    .order_by(contacts.c.id, users.c.id)
)
_BY_NUMBER = _PAYEES.where(accounts.c.number == bindparam("text"))
_BY_PHONE = _PAYEES.where(users.c.phone_index == bindparam("text"))
_CONTACTS = _PAYEES.where(contacts.c.id.is_not(None))  # names are sealed: a person's contacts are few, and read to be compared
_GIVEN = 2  # characters at least; one alone is as often a surname, and a family shares it


def phone_index(context: Context, phone: str) -> bytes:
    """Give the blind index that a phone is looked up by, wherever it stands."""
    return context.vault.index("phone", phone)


async def require_own_phone(context: Context, connection: AsyncConnection, user_id: int) -> None:
    """Refuse to send a code to a phone that was put into a person's row past us; the log names the person and no number."""
    row = (await connection.execute(_PHONE, {"user_id": user_id})).one_or_none()
    if row is not None and not agrees(context.vault, "phone", row.phone, row.phone_index):
        log.critical("no code is sent to person %d: their phone is not the one that was proven", user_id)
        raise errors.PhoneMismatch


async def person_on(connection: AsyncConnection, user_id: int) -> Person:
    """Read a person on a connection that is already there."""
    rows = (await connection.execute(_PERSON, {"user_id": user_id})).all() if is_id(user_id) else ()
    if not rows:
        raise errors.NotLoggedIn
    first = rows[0]
    return Person(
        id=first.id,
        name=first.name,
        phone_masked=mask_phone(first.phone),
        name_masked=mask_name(first.name),
        level=first.level,
        status=first.status,
        default_city=first.default_city,
        cities=tuple(row.city for row in rows if row.city is not None),
        frozen_by=first.frozen_by,
        closes_at=first.closes_at,
        email_masked=mask_email(first.email or ""),
    )


async def person(context: Context, user_id: int) -> Person:
    """Show a person to themselves."""
    async with context.database.read() as connection:
        return await person_on(connection, user_id)


async def contact_names(context: Context, user_id: int) -> tuple[str, ...]:
    """Give the names that a person keeps their contacts under; the contacts' own names are not told."""
    if not is_id(user_id):
        return ()
    async with context.database.read() as connection:
        names = (await connection.execute(_CONTACT_NAMES, {"user_id": user_id})).scalars()
    return tuple(dict.fromkeys(names))


async def find_payees(context: Context, user_id: int, text: str, *, city: str) -> tuple[PayeeMatch, ...]:
    """Find the wallets that a contact's name, a phone or a wallet number means.

    A person with several wallets is paid into the one of the payer's city, else into their default one; a wallet number
    means exactly that wallet. Names are looked for among the user's contacts only: whole ones first, then given names.
    """
    profile_of(context.profiles, city)
    if not is_text(text) or not is_id(user_id):
        return ()
    digits = plain_digits(text)
    asked: dict[str, object] = {}
    if is_wallet_number(digits):
        wanted, asked["text"] = _BY_NUMBER, digits
    elif is_phone(digits):
        wanted, asked["text"] = _BY_PHONE, phone_index(context, digits)
    else:
        wanted = _CONTACTS
    async with context.database.read() as connection:
        rows: Sequence[Row[Any]] = (await connection.execute(wanted, {"user_id": user_id, **asked})).all()
    if wanted is _CONTACTS:
        rows = _called(rows, unicodedata.normalize("NFKC", text).strip())
    return tuple(_match(row) for row in _one_wallet_each(rows, city))


def _called(rows: Sequence[Row[Any]], name: str) -> Sequence[Row[Any]]:
    """Keep the contacts of this name, else those whose name ends in it."""
    whole = [row for row in rows if name in (row.contact_name, row.name)]
    if whole or len(name) < _GIVEN:
        return whole
    return [row for row in rows if row.contact_name.endswith(name)]


def _one_wallet_each(rows: Iterable[Row[Any]], city: str) -> list[Row[Any]]:
    chosen: dict[int, Row[Any]] = {}
    for row in rows:
        best = chosen.get(row.id)
        if best is None or _rank(row, city) < _rank(best, city):
            chosen[row.id] = row
    return list(chosen.values())


def _rank(row: Row[Any], city: str) -> int:
    return 0 if row.city == city else 1 if row.city == row.default_city else 2


def _match(row: Row[Any]) -> PayeeMatch:
    return PayeeMatch(
        wallet_id=row.number,
        name_masked=mask_name(row.name),
        phone_masked=mask_phone(row.phone),
        city=row.city,
        known=row.contact_id is not None,
    )
