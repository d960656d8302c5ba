"""What the words of a date mean: from the parts that a rule found to a first day and the day after the last."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from nlu.calendar_days import DAY, Dates, add_months, month_of, one_day, step, week_of, year_of
from nlu.holidays import holiday_in
from nlu.numbers import read_number, signs
from nlu.words import words

_MOST = 400
_MONTH_OF_DAYS = 15


class UnreadError(ValueError):
    """A time that is one, but is not read: it has to be asked back."""


def number(written: str) -> int:
    """Read a whole number; one that cannot be read makes the date impossible."""
    value = read_number(written.lstrip("0") or "0")
    if value is None:
        raise ValueError(written)
    return int(value)


def read_year(written: str, today: date) -> int:
    """Read a year; of two digits it is the latest that is not far ahead."""
    year = int("".join(str(signs().digits.get(char, char)) for char in written))
    if year >= 100:
        return year
    latest = today.year + 10
    return latest - (latest - year) % 100


def shift(part: dict[str, Any]) -> int:
    """Say how many weeks, months or quarters on a word such as "last" points."""
    return int(words("periods")["shift"][part["s"]]) if part.get("s") else 0


def given_year(part: dict[str, Any], today: date) -> int | None:
    """Give the year that a date names, in figures or in a word."""
    if part.get("yw"):
        return today.year + int(words("periods")["years"][part["yw"]])
    return read_year(part["y"], today) if part.get("y") else None


def _date(part: dict[str, Any], today: date) -> Dates:
    """A year, month or day; what is left out is the latest that has begun."""
    year, month, day = given_year(part, today), part.get("m"), part.get("d")
    if month is None and day is None:
        return year_of(today.year if year is None else year)
    if month is None:
        return one_day(_latest_day(number(str(day)), today))
    if day is None:
        first = date(today.year if year is None else year, number(month), 1)
        return month_of(first.year - (1 if year is None and first > today else 0), first.month)
    return one_day(_day_of_year(number(month), number(day), year, today))


def _two_dates(part: dict[str, Any], today: date) -> Dates:
    """From one date to another in figures, whose second parts are named so: 10.1-10.7."""
    start, _ = _date(part, today)
    _, end = _date({name: part.get(f"{name}2") for name in ("y", "m", "d")}, today)
    return start, end if end > start else add_months(end, 12)


def _latest_day(day: int, today: date) -> date:
    for first in (add_months(today.replace(day=1), -back) for back in range(13)):
        if day <= calendar.monthrange(first.year, first.month)[1] and (start := first.replace(day=day)) <= today:
            return start
    raise ValueError(day)


def _day_of_year(month: int, day: int, year: int | None, today: date) -> date:
    if year is not None:
        return date(year, month, day)
    if (month, day) == (2, 29):
        leap = next(candidate for candidate in range(today.year, today.year - 9, -1) if calendar.isleap(candidate))
        return date(leap, month, day) if date(leap, month, day) <= today else _day_of_year(month, day, leap - 4, today)
    start = date(today.year, month, day)
    return start if start <= today else date(today.year - 1, month, day)


def _latest(part: Dates, back: int) -> Dates:
    return add_months(part[0], -back), add_months(part[1], -back)


def _week(part: dict[str, Any], today: date) -> Dates:
    return week_of(today + timedelta(weeks=shift(part)))


def _week_day(part: dict[str, Any], today: date) -> Dates:
    return one_day(_week(part, today)[0] + timedelta(days=int(words("periods")["week_days"][part["w"]])))


def _last_week_day(part: dict[str, Any], today: date) -> Dates:
    start, _ = _week_day(part, today)
    return one_day(start - timedelta(days=7 if start > today else 0))


def _weekend(part: dict[str, Any], today: date) -> Dates:
    start = _week(part, today)[0] + timedelta(days=5)
    return start, start + timedelta(days=2)


def _this_weekend(part: dict[str, Any], today: date) -> Dates:
    start, end = _weekend(part, today)
    back = timedelta(days=7 if start > today else 0)
    return start - back, end - back


def _half_week(part: dict[str, Any], today: date) -> Dates:
    start, end = _week(part, today)
    middle = start + timedelta(days=3)
    return (start, middle) if words("periods")["halves"][part["h"]] == 1 else (middle, end)


def _shifted_month(part: dict[str, Any], today: date) -> Dates:
    first = add_months(today.replace(day=1), shift(part))
    return month_of(first.year, first.month)


def _half_month(part: dict[str, Any], today: date) -> Dates:
    start, end = month_of(today.year, today.month)
    middle = start + timedelta(days=_MONTH_OF_DAYS)
    second = (middle, end) if middle <= today else (add_months(start, -1) + timedelta(days=_MONTH_OF_DAYS), start)
    return (start, middle) if words("periods")["halves"][part["h"]] == 1 else second


def _third_of_month(part: dict[str, Any], today: date) -> Dates:
    start, end = month_of(today.year, today.month)
    third = int(words("periods")["thirds"][part["t"]])
    if start + timedelta(days=10 * (third - 1)) > today:
        start, end = add_months(start, -1), start
    first = start + timedelta(days=10 * (third - 1))
    return first, end if third == 3 else first + timedelta(days=10)


def _edge(part: dict[str, Any], today: date) -> Dates:
    """The beginning or end of the month or year, the latest that has begun."""
    unit = "year" if part["e"][0] == _year_sign() else "month"
    first, last = words("periods")["edges"][unit][part["e"][1]]
    if unit == "year":
        start, end = date(today.year, first, 1), month_of(today.year, last)[1]
        return (start, end) if start <= today else _latest((start, end), 12)
    month = month_of(today.year, today.month)
    if month[0] + timedelta(days=first - 1) > today:
        month = _latest(month, 1)
    return month[0] + timedelta(days=first - 1), min(month[0] + timedelta(days=last), month[1])


def _year_sign() -> str:
    units: dict[str, str] = words("periods")["units"]
    return next(word for word, unit in units.items() if unit == "year")


def _quarter(part: dict[str, Any], today: date) -> Dates:
    start = date(today.year, 3 * int(words("periods")["quarters"][part["q"]]) - 2, 1)
    whole = start, add_months(start, 3)
    return whole if start <= today else _latest(whole, 12)


def _shifted_quarter(part: dict[str, Any], today: date) -> Dates:
    first = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    start = add_months(first, 3 * shift(part))
    return start, add_months(start, 3)


def _half_year(part: dict[str, Any], today: date) -> Dates:
    start = date(today.year, 6 * int(words("periods")["halves"][part["h"]]) - 5, 1)
    whole = start, add_months(start, 6)
    return whole if start <= today else _latest(whole, 12)


def _relative_day(part: dict[str, Any], today: date) -> Dates:
    return one_day(today + timedelta(days=int(words("periods")["days"][part["rel"]])))


def _holiday(part: dict[str, Any], today: date) -> Dates:
    """The latest holiday of a name that has begun."""
    for year in (today.year, today.year - 1):
        dates = holiday_in(part["hol"], year, part["after"])
        begins = dates or holiday_in(part["hol"], year, words("holidays")["that_day"][0])
        if begins is None or (dates is None and begins[0] <= today):
            raise UnreadError(part["hol"])
        if dates is not None and dates[0] <= today:
            return dates
    raise UnreadError(part["hol"])


def _last(part: dict[str, Any], today: date) -> Dates | None:
    """The last so many days, weeks, months or years, today included."""
    start = _counted(part, today, -1)
    if start is None:
        return None
    days = words("periods")["units"][part["u"]] in ("day", "week") and part["n"] != words("periods")["half"]
    return start + (DAY if days else timedelta()), today + DAY


def _next(part: dict[str, Any], today: date) -> Dates | None:
    """The coming so many days, weeks, months or years, from tomorrow."""
    end = _counted(part, today, 1)
    return None if end is None else (today + DAY, end + DAY)


def _ago(part: dict[str, Any], today: date) -> Dates | None:
    """One day so long ago; so many years ago nobody means one day."""
    start = _counted(part, today, -1)
    if start is None or words("periods")["units"][part["u"]] == "year":
        raise UnreadError(part["n"])
    return one_day(start)


def _since_ago(part: dict[str, Any], today: date) -> Dates | None:
    start = _counted(part, today, -1)
    return None if start is None else one_day(start)


def _ahead(part: dict[str, Any], today: date) -> Dates | None:
    start = _counted(part, today, 1)
    if start is None or words("periods")["units"][part["u"]] == "year":
        raise UnreadError(part["n"])
    return one_day(start)


def _counted(part: dict[str, Any], today: date, sign: int) -> date | None:
    """Go so many units on or back; half a month is fifteen days, half a year six months, other halves and "more" say nothing."""
    unit, half = words("periods")["units"][part["u"]], words("periods")["half"]
    count = 0 if part["n"] == half else number(part["n"])
    if (count == 0 and part["n"] != half) or count > _MOST:
        return None
    day = step(today, unit, sign * count)
    tails = {part.get(name) for name in ("half", "more", "rest")} - {None}
    if tails - {half}:
        raise UnreadError(part["n"])
    if part["n"] != half and not tails:
        return day
    if unit == "year":
        return add_months(day, sign * 6)
    if unit == "month":
        return day + timedelta(days=sign * _MONTH_OF_DAYS)
    raise UnreadError(part["n"])


def _unread(part: dict[str, Any], today: date) -> Dates | None:
    raise UnreadError


def _nothing(part: dict[str, Any], today: date) -> Dates | None:
    return None


MEANINGS: dict[str, Callable[[dict[str, Any], date], Dates | None]] = {
    "date": _date,
    "two_dates": _two_dates,
    "quarter": _quarter,
    "shifted_quarter": _shifted_quarter,
    "half_year": _half_year,
    "half_month": _half_month,
    "third_of_month": _third_of_month,
    "edge": _edge,
    "holiday": _holiday,
    "week": _week,
    "week_day": _week_day,
    "last_week_day": _last_week_day,
    "weekend": _weekend,
    "this_weekend": _this_weekend,
    "half_week": _half_week,
    "month": _shifted_month,
    "relative_day": _relative_day,
    "today": lambda part, today: one_day(today),
    "last": _last,
    "next": _next,
    "ago": _ago,
    "since_ago": _since_ago,
    "ahead": _ahead,
    "unread": _unread,
    "nothing": _nothing,
}
"""The rules of the word list name these; None is no period at all."""
