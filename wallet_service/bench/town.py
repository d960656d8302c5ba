"""The people of a benchmark: half of them pay, each has a friend in the other half, and everybody knows one shop."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert

from wallet_service.bulk import Movement, insert_rows, post_movements
from wallet_service.context import Context
from wallet_service.ledger import new_account
from wallet_service.numbers import new_wallet_number
from wallet_service.people import phone_index
from wallet_service.schema import accounts, contacts, users

CITY = "xiamen"
FUNDS = 100_000  # fen in each paying wallet: at a fen a payment no run uses them up
MOST_PAYERS = 10_000  # spread evenly over the paying half
_BATCH = 20_000  # people a transaction


@dataclass(frozen=True, slots=True)
class Town:
    """Who there is: user ids, account ids and wallet numbers in one order; ``payers`` are places in its first half."""

    users: tuple[int, ...]
    accounts: tuple[int, ...]
    numbers: tuple[str, ...]
    payers: tuple[int, ...]
    shop: int


async def build(context: Context, size: int) -> Town:
    """Open ``size`` wallets, fund payers from the bank, and open the shop."""
    found: list[tuple[int, int, str]] = []
    for start in range(0, size, _BATCH):
        found += await _open(context, range(start, min(start + _BATCH, size)))
    people, wallets, numbers = (tuple(column) for column in zip(*found, strict=True))
    half = size // 2
    payers = tuple(range(0, half, max(half // MOST_PAYERS, 1)))
    bank, now = context.system[CITY, "clearing"], context.now()
    async with context.database.write() as connection:
        funding = [Movement(now, people[place], "top_up", bank, wallets[place], FUNDS, "") for place in payers]
        await post_movements(context, connection, funding)
        friends = [{"owner_id": people[place], "user_id": people[half + place], "name": ""} for place in payers]
        await connection.execute(insert(contacts), friends)  # else the risk rules would stop whoever pays strangers all day
        shop = insert(accounts).values(new_account("merchant", CITY, name="shop")).returning(accounts.c.id)
        return Town(people, wallets, numbers, payers, (await connection.execute(shop)).scalar_one())


async def _open(context: Context, places: range) -> list[tuple[int, int, str]]:
    now = context.now()
    phones = [f"139{place:08d}" for place in places]
    following = iter(places)  # by chance some of a million would be the same
    numbers = [new_wallet_number(context.profiles[CITY].code, lambda _: next(following)) for _ in places]
    owner = {"name": "", "level": 1, "status": "active", "default_city": CITY, "created_at": now}
    async with context.database.write() as connection:
        rows = [{**owner, "phone": phone, "phone_index": phone_index(context, phone)} for phone in phones]
        people = await insert_rows(connection, users, rows)
        opened = [new_account("wallet", CITY, user_id=user, number=number) for user, number in zip(people, numbers, strict=True)]
        wallets = await insert_rows(connection, accounts, opened)
    return list(zip(people, wallets, numbers, strict=True))
