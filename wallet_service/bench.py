"""What the ledger does a second: whole transfers (proposal, code, posting) by several clients, on a database of its own."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from wallet_service.bulk import Movement, insert_rows, post_movements
from wallet_service.codes import ORDER_CODE, order_text
from wallet_service.commands import Transfer
from wallet_service.context import CodeLimit, Context
from wallet_service.ledger import new_account
from wallet_service.money import Fen
from wallet_service.numbers import new_wallet_number
from wallet_service.orders import new_order
from wallet_service.people import phone_index
from wallet_service.randomness import Randomness
from wallet_service.schema import accounts, users
from wallet_service.wallet import Wallet

WALLETS = 100
FUNDS = 10_000_000  # fen in each wallet: one fen a transfer never uses them up
_CITY = "xiamen"
_NO_LIMIT = CodeLimit(per_ten_minutes=10**9, per_day=10**9)
_NONCE = bytes(16)  # known, so that a client can work out its code without the phone


async def bench_ledger(clients: int, seconds: float, hot: bool, *, url: str = "sqlite://") -> dict[str, Any]:
    """Measure transfers of one fen; ``hot`` pays them all from one wallet. Times in milliseconds."""
    random = Randomness(octets=lambda count: _NONCE[:count])
    async with Wallet.open(url, random=random, code_limit=_NO_LIMIT) as wallet:
        people = await _open_wallets(wallet.context)
        took: list[float] = []
        started = time.perf_counter()
        until = started + seconds
        await asyncio.gather(*(_client(wallet, people, number, hot, until, took) for number in range(clients)))
        elapsed = time.perf_counter() - started
        await wallet.seal()
        report = await wallet.verify()
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else [0.0] * 99
    return {
        "bench": "ledger",
        "database": "postgresql" if url.startswith("postgresql") else "sqlite",
        "clients": clients,
        "hot": hot,
        "seconds": round(elapsed, 3),
        "transfers": len(took),
        "transfers_per_second": round(len(took) / elapsed, 1),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p95_ms": round(cuts[94] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
        "verified": report.ok,
    }


async def _open_wallets(context: Context) -> list[tuple[int, int, str]]:
    """Open and fund the wallets; give user id, account id and wallet number of each."""
    now, bank = context.now(), context.system[_CITY, "clearing"]
    numbers = [new_wallet_number(context.profiles[_CITY].code, context.random.below) for _ in range(WALLETS)]
    phones = [f"139{index:08d}" for index in range(WALLETS)]
    owner = {"name": "", "level": 1, "status": "active", "default_city": _CITY, "created_at": now}
    async with context.database.write() as connection:
        ids = await insert_rows(
            connection, users, [{**owner, "phone": phone, "phone_index": phone_index(context, phone)} for phone in phones]
        )
        rows = [new_account("wallet", _CITY, user_id=user, number=number) for user, number in zip(ids, numbers, strict=True)]
        wallets = await insert_rows(connection, accounts, rows)
        funding = [Movement(now, user, "top_up", bank, wallet, FUNDS, "") for user, wallet in zip(ids, wallets, strict=True)]
        await post_movements(context, connection, funding)
    return list(zip(ids, wallets, numbers, strict=True))


async def _client(
    wallet: Wallet, people: list[tuple[int, int, str]], number: int, hot: bool, until: float, took: list[float]
) -> None:
    turn = number
    while (started := time.perf_counter()) < until:
        payer = people[0] if hot else people[turn % WALLETS]
        payee = people[1 + turn % (WALLETS - 1)] if hot else people[(turn + 1) % WALLETS]
        key = f"bench/{number}/{turn}"
        order = await wallet.propose(Transfer(payer[0], payee[2], Fen(1)), actor=payer[0], key=f"{key}/propose")
        parties = {"actor_id": payer[0], "payer_id": payer[1], "payee_id": payee[1], "amount": 1}
        signed = new_order(**parties, nonce=_NONCE)
        code = wallet.context.keys.code(ORDER_CODE, order_text("transfer", signed), 0)
        await wallet.authorize(order.id, code, actor=payer[0], key=f"{key}/authorize")
        took.append(time.perf_counter() - started)
        turn += 1
