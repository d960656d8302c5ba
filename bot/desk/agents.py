"""Who may sit at the desk: accounts, log-in with argon2, sessions, and the brake on guessing."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_args

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.desk.errors import BadRequest, NotLoggedIn, Throttled
from bot.desk.store import Agent, Role
from bot.desk.tables import agent_sessions, agents, login_failures
from wallet_service import Database

SESSION: Final = 10 * 3600 * 1000  # milliseconds a session lasts: one shift
FORGET: Final = 24 * 3600 * 1000  # milliseconds after which old failures no longer count
BLOCK: Final = 60  # seconds of the first block; it doubles with every further failure
LONGEST_BLOCK: Final = 15 * 60  # seconds
PASSWORD: Final = range(10, 129)  # characters
HASHES_AT_ONCE: Final = 2  # argon2 takes 64 MiB each


@dataclass(frozen=True, slots=True)
class Session:
    """An agent's session as a request presents it."""

    agent: Agent
    csrf: str
    expires_at: int


def now_ms() -> int:
    """Give the time as UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def add_agent(database: Database, name: str, password: str, role: Role = "agent", *, at: int | None = None) -> Agent:
    """Make an agent; raises ``BadRequest`` when the name is taken or ill-formed, the password too short or the role unknown."""
    name = name.strip()
    if not 1 <= len(name) <= 32 or not name.isprintable():
        raise BadRequest("bad_agent_name")
    if len(password) not in PASSWORD:
        raise BadRequest("bad_password", shortest=PASSWORD.start, longest=PASSWORD.stop - 1)
    if role not in get_args(Role):
        raise BadRequest("bad_role", role=role)
    hashed = await asyncio.to_thread(PasswordHasher().hash, password)
    row = {"name": name, "password": hashed, "role": role, "created_at": now_ms() if at is None else at}
    try:
        async with database.write() as connection:
            new = await connection.execute(sa.insert(agents).values(row).returning(agents.c.id))
            return Agent(new.scalar_one(), name, role)
    except IntegrityError:
        raise BadRequest("agent_exists", name=name) from None


class Accounts:
    """Log-in, sessions and log-out of the desk."""

    def __init__(
        self, database: Database, *, clock: Callable[[], int] = now_ms, token: Callable[[], str] = secrets.token_urlsafe
    ) -> None:
        self._database = database
        self._clock = clock
        self._token = token
        self._hasher = PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._nobody: str | None = None

    async def log_in(self, name: str, password: str, address: str) -> tuple[str, Session]:
        """Open a session and give its token; raises ``NotLoggedIn`` or ``Throttled``, the same for known and unknown names.

        The try is counted before the password is looked at, so that many at once are not more than many in turn.
        """
        subjects = _subjects(name, address)
        await self._count(subjects)
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(agents).where(agents.c.name == name))).one_or_none()
        if not await self._verify(row.password if row else None, password) or row is None:
            raise NotLoggedIn("wrong_login")
        token, csrf, now = self._token(), self._token(), self._clock()
        session = {"token": _sha256(token), "agent_id": row.id, "csrf": csrf, "expires_at": now + SESSION}
        async with self._database.write() as connection:
            await self._forgive(connection, name, address)
            await connection.execute(sa.delete(login_failures).where(login_failures.c.at <= now - FORGET))
            await connection.execute(sa.delete(agent_sessions).where(agent_sessions.c.expires_at <= now))
            await connection.execute(sa.insert(agent_sessions).values(session))
        return token, Session(Agent(row.id, row.name, row.role), csrf, now + SESSION)

    async def session(self, token: str) -> Session:
        """Give the session of a token; raises ``NotLoggedIn``."""
        query = sa.select(agents.c.id, agents.c.name, agents.c.role, agent_sessions.c.csrf, agent_sessions.c.expires_at)
        live = (agent_sessions.c.token == _sha256(token), agent_sessions.c.expires_at > self._clock())
        async with self._database.read() as connection:
            rows = await connection.execute(query.select_from(agent_sessions.join(agents)).where(*live))
            row = rows.one_or_none()
        if row is None:
            raise NotLoggedIn("no_session")
        return Session(Agent(row.id, row.name, row.role), row.csrf, row.expires_at)

    async def log_out(self, token: str) -> None:
        """End a session."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(agent_sessions).where(agent_sessions.c.token == _sha256(token)))

    async def _verify(self, hashed: str | None, password: str) -> bool:
        """Compare a password with its hash; an unknown name costs the same time as a known one."""
        async with self._hashing:
            if hashed is None and self._nobody is None:
                self._nobody = await asyncio.to_thread(self._hasher.hash, self._token())
            try:
                return await asyncio.to_thread(self._hasher.verify, hashed or self._nobody or "", password)
            except (VerificationError, InvalidHashError):
                return False

    async def _count(self, subjects: dict[str, int]) -> None:
        """Count a try against each subject; raises ``Throttled`` when one of them has to wait."""
        now = self._clock()
        hashes = {_index(self._database, subject): allowed for subject, allowed in subjects.items()}
        fresh = [{"subject": subject, "failures": 0, "blocked_until": 0, "at": now} for subject in sorted(hashes)]
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        async with self._database.write() as connection:
            await connection.execute(insert(login_failures).on_conflict_do_nothing(), fresh)
            mine = sa.select(login_failures).where(login_failures.c.subject.in_(hashes)).order_by(login_failures.c.subject)
            rows = (await connection.execute(mine.with_for_update())).all()
            blocked = max(row.blocked_until for row in rows)
            if blocked > now:
                raise Throttled("throttled", seconds=-(-(blocked - now) // 1000))
            for row in rows:
                await _fail(connection, row, hashes[row.subject], now)

    async def _forgive(self, connection: AsyncConnection, name: str, address: str) -> None:
        """After a good log-in forget the name's failures, but not the address's: who has one account could guess at others."""
        *own, shared = (_index(self._database, subject) for subject in _subjects(name, address))
        await connection.execute(sa.delete(login_failures).where(login_failures.c.subject.in_(own)))
        address_row = sa.update(login_failures).where(login_failures.c.subject == shared)
        await connection.execute(address_row.values(failures=login_failures.c.failures - 1, blocked_until=0))


async def _fail(connection: AsyncConnection, before: Any, allowed: int, now: int) -> None:
    """Write down one more failure of a subject; beyond those ``allowed`` each blocks it twice as long as the one before."""
    failures = 1 if before.at <= now - FORGET else before.failures + 1
    over = failures - allowed
    seconds = min(BLOCK * 2 ** min(over, 10), LONGEST_BLOCK) if over >= 0 else 0
    row = {"failures": failures, "blocked_until": now + seconds * 1000, "at": now}
    await connection.execute(sa.update(login_failures).where(login_failures.c.id == before.id).values(row))


def _subjects(name: str, address: str) -> dict[str, int]:
    """Name what a try counts against, with the tries that each allows: few for a pair, more for a name or an address alone."""
    return {f"pair {address} {name}": 5, f"name {name}": 30, f"address {address}": 50}


def _index(database: Database, subject: str) -> bytes:
    return database.blind_index("login_failures", subject)  # a bare hash of an address is soon guessed


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
