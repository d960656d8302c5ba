"""Proving a phone by a code, and opening wallets; nothing tells whether a phone is registered before its code is proven."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.brakes import check_login_codes
from wallet_service.checks import is_text
from wallet_service.codes import CODE_LIFE, LOGIN_CODE, TRIES, is_over, login_text, typed_code
from wallet_service.context import Context
from wallet_service.idempotency import NOBODY, once
from wallet_service.ledger import new_account
from wallet_service.masks import mask_phone
from wallet_service.numbers import is_phone, new_wallet_number, plain_digits
from wallet_service.outbox import notice_row
from wallet_service.people import person_on, phone_index
from wallet_service.posting import require_active
from wallet_service.profile import profile_of
from wallet_service.schema import accounts, challenges, outbox, users
from wallet_service.views import Login, LoginChallenge, Person

NEW_LEVEL = 4  # a proven phone and nothing else
OPENING_LIFE = timedelta(minutes=30)  # how long a login may wait for a resent code, and a proven phone for its first wallet


async def start_login(context: Context, phone: str, *, key: str, door: str | None = None) -> LoginChallenge:
    """Send a login code to a phone, registered or not; ``door`` names the end of a channel that asks for it."""
    number = plain_digits(phone) if isinstance(phone, str) else ""
    if not is_phone(number):
        raise errors.InvalidPhone
    door_index = None if door is None else context.vault.index("door", door)

    async def work(connection: AsyncConnection) -> LoginChallenge:
        now = context.now()
        await check_login_codes(context, connection, phone_index(context, number), door_index, now)
        nonce = context.random.octets(16)
        row = {
            "phone": number,
            "phone_index": phone_index(context, number),
            "door_index": door_index,
            "status": "open",
            "nonce": nonce,
            "counter": 0,
            "code_hash": _hash_of(context, number, nonce, 0),
            "tries": 0,
            "created_at": now,
            "expires_at": now + CODE_LIFE,
        }
        challenge_id = (await connection.execute(insert(challenges).values(row).returning(challenges.c.id))).scalar_one()
        await connection.execute(insert(outbox).values(notice_row("login_code", now, challenge_id=challenge_id)))
        return LoginChallenge(context.keys.public_id("login", challenge_id), mask_phone(number), now + CODE_LIFE)

    return await once(context, "start_login", NOBODY, key, [number], work)


async def resend_login_code(context: Context, challenge_id: str, *, key: str) -> LoginChallenge:
    """Send a new code for a login that waits: the old one is dead, wrong tries stay counted, five minutes start again."""

    async def work(connection: AsyncConnection) -> LoginChallenge:
        now = context.now()
        row = await _challenge(context, connection, challenge_id)
        if row["status"] == "locked":
            raise errors.LoginLocked(tries=TRIES)
        if row["status"] != "open" or is_over(row["created_at"] + OPENING_LIFE, now, OPENING_LIFE):
            raise errors.ChallengeNotFound
        await check_login_codes(context, connection, row["phone_index"], row["door_index"], now)
        counter, until = row["counter"] + 1, now + CODE_LIFE
        fresh = _hash_of(context, row["phone"], row["nonce"], counter)
        await _set(connection, row["id"], counter=counter, code_hash=fresh, expires_at=until)
        notice = notice_row("login_code", now, challenge_id=row["id"], counter=counter)
        await connection.execute(insert(outbox), notice)
        return LoginChallenge(challenge_id, mask_phone(row["phone"]), until)

    return await once(context, "resend_login_code", NOBODY, key, [challenge_id], work)


def _hash_of(context: Context, phone: str, nonce: bytes, counter: int) -> bytes:
    code = context.keys.code(LOGIN_CODE, login_text(phone, nonce), counter)
    return context.keys.code_hash(nonce, code)


async def _challenge(context: Context, connection: AsyncConnection, challenge_id: str) -> dict[str, Any]:
    row_id = context.keys.row_of("login", challenge_id) if is_text(challenge_id) else None
    if row_id is None:
        raise errors.ChallengeNotFound
    wanted = select(challenges).where(challenges.c.id == row_id, challenges.c.user_id.is_(None)).with_for_update()
    row = (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise errors.ChallengeNotFound
    return dict(row)


async def _set(connection: AsyncConnection, row_id: int, **columns: Any) -> None:
    await connection.execute(update(challenges).where(challenges.c.id == row_id).values(**columns))


async def finish_login(context: Context, challenge_id: str, code: str, *, key: str) -> Login:
    """Take the code of a login; the answer says who the phone belongs to, or that it has no wallet yet."""

    async def work(connection: AsyncConnection) -> Login:
        now = context.now()
        row = await _challenge(context, connection, challenge_id)
        if row["status"] == "locked":
            raise errors.LoginLocked(tries=TRIES)
        if row["status"] != "open":
            raise errors.ChallengeNotFound
        if is_over(row["expires_at"], now):
            raise errors.CodeExpired(expired_at=row["expires_at"].isoformat())
        if not context.keys.code_matches(row["nonce"], typed_code(code), row["code_hash"]):
            tries = row["tries"] + 1
            await _set(connection, row["id"], tries=tries, status="locked" if tries == TRIES else "open")
            raise errors.LoginLocked(tries=TRIES) if tries == TRIES else errors.WrongCode(tries_left=TRIES - tries)
        owner = select(users.c.id, users.c.name).where(users.c.phone_index == phone_index(context, row["phone"]))
        user = (await connection.execute(owner)).one_or_none()
        await _set(connection, row["id"], status="proven" if user is None else "used")
        if user is None:
            return Login(None, "")
        await connection.execute(insert(outbox).values(notice_row("logged_in", now, user_id=user.id)))
        return Login(user.id, user.name)

    return await once(context, "finish_login", NOBODY, key, [challenge_id, code], work)


async def open_account(context: Context, challenge_id: str, *, city: str, key: str) -> Person:
    """Open a person's first wallet with the phone that the login has just proven."""
    profile_of(context.profiles, city)

    async def work(connection: AsyncConnection) -> Person:
        now = context.now()
        row = await _challenge(context, connection, challenge_id)
        if row["status"] != "proven" or is_over(row["expires_at"] + OPENING_LIFE, now, CODE_LIFE + OPENING_LIFE):
            raise errors.ChallengeNotFound
        if (
            await connection.execute(select(users.c.id).where(users.c.phone_index == phone_index(context, row["phone"])))
        ).first() is not None:
            raise errors.AlreadyOpen(city=city)
        user = {
            "phone": row["phone"],
            "phone_index": row["phone_index"],
            "name": "",
            "level": NEW_LEVEL,
            "status": "active",
            "default_city": city,
            "created_at": now,
        }
        user_id = (await connection.execute(insert(users).values(user).returning(users.c.id))).scalar_one()
        await _add_wallet(context, connection, user_id, city)
        await _set(connection, row["id"], status="used")
        return await person_on(connection, user_id)

    return await once(context, "open_account", NOBODY, key, [challenge_id, city], work)


async def open_wallet(context: Context, user_id: int, city: str, *, key: str) -> Person:
    """Open a further wallet of a person in another city."""
    profile_of(context.profiles, city)

    async def work(connection: AsyncConnection) -> Person:
        person = await person_on(connection, user_id)
        require_active(person.status, city)
        if city in person.cities:
            raise errors.AlreadyOpen(city=city)
        await _add_wallet(context, connection, user_id, city)
        return await person_on(connection, user_id)

    return await once(context, "open_wallet", user_id, key, [city], work)


async def _add_wallet(context: Context, connection: AsyncConnection, user_id: int, city: str) -> None:
    while True:  # one more turn for one in 10**9 per wallet of the city
        number = new_wallet_number(context.profiles[city].code, context.random.below)
        if (await connection.execute(select(accounts.c.id).where(accounts.c.number == number))).first() is None:
            break
    await connection.execute(insert(accounts).values(new_account("wallet", city, user_id=user_id, number=number)))
