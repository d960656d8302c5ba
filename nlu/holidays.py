"""Holidays by name: on fixed days, on the nth weekday of a month, or by the moon from a table of years."""

from __future__ import annotations

from datetime import date, timedelta

from nlu.calendar_days import DAY, Dates, one_day
from nlu.words import words


def holiday_names() -> list[str]:
    """Give every name of a holiday."""
    found = words("holidays")
    return [name for kind in ("fixed", "weekday", "moon") for name in found[kind]]


def holiday_in(name: str, year: int, after: str) -> Dates | None:
    """Give a holiday in a year: the day itself where ``after`` says so (that day), else all of it; None if it is not known."""
    found = words("holidays")
    alone = after in found["that_day"]
    if name in found["fixed"]:
        month, day, days, bare = found["fixed"][name]
        start = date(year, month, day)
        return start, start + timedelta(days=1 if alone else days if after else bare)
    if name in found["weekday"]:
        month, weekday, count = found["weekday"][name]
        first = date(year, month, 1)
        return one_day(first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1)))
    festival, offset, *only_day = found["moon"][name]
    row = found["moon_days"][festival].get(year)
    if row is None:
        return None
    day = _day(year, row[0]) + timedelta(days=offset)
    if offset or only_day or alone or (festival in found["bare_day"] and not after):
        return one_day(day)
    return (_day(year, row[1]), _day(year, row[2]) + DAY) if len(row) > 1 else None


def _day(year: int, written: str) -> date:
    month, day = map(int, written.split("-"))
    return date(year, month, day)
