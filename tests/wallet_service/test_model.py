"""Hypothesis plays open, propose, confirm, cancel and time against a plain model; every invariant holds after each step."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import text

from wallet_service import CodeLimit, Fen, LoginLimit, Transfer, Wallet, WalletError, migrate
from wallet_service.bulk import Movement, post_movements
from wallet_service.codes import ORDER_CODE, order_text

SECRET = "a secret for the model, long enough"
SINGLE, DAY, CAP = 200_000, 500_000, 1_000_000  # fen: what a phone-only wallet may pay and hold
FUNDS = 300_000
LOCKS = [timedelta(minutes=minutes) for minutes in (0, 5, 30, 120, 24 * 60)]  # after 5, 10, 15, 20, 25 wrong codes in a row
people = st.integers(0, 4)


@cache
def _empty_file() -> Path:
    """Migrate once; every run starts from a copy."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    asyncio.run(migrate(f"sqlite:///{folder}/w.db"))
    return folder / "w.db"


class WalletMachine(RuleBasedStateMachine):
    """The wallet on a real file beside a dict of balances and a dict of orders."""

    orders = Bundle("orders")

    def __init__(self, new_database: Callable[[], str] | None = None) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        if new_database is None:
            shutil.copy(_empty_file(), self.folder / "w.db")
        self.now = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
        self.keys = itertools.count()
        self.manager = Wallet.open(
            f"sqlite:///{self.folder}/w.db" if new_database is None else new_database(),
            secret=SECRET,
            clock=lambda: self.now,
            login_limit=LoginLimit(1_000, 1_000),
            code_limit=CodeLimit(1_000, 1_000),
            seal_after=60,
        )
        self.wallet = self.run(self.manager.__aenter__())
        self.users: list[int] = []
        self.numbers: list[str] = []
        self.balances: list[int] = []
        self.spent: dict[tuple[int, object], int] = {}
        self.model: dict[int, dict] = {}
        self.wrong = [0] * 5  # wrong codes in a row, by payer
        self.locked = [self.now] * 5  # until when nobody may pay, by payer

    def run(self, work):
        """Run a coroutine on the machine's own loop."""
        return self.loop.run_until_complete(work)

    def attempt(self, work):
        """Run a coroutine; give its result and no code, or no result and the code of its refusal."""
        try:
            return self.run(work), None
        except WalletError as refusal:
            return None, refusal.code

    def key(self) -> str:
        """Give a fresh key."""
        return f"model/{next(self.keys)}"

    def teardown(self) -> None:
        """Close the wallet and remove its file."""
        self.run(self.manager.__aexit__(None, None, None))
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize()
    def fund(self) -> None:
        """Open five wallets; the first two get money through the books."""
        self.run(self._open(5))

    async def _open(self, count: int) -> None:
        context = self.wallet.context
        for index in range(count):
            challenge = await self.wallet.start_login(f"1390000000{index}", key=self.key())
            notice = (await self.wallet.claim_notices())[0]
            await self.wallet.notice_sent(notice.id)
            await self.wallet.finish_login(challenge.id, notice.facts["code"], key=self.key())
            person = await self.wallet.open_account(challenge.id, city="xiamen", key=self.key())
            self.users.append(person.id)
            self.numbers.append((await self.wallet.balance(person.id)).wallet_id)
            self.balances.append(0)
        async with context.database.write() as connection:
            rows = await connection.exec_driver_sql("SELECT user_id, id FROM accounts WHERE kind = 'wallet'")
            accounts = {row[0]: row[1] for row in rows}
            bank = context.system["xiamen", "clearing"]
            moves = [Movement(self.now, self.users[i], "top_up", bank, accounts[self.users[i]], FUNDS, "") for i in (0, 1)]
            await post_movements(context, connection, moves)
        self.balances[0] = self.balances[1] = FUNDS

    def day(self):
        """Give the day in Shanghai."""
        return (self.now + timedelta(hours=8)).date()

    def expected(self, payer: int, payee: int, amount: int) -> str | None:
        """Say what the plain model refuses a payment with."""
        if self.now < self.locked[payer]:
            return "payments_locked"
        if amount > SINGLE:
            return "single_limit_exceeded"
        if self.spent.get((payer, self.day()), 0) + amount > DAY:
            return "daily_limit_exceeded"
        if self.balances[payer] < amount:
            return "insufficient_funds"
        if self.balances[payee] + amount > CAP:
            return "payee_limit_exceeded"
        return None

    @rule(
        target=orders,
        payer=people,
        payee=people,
        amount=st.one_of(st.integers(-1, 5), st.integers(50_000, 201_000), st.sampled_from([SINGLE, SINGLE + 1, FUNDS])),
        repeat=st.booleans(),
    )
    def propose(self, payer: int, payee: int, amount: int, repeat: bool):
        """Propose a transfer, sometimes twice with one key."""
        command = Transfer(self.users[payer], self.numbers[payee], Fen(amount))
        refusal = "amount_not_positive" if amount <= 0 else "self_transfer" if payer == payee else None
        refusal = refusal or self.expected(payer, payee, amount)
        key = self.key()
        for _ in range(2 if repeat else 1):
            order, code = self.attempt(self.wallet.propose(command, actor=self.users[payer], key=key))
            assert code == refusal
        if order is None:
            return multiple()
        until = self.now + timedelta(minutes=5)
        self.model[order.id] = {
            "payer": payer,
            "payee": payee,
            "amount": amount,
            "status": "proposed",
            "tries": 5 - self.wrong[payer] % 5,
            "until": until,
        }
        return order.id

    def _code(self, order_id: int) -> str:
        query = "SELECT * FROM orders WHERE id = :id"

        async def read():
            async with self.wallet.database.read() as connection:
                return (await connection.execute(text(query), {"id": order_id})).mappings().one()

        row = self.run(read())
        return self.wallet.context.keys.code(ORDER_CODE, order_text(row["kind"], row), row["counter"])

    @rule(order_id=orders, right=st.booleans(), repeat=st.booleans())
    def authorize(self, order_id: int, right: bool, repeat: bool) -> None:
        """Type the right or a wrong code, sometimes twice with one key."""
        order, code = self.model[order_id], self._code(order_id)
        key, outcome = self.key(), self._predict(order, right)
        for _ in range(2 if repeat else 1):
            typed = code if right else "x" + code
            posted, refusal = self.attempt(self.wallet.authorize(order_id, typed, actor=self.users[order["payer"]], key=key))
            assert refusal == outcome
            assert posted is None or posted.status == "posted"

    def _predict(self, order: dict, right: bool) -> str | None:
        if order["status"] == "proposed" and self.now >= order["until"]:
            order["status"] = "expired"
        if order["status"] == "expired":
            return "code_expired"
        if order["tries"] == 0:
            return "order_locked"
        if order["status"] != "proposed":
            return "order_not_open"
        payer, payee, amount = order["payer"], order["payee"], order["amount"]
        if self.now < self.locked[payer]:
            return "payments_locked"
        if not right:
            order["tries"] = min(order["tries"], 5 - self.wrong[payer] % 5) - 1
            self.wrong[payer] += 1
            if self.wrong[payer] % 5 == 0:
                self.locked[payer] = self.now + LOCKS[min(self.wrong[payer] // 5, 5) - 1]
            order["status"] = "refused" if order["tries"] == 0 else "proposed"
            locked = "payments_locked" if self.now < self.locked[payer] else "order_locked"
            return locked if order["tries"] == 0 else "wrong_code"
        self.wrong[payer] = 0
        refusal = self.expected(payer, payee, amount)
        order["status"] = "refused" if refusal else "posted"
        if refusal is None:
            self.balances[payer] -= amount
            self.balances[payee] += amount
            self.spent[payer, self.day()] = self.spent.get((payer, self.day()), 0) + amount
        return refusal

    @rule(order_id=orders)
    def cancel(self, order_id: int) -> None:
        """Cancel an order in any state."""
        order = self.model[order_id]
        if order["status"] == "proposed":
            order["status"] = "cancelled" if self.now < order["until"] else "expired"
        _, refusal = self.attempt(self.wallet.cancel(order_id, actor=self.users[order["payer"]], key=self.key()))
        assert refusal == ("order_not_open" if order["status"] == "posted" else None)

    @rule(span=st.sampled_from([timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=13)]))
    def wait(self, span: timedelta) -> None:
        """Let time pass, up to the next day."""
        self.now += span

    @invariant()
    def books_agree(self) -> None:
        """Balances and orders are the model's, and the ledger verifies."""
        for user, balance in zip(self.users, self.balances, strict=True):
            assert self.run(self.wallet.balance(user)).available == balance
        assert sum(self.balances) == (2 * FUNDS if self.users else 0)
        for order_id, order in self.model.items():
            if order["status"] != "proposed":
                shown = self.run(self.wallet.order(order_id, actor=self.users[order["payer"]]))
                assert (shown.status, shown.tries_left) == (order["status"], order["tries"])
        self.run(self.wallet.seal())
        assert self.run(self.wallet.verify()).faults == ()


WalletMachine.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate),  # shrinking a run on real files takes minutes
)
TestWallet = WalletMachine.TestCase


def test_the_model_holds_on_postgresql(postgresql, new_database) -> None:
    """A few of the same plays on a server."""
    asyncio.run(migrate(new_database("empty", None)))
    names = (f"model{number}" for number in itertools.count())
    few = settings(WalletMachine.TestCase.settings, max_examples=3, stateful_step_count=15)
    run_state_machine_as_test(lambda: WalletMachine(lambda: new_database(next(names), "empty")), settings=few)
