"""Whether a payment fits what the payer's class allows; judged at the proposal and again inside the posting transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from wallet_service import errors
from wallet_service.context import SHANGHAI, day_start
from wallet_service.profile import Limits

SPENDING = ("transfer", "pay", "withdraw", "bill")  # the kinds of orders that count against their payer's limits


@dataclass(frozen=True, slots=True)
class Spending:
    """What a wallet has paid out in the day and year (Asia/Shanghai) that its row counts, in fen."""

    day: int
    day_spent: int
    year: int
    year_spent: int

    def plus(self, amount: int, now: datetime) -> Spending:
        """Add a payment made now; a new day or year starts from zero, an old one never comes back: clocks go astray."""
        today = now.astimezone(SHANGHAI).date()
        day, year = max(day_number(today), self.day), max(today.year, self.year)
        return Spending(
            day=day,
            day_spent=(self.day_spent if self.day == day else 0) + amount,
            year=year,
            year_spent=(self.year_spent if self.year == year else 0) + amount,
        )


def day_number(day: date) -> int:
    """Give a day as the number yyyymmdd."""
    return day.year * 10_000 + day.month * 100 + day.day


def numbered_day(number: int) -> date:
    """Give the day of a number made by :func:`day_number`."""
    return date(number // 10_000, number // 100 % 100, number % 100)


def check_spending(limits: Limits, spending: Spending, amount: int, now: datetime) -> Spending:
    """Give the spending after a payment of ``amount`` fen, or refuse it with the limit that stands against it."""
    lifted_by = limits.lifted_by
    if amount > limits.single.fen:
        raise errors.SingleLimitExceeded(amount=amount, limit=limits.single.fen, lifted_by=lifted_by)
    after = spending.plus(amount, now)
    for limit, spent, resets, refusal in (
        (limits.day.fen, after.day_spent, numbered_day(after.day) + timedelta(days=1), errors.DailyLimitExceeded),
        (limits.year.fen, after.year_spent, date(after.year + 1, 1, 1), errors.YearlyLimitExceeded),
    ):
        if spent > limit:
            used = spent - amount
            raise refusal(
                amount=amount,
                limit=limit,
                used=used,
                left=max(limit - used, 0),
                resets_at=day_start(resets).isoformat(),
                lifted_by=lifted_by,
            )
    return after
