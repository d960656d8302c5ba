"""What every part of the wallet works with, and the two things that tests replace: the clock and the randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from wallet_service.database import Database
from wallet_service.keys import Keys
from wallet_service.outside import Outside
from wallet_service.passwords import Hasher
from wallet_service.profile import Profile
from wallet_service.randomness import Randomness
from wallet_service.schema import orders
from wallet_service.sets import Ids
from wallet_service.vault import Vault

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving since 1991; needs no time-zone database


def utc_now() -> datetime:
    """Give the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CodeLimit:
    """How many payment codes one person may be sent (project defaults; every correction of a payment sends one)."""

    per_ten_minutes: int = 20
    per_day: int = 60


@dataclass(frozen=True, slots=True)
class LoginLimit:
    """How many login codes one phone may be sent, one door may ask for, and all doors together (project defaults)."""

    per_ten_minutes: int = 5
    per_day: int = 20
    door: CodeLimit = CodeLimit(per_ten_minutes=10, per_day=30)
    everybody: CodeLimit = CodeLimit(per_ten_minutes=3_000, per_day=100_000)


@dataclass(slots=True)
class Newest:
    """The newest head of the chain that this process has seen: an older one in the database was put there by nobody of ours."""

    position: int = 0
    hash: bytes = b""

    def see(self, head: Newest) -> None:
        """Take a newer head for the newest."""
        self.position, self.hash = head.position, head.hash


@dataclass(frozen=True, slots=True)
class Context:
    """One open wallet's parts."""

    database: Database
    keys: Keys
    vault: Vault
    profiles: Mapping[str, Profile]
    clock: Callable[[], datetime]
    random: Randomness
    login_limit: LoginLimit
    code_limit: CodeLimit
    hasher: Hasher
    outside: Mapping[str, Outside] = field(default_factory=dict)  # "bank", "biller" → the channel outside
    system: dict[tuple[str, str], int] = field(default_factory=dict)  # (city, kind) → id of a system account
    newest: Newest = field(default_factory=Newest)
    witness: Path | None = None  # a file that keeps the newest head outside of the database
    order_ids: Ids = field(default_factory=lambda: Ids(orders))

    def now(self) -> datetime:
        """Give the present moment in UTC, in whole milliseconds as the database keeps it."""
        moment = self.clock().astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def day_start(day: date) -> datetime:
    """Give the moment in UTC at which a day begins in Asia/Shanghai."""
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).astimezone(UTC)
