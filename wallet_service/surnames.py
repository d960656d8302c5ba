"""Family names: what of a name is one, and whether a payer knows that of a stranger whom they pay for the first time.

The name itself is told to nobody, and it is not to be found out by trying either: wrong guesses are few in a day, for one payee
and over all payees (``risk.toml``), and count whatever becomes of the payment.
"""

from __future__ import annotations

import tomllib
import unicodedata
from datetime import datetime, timedelta
from functools import cache
from hmac import compare_digest
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.checks import is_text
from wallet_service.context import SHANGHAI, day_start
from wallet_service.limits import day_number
from wallet_service.masks import mask_name
from wallet_service.risk import Rules
from wallet_service.schema import surname_checks

_PARTS = "·•‧・"  # between the parts of a name that is not Han


@cache
def compound_names() -> frozenset[str]:
    """Give the family names of two characters."""
    path = Path(__file__).with_suffix(".toml")
    return frozenset(tomllib.loads(path.read_text("utf-8"))["compound"])


def family_name(name: str) -> str:
    """Give the family name in a full name, of names that are not Han the first part."""
    plain = unicodedata.normalize("NFKC", name).strip()
    for mark in _PARTS:
        plain = plain.replace(mark, " ")
    if not plain or plain.isascii() or " " in plain:
        return plain.split(" ")[0]
    return plain[:2] if len(plain) > 2 and plain[:2] in compound_names() else plain[0]


def is_family_name(said: object, name: str) -> bool:
    """Tell whether what was said is the family name, or the whole name, of somebody; in the same time wherever they differ."""
    if not is_text(said):
        return False
    plain = unicodedata.normalize("NFKC", said).strip().casefold().encode()
    family, whole = family_name(name), unicodedata.normalize("NFKC", name).strip()
    return compare_digest(plain, family.casefold().encode()) | compare_digest(plain, whole.casefold().encode())


async def confirm_surname(
    connection: AsyncConnection, rules: Rules, *, payer: int, payee: int, name: str, said: str | None, now: datetime
) -> None:
    """Refuse unless the payer (a user id, held by this transaction) gives the family name of the payee (a user id).

    Raises ``surname_needed``, ``surname_wrong`` or, once the day's guesses are used up, ``surname_locked``, right or wrong.
    """
    today = now.astimezone(SHANGHAI).date()
    wanted = select(surname_checks.c.payee_id, surname_checks.c.wrong).where(
        surname_checks.c.user_id == payer, surname_checks.c.day == day_number(today)
    )
    wrong = {row.payee_id: row.wrong for row in await connection.execute(wanted)}
    left = min(rules.wrong_per_payee - wrong.get(payee, 0), rules.wrong_per_payer - sum(wrong.values()))
    locked = errors.SurnameLocked(retry_at=day_start(today + timedelta(days=1)).isoformat())
    if left <= 0:
        raise locked
    if said is None:
        raise errors.SurnameNeeded(name_masked=mask_name(name))
    if is_family_name(said, name):
        return
    own = {"user_id": payer, "payee_id": payee, "day": day_number(today)}
    if payee in wrong:
        mine = (surname_checks.c[column] == value for column, value in own.items())
        await connection.execute(update(surname_checks).where(*mine).values(wrong=wrong[payee] + 1))
    else:
        await connection.execute(insert(surname_checks).values(**own, wrong=1))
    if left == 1:
        raise locked
    raise errors.SurnameWrong(name_masked=mask_name(name), tries_left=left - 1)
