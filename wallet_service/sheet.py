"""The working sheet of one transaction: the rows that it has locked, changed in memory, and written back as sets.

Whoever decides about money reads and changes the sheet only, one wish after the other, so that each sees what those before it
left. Rows are locked in one order, people, then accounts, then orders, each by id: transactions never wait in a circle.
On PostgreSQL rows may be decided on without being locked: what is written then holds only if each still has its version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Select, select, type_coerce, union
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.context import Context
from wallet_service.factors import second_factors
from wallet_service.orders import MUTABLE, order_view
from wallet_service.outbox import notice_row
from wallet_service.schema import PAYS_BILL, accounts, cards, entries, orders, outbox, users
from wallet_service.sets import KNOWN, SAME, VERSION, Change, Unlocked, among, rows_of, version_of, write_sets
from wallet_service.views import Order

_OWNER = ("level", "status", "wrong_codes", "locked_until")
OWNER_VERSION = "owner_version"
_fees = accounts.alias("fees")
_payers = accounts.alias("payers")


@dataclass(slots=True)
class Sheet:
    """Locked rows by id, and what has to be written of them when the decisions are made."""

    context: Context
    now: datetime
    telling: bool = True
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    accounts: dict[int, dict[str, Any]] = field(default_factory=dict)
    bound_cards: set[int] = field(default_factory=set)  # of those that its orders name
    paid_bills: set[int] = field(default_factory=set)  # of those that its orders name, by others
    with_second: set[int] = field(default_factory=set)  # who has a second factor, of those whose orders may have come to need it
    _changed_accounts: set[int] = field(default_factory=set)
    _account_columns: set[str] = field(default_factory=set)
    _changed_orders: set[int] = field(default_factory=set)
    _changed_users: dict[int, dict[str, Any]] = field(default_factory=dict)
    _new_orders: set[int] = field(default_factory=set)
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _notices: list[dict[str, Any]] = field(default_factory=list)

    def move(self, order_id: int, kind: str, *, debit: int, credit: int, amount: int) -> None:
        """Debit one account and credit another by ``amount`` fen."""
        payer, payee = self.accounts[debit], self.accounts[credit]
        self.change_account(debit, balance=payer["balance"] - amount)
        self.change_account(credit, balance=payee["balance"] + amount)
        self._entries.append(
            {
                "order_id": order_id,
                "kind": kind,
                "debit_id": debit,
                "credit_id": credit,
                "amount": amount,
                "debit_balance": payer["balance"],
                "credit_balance": payee["balance"],
                "at": self.now,
            }
        )

    def change_account(self, account_id: int, **columns: Any) -> None:
        """Set what stands on an account, is held back there, or counted."""
        account = self.accounts[account_id]
        changed = [name for name, value in columns.items() if account[name] != value]
        if changed:
            account.update(columns)
            self._changed_accounts.add(account_id)
            self._account_columns.update(changed)

    def change_order(self, order_id: int, **columns: Any) -> None:
        """Set what may change of an order."""
        self.orders[order_id].update(columns)
        self._changed_orders.add(order_id)

    def add_order(self, row: dict[str, Any]) -> None:
        """Add an order that this transaction makes; its row is written as it is in the end."""
        self.orders[row["id"]] = row
        self._new_orders.add(row["id"])

    def change_user(self, user_id: int, **columns: Any) -> None:
        """Set the counters of wrong codes of a person, on every account of theirs."""
        self._changed_users.setdefault(user_id, {"id": user_id}).update(columns)
        for account in self.accounts.values():
            if account["user_id"] == user_id:
                account.update(columns)

    def view(self, order_id: int) -> Order:
        """Show an order to its payer."""
        order = self.orders[order_id]
        payer, payee = self.accounts[order["payer_id"]], self.accounts[order["payee_id"]]
        vault = self.context.vault
        owned = payee["owner_phone"] is not None
        shown = {
            "city": payer["city"],
            "payee_wallet": payee["number"],
            "payee_city": payee["city"],
            "payee_account_name": payee["name"],
            "payee_name": vault.open("users.name", payee["owner_name"]) if owned else None,
            "payee_phone": vault.open("users.phone", payee["owner_phone"]) if owned else None,
        }
        return order_view({**order, **shown}, self.now)

    def tell(self, kind: str, *, user_id: int | None = None, order_id: int | None = None) -> None:
        """Leave a notice."""
        if self.telling:
            self._notices.append(notice_row(kind, self.now, user_id=user_id, order_id=order_id))

    async def look(self, connection: AsyncConnection, account_ids: Iterable[int]) -> None:
        """Read accounts without locking them: for a judgement that is made again, or holds only if they stay as they are."""
        wanted = _touched(self.context.database.is_sqlite, with_orders=False)
        self.accounts |= _by_id(await rows_of(connection, wanted, {"accounts": sorted(set(account_ids))}))

    async def load(self, connection: AsyncConnection, order_ids: Iterable[int], account_ids: Iterable[int]) -> None:
        """Lock and read orders with the accounts that they touch, and further accounts."""
        sqlite = self.context.database.is_sqlite
        wanted = {"orders": sorted(set(order_ids)), "accounts": sorted(set(account_ids))}
        if wanted["orders"] and not sqlite:
            await rows_of(connection, _actors(), {"orders": wanted["orders"]})
        with_orders = bool(wanted["orders"])
        if not sqlite:  # first, since an owner is seen as of the beginning of a statement, however long it waits
            await rows_of(connection, _locked(with_orders=with_orders), wanted)
        self.accounts = _by_id(await rows_of(connection, _touched(sqlite, with_orders=with_orders), wanted))
        if wanted["orders"]:
            self.orders = _by_id(await rows_of(connection, _orders(sqlite), {"orders": wanted["orders"]}))
            await self._load_means(connection)
            await self._load_seconds(connection)

    async def _load_means(self, connection: AsyncConnection) -> None:
        """Read what became of the cards and the bills of its orders, where they have any."""
        wanted = {name: sorted({order[name] for order in self.orders.values()} - {None}) for name in ("card_id", "bill_id")}
        bound, paying = _means(self.context.database.is_sqlite)
        if wanted["card_id"]:
            self.bound_cards = set((await connection.execute(bound, {"cards": wanted["card_id"]})).scalars())
        if wanted["bill_id"]:
            found = await connection.execute(paying, {"bills": wanted["bill_id"]})
            self.paid_bills = {row.bill_id for row in found if row.id not in self.orders}

    async def _load_seconds(self, connection: AsyncConnection) -> None:
        """Read who has a second factor, of those who may pay more in the day by now than its orders' codes alone confirm."""
        unproven: Counter[int] = Counter()
        for order in self.orders.values():
            if order["status"] == "proposed" and not order["second"]:
                unproven[order["payer_id"]] += order["amount"]
        for payer_id, most in unproven.items():
            payer = self.accounts[payer_id]
            profile, user_id = self.context.profiles.get(payer["city"]), payer["user_id"]
            if user_id is None or profile is None or payer["day_spent"] + most <= profile.factors.code.fen:
                continue
            if await second_factors(connection, user_id):
                self.with_second.add(user_id)

    async def write(self, connection: AsyncConnection, *more: Change) -> None:
        """Write down what was decided on locked rows, and ``more`` with it."""
        await write_sets(connection, *self._changes(), *more)

    def unlocked(self, connection: AsyncConnection, *more: Change) -> Unlocked:
        """Make ready what was decided on rows that nobody has locked, and ``more`` with it."""
        untouched = _picked(self.accounts, sorted(self.accounts.keys() - self._changed_accounts), (VERSION,))
        owners = {(each["user_id"], each[OWNER_VERSION]) for each in self.accounts.values() if each["user_id"] is not None}
        rows = [{"id": owner, VERSION: version} for owner, version in sorted(owners)]  # one known in two versions is never both
        same = Change(accounts, untouched, SAME), Change(users, rows, SAME)
        return Unlocked(connection, *self._changes(VERSION), *more, *same)

    def follow(self, version: int) -> None:
        """Name the version of those accounts that had none yet when they were copied here."""
        for row in self.accounts.values():
            if row[VERSION] is None:
                row[VERSION] = version

    def changed_accounts(self) -> list[dict[str, Any]]:
        """Give the accounts that are written, as they are then."""
        return [self.accounts[account_id] for account_id in self._changed_accounts]

    def _changes(self, *versions: str) -> tuple[Change, ...]:
        changed = sorted(self._changed_orders - self._new_orders)
        columns = (*sorted(self._account_columns), *versions)
        return (
            Change(orders, [self.orders[order_id] for order_id in sorted(self._new_orders)]),
            Change(orders, _picked(self.orders, changed, MUTABLE), KNOWN),
            Change(accounts, _picked(self.accounts, sorted(self._changed_accounts), columns), KNOWN),
            Change(entries, self._entries),
            Change(outbox, self._notices),
            Change(users, [self._changed_users[user_id] for user_id in sorted(self._changed_users)], KNOWN),
        )


def _by_id(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def _picked(rows: Mapping[int, Mapping[str, Any]], ids: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": row_id, **{name: rows[row_id][name] for name in names}} for row_id in ids]


@cache
def _actors() -> Select[Any]:
    """Lock the people who act in orders (PostgreSQL; SQLite has one writer, who needs no locks)."""
    acting = select(orders.c.actor_id).where(among(orders.c.id, "orders", sqlite=False))
    return select(users.c.id).where(users.c.id.in_(acting)).order_by(users.c.id).with_for_update(key_share=True)


@cache
def _locked(*, with_orders: bool) -> Select[Any]:
    """Lock accounts (PostgreSQL)."""
    wanted = select(accounts.c.id).where(_ids(sqlite=False, with_orders=with_orders)).order_by(accounts.c.id)
    return wanted.with_for_update(of=[accounts], key_share=True)


@cache
def _touched(sqlite: bool, *, with_orders: bool) -> Select[Any]:
    """Read the accounts of orders, the fee accounts that they need, and accounts that are named, with their owners."""
    sealed = [type_coerce(users.c[name], LargeBinary).label(f"owner_{name}") for name in ("name", "phone")]  # few are looked at
    columns: list[Any] = [accounts, *(users.c[name] for name in _OWNER), *sealed]
    if not sqlite:
        columns += [version_of(accounts).label(VERSION), version_of(users).label(OWNER_VERSION)]
    wanted: Select[Any] = select(*columns).outerjoin(users, users.c.id == accounts.c.user_id)
    return wanted.where(_ids(sqlite=sqlite, with_orders=with_orders)).order_by(accounts.c.id)


def _ids(*, sqlite: bool, with_orders: bool) -> ColumnElement[bool]:
    """Give the condition that an account is named, or touched by one of the orders."""
    named = among(accounts.c.id, "accounts", sqlite=sqlite)
    if not with_orders:
        return named
    mine = among(orders.c.id, "orders", sqlite=sqlite)  # a union, since an index serves no OR
    sides = union(
        select(accounts.c.id).where(named),
        select(orders.c.payer_id).where(mine),
        select(orders.c.payee_id).where(mine),
        select(_fees.c.id)
        .select_from(orders)
        .join(_payers, _payers.c.id == orders.c.payer_id)
        .join(_fees, (_fees.c.city == _payers.c.city) & (_fees.c.kind == "fees"))
        .where(mine, orders.c.fee > 0),
    )
    return accounts.c.id.in_(sides)


@cache
def _orders(sqlite: bool) -> Select[Any]:
    wanted = select(orders).where(among(orders.c.id, "orders", sqlite=sqlite)).order_by(orders.c.id)
    return wanted if sqlite else wanted.with_for_update()


@cache
def _means(sqlite: bool) -> tuple[Select[Any], Select[Any]]:
    """Read which cards are bound, and which orders pay bills; the index that makes a bill be paid once serves the second."""
    bound = select(cards.c.id).where(among(cards.c.id, "cards", sqlite=sqlite), cards.c.status == "bound")
    return bound, select(orders.c.id, orders.c.bill_id).where(among(orders.c.bill_id, "bills", sqlite=sqlite), PAYS_BILL)
