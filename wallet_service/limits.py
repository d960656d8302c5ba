"""What a wallet has paid out, and whether one more payment fits; judged at the proposal and again in the posting transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from wallet_service import errors
from wallet_service.context import SHANGHAI, day_start
from wallet_service.profile import Fee, Figure, Limits, Profile

SPENDING = ("transfer", "pay", "withdraw", "bill")  # the kinds of orders that count against their payer's limits
_OWN_CARD = "withdraw"  # to a card of one's own: factors don't limit it (43号公告 speaks of payments)


class Spending(NamedTuple):
    """What a wallet has paid out in the day, year and quota period (Asia/Shanghai) that its row counts, in fen."""

    day: int = 0
    day_spent: int = 0
    year: int = 0
    year_spent: int = 0
    static_spent: int = 0
    quota_period: int = 0
    quota_used: int = 0

    @staticmethod
    def of(account: Mapping[str, Any]) -> Spending:
        """Read it from an account's row."""
        return Spending(*map(account.__getitem__, COUNTERS))

    def at(self, now: datetime, fee: Fee | None = None) -> Spending:
        """Begin the periods that ``now`` lies in; a new one starts from zero, an old one never comes back: clocks go astray."""
        today = day_of(now)
        day, year = max(day_number(today), self.day), max(today.year, self.year)
        period = max(quota_period(fee, numbered_day(day)), self.quota_period) if fee is not None else self.quota_period
        return Spending(
            day=day,
            day_spent=self.day_spent if self.day == day else 0,
            year=year,
            year_spent=self.year_spent if self.year == year else 0,
            static_spent=self.static_spent if self.day == day else 0,
            quota_period=period,
            quota_used=self.quota_used if self.quota_period == period else 0,
        )

    def plus(self, amount: int, *, static: bool = False, quota: int = 0) -> Spending:
        """Add a payment to the periods that were begun; a negative one takes it back."""
        return Spending(
            day=self.day,
            day_spent=self.day_spent + amount,
            year=self.year,
            year_spent=self.year_spent + amount,
            static_spent=self.static_spent + (amount if static else 0),
            quota_period=self.quota_period,
            quota_used=self.quota_used + quota,
        )

    def columns(self) -> dict[str, int]:
        """Give the columns of the account's row."""
        return self._asdict()


COUNTERS = Spending._fields


@lru_cache(maxsize=8)  # a batch asks for one moment again and again
def day_of(now: datetime) -> date:
    """Give the day in Asia/Shanghai."""
    return now.astimezone(SHANGHAI).date()


def day_number(day: date) -> int:
    """Give a day as the number yyyymmdd."""
    return day.year * 10_000 + day.month * 100 + day.day


def numbered_day(number: int) -> date:
    """Give the day of a number made by :func:`day_number`."""
    return date(number // 10_000, number // 100 % 100, number % 100)


def quota_period(fee: Fee, day: date) -> int:
    """Give the number of the period that a fee's free quota counts: yyyymm, yyyy, 1 for a lifetime; 0 without a quota."""
    return {"month": day.year * 100 + day.month, "year": day.year, "life": 1, None: 0}[fee.quota_period]


def _tomorrow(spending: Spending) -> str:
    return day_start(numbered_day(spending.day) + timedelta(days=1)).isoformat()


def _next_year(spending: Spending) -> str:
    return day_start(date(spending.year + 1, 1, 1)).isoformat()


def check_limits(limits: Limits, spending: Spending, amount: int) -> None:
    """Refuse what is above the class's limit of one payment, of the day or of the year that ``spending`` has begun."""
    lifted_by = limits.lifted_by
    if amount > limits.single.fen:
        raise errors.SingleLimitExceeded(amount=amount, limit=limits.single.fen, lifted_by=lifted_by)
    _check(errors.DailyLimitExceeded, limits.day, spending.day_spent, amount, spending, lifted_by=lifted_by)
    _check(errors.YearlyLimitExceeded, limits.year, spending.year_spent, amount, spending, lifted_by=lifted_by)


def check_static(profile: Profile, spending: Spending, amount: int) -> None:
    """Refuse what is above the day's limit of payments to merchants' static codes."""
    limit = profile.static_code
    _check(errors.StaticLimitExceeded, limit, spending.static_spent, amount, spending, lifted_by="pay_dynamic_code")


def needs_second(profile: Profile, spending: Spending, kind: str, amount: int) -> bool:
    """Tell whether a payment is more than the order's code alone may confirm in a day."""
    return kind != _OWN_CARD and spending.day_spent + amount > profile.factors.code.fen


def refuse_second(profile: Profile, spending: Spending, amount: int) -> None:
    """Refuse a payment that needs a second factor which its payer does not have."""
    limit = profile.factors.code
    _check(errors.SecondFactorNeeded, limit, spending.day_spent, amount, spending, lifted_by="set_second_factor")


def check_uncoded(profile: Profile, spending: Spending, amount: int) -> None:
    """Refuse what is above the day's limit of payments that nobody confirms by a code."""
    limit = profile.factors.none
    _check(errors.UncodedLimitExceeded, limit, spending.day_spent, amount, spending, lifted_by="pay_by_code")


def _check(
    refusal: type[errors.WalletError], limit: Figure, used: int, amount: int, spending: Spending, *, lifted_by: str | None
) -> None:
    if used + amount > limit.fen:
        left = max(limit.fen - used, 0)
        resets_at = _next_year(spending) if refusal is errors.YearlyLimitExceeded else _tomorrow(spending)
        raise refusal(amount=amount, limit=limit.fen, used=used, left=left, resets_at=resets_at, lifted_by=lifted_by)
