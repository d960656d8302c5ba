"""What is typed on a one-time page: judged all at once, then done in one transaction, and told to the person everywhere.

Passwords are hashed before the transaction, which no writer could wait for; what a guess was worth is told only inside it, under
the person's lock, where the tries are counted. So many guesses at once are worth no more than many in turn.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, changes, errors, factors
from wallet_service.accounts import thaw
from wallet_service.codes import TRIES
from wallet_service.context import Context
from wallet_service.orders import change_order
from wallet_service.outbox import notice_row
from wallet_service.passwords import check_own, check_password
from wallet_service.schema import outbox, passwords, tickets
from wallet_service.seconds import count_wrong, waiting_order
from wallet_service.tickets import CODES, Row, asked, usable, void_tickets


@dataclass(slots=True)
class _Hashed:
    """What argon2 says of the passwords that were typed."""

    right: bool = False
    unchanged: bool = False
    fresh: str = field(default="", repr=False)


async def use_ticket(context: Context, token: str, answers: Mapping[str, str]) -> tuple[str, ...]:
    """Take the answers to what a page asks and do what it is for; gives the new recovery codes, if any: shown once, kept nowhere.

    ``wrong_proof`` says that something is wrong, not what. What is refused for its form costs no try.
    """
    async with context.database.write() as connection:
        row, person = await usable(context, connection, token)
    given = {name: str(answers.get(name, "")) for name in asked(row["purpose"], person)}
    if "new" in given:
        check_password(given["new"])
    hashed = await _hash(context, row["user_id"], person["password"], given)
    async with context.database.write() as connection:
        row, person = await usable(context, connection, token)
        outcome = await _redeem(context, connection, row, person, given, hashed)
    if isinstance(outcome, errors.WalletError):
        raise outcome
    return outcome


async def _hash(context: Context, user_id: int, stored: str | None, given: Mapping[str, str]) -> _Hashed:
    hashed = _Hashed()
    if stored is not None and "password" in given:
        hashed.right = await context.hasher.matches(user_id, given["password"], stored)
    if "new" in given:
        hashed.unchanged = stored is not None and await context.hasher.matches(user_id, given["new"], stored)
        hashed.fresh = await context.hasher.hash(user_id, given["new"])
    return hashed


async def _redeem(
    context: Context, connection: AsyncConnection, row: Row, person: Row, given: Mapping[str, str], hashed: _Hashed
) -> tuple[str, ...] | errors.WalletError:
    """Judge and do it; a refusal that is given back is kept with its counts, one that is raised leaves no trace."""
    now, user_id = context.now(), row["user_id"]
    order = None if row["order_id"] is None else await waiting_order(context, connection, user_id, row["order_id"])
    proven = await _prove(context, connection, row, person, given, hashed, now)
    if not proven:
        return await _count(connection, row, person, order, given, now)
    if "new" in given:
        check_own(given["new"], phone=person["phone"], id_number=person["id_number"])
        if hashed.unchanged:
            raise errors.PasswordUnchanged
    for counter in _counters(given):
        if person[counter]:
            await brakes.forgive_wrong_codes(connection, user_id, of=counter)
    codes, what = await _do(context, connection, row, person, given, hashed, now)
    if what is None:
        await connection.execute(update(tickets).where(tickets.c.id == row["id"]).values(used_at=now))
    else:
        await void_tickets(connection, user_id, now)  # what other pages ask, and what was typed there, is of before this change
        notice = notice_row("credential_changed", now, user_id=user_id, facts={"what": what})
        await connection.execute(insert(outbox).values(notice))
    return codes


async def _prove(
    context: Context,
    connection: AsyncConnection,
    row: Row,
    person: Row,
    given: Mapping[str, str],
    hashed: _Hashed,
    now: datetime,
) -> bool:
    """Judge every proof, and take them all or none."""
    user_id, right = row["user_id"], []
    change = second = None
    if "code" in given:
        change = await changes.waiting(connection, user_id, CODES[row["purpose"]], now)
        if change is None:
            raise errors.ChangeNotFound
        right.append(changes.fits(context, change, given["code"]))
    if "second" in given:
        second = await factors.find_second(context, connection, user_id, given["second"], now)
        right.append(second is not None)
    if "password" in given:
        right.append(hashed.right)
    if "id_number" in given:
        right.append(hmac.compare_digest(_id_number(given["id_number"]), _id_number(person["id_number"])))
    if not all(right):
        if change is not None and not right[0]:
            await changes.count_wrong(connection, change)
        return False
    if change is not None:
        await changes.set_status(connection, change["id"], "used")
    return second is None or await factors.spend_second(connection, user_id, second, now)


def _counters(given: Mapping[str, str]) -> list[brakes.Counter]:
    """Name the counts that these answers belong to: the code's own, and that of everything that comes on top of it."""
    by_sms: list[brakes.Counter] = ["wrong_codes"] if "code" in given else []
    on_top: list[brakes.Counter] = ["wrong_seconds"] if given.keys() & {"password", "second", "id_number"} else []
    return by_sms + on_top


def _id_number(text: str) -> bytes:
    return unicodedata.normalize("NFKC", text).replace(" ", "").upper().encode()


async def _count(
    connection: AsyncConnection, row: Row, person: Row, order: Row | None, given: Mapping[str, str], now: datetime
) -> errors.WalletError:
    """Count wrong answers for the page, for its order and for the person; give the refusal."""
    tries = row["tries"] + 1
    await connection.execute(update(tickets).where(tickets.c.id == row["id"]).values(tries=tries))
    counter = _counters(given)[-1]
    ends = order is not None and await count_wrong(connection, order, person[counter]) == TRIES
    until = await brakes.count_wrong_code(connection, row["user_id"], person[counter], now, of=counter)
    if until is not None:
        return errors.PaymentsLocked(retry_at=until.isoformat())
    if ends:
        return errors.OrderLocked(tries=TRIES)
    return errors.TicketLocked(tries=TRIES) if tries == TRIES else errors.WrongProof(tries_left=TRIES - tries)


async def _do(
    context: Context,
    connection: AsyncConnection,
    row: Row,
    person: Row,
    given: Mapping[str, str],
    hashed: _Hashed,
    now: datetime,
) -> tuple[tuple[str, ...], str | None]:
    """Do what a page is for; give the new recovery codes, and what has changed of the person's factors."""
    user_id = row["user_id"]
    match row["purpose"]:
        case "enter_password":
            await change_order(connection, row["order_id"], second="proven")
            return (), None
        case "add_authenticator":
            if not await factors.start_authenticator(connection, user_id, given["app_code"], now):
                raise errors.WrongAppCode
            return await factors.new_recovery_codes(context, connection, user_id), "authenticator_added"
        case "remove_authenticator":
            await factors.remove_authenticator(connection, user_id)
            return (), "authenticator_removed"
        case "unfreeze":
            await thaw(context, connection, user_id, "owner")
            return (), None
        case "new_recovery_codes":
            return await factors.new_recovery_codes(context, connection, user_id), "recovery_codes_renewed"
        case _:
            await connection.execute(delete(passwords).where(passwords.c.user_id == user_id))
            await connection.execute(insert(passwords).values(user_id=user_id, hash=hashed.fresh, changed_at=now))
            changed = "password_set" if person["password"] is None else "password_changed"
            return (), "password_reset" if row["purpose"] == "reset_password" else changed
