"""Days, months and years of the calendar, counted back and forth."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

DAY = timedelta(days=1)
Dates = tuple[date, date]
"""The first day, and the day after the last."""


def one_day(day: date) -> Dates:
    """Give the stretch that one day is."""
    return day, day + DAY


def add_months(day: date, months: int) -> date:
    """Go to the same day so many months on, or to the last of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def move_year(day: date, years: int) -> date:
    """Go to the same day so many years on."""
    return add_months(day, 12 * years)


def month_of(year: int, month: int) -> Dates:
    """Give a whole month."""
    start = date(year, month, 1)
    return start, add_months(start, 1)


def year_of(year: int) -> Dates:
    """Give a whole year."""
    return date(year, 1, 1), date(year + 1, 1, 1)


def week_of(day: date) -> Dates:
    """Give the week of a day, Monday first."""
    start = day - timedelta(days=day.weekday())
    return start, start + timedelta(days=7)


def is_month(whole: Dates) -> bool:
    """Tell whether a stretch is exactly one month of the calendar."""
    return whole[0].day == 1 and add_months(whole[0], 1) == whole[1]


def is_year(whole: Dates) -> bool:
    """Tell whether a stretch is exactly one year of the calendar."""
    return whole == year_of(whole[0].year)


def is_day(whole: Dates) -> bool:
    """Tell whether a stretch is one day."""
    return whole[1] - whole[0] == DAY


def step(day: date, unit: str, count: int) -> date:
    """Go so many days, weeks, months, quarters or years on, or back."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    return add_months(day, count * {"month": 1, "quarter": 3, "year": 12}[unit])
