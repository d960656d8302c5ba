"""Each operation once: what a key did is kept with it, refusals too, and given again to whoever repeats the key.

The inputs are kept only as a keyed hash, since they may hold a code. A key belongs to the person who acts. Its row is written
before the work: a repeat at the same time waits for it, and finds the outcome there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors, outages, views
from wallet_service.checks import is_id, is_text
from wallet_service.context import Context
from wallet_service.schema import replays

T = TypeVar("T")


class Scope(int):
    """Whose keys are no person's. A caller gives a person's id as a plain int, so these cannot be named from outside."""


NOBODY = Scope(0)  # before log-in
HOUSE = Scope(-1)  # what the house does by itself
LONGEST_KEY = 255
ATTEMPTS = 8  # a transaction that lost a race (PostgreSQL: serialisation, deadlock, unique key) is run again this often in all
_PAUSE = 0.01  # seconds at most before the second attempt, twice as many before each further one
_STALE = "40001"
_LOST_RACES = (_STALE, "40P01", "23505")


def _encode(value: object) -> object:
    """Write down what JSON does not know."""
    if isinstance(value, datetime):
        return {"$at": value.isoformat()}
    if is_dataclass(value):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} has no place in an outcome")


written = json.JSONEncoder(default=_encode).encode  # an outcome as it is kept
_content = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and "$at" in value:
        return datetime.fromisoformat(value["$at"])
    return tuple(value) if isinstance(value, list) else value


def restore(outcome: dict[str, Any]) -> Any:
    """Give what an outcome says, or raise the refusal that it was."""
    if "error" in outcome:
        raise errors.BY_CODE[outcome["error"]](**outcome["facts"])
    if "view" not in outcome:
        return None
    view = getattr(views, outcome["view"])
    return view(**{name: _decode(value) for name, value in outcome["value"].items()})


def shown(result: object) -> dict[str, Any]:
    """Write a result down as an outcome."""
    return {} if result is None else {"view": type(result).__name__, "value": result}


def is_lost_race(error: DBAPIError) -> bool:
    """Tell whether a transaction failed only because another one was faster."""
    known_key = "UNIQUE constraint failed: replays" in str(error.orig)  # as SQLite says what PostgreSQL calls 23505
    return known_key or getattr(error.orig, "sqlstate", None) in _LOST_RACES


def is_stale(error: DBAPIError) -> bool:
    """Tell whether a transaction failed since a row was not as it was read any more (PostgreSQL)."""
    return getattr(error.orig, "sqlstate", None) == _STALE


async def rest_before(context: Context, attempt: int) -> None:
    """Wait a moment of chance before a further attempt: the losers of one race must not meet in the next."""
    most = int(_PAUSE * 1000 * 2 ** (attempt - 1))
    await asyncio.sleep(context.random.below(most) / 1000)


class Outcome(NamedTuple):
    """What is kept of a key: the keyed hash of its inputs, and what came of them."""

    digest: bytes
    outcome: str


def digest_of(context: Context, operation: str, scope: int, key: str | None, inputs: object) -> bytes:
    """Give the keyed hash of what a key stands for; a key or a person that cannot be is refused."""
    if not is_text(key) or not 1 <= len(key) <= LONGEST_KEY:
        raise errors.InvalidKey
    if not isinstance(scope, Scope) and not is_id(scope):
        raise errors.NotLoggedIn
    return context.keys.mac("replay", _content([operation, inputs]).encode())


async def once(
    context: Context, operation: str, scope: int, key: str, inputs: object, work: Callable[[AsyncConnection], Awaitable[T]]
) -> T:
    """Do ``work`` in one transaction unless the key was used before; then give what came of it that time.

    A :class:`WalletError` raised by ``work`` is an outcome: what was written before it is kept, and so is the refusal.
    """
    digest = digest_of(context, operation, scope, key, inputs)
    try:
        return await _attempts(context, scope, key, digest, work)
    except errors.ServiceUnavailable as outage:
        if not outages.may_pass(outage):
            raise
        broken = outage
    try:  # on another connection; what the first one did, if it did it, is found by the key
        return await _attempts(context, scope, key, digest, work)
    except errors.ServiceUnavailable as outage:
        raise errors.ServiceUnavailable(unknown=broken.facts["unknown"] or outage.facts["unknown"]) from outage


async def _attempts(context: Context, scope: int, key: str, digest: bytes, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _attempt(context, scope, key, digest, work)
        except DBAPIError as error:
            context.order_ids.drop_if_taken(error)
            if attempt == ATTEMPTS or not is_lost_race(error):
                raise
            await rest_before(context, attempt + 1)
    raise AssertionError("unreachable")


async def _attempt(context: Context, scope: int, key: str, digest: bytes, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    refusal: errors.WalletError | None = None
    async with context.database.write() as connection:
        row = {"scope": scope, "key": key, "digest": digest, "outcome": "{}", "created_at": context.now()}
        fresh = context.database.insert_if_new(replays).values(row).returning(replays.c.id)
        row_id = (await connection.execute(fresh)).scalar()
        if row_id is None:
            kept = select(replays.c.digest, replays.c.outcome).where(replays.c.scope == scope, replays.c.key == key)
            known = (await connection.execute(kept)).one()
            if known.digest != digest:
                raise errors.KeyReused
            result: T = restore(json.loads(known.outcome))
            return result
        outcome: dict[str, Any]
        try:
            result = await work(connection)
            outcome = shown(result)
        except errors.WalletError as error:
            refusal = error
            outcome = {"error": error.code, "facts": error.facts}
        await connection.execute(update(replays).where(replays.c.id == row_id).values(outcome=written(outcome)))
    if refusal is not None:
        raise refusal
    return result
