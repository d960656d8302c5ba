"""Payment passwords: what may be one (``passwords.toml``), and how it is kept.

Six digits are soon guessed by whoever has the hash, so the hash is argon2id over a keyed digest: without the server's secret,
which is not in the database, there is nothing to guess against.
"""

from __future__ import annotations

import asyncio
import tomllib
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wallet_service import errors
from wallet_service.keys import Keys

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_FILE = Path(__file__).with_name("passwords.toml")
_AT_ONCE = 2  # hashes in one process: each takes 64 MiB
_BIRTHDAY = slice(6, 14)  # of an id number: yyyymmdd


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """What one hash costs: passes over ``memory`` KiB, in so many lanes."""

    rounds: int
    memory: int
    lanes: int


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text("utf-8"))


@dataclass(slots=True)
class Hasher:
    """Hashes and compares passwords in threads, a few at a time; ``cost`` of None is that of the file."""

    keys: Keys
    cost: PasswordCost | None = None
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def hash(self, user_id: int, password: str) -> str:
        """Give what is kept of a person's password."""
        async with self._gate:
            return await asyncio.to_thread(self._argon().hash, self._digest(user_id, password))

    async def matches(self, user_id: int, password: str, stored: str) -> bool:
        """Compare a typed password with what is kept."""
        from argon2.exceptions import VerifyMismatchError

        async with self._gate:
            try:
                return await asyncio.to_thread(self._argon().verify, stored, self._digest(user_id, password))
            except VerifyMismatchError:
                return False

    def _argon(self) -> PasswordHasher:
        from argon2 import PasswordHasher  # only who has a password pays for it

        cost = self.cost or PasswordCost(**_rules()["cost"])
        return PasswordHasher(time_cost=cost.rounds, memory_cost=cost.memory, parallelism=cost.lanes)

    def _digest(self, user_id: int, password: str) -> bytes:
        return self.keys.mac("password", f"{user_id}|{spelled(password)}".encode(errors="backslashreplace"))


def spelled(password: str) -> str:
    """Give the one spelling of a password: full-width characters are the same as plain ones."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str) -> None:
    """Refuse what no password may be, whoever's it is."""
    rules, text = _rules(), spelled(password)
    is_pin = len(text) == rules["digits"] and _is_digits(text)
    if not is_pin and not (rules["shortest"] <= len(text) <= rules["longest"] and text.isprintable()):
        raise errors.PasswordShape(digits=rules["digits"], shortest=rules["shortest"], longest=rules["longest"])
    if text.lower() in rules["common"]:
        raise errors.PasswordWeak(reason="common")
    if _repeats(text):
        raise errors.PasswordWeak(reason="repeated")
    if _counts(text) or (_counts(text[::2]) and text[::2] == text[1::2]):
        raise errors.PasswordWeak(reason="sequence")


def check_own(password: str, *, phone: str, id_number: str | None) -> None:
    """Refuse digits that anybody who knows the person knows: of the phone, of the id number, of the birthday in it."""
    text = spelled(password)
    if _is_digits(text) and (text in phone or phone in text):
        raise errors.PasswordWeak(reason="phone")
    born = (id_number or "")[_BIRTHDAY]
    birthdays = {born[4:] + born[:4], born[4:] + born[2:4], born[2:]} if born else set()
    if _is_digits(text) and (text in (id_number or "") or text in birthdays):
        raise errors.PasswordWeak(reason="id_number")


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _repeats(text: str) -> bool:
    """Tell whether a text is one group of characters over and over."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, len(text) // 2 + 1))


def _counts(text: str) -> bool:
    """Tell whether digits count up or down by one, over nine too."""
    if not _is_digits(text):
        return False
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(text)}
    return steps in ({1}, {9})
