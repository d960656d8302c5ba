"""The references: one transaction a transfer, written by hand, for the same rows and durability.

PostgreSQL's own ``pgbench`` runs the till's statements: both accounts locked and read with their owners, then the key, the order,
both balances, the entry and the notice. On SQLite a loop through the till's own library does it in as few as it can.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from wallet_service.bench.town import Town
from wallet_service.context import Context
from wallet_service.database import parse_url

_ORDER = (  # the columns that the till writes; the database knows the others
    "kind, status, payer_id, payee_id, amount, note, nonce, code_hash, created_at, expires_at, authorised_at, spent_day,"
    " posted_at, posted_amount, receipt_no"
)
_VALUES = "'{kind}', 'posted', :a, :b, 1, {empty}, {octets}, {octets}, {now}, {now}, {now}, 20261122, {now}, 1, {unique}"
_REPLAY = "INSERT INTO replays (scope, key, digest, outcome, created_at) VALUES (0, {unique}, {octets}, {octets}, {now})"
_ENTRY = "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at)"
_NOTICE = (
    "INSERT INTO outbox (kind, status, user_id, order_id, facts, due_at, created_at)"
    " VALUES ('money_received', 'waiting', 1, {order}, {empty}, {now}, {now})"
)


class Missing(Exception):
    """There is no pgbench here."""


def _pgbench() -> str:
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("pgbench", path=":".join(map(str, homes))) or shutil.which("pgbench")
    if found is None:
        raise Missing("pgbench is not installed")
    return found


def _script(town: Town, hot: bool) -> str:
    """Write the transfer for pgbench: payers and payees never change sides, so that none of its clients wait in a circle."""
    payers = [town.accounts[place] for place in town.payers]
    step = payers[1] - payers[0]
    half = len(town.accounts) // 2
    sql = {
        "kind": "pay" if hot else "transfer",
        "now": "1795147200000",
        "octets": "'\\x00112233445566778899aabbccddeeff'",
        "empty": "''",
        "unique": "'p' || :client_id || '-' || :c",
    }
    payee = f"\\set b {town.shop}" if hot else f"\\set b random({town.accounts[half]}, {town.accounts[-1]})"
    notice = "" if hot else _NOTICE.format(order=":order_id", **sql) + ";\n"
    return f"""\\set a {payers[0]} + {step} * random(0, {len(payers) - 1})
{payee}
\\set c random(1, 9000000000000000000)
BEGIN;
SELECT a.*, u.level, u.status, u.wrong_codes, u.locked_until, u.name, u.phone FROM accounts a
 LEFT JOIN users u ON u.id = a.user_id WHERE a.id IN (:a, :b) ORDER BY a.id FOR NO KEY UPDATE OF a;
{_REPLAY.format(**sql)};
INSERT INTO orders ({_ORDER}) VALUES ({_VALUES.format(**sql)}) RETURNING id AS order_id \\gset
UPDATE accounts SET balance = balance - 1, day = 20261122, day_spent = day_spent + 1, year = 2026, year_spent = year_spent + 1
 WHERE id = :a AND balance - held >= 1 RETURNING balance AS left_a \\gset
UPDATE accounts SET balance = balance + 1 WHERE id = :b RETURNING balance AS left_b \\gset
{_ENTRY} VALUES (:order_id, '{sql["kind"]}', :a, :b, 1, :left_a, :left_b, {sql["now"]});
{notice}COMMIT;
"""


async def pgbench(url: str, town: Town, *, clients: int, seconds: float, hot: bool) -> float:
    """Give pgbench's transfers a second on the database at ``url``."""
    program = _pgbench()
    location = parse_url(url)
    host = location.host or str(location.query.get("host", ""))
    options = ["-h", host, *(["-p", str(location.port)] if location.port else []), "-U", location.username or "postgres"]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_script(town, hot))
        script.flush()
        span = ["-T", str(max(1, round(seconds))), "-c", str(clients), "-j", "2", "-M", "prepared", "-n", "-f", script.name]
        run = await asyncio.to_thread(
            subprocess.run,
            [program, *options, *span, location.database or "postgres"],
            capture_output=True,
            text=True,
            check=False,
            env={"PGPASSWORD": location.password or ""},
        )
    found = re.search(r"^tps = ([0-9.]+)", run.stdout, re.MULTILINE)
    if run.returncode != 0 or found is None or "number of failed transactions: 0 " not in run.stdout + " ":
        raise Missing(f"pgbench failed: {run.stderr.strip().splitlines()[-1:] or run.stdout}")
    return float(found[1])


_LITE = {"now": "1795147200000", "octets": "zeroblob(16)", "empty": "zeroblob(0)"}
_LITE_UPDATE = text(
    "UPDATE accounts SET balance = balance + CASE id WHEN :a THEN -1 ELSE 1 END,"
    " day = CASE id WHEN :a THEN 20261122 ELSE day END, day_spent = day_spent + (id = :a),"
    " year = CASE id WHEN :a THEN 2026 ELSE year END, year_spent = year_spent + (id = :a)"
    " WHERE id IN (:a, :b) RETURNING id, balance"
)


async def naive(context: Context, town: Town, *, clients: int, seconds: float, hot: bool) -> float:
    """Give the transfers a second of a loop on SQLite: one transaction, one commit, five statements and the notice."""
    kind = "pay" if hot else "transfer"
    replay = text(_REPLAY.format(unique=":unique", **_LITE))
    order = text(f"INSERT INTO orders ({_ORDER}) VALUES ({_VALUES.format(kind=kind, unique=':unique', **_LITE)}) RETURNING id")
    entry = text(f"{_ENTRY} VALUES (:order_id, '{kind}', :a, :b, 1, :left_a, :left_b, {_LITE['now']})")
    notice = text(_NOTICE.format(order=":order_id", **_LITE))
    half, until = len(town.accounts) // 2, time.perf_counter() + seconds
    run, done = uuid4().hex[:8], 0

    async def client(number: int) -> None:
        nonlocal done
        turn = 0
        while time.perf_counter() < until:
            turn += 1
            payer = town.accounts[random.choice(town.payers)]
            payee = town.shop if hot else town.accounts[random.randrange(half, len(town.accounts))]
            moved = {"a": payer, "b": payee, "unique": f"{run}-{number}-{turn}"}
            async with context.database.write() as connection:
                await connection.execute(replay, moved)
                moved["order_id"] = (await connection.execute(order, moved)).scalar_one()
                left = {row.id: row.balance for row in await connection.execute(_LITE_UPDATE, moved)}
                await connection.execute(entry, {**moved, "left_a": left[payer], "left_b": left[payee]})
                if not hot:
                    await connection.execute(notice, moved)
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return done / (time.perf_counter() - started)
