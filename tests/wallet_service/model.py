"""The till as plain Python: dicts of people and orders, and what is refused. Slow, in memory, and easy to see through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

SINGLE, DAY, STATIC, CAP = 200_000, 500_000, 50_000, 1_000_000  # fen: what a phone-only wallet may pay and hold
QUOTA, RATE, LEAST = 100_000, 1_000, 10  # fen withdrawn free a month, then ppm, at least so many fen
CODE, TRIES, SENDS = timedelta(minutes=5), 5, 4
MISSES = 3  # payments of a day that a payee has no room for, before no more are proposed
LOCKS = [timedelta(minutes=minutes) for minutes in (0, 5, 30, 120, 24 * 60)]  # after 5, 10, 15, 20, 25 wrong codes in a row
AGAIN = timedelta(seconds=10)  # until a channel that knew nothing is asked again
PAYING = ("transfer", "pay", "withdraw")


@dataclass
class Person:
    """One wallet and its owner."""

    balance: int = 0
    held: int = 0
    incoming: int = 0
    frozen: bool = False
    wrong: int = 0
    locked: datetime | None = None
    spent: Counter[date] = field(default_factory=Counter)
    static: Counter[date] = field(default_factory=Counter)
    quota: Counter[tuple[int, int]] = field(default_factory=Counter)
    movements: int = 0


@dataclass
class Order:
    """One order; ``payer`` and ``payee`` are people's places, None for whoever is outside."""

    kind: str
    actor: int
    payer: int | None
    payee: int | None
    amount: int
    until: datetime
    tries: int
    counter: int = 0
    delay: int = 0
    static: bool = False
    fee: int = 0
    quota: int = 0
    status: str = "proposed"
    refusal: str = ""
    due: datetime | None = None
    day: date | None = None
    refunded: int = 0
    made: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.made = self.until

    @property
    def outside(self) -> bool:
        """Whether a bank has its part to do."""
        return self.kind in ("top_up", "withdraw")


class Model:
    """What the till should be; each method does one thing and gives the code of its refusal, None where it is done."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.people: list[Person] = []
        self.orders: dict[int, Order] = {}
        self.merchant = 0

    @property
    def today(self) -> date:
        """The day in Shanghai."""
        return (self.now + timedelta(hours=8)).date()

    def shown(self, order: Order) -> str:
        """Give an order's status as anybody sees it now."""
        return "expired" if order.status == "proposed" and self.now >= order.until else order.status

    def fee(self, person: Person, amount: int) -> tuple[int, int]:
        """Give the fee of a withdrawal now, and what of the free quota it takes."""
        free = min(amount, max(QUOTA - person.quota[self.today.year, self.today.month], 0))
        return max(-(-(amount - free) * RATE // 1_000_000), LEAST) if amount > free else 0, free

    # What is refused

    def judge(self, order: Order, *, room: bool) -> str | None:
        """Judge an order by its payer's rules, then by its payee's."""
        return self._judge_payer(order) or self._judge_payee(order, room=room)

    def _judge_payer(self, order: Order) -> str | None:
        if order.payer is None:
            return None
        payer = self.people[order.payer]
        if payer.frozen:
            return "wallet_frozen"
        if order.amount > SINGLE:
            return "single_limit_exceeded"
        if payer.spent[self.today] + order.amount > DAY:
            return "daily_limit_exceeded"
        if order.static and payer.static[self.today] + order.amount > STATIC:
            return "static_limit_exceeded"
        if payer.balance - payer.held < order.amount + order.fee:
            return "insufficient_funds"
        if order.kind == "withdraw" and self.fee(payer, order.amount)[0] > order.fee:
            return "fee_changed"
        return None

    def _judge_payee(self, order: Order, *, room: bool = True) -> str | None:
        if order.payee is None:
            return None
        payee, topped_up = self.people[order.payee], order.kind == "top_up"
        if payee.frozen:
            return "wallet_frozen" if topped_up else "payee_unavailable"
        if (room or topped_up) and order.amount > CAP - payee.balance - payee.incoming:
            return "balance_limit_exceeded" if topped_up else "payee_limit_exceeded"
        return None

    def locked(self, person: int) -> bool:
        """Tell whether somebody's payments rest after too many wrong codes."""
        until = self.people[person].locked
        return until is not None and self.now < until

    # What is done

    def propose(self, order: Order, replaces: int | None) -> str | None:
        """Judge a proposal; the order it replaces is taken back in any case."""
        old = None if replaces is None else self.orders[replaces]
        if old is not None:
            if old.actor != order.actor:
                return "order_not_found"
            if (refusal := self.cancel(old)) is not None:
                return refusal
        if order.amount <= 0:
            return "amount_not_positive"
        if order.kind == "transfer" and order.payer == order.payee:
            return "self_transfer"
        if self.locked(order.actor):
            return "payments_locked"
        if order.kind == "withdraw":
            order.fee, order.quota = self.fee(self.people[order.actor], order.amount)
        if (refusal := self.judge(order, room=False)) is not None:
            return refusal
        if order.kind == "transfer" and self._misses(order) >= MISSES:
            return "risk_refused"
        order.tries = TRIES - max((TRIES - old.tries) % TRIES if old else 0, self.people[order.actor].wrong % TRIES)
        order.counter = old.counter if old else 0
        return None

    def _misses(self, order: Order) -> int:
        """Count the payments of a day between two people that found the payee's wallet too full."""
        sides = [other for other in self.orders.values() if (other.actor, other.payee) == (order.actor, order.payee)]
        return sum(other.refusal == "payee_limit_exceeded" and self.now - other.made < timedelta(days=1) for other in sides)

    def authorize(self, order: Order, *, right: bool) -> str | None:
        """Take a code: count a wrong one, or judge once more and post or hold."""
        if (refusal := self._over(order, mark=True)) is not None:
            return refusal
        if self.locked(order.actor):
            return "payments_locked"
        actor = self.people[order.actor]
        if not right:
            return self._wrong(order, actor)
        actor.wrong, actor.locked = 0, None
        if (refusal := self.judge(order, room=not order.delay)) is not None:
            order.status, order.refusal = "refused", refusal
            return refusal
        self._count(order, 1)
        if order.outside or order.delay:
            order.status, order.due = "authorised", self.now + timedelta(seconds=order.delay)
            self._hold(order, 1)
        else:
            self._move(order)
        return None

    def _over(self, order: Order, *, mark: bool) -> str | None:
        shown = self.shown(order)
        if shown == "expired":
            order.status = "expired" if mark else order.status
            return "code_expired"
        if shown == "proposed":
            return None
        return "order_locked" if order.refusal == "order_locked" else "order_not_open"

    def _wrong(self, order: Order, actor: Person) -> str:
        order.tries = min(order.tries, TRIES - actor.wrong % TRIES) - 1
        actor.wrong += 1
        if actor.wrong % TRIES == 0:
            actor.locked = self.now + LOCKS[min(actor.wrong // TRIES, len(LOCKS)) - 1]
        else:
            actor.locked = None
        if order.tries:
            return "wrong_code"
        order.status, order.refusal = "refused", "order_locked"
        return "payments_locked" if self.locked(order.actor) else "order_locked"

    def resend(self, order: Order) -> str | None:
        """Send another code."""
        if (refusal := self._over(order, mark=False)) is not None:
            return refusal
        if self.locked(order.actor):
            return "payments_locked"
        if order.counter + 1 >= SENDS:
            return "too_many_codes"
        order.counter, order.until = order.counter + 1, self.now + CODE
        return None

    def cancel(self, order: Order) -> str | None:
        """Take an open order back."""
        if order.status in ("authorised", "posted"):
            return "order_not_open"
        if self.shown(order) == "proposed":
            order.status = "cancelled"
        return None

    def recall(self, order: Order) -> str | None:
        """Call a delayed order back."""
        if order.status != "authorised" or order.outside or order.due is None or order.due <= self.now:
            return "not_recallable"
        self._void(order)
        return None

    def refund(self, order: Order, amount: int) -> str | None:
        """Give a part of a payment back."""
        if amount <= 0:
            return "amount_not_positive"
        if order.kind != "pay":
            return "order_not_found"
        if order.status != "posted":
            return "order_not_open"
        if amount > order.amount - order.refunded:
            return "refund_too_much"
        order.refunded += amount
        self.merchant -= amount
        payer = self.people[order.actor]
        payer.balance += amount
        payer.movements += 1
        return None

    def freeze(self, person: int) -> None:
        """Stop everything of somebody's that was not confirmed."""
        if self.people[person].frozen:
            return
        self.people[person].frozen = True
        for order in self.orders.values():
            if order.actor == person and order.status == "proposed":
                order.status = "cancelled"

    def thaw(self, person: int) -> str | None:
        """Let somebody pay again."""
        if not self.people[person].frozen:
            return "not_frozen"
        self.people[person].frozen = False
        return None

    def arrive(self) -> None:
        """Let arrive what is due, the first due first; a bank that is asked again has done it."""
        for order in sorted(self._due(), key=lambda order: order.due or self.now):
            stopped = order.payer is not None and self.people[order.payer].frozen
            refusal = "wallet_frozen" if stopped else self._judge_payee(order)
            if refusal is not None and not order.outside:
                order.refusal = refusal
                self._void(order)
            else:
                self.answer(order, "done")

    def _due(self) -> Iterator[Order]:
        return (order for order in self.orders.values() if order.status == "authorised" and order.due and order.due <= self.now)

    def answer(self, order: Order, answer: str) -> None:
        """Do what a bank said of an order that is held."""
        if answer == "unknown":
            order.due = self.now + AGAIN
        elif answer == "refused":
            self._void(order)
        else:
            self._hold(order, -1)
            self._move(order)

    def _void(self, order: Order) -> None:
        self._hold(order, -1)
        self._count(order, -1)
        order.status = "voided"

    def _hold(self, order: Order, sign: int) -> None:
        if order.payer is not None:
            self.people[order.payer].held += sign * (order.amount + order.fee)
        if order.kind == "top_up" and order.payee is not None:
            self.people[order.payee].incoming += sign * order.amount

    def _count(self, order: Order, sign: int) -> None:
        if order.payer is None:
            return
        payer = self.people[order.payer]
        order.day = order.day or self.today
        payer.spent[order.day] += sign * order.amount
        payer.static[order.day] += sign * order.amount * order.static
        payer.quota[order.day.year, order.day.month] += sign * order.quota

    def _move(self, order: Order) -> None:
        order.status = "posted"
        if order.payer is not None:
            payer = self.people[order.payer]
            payer.balance -= order.amount + order.fee
            payer.movements += 1 + (order.fee > 0)
        if order.payee is not None:
            self.people[order.payee].balance += order.amount
            self.people[order.payee].movements += 1
        if order.kind == "pay":
            self.merchant += order.amount
