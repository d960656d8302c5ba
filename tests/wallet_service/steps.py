"""Every keyed operation as data: what has to be there before it, the call itself, and the mark that it leaves once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.wallet_service.conftest import Till
from wallet_service import Fen, Pay, Transfer, Wallet

Given = tuple[Any, ...]
HOUSE = "the house"


@dataclass
class Steps:
    """Makes what operations need; everybody is fresh each time, so that one round does not get into the way of the next."""

    till: Till
    phones: Any = field(default_factory=lambda: (f"139{number:08d}" for number in count(1)))

    async def order(self) -> Given:
        """Propose a transfer; give the person who acts, the order and its code."""
        order = await self.till.propose("王小明", "李娜", 1)
        return self.till.ids["王小明"], order.id, await self.till.code(order)

    async def payee(self) -> Given:
        """Give the person who acts and a transfer to be proposed."""
        actor = self.till.ids["王小明"]
        return actor, Transfer(actor, await self.till.number("李娜"), Fen(1))

    async def delayed(self) -> Given:
        """Confirm a transfer that arrives later; give the person who acts and the order."""
        return self.till.ids["王小明"], (await self.till.transfer("王小明", "李娜", 1, delay=7_200)).id

    async def paid(self) -> Given:
        """Pay a merchant; give the order."""
        order = await self.till.confirmed(Pay(self.till.ids["王小明"], (await self.till.merchant())[1], Fen(2)))
        return HOUSE, order.id

    async def house(self) -> Given:
        """Give the accounts of a gift of the house."""
        return HOUSE, await self.till.account("promotions"), await self.till.account("李娜")

    async def phone(self) -> Given:
        """Give a phone that nobody has."""
        return (None, next(self.phones))

    async def login(self) -> Given:
        """Start a log-in; give it and its code."""
        challenge = await self.till.wallet.start_login(next(self.phones), key=self.till.key())
        return None, challenge.id, await self.till.code()

    async def proven(self) -> Given:
        """Give a log-in whose phone is proven."""
        _, challenge, code = await self.login()
        await self.till.wallet.finish_login(challenge, code, key=self.till.key())
        return None, challenge

    async def newcomer(self) -> Given:
        """Give somebody with one wallet."""
        return ((await self.till.newcomer(next(self.phones))).id,)

    async def change(self) -> Given:
        """Start a change of somebody; give who it is, the change and its code."""
        (person,) = await self.newcomer()
        change = await self.till.wallet.start_change(person, "set_password", key=self.till.key())
        return person, change.id, await self.till.code()


@dataclass(frozen=True)
class Step:
    """One operation: how what it needs is made (who acts comes first, if anybody does), the call, the count of its marks."""

    before: Callable[[Steps], Awaitable[Given]]
    call: Callable[[Wallet, Given, str], Awaitable[object]]
    marks: str


STEPS = {
    "propose": Step(
        Steps.payee,
        lambda wallet, given, key: wallet.propose(given[1], actor=given[0], key=key),
        "SELECT COUNT(*) FROM outbox WHERE kind = 'payment_code'",
    ),
    "authorize": Step(
        Steps.order,
        lambda wallet, given, key: wallet.authorize(given[1], given[2], actor=given[0], key=key),
        "SELECT COUNT(*) FROM entries",
    ),
    "resend_code": Step(
        Steps.order,
        lambda wallet, given, key: wallet.resend_code(given[1], actor=given[0], key=key),
        "SELECT SUM(counter) FROM orders",
    ),
    "cancel": Step(
        Steps.order,
        lambda wallet, given, key: wallet.cancel(given[1], actor=given[0], key=key),
        "SELECT COUNT(*) FROM orders WHERE status = 'cancelled'",
    ),
    "recall": Step(
        Steps.delayed,
        lambda wallet, given, key: wallet.recall(given[1], actor=given[0], key=key),
        "SELECT COUNT(*) FROM outbox WHERE kind = 'order_recalled'",
    ),
    "refund": Step(
        Steps.paid,
        lambda wallet, given, key: wallet.refund(given[1], Fen(1), key=key),
        "SELECT SUM(refunded) FROM orders",
    ),
    "book": Step(
        Steps.house,
        lambda wallet, given, key: wallet.book("top_up", given[1], given[2], Fen(1), key=key),
        "SELECT COUNT(*) FROM entries",
    ),
    "start_login": Step(
        Steps.phone,
        lambda wallet, given, key: wallet.start_login(given[1], key=key),
        "SELECT COUNT(*) FROM challenges",
    ),
    "resend_login_code": Step(
        Steps.login,
        lambda wallet, given, key: wallet.resend_login_code(given[1], key=key),
        "SELECT SUM(counter) FROM challenges",
    ),
    "finish_login": Step(
        Steps.login,
        lambda wallet, given, key: wallet.finish_login(given[1], given[2], key=key),
        "SELECT COUNT(*) FROM challenges WHERE status <> 'open'",
    ),
    "open_account": Step(
        Steps.proven,
        lambda wallet, given, key: wallet.open_account(given[1], city="xiamen", key=key),
        "SELECT COUNT(*) FROM users",
    ),
    "open_wallet": Step(
        Steps.newcomer,
        lambda wallet, given, key: wallet.open_wallet(given[0], "lanzhou", key=key),
        "SELECT COUNT(*) FROM accounts WHERE city = 'lanzhou'",
    ),
    "start_change": Step(
        Steps.newcomer,
        lambda wallet, given, key: wallet.start_change(given[0], "set_password", key=key),
        "SELECT COUNT(*) FROM challenges",
    ),
    "prove_change": Step(
        Steps.change,
        lambda wallet, given, key: wallet.prove_change(given[0], given[1], given[2], key=key),
        "SELECT COUNT(*) FROM challenges WHERE status = 'proven'",
    ),
    "bind": Step(
        Steps.newcomer,
        lambda wallet, given, key: wallet.bind(given[0], "web", "somewhere", "a browser", key=key),
        "SELECT COUNT(*) FROM bindings",
    ),
    "freeze": Step(
        Steps.newcomer,
        lambda wallet, given, key: wallet.freeze(given[0], key=key),
        "SELECT COUNT(*) FROM users WHERE status = 'frozen'",
    ),
}


async def marks(till: Till, step: Step) -> int:
    """Count the marks that such operations have left so far."""
    ((found,),) = await till.sql(step.marks)
    return int(found)
