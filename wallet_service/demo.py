"""Demo data: people, shops, billers and three months of movements from ``demo.toml``, posted as orders and entries in bulk."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.bulk import Movement, insert_rows, post_movements
from wallet_service.context import SHANGHAI, Context, day_start
from wallet_service.ledger import new_account
from wallet_service.limits import day_number
from wallet_service.numbers import new_merchant_number, new_wallet_number
from wallet_service.outside import Answer, Errand
from wallet_service.people import phone_index
from wallet_service.schema import accounts, billers, bills, cards, chain_head, contacts, subscriptions, users
from wallet_service.wallet import Wallet

_FILE = Path(__file__).with_name("demo.toml")


class Obliging:
    """The demo's bank and biller: no money stands behind them, and so everything is done, however often it is asked."""

    async def run(self, errand: Errand) -> Answer:
        """Do it."""
        return "done"


@dataclass(slots=True)
class _Cast:
    """Ids of what was inserted: people by phone, and accounts by city and phone, shop, service or system kind."""

    people: dict[str, int] = field(default_factory=dict)
    accounts: dict[tuple[str, str], int] = field(default_factory=dict)


def fen(yuan: str) -> int:
    """Turn yuan written as text into fen, exactly."""
    exact = Decimal(yuan) * 100
    if exact != int(exact):
        raise ValueError(f"{yuan} is no whole number of fen")
    return int(exact)


async def load(wallet: Wallet) -> dict[str, int]:
    """Put the demo into a wallet that does not have it yet; give each person's user id by name."""
    context = wallet.context
    data = tomllib.loads(_FILE.read_text("utf-8"))
    phones = [person["phone"] for person in data["people"]]
    async with context.database.write() as connection:
        await connection.execute(select(chain_head.c.id).with_for_update())  # who comes second finds what the first has loaded
        known = select(users.c.name, users.c.id).where(users.c.phone_index.in_([phone_index(context, phone) for phone in phones]))
        found = {row.name: row.id for row in await connection.execute(known)}
        if len(found) == len(phones):
            return found
        crew = await _insert_cast(context, connection, data)
        await post_movements(context, connection, _movements(context, data, crew))
    await wallet.seal()
    return {person["name"]: crew.people[person["phone"]] for person in data["people"]}


async def _insert_cast(context: Context, connection: AsyncConnection, data: Mapping[str, Any]) -> _Cast:
    now, cities = context.now(), data["cities"]
    crew = _Cast()
    rows = [
        {
            "phone": person["phone"],
            "phone_index": phone_index(context, person["phone"]),
            "name": person["name"],
            "level": person["level"],
            "status": person.get("status", "active"),
            "frozen_by": person.get("frozen_by", ""),
            "default_city": cities[0],
            "created_at": now - timedelta(days=data["opening"]["days_ago"]),
        }
        for person in data["people"]
    ]
    crew.people = dict(zip((row["phone"] for row in rows), await insert_rows(connection, users, rows), strict=True))
    known = [
        {"owner_id": crew.people[person["phone"]], "user_id": crew.people[phone], "name": friend["name"]}
        for person in data["people"]
        for phone in person.get("contacts", ())
        for friend in data["people"]
        if friend["phone"] == phone
    ]
    await connection.execute(insert(contacts), known)
    await _insert_cards(context, connection, data, crew, now)
    named: dict[tuple[str, str], dict[str, Any]] = {}
    for city in cities:
        code = context.profiles[city].code
        for phone, user_id in crew.people.items():
            number = new_wallet_number(code, context.random.below)
            named[city, phone] = new_account("wallet", city, user_id=user_id, number=number)
        for index, name in enumerate(data["merchants"][city], start=1):
            named[city, f"merchant {index}"] = new_account(
                "merchant", city, name=name, number=new_merchant_number(code, context.random.below)
            )
        for biller in data["billers"]:
            name = biller["name"].format(city=data["city_names"][city])
            named[city, biller["service"]] = new_account("biller", city, name=name)
        crew.accounts[city, "bank"] = context.system[city, "clearing"]
    crew.accounts.update(zip(named, await insert_rows(connection, accounts, list(named.values())), strict=True))
    await _insert_bills(context, connection, data, crew, now)
    return crew


async def _insert_cards(
    context: Context, connection: AsyncConnection, data: Mapping[str, Any], crew: _Cast, now: datetime
) -> None:
    bound = [
        {
            "user_id": crew.people[person["phone"]],
            "number": card["number"],
            "number_index": context.vault.index("card", card["number"]),
            "bank": card["bank"],
            "kind": card["kind"],
            "status": "bound",
            "is_default": place == 0,
            "created_at": now - timedelta(days=data["opening"]["days_ago"]),
        }
        for person in data["people"]
        for place, card in enumerate(person.get("cards", ()))
    ]
    await connection.execute(insert(cards), bound)


async def _insert_bills(
    context: Context, connection: AsyncConnection, data: Mapping[str, Any], crew: _Cast, now: datetime
) -> None:
    today = now.astimezone(SHANGHAI).date()
    known = [(city, biller) for city in data["cities"] for biller in data["billers"]]
    rows = [{"account_id": crew.accounts[city, biller["service"]], "service": biller["service"]} for city, biller in known]
    households = [
        {
            "biller_id": biller_id,
            "customer_no": biller["customer_no"],
            "customer_index": context.vault.index("customer_no", biller["customer_no"]),
        }
        for biller_id, (_, biller) in zip(await insert_rows(connection, billers, rows), known, strict=True)
    ]
    due = [{"month": day_number(today) // 100, "amount": fen(biller["debt"])} for _, biller in known]
    payers = [{"user_id": crew.people[biller["payer"]]} for _, biller in known]
    await connection.execute(insert(bills), [{**one, **owed} for one, owed in zip(households, due, strict=True)])
    await connection.execute(insert(subscriptions), [{**one, **payer} for one, payer in zip(households, payers, strict=True)])


def _moment(item: Mapping[str, Any], now: datetime) -> datetime:
    clock = time.fromisoformat(item["time"])
    day = now.astimezone(SHANGHAI).date() - timedelta(days=item["days_ago"])
    return day_start(day) + timedelta(hours=clock.hour, minutes=clock.minute)


def _movements(context: Context, data: Mapping[str, Any], crew: _Cast) -> list[Movement]:
    """List everything that happened, oldest first; openings make each wallet end at its wanted balance."""
    now, opening = context.now(), data["opening"]
    movements = []
    for city in data["cities"]:
        flow: dict[int, int] = defaultdict(int)
        for item in data["history"]["items"]:
            owner = crew.accounts[city, item.get("by", data["history"]["phone"])]
            other = crew.accounts[city, item["with"]]
            debit, credit = (other, owner) if item["kind"] == "top_up" else (owner, other)
            amount = fen(item["amount"])
            flow[debit] -= amount
            flow[credit] += amount
            actor = crew.people[item.get("by", data["history"]["phone"])]
            movements.append(Movement(_moment(item, now), actor, item["kind"], debit, credit, amount, item["note"]))
        for person in data["people"]:
            wallet, actor = crew.accounts[city, person["phone"]], crew.people[person["phone"]]
            amount = fen(person["balance"]) - flow[wallet]
            if amount:
                bank = crew.accounts[city, "bank"]
                movements.append(Movement(_moment(opening, now), actor, opening["kind"], bank, wallet, amount, opening["note"]))
    return sorted(movements, key=lambda movement: movement.at)
