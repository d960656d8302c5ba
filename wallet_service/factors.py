"""Second factors: the authenticator app (RFC 6238) with its recovery codes, and what a person has of them.

A code of the app is good for its half minute and the ones beside it, once: none of its step or before is taken again. Recovery
codes are good once each; only their salted keyed hashes are kept. Nothing here counts what was wrong: whoever asks does.
"""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyotp
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.checks import is_id
from wallet_service.codes import typed_code
from wallet_service.context import Context
from wallet_service.keys import hotp
from wallet_service.schema import authenticators, passwords, recovery_codes
from wallet_service.views import AuthenticatorOffer

Factor = Literal["authenticator", "password"]
STEP = 30  # seconds
_DRIFT = 1  # steps by which a phone's clock may be off, to either side
_SECRET = 20  # bytes, as RFC 4226 §4 recommends
_RECOVERY_CODES = 10
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's 32: no I, L, O or U, which the eye mistakes
_GROUPS = 3  # of four characters: 60 bits
_MISREAD = str.maketrans("OIL", "011")


@dataclass(frozen=True, slots=True)
class Second:
    """A right code of a person's authenticator, or one of their recovery codes; not taken yet."""

    step: int | None = None
    recovery_id: int | None = None


async def second_factors(connection: AsyncConnection, user_id: int) -> frozenset[Factor]:
    """Give the second factors that a person has set up."""
    if not is_id(user_id):
        return frozenset()
    app = select(authenticators.c.user_id).where(authenticators.c.user_id == user_id, authenticators.c.status == "active")
    password = select(passwords.c.user_id).where(passwords.c.user_id == user_id)
    row = (await connection.execute(select(app.exists().label("authenticator"), password.exists().label("password")))).one()
    factors: tuple[Factor, ...] = ("authenticator", "password")
    return frozenset(factor for factor in factors if getattr(row, factor))


async def find_second(context: Context, connection: AsyncConnection, user_id: int, typed: object, now: datetime) -> Second | None:
    """Give what a typed text is: a code of the person's authenticator, a recovery code, or nothing of the kind (None)."""
    code = typed_code(typed)
    if re.fullmatch(r"[0-9]{6}", code):
        active = (authenticators.c.user_id == user_id) & (authenticators.c.status == "active")
        row = (await connection.execute(select(authenticators.c.secret, authenticators.c.last_step).where(active))).one_or_none()
        step = None if row is None else find_step(row.secret, code, now, after=row.last_step)
        return None if step is None else Second(step=step)
    unused = (recovery_codes.c.user_id == user_id) & recovery_codes.c.used_at.is_(None)
    rows = (await connection.execute(select(recovery_codes).where(unused).order_by(recovery_codes.c.id))).all()
    spelled = typed_recovery_code(code)
    found = [row.id for row in rows if context.keys.code_matches(row.salt, spelled, row.code_hash)]
    return Second(recovery_id=found[0]) if found else None


async def spend_second(connection: AsyncConnection, user_id: int, second: Second, now: datetime) -> bool:
    """Take a right code for good; False when somebody was faster."""
    if second.step is not None:
        fresh = (authenticators.c.user_id == user_id) & (authenticators.c.last_step < second.step)
        change = update(authenticators).where(fresh).values(last_step=second.step)
    else:
        fresh = (recovery_codes.c.id == second.recovery_id) & recovery_codes.c.used_at.is_(None)
        change = update(recovery_codes).where(fresh).values(used_at=now)
    return (await connection.execute(change)).rowcount == 1


def find_step(secret: str, code: str, now: datetime, *, after: int) -> int | None:
    """Give the step of which this is the code, later than ``after``; every candidate is compared, so that time tells nothing."""
    step = int(now.timestamp()) // STEP
    key = base64.b32decode(secret)
    near = range(step - _DRIFT, step + _DRIFT + 1)
    matching = [one for one in near if hmac.compare_digest(hotp(key, one).encode(), code.encode())]
    return next((one for one in matching if one > after), None)


async def offer_authenticator(
    context: Context, connection: AsyncConnection, user_id: int, *, label: str, issuer: str, since: datetime
) -> AuthenticatorOffer:
    """Give a person who has none the secret of an authenticator; one that was offered after ``since`` is offered again."""
    pending = select(authenticators.c.secret, authenticators.c.created_at).where(authenticators.c.user_id == user_id)
    row = (await connection.execute(pending)).one_or_none()
    if row is not None and row.created_at >= since:
        secret = row.secret
    else:
        secret = base64.b32encode(context.random.octets(_SECRET)).decode()
        fresh = {"secret": secret, "status": "pending", "last_step": 0, "created_at": context.now()}
        await connection.execute(delete(authenticators).where(authenticators.c.user_id == user_id))
        await connection.execute(insert(authenticators).values(user_id=user_id, **fresh))
    uri = pyotp.TOTP(secret).provisioning_uri(name=label, issuer_name=issuer)
    return AuthenticatorOffer(uri, " ".join(re.findall(".{4}", secret)))


async def start_authenticator(connection: AsyncConnection, user_id: int, code: object, now: datetime) -> bool:
    """Let the authenticator that was offered count from now on, if this is a code of it."""
    row = (await connection.execute(select(authenticators.c.secret).where(authenticators.c.user_id == user_id))).one_or_none()
    step = None if row is None else find_step(row.secret, typed_code(code), now, after=0)
    if step is None:
        return False
    change = update(authenticators).where(authenticators.c.user_id == user_id)
    await connection.execute(change.values(status="active", last_step=step))
    return True


async def remove_authenticator(connection: AsyncConnection, user_id: int) -> None:
    """Forget a person's authenticator and its recovery codes."""
    await connection.execute(delete(authenticators).where(authenticators.c.user_id == user_id))
    await connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


async def new_recovery_codes(context: Context, connection: AsyncConnection, user_id: int) -> tuple[str, ...]:
    """Make a person's recovery codes, in place of those that were; they are never to be had again."""
    codes = tuple(_recovery_code(context) for _ in range(_RECOVERY_CODES))
    salts = [context.random.octets(16) for _ in codes]
    rows = [
        {"user_id": user_id, "salt": salt, "code_hash": context.keys.code_hash(salt, typed_recovery_code(code))}
        for code, salt in zip(codes, salts, strict=True)
    ]
    await connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    await connection.execute(insert(recovery_codes), rows)
    return codes


def typed_recovery_code(text: str) -> str:
    """Read a recovery code as people type it: in any case, grouped in any way, an O for a zero."""
    return re.sub(r"[\s\-–—]", "", unicodedata.normalize("NFKC", text)).upper().translate(_MISREAD)


def _recovery_code(context: Context) -> str:
    characters = [_ALPHABET[context.random.below(len(_ALPHABET))] for _ in range(4 * _GROUPS)]
    return "-".join("".join(characters[place : place + 4]) for place in range(0, len(characters), 4))
