"""Hypothesis plays everything that can be asked of the till against a plain model; every invariant holds after each step."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import insert, select

from tests.wallet_service.channels import Channel
from tests.wallet_service.load import code_of
from tests.wallet_service.model import CAP, CODE, QUOTA, SINGLE, STATIC, Model, Order, Person
from wallet_service import CodeLimit, Fen, LoginLimit, Pay, TopUp, Transfer, Wallet, WalletError, Withdraw, migrate
from wallet_service.bulk import insert_rows
from wallet_service.ledger import new_account
from wallet_service.numbers import new_merchant_number
from wallet_service.schema import accounts, cards, contacts

SECRET = "a secret for the model, long enough"
START = datetime(2026, 11, 29, 15, 50, tzinfo=UTC)  # ten minutes before a Monday begins in Shanghai, and a day before December
FUNDS, MOST_PEOPLE = 300_000, 6
people = st.integers(0, MOST_PEOPLE - 1)
places = st.integers(0, 10**6)  # of one among many
amounts = st.one_of(
    st.integers(1, 60_000),
    st.integers(1, 60_000),
    st.integers(60_000, SINGLE),
    st.sampled_from([-1, 0, SINGLE, SINGLE + 1, STATIC, QUOTA, FUNDS, CAP]),
)
spans = st.sampled_from(
    [timedelta(seconds=11), timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=2), timedelta(hours=13)]
)
answers = st.sampled_from(["done", "done", "refused", "unknown"])


@cache
def _empty_file() -> Path:
    """Migrate once; every run starts from a copy."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    asyncio.run(migrate(f"sqlite:///{folder}/w.db"))
    return folder / "w.db"


class WalletMachine(RuleBasedStateMachine):
    """The wallet on a real database beside the model; each keyed call is remembered, to be asked again."""

    def __init__(self, new_database: Callable[[], str] | None = None) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        if new_database is None:
            shutil.copy(_empty_file(), self.folder / "w.db")
        self.model, self.keys, self.bank = Model(START), itertools.count(), Channel()
        self.done: list[tuple[Callable[[], Awaitable[Any]], tuple[Any, str | None]]] = []
        self.manager = Wallet.open(
            f"sqlite:///{self.folder}/w.db" if new_database is None else new_database(),
            secret=SECRET,
            clock=lambda: self.model.now,
            login_limit=LoginLimit(1_000, 1_000),
            code_limit=CodeLimit(1_000, 1_000),
            outside={"bank": self.bank},
            seal_after=60,
        )
        self.wallet = self.run(self.manager.__aenter__())
        self.users: list[int] = []
        self.numbers: list[str] = []
        self.cards: list[int] = []
        self.merchant = ""

    def run(self, work: Awaitable[Any]) -> Any:
        """Run a coroutine on the machine's own loop."""
        return self.loop.run_until_complete(work)

    def outcome(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        """Give the result of a call and no code, or no result and the code of its refusal."""
        try:
            return self.run(call()), None
        except WalletError as refusal:
            return None, refusal.code

    def ask(self, method: str, *arguments: Any, **options: Any) -> tuple[Any, str | None]:
        """Make a keyed call, twice at once, and remember it: both are one."""
        key = f"model/{next(self.keys)}"

        def call() -> Awaitable[Any]:
            return getattr(self.wallet, method)(*arguments, key=key, **options)

        async def twice() -> Any:
            one, other = await asyncio.gather(call(), call(), return_exceptions=True)
            for each in (one, other):
                if isinstance(each, Exception) and not isinstance(each, WalletError):
                    raise each
            assert repr(one) == repr(other)
            if isinstance(one, Exception):
                raise one
            return one

        got = self.outcome(twice)
        self.done.append((call, got))
        return got

    def tick(self) -> None:
        """Let a moment pass, so that no two things happen at once, and do what is due."""
        self.model.now += timedelta(milliseconds=1)
        self.model.arrive()
        self.run(self.wallet.run_due())

    def teardown(self) -> None:
        """Look at every history, then close the wallet and remove its file."""
        for person, user in zip(self.model.people, self.users, strict=True):
            items = self.run(self.wallet.history(user, limit=200))
            assert len(items) == person.movements
            assert sum(item.amount for item in items) == person.balance == (items[0].balance_after if items else 0)
        self.run(self.manager.__aexit__(None, None, None))
        self.loop.close()
        shutil.rmtree(self.folder)

    # Who is there

    @initialize()
    def begin(self) -> None:
        """Make a merchant; three people open wallets, and two of them get money from the house."""
        context = self.wallet.context

        async def make() -> None:
            self.merchant = new_merchant_number("01", context.random.below)
            async with context.database.write() as connection:
                await insert_rows(connection, accounts, [new_account("merchant", "xiamen", number=self.merchant, name="shop")])

        self.run(make())
        for _ in range(3):
            self.join()
        for person in range(2):
            promotions = context.system["xiamen", "promotions"]
            _, refusal = self.ask("book", "top_up", promotions, self.run(self._account(person)), Fen(FUNDS))
            assert refusal is None
            self.model.people[person] = Person(balance=FUNDS, movements=1)

    async def _account(self, person: int) -> int:
        async with self.wallet.database.read() as connection:
            wanted = select(accounts.c.id).where(accounts.c.user_id == self.users[person])
            return int((await connection.execute(wanted)).scalar_one())

    @rule()
    def join(self) -> None:
        """Open a wallet for somebody new, whom everybody knows, with a card."""
        self.tick()
        if len(self.users) < MOST_PEOPLE:
            self.run(self._join(f"1390000000{len(self.users)}"))
            self.model.people.append(Person())

    async def _join(self, phone: str) -> None:
        challenge = await self.wallet.start_login(phone, key=f"join/{phone}/1")
        code = next(notice.facts["code"] for notice in await self.wallet.claim_notices(200) if notice.to == phone)
        await self.wallet.finish_login(challenge.id, code, key=f"join/{phone}/2")
        person = await self.wallet.open_account(challenge.id, city="xiamen", key=f"join/{phone}/3")
        index = self.wallet.database.blind_index("card", phone)
        card = {"user_id": person.id, "number": phone, "number_index": index, "bank": "x", "kind": "debit", "status": "bound"}
        pairs = [pair for user in self.users for pair in ((user, person.id), (person.id, user))]
        known = [{"owner_id": owner, "user_id": user, "name": "x"} for owner, user in pairs]
        async with self.wallet.database.write() as connection:
            self.cards += await insert_rows(connection, cards, [{**card, "is_default": True, "created_at": self.model.now}])
            if known:
                await connection.execute(insert(contacts), known)
        self.users.append(person.id)
        self.numbers.append((await self.wallet.balance(person.id)).wallet_id)

    # Orders

    def pick(self, place: int, *statuses: str) -> int:
        """Choose an order of these statuses if there is one, else any."""
        fitting = [number for number, order in self.model.orders.items() if self.model.shown(order) in statuses]
        return (fitting or list(self.model.orders))[place % len(fitting or self.model.orders)]

    def propose(self, command: Any, order: Order, replaces: int | None = None, *, confirm: bool = False) -> None:
        """Propose a command in the wallet and in the model, and confirm it at once if that is wanted."""
        order.until = self.model.now + CODE
        refusal = self.model.propose(order, replaces)
        made, code = self.ask("propose", command, actor=self.users[order.actor], replaces=replaces)
        assert code == refusal
        if made is not None:
            assert (made.fee, made.tries_left) == (order.fee, order.tries)
            self.model.orders[made.id] = order
            if confirm:
                self.confirm(made.id, right=True, answer="done")

    def new(self, kind: str, actor: int, payer: int | None, payee: int | None, amount: int, **options: Any) -> Order:
        """Give an order for the model."""
        return Order(kind, actor, payer, payee, amount, self.model.now, 5, **options)

    @rule(payer=people, payee=people, amount=amounts, delay=st.sampled_from([0, 0, 7_200]), confirm=st.booleans())
    def transfer(self, payer: int, payee: int, amount: int, delay: int, confirm: bool) -> None:
        """Propose a transfer, some to arrive later."""
        self.tick()
        payer, payee = payer % len(self.users), payee % len(self.users)
        command = Transfer(self.users[payer], self.numbers[payee], Fen(amount), delay=delay)
        self.propose(command, self.new("transfer", payer, payer, payee, amount, delay=delay), confirm=confirm)

    @precondition(lambda self: self.model.orders)
    @rule(place=places, payee=people, amount=amounts)
    def correct(self, place: int, payee: int, amount: int) -> None:
        """Propose a transfer in place of another order of the same person."""
        self.tick()
        old = self.pick(place, "proposed")
        payer, payee = self.model.orders[old].actor, payee % len(self.users)
        command = Transfer(self.users[payer], self.numbers[payee], Fen(amount))
        self.propose(command, self.new("transfer", payer, payer, payee, amount), old)

    @rule(payer=people, amount=amounts, static=st.booleans(), confirm=st.booleans())
    def pay(self, payer: int, amount: int, static: bool, confirm: bool) -> None:
        """Propose to pay the merchant, by a static or a dynamic code."""
        self.tick()
        payer %= len(self.users)
        command = Pay(self.users[payer], self.merchant, Fen(amount), static=static)
        self.propose(command, self.new("pay", payer, payer, None, amount, static=static), confirm=confirm)

    @rule(person=people, amount=amounts, into=st.booleans(), confirm=st.booleans())
    def by_card(self, person: int, amount: int, into: bool, confirm: bool) -> None:
        """Propose to put money in from a card, or to send some out to it."""
        self.tick()
        person %= len(self.users)
        kind, sides = ("top_up", (None, person)) if into else ("withdraw", (person, None))
        command = (TopUp if into else Withdraw)(self.users[person], self.cards[person], Fen(amount))
        self.propose(command, self.new(kind, person, *sides, amount), confirm=confirm)

    @precondition(lambda self: self.model.orders)
    @rule(place=places, right=st.booleans(), answer=answers, stale=st.booleans())
    def authorize(self, place: int, right: bool, answer: str, stale: bool) -> None:
        """Type a code, right or wrong, of an order that waits for it or of any."""
        self.tick()
        order_id = self.pick(place) if stale else self.pick(place, "proposed")
        self.confirm(order_id, right=right, answer=answer)

    def confirm(self, order_id: int, *, right: bool, answer: str) -> None:
        """Type a code; a bank that is asked then gives this answer."""
        order, code = self.model.orders[order_id], self.run(code_of(self.wallet, order_id))
        expected = self.model.authorize(order, right=right)
        if order.outside and expected is None:
            self.bank.answers.append(answer)  # type: ignore[arg-type]
        typed = code if right else "x" + code
        done, refusal = self.ask("authorize", order_id, typed, actor=self.users[order.actor])
        assert refusal == expected
        if done is not None:
            assert done.status == order.status
            if order.outside:
                self.model.answer(order, answer)
            self.run(self.wallet.run_due())

    @precondition(lambda self: self.model.orders)
    @rule(place=places, times=st.integers(1, 6))
    def guess(self, place: int, times: int) -> None:
        """Type wrong codes in a row, over whatever waits for one."""
        self.tick()
        for _ in range(times):
            self.confirm(self.pick(place, "proposed"), right=False, answer="done")

    @precondition(lambda self: self.model.orders)
    @rule(place=places)
    def resend(self, place: int) -> None:
        """Ask for another code; the old one is dead with it."""
        self.tick()
        order_id = self.pick(place, "proposed")
        _, refusal = self.ask("resend_code", order_id, actor=self.users[self.model.orders[order_id].actor])
        assert refusal == self.model.resend(self.model.orders[order_id])

    @precondition(lambda self: self.model.orders)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        """Cancel an order in any state."""
        self.tick()
        order_id = self.pick(place)
        _, refusal = self.ask("cancel", order_id, actor=self.users[self.model.orders[order_id].actor])
        assert refusal == self.model.cancel(self.model.orders[order_id])

    @precondition(lambda self: self.model.orders)
    @rule(place=places)
    def recall(self, place: int) -> None:
        """Call an order back, one that is on its way if there is any."""
        self.tick()
        order_id = self.pick(place, "authorised")
        _, refusal = self.ask("recall", order_id, actor=self.users[self.model.orders[order_id].actor])
        assert refusal == self.model.recall(self.model.orders[order_id])

    @precondition(lambda self: self.model.orders)
    @rule(place=places, amount=st.integers(0, 60_000))
    def refund(self, place: int, amount: int) -> None:
        """Give a part of an order back, of one that was paid if there is any."""
        self.tick()
        paid = [number for number, order in self.model.orders.items() if (order.kind, order.status) == ("pay", "posted")]
        order_id = paid[place % len(paid)] if paid else self.pick(place)
        _, refusal = self.ask("refund", order_id, Fen(amount))
        assert refusal == self.model.refund(self.model.orders[order_id], amount)

    @precondition(lambda self: self.model.orders)
    @rule(place=places, person=people)
    def meddle(self, place: int, person: int) -> None:
        """Try to confirm, cancel or recall somebody else's order with its right code."""
        order_id, person = self.pick(place, "proposed"), person % len(self.users)
        if person == self.model.orders[order_id].actor:
            return
        code, actor = self.run(code_of(self.wallet, order_id)), self.users[person]
        for method, given in (("authorize", (order_id, code)), ("cancel", (order_id,)), ("recall", (order_id,))):
            assert self.ask(method, *given, actor=actor) == (None, "order_not_found")

    # People and time

    @rule(person=people)
    def freeze(self, person: int) -> None:
        """Stop somebody's payments."""
        self.tick()
        person %= len(self.users)
        self.model.freeze(person)
        assert self.ask("freeze", self.users[person])[1] is None

    @rule(person=people)
    def thaw(self, person: int) -> None:
        """Let somebody pay again."""
        self.tick()
        person %= len(self.users)
        assert self.ask("lift_freeze", self.users[person], agent="desk")[1] == self.model.thaw(person)

    @rule(span=spans)
    def wait(self, span: timedelta) -> None:
        """Let time pass, up to the next day."""
        self.model.now += span
        self.tick()

    @rule(place=places)
    def ask_again(self, place: int) -> None:
        """Repeat something that was asked long ago with its key: the same result, and nothing happens."""
        call, got = self.done[place % len(self.done)]
        assert self.outcome(call) == got

    # What always holds

    @invariant()
    def books_agree(self) -> None:
        """Balances, holds and orders are the model's, nobody is below zero, and the ledger verifies."""
        for person, user in zip(self.model.people, self.users, strict=True):
            balance = self.run(self.wallet.balance(user))
            assert (balance.available, balance.held) == (person.balance - person.held, person.held)
            assert balance.available >= 0
            assert balance.status == ("frozen" if person.frozen else "active")
        for order_id, order in self.model.orders.items():
            shown = self.run(self.wallet.order(order_id, actor=self.users[order.actor]))
            assert (shown.status, shown.tries_left, shown.refunded) == (self.model.shown(order), order.tries, order.refunded)
        self.run(self.wallet.seal())
        assert self.run(self.wallet.verify()).faults == ()


WalletMachine.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate),  # shrinking a run on real files takes minutes
)
TestWallet = WalletMachine.TestCase


def test_the_model_holds_on_postgresql(postgresql, new_database) -> None:
    """A few of the same plays on a server."""
    asyncio.run(migrate(new_database("empty", None)))
    names = (f"model{number}" for number in itertools.count())
    few = settings(WalletMachine.TestCase.settings, max_examples=3, stateful_step_count=20)
    run_state_machine_as_test(lambda: WalletMachine(lambda: new_database(next(names), "empty")), settings=few)
