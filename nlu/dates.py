"""What the words of a date mean: from the parts that a rule found to a first day and the day after the last."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from nlu.numbers import read_number, signs
from nlu.words import words

DAY = timedelta(days=1)
_MOST = 400
Dates = tuple[date, date]


def _number(written: str) -> int:
    value = read_number(written.lstrip("0") or "0")
    if value is None:
        raise ValueError(written)
    return int(value)


def _year(written: str, today: date) -> int:
    digits = "".join(str(signs().digits.get(char, char)) for char in written)
    year = int(digits)
    if year < 100:
        year += 2000 if year <= today.year % 100 + 10 else 1900
    return year


def add_months(day: date, months: int) -> date:
    """Go to the same day so many months on, or to the last of a shorter month."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def move_year(day: date, years: int) -> date:
    """Go to the same day so many years on."""
    return add_months(day, 12 * years)


def _month(year: int, month: int) -> Dates:
    start = date(year, month, 1)
    return start, add_months(start, 1)


def _given_year(part: dict[str, Any], today: date) -> int | None:
    if part.get("yw"):
        return today.year + int(words("periods")["years"][part["yw"]])
    return _year(part["y"], today) if part.get("y") else None


def _date(part: dict[str, Any], today: date) -> Dates:
    """A year, month or day; what is left out is the latest that has begun."""
    year, month, day = _given_year(part, today), part.get("m"), part.get("d")
    if month is None and day is None:
        return date(int(year or today.year), 1, 1), date(int(year or today.year) + 1, 1, 1)
    if month is None:
        number = _number(str(day))
        start = _latest([add_months(today.replace(day=1), -back) for back in range(13)], number, today)
        return start, start + DAY
    number = _number(month)
    chosen = year if year is not None else today.year
    if day is None:
        first = date(chosen, number, 1)
        return _month(chosen - (1 if year is None and first > today else 0), number)
    start = date(chosen, number, _number(day))
    if year is None and start > today:
        start = date(chosen - 1, number, _number(day))
    return start, start + DAY


def _latest(months: list[date], day: int, today: date) -> date:
    for first in months:
        if day <= calendar.monthrange(first.year, first.month)[1] and (start := first.replace(day=day)) <= today:
            return start
    raise ValueError(day)


def _shift(part: dict[str, Any]) -> int:
    return int(words("periods")["shift"][part["s"]]) if part.get("s") else 0


def _week(part: dict[str, Any], today: date) -> Dates:
    start = today - timedelta(days=today.weekday()) + timedelta(weeks=_shift(part))
    return start, start + timedelta(days=7)


def _week_day(part: dict[str, Any], today: date) -> Dates:
    start = _week(part, today)[0] + timedelta(days=int(words("periods")["week_days"][part["w"]]))
    return start, start + DAY


def _last_week_day(part: dict[str, Any], today: date) -> Dates:
    start, end = _week_day(part, today)
    back = timedelta(days=7 if start > today else 0)
    return start - back, end - back


def _weekend(part: dict[str, Any], today: date) -> Dates:
    start = _week(part, today)[0] + timedelta(days=5)
    return start, start + timedelta(days=2)


def _this_weekend(part: dict[str, Any], today: date) -> Dates:
    start, end = _weekend(part, today)
    back = timedelta(days=7 if start > today else 0)
    return start - back, end - back


def _shifted_month(part: dict[str, Any], today: date) -> Dates:
    first = add_months(today.replace(day=1), _shift(part))
    return first, add_months(first, 1)


def _day_of_month(part: dict[str, Any], today: date) -> Dates:
    start = _shifted_month(part, today)[0].replace(day=_number(part["d"]))
    return start, start + DAY


def _third_of_month(part: dict[str, Any], today: date) -> Dates:
    first, end = _date(part, today) if part.get("m") else _shifted_month(part, today)
    third = int(words("periods")["thirds"][part["t"]])
    start = first + timedelta(days=10 * (third - 1))
    return start, end if third == 3 else start + timedelta(days=10)


def _quarter(part: dict[str, Any], today: date) -> Dates:
    quarter = int(words("periods")["quarters"][part["q"]])
    year = _given_year(part, today)
    start = date(year if year is not None else today.year, 3 * quarter - 2, 1)
    if year is None and start > today:
        start = move_year(start, -1)
    return start, add_months(start, 3)


def _shifted_quarter(part: dict[str, Any], today: date) -> Dates:
    first = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    start = add_months(first, 3 * _shift(part))
    return start, add_months(start, 3)


def _half_year(part: dict[str, Any], today: date) -> Dates:
    half = int(words("periods")["halves"][part["h"]])
    year = _given_year(part, today)
    start = date(year if year is not None else today.year, 6 * half - 5, 1)
    if year is None and start > today:
        start = move_year(start, -1)
    return start, add_months(start, 6)


def _relative_day(part: dict[str, Any], today: date) -> Dates:
    start = today + timedelta(days=int(words("periods")["days"][part["rel"]]))
    return start, start + DAY


def _holiday(part: dict[str, Any], today: date) -> Dates:
    year = _given_year(part, today)
    for chosen in (year,) if year is not None else (today.year, today.year - 1):
        dates = _holiday_in(part["hol"], chosen)
        if dates is not None and (year is not None or dates[0] <= today):
            return dates
    raise ValueError(part["hol"])


def _holiday_in(name: str, year: int) -> Dates | None:
    found = words("periods")
    if name in found["holidays"]:
        month, day, days = found["holidays"][name]
    else:
        row = found["moon_holidays"][name]
        if str(year) not in row:
            return None
        month, day = map(int, row[str(year)].split("-"))
        days = row["days"]
    start = date(year, month, day)
    return start, start + timedelta(days=days)


def _last(part: dict[str, Any], today: date) -> Dates | None:
    """The last so many days, weeks, months or years, today included."""
    unit, half = words("periods")["units"][part["u"]], part["n"] == words("periods")["half"]
    if half:
        if unit == "year":
            return add_months(today, -6), today + DAY
        return (today - timedelta(days=14), today + DAY) if unit == "month" else None
    return _back(today, unit, _number(part["n"]), whole=True)


def _back(today: date, unit: str, count: int, *, whole: bool) -> Dates | None:
    if not 0 < count <= _MOST:
        return None
    if unit in ("day", "week"):
        days = count * (7 if unit == "week" else 1)
        start = today - timedelta(days=days - 1 if whole else days)
    else:
        start = add_months(today, -count * {"month": 1, "quarter": 3, "year": 12}[unit])
    return start, (today if whole else start) + DAY


def _ago(part: dict[str, Any], today: date) -> Dates | None:
    """One day so long ago."""
    unit, half = words("periods")["units"][part["u"]], part["n"] == words("periods")["half"]
    if half:
        start = add_months(today, -6) if unit == "year" else today - timedelta(days=15)
        return (start, start + DAY) if unit in ("year", "month") else None
    return _back(today, unit, _number(part["n"]), whole=False)


MEANINGS: dict[str, Callable[[dict[str, Any], date], Dates | None]] = {
    "date": _date,
    "day_of_month": _day_of_month,
    "quarter": _quarter,
    "shifted_quarter": _shifted_quarter,
    "half_year": _half_year,
    "holiday": _holiday,
    "week": _week,
    "week_day": _week_day,
    "last_week_day": _last_week_day,
    "weekend": _weekend,
    "this_weekend": _this_weekend,
    "month": _shifted_month,
    "third_of_month": _third_of_month,
    "relative_day": _relative_day,
    "last": _last,
    "ago": _ago,
}
"""The rules of the word list name these."""
