"""One-time pages: everything about second factors that has no place in a chat is shown and typed there, and nowhere else.

A ticket opens a page for one purpose, once, within ten minutes. Messages and databases know it by its id only; the token that
opens the page is derived from that with the server's secret when the link is made. The token alone changes nothing: the page
asks for what proves the person, and a factor is changed by those that are there already, so that neither a stolen phone number
nor an open chat gets round them (OWASP's transaction authorisation, NIST 800-63B). ``redeeming`` takes the answers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, changes, errors, factors
from wallet_service.accounts import require_own_freeze
from wallet_service.checks import check_known, is_text
from wallet_service.codes import TRIES, is_over
from wallet_service.context import Context
from wallet_service.idempotency import once
from wallet_service.masks import mask_name, mask_phone
from wallet_service.orders import order
from wallet_service.schema import authenticators, passwords, tickets, users
from wallet_service.seconds import waiting_order
from wallet_service.views import Change, Ticket, TicketView

TicketPurpose = Literal[
    "set_password",
    "reset_password",
    "enter_password",
    "add_authenticator",
    "remove_authenticator",
    "new_recovery_codes",
    "unfreeze",
]
TICKET_LIFE = timedelta(minutes=10)
CODES: Mapping[str, changes.Purpose] = {  # the purposes that may ask for a code by SMS, and what its message calls them
    "set_password": "set_password",
    "reset_password": "reset_password",
    "add_authenticator": "authenticator",
    "unfreeze": "unfreeze",
}
_PERSON = (
    select(users, passwords.c.hash.label("password"), authenticators.c.status.label("authenticator"))
    .outerjoin(passwords, passwords.c.user_id == users.c.id)
    .outerjoin(authenticators, authenticators.c.user_id == users.c.id)
    .where(users.c.id == bindparam("user_id"))
)
_TICKET = select(tickets).where(tickets.c.token_hash == bindparam("token_hash"))

Row = dict[str, Any]


def asked(purpose: str, person: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a page asks for, proofs first; refuse a purpose that makes no sense for the person as they are."""
    has_app, has_password = person["authenticator"] == "active", person["password"] is not None
    app, own_password = ("second",) if has_app else (), ("password",) if has_password else ()
    match purpose:
        case "set_password":
            return ("password", "new") if has_password else ("code", *app, "new")
        case "add_authenticator":
            if has_app:
                raise errors.AuthenticatorThere
            return ("code", *own_password, "app_code")
        case "unfreeze":
            return ("code", *(app or own_password))
        case "enter_password" | "reset_password":
            if not has_password:
                raise errors.NoPassword
            if purpose == "enter_password":
                return ("password",)
            if not has_app and person["id_number"] is None:
                raise errors.IdentityUnknown
            return ("code", *(app or ("id_number",)), "new")
        case _:
            if not has_app:
                raise errors.NoAuthenticator
            return app


async def ticket(context: Context, user_id: int, purpose: TicketPurpose, *, key: str, order_id: int | None = None) -> Ticket:
    """Make the ticket of a page, ``enter_password`` for an order; of one purpose only the newest is good."""
    check_known("purpose", purpose, get_args(TicketPurpose))
    if (purpose == "enter_password") != (order_id is not None):
        raise errors.InvalidArgument(argument="order_id")

    async def work(connection: AsyncConnection) -> Ticket:
        now = context.now()
        await brakes.hold(context, connection, user_id)
        asked(purpose, await person_on(connection, user_id, purpose, now))
        if order_id is not None:
            await waiting_order(context, connection, user_id, order_id)
        await void_tickets(connection, user_id, now, purpose=purpose)
        ticket_id = context.random.octets(16).hex()
        row = {
            "user_id": user_id,
            "purpose": purpose,
            "order_id": order_id,
            "token_hash": _hash_of(context, ticket_token(context, ticket_id)),
            "tries": 0,
            "created_at": now,
            "expires_at": now + TICKET_LIFE,
        }
        await connection.execute(insert(tickets).values(row))
        return Ticket(ticket_id, now + TICKET_LIFE)

    return await once(context, "ticket", user_id, key, [purpose, order_id], work)


def ticket_token(context: Context, ticket_id: str) -> str:
    """Give the secret part of a page's link, 256 bits; kept nowhere."""
    return base64.urlsafe_b64encode(context.keys.mac("ticket", ticket_id.encode())).decode().rstrip("=")


async def open_ticket(context: Context, token: str, *, issuer: str) -> TicketView:
    """Show what a page is for and what it asks; ``issuer`` names us in the person's authenticator app."""
    async with context.database.write() as connection:
        row, person = await usable(context, connection, token)
        offer = None
        if row["purpose"] == "add_authenticator":
            offer = await factors.offer_authenticator(
                context,
                connection,
                row["user_id"],
                label=mask_phone(person["phone"]),
                issuer=issuer,
                since=row["created_at"],
            )
    return TicketView(
        purpose=row["purpose"],
        person=mask_name(person["name"]) or mask_phone(person["phone"]),
        phone_masked=mask_phone(person["phone"]),
        asks=asked(row["purpose"], person),
        expires_at=row["expires_at"],
        tries_left=TRIES - row["tries"],
        order=None if row["order_id"] is None else await order(context, row["order_id"], row["user_id"]),
        offer=offer,
    )


async def send_ticket_code(context: Context, token: str) -> Change:
    """Send the code that a page asks for to the person's phone; the one before is dead."""
    async with context.database.write() as connection:
        row, person = await usable(context, connection, token)
        if "code" not in asked(row["purpose"], person):
            raise errors.TicketOver
        purpose = CODES[row["purpose"]]
        return await changes.send_code(context, connection, row["user_id"], purpose, person["phone"], context.now())


async def usable(context: Context, connection: AsyncConnection, token: str) -> tuple[Row, Row]:
    """Keep a ticket and its person to this transaction and give both; refuse one that opens nothing any more."""
    found = {"token_hash": _hash_of(context, token)} if is_text(token) else None
    row = None if found is None else (await connection.execute(_TICKET, found)).mappings().one_or_none()
    if row is None:
        raise errors.TicketOver
    await brakes.hold(context, connection, row["user_id"])
    row, now = (await connection.execute(_TICKET.with_for_update(), found)).mappings().one(), context.now()
    if row["tries"] >= TRIES:
        raise errors.TicketLocked(tries=TRIES)
    if row["used_at"] is not None or is_over(row["expires_at"], now, TICKET_LIFE):
        raise errors.TicketOver
    return dict(row), await person_on(connection, row["user_id"], row["purpose"], now)


async def person_on(connection: AsyncConnection, user_id: int, purpose: str, now: datetime) -> Row:
    """Read whose factors are to be used or changed; refuse one who is locked, closed, or frozen but to be unfrozen."""
    row = (await connection.execute(_PERSON, {"user_id": user_id})).mappings().one_or_none()
    if row is None or row["status"] == "closed":
        raise errors.NotLoggedIn
    if purpose == "unfreeze":
        require_own_freeze(dict(row))
    elif row["status"] == "frozen":
        raise errors.WalletFrozen(city=row["default_city"])
    brakes.check_lock(row["locked_until"], now)
    return dict(row)


async def void_tickets(connection: AsyncConnection, user_id: int, now: datetime, *, purpose: str | None = None) -> None:
    """Let a person's open pages be over, those of one purpose or all of them."""
    mine = (tickets.c.user_id == user_id) & tickets.c.used_at.is_(None)
    if purpose is not None:
        mine &= tickets.c.purpose == purpose
    await connection.execute(update(tickets).where(mine).values(used_at=now))


def _hash_of(context: Context, token: str) -> bytes:
    return context.keys.mac("ticket-hash", token.encode())
