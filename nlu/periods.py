"""Finds stretches of time in words and gives them as dates, the end exclusive, by the calendar of Shanghai."""

from __future__ import annotations

import calendar
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from nlu.numbers import read_number, signs
from nlu.words import one_of, words

SHANGHAI = timezone(timedelta(hours=8))
"""China has kept no summer time since 1991."""

_DAY = timedelta(days=1)
_MOST = 400
Dates = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Period:
    """A span of normalised text and the dates it names: first day, and the day after the last, ISO."""

    start: int
    end: int
    value: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    meaning: str


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    dates: Dates
    month_given: bool
    year_given: bool


@dataclass(frozen=True, slots=True)
class _Joints:
    """The words that make one period of two dates: from A to B, between A and B, since A."""

    to: re.Pattern[str]
    both: re.Pattern[str]
    between: re.Pattern[str]
    since: re.Pattern[str]


@functools.cache
def _rules() -> tuple[tuple[_Rule, ...], tuple[_Rule, ...], _Joints]:
    found = words("periods")
    parts = dict(found["fragments"])
    parts |= {name: one_of(found[name]) for name in ("years", "days", "shift", "recent", "holiday_after")}
    parts["holiday"] = one_of([*found["holidays"], *found["moon_holidays"]])

    def build(rows: list[list[str]]) -> tuple[_Rule, ...]:
        return tuple(
            _Rule(re.compile(re.sub(r"\{([a-z_]+)\}", lambda name: parts[name[1]], pattern)), meaning)
            for pattern, meaning in rows
        )

    joints = _Joints(*(re.compile(pattern) for pattern in (parts["to"], parts["and"], parts["between"], one_of(found["since"]))))
    return build(found["dates"]), build(found["spans"]), joints


def find_periods(text: str, now: datetime) -> list[Period]:
    """Find the periods of a normalised text, seen from ``now`` (aware)."""
    today = now.astimezone(SHANGHAI).date()
    dates, spans, joints = _rules()
    hits: list[_Hit] = []
    read: list[tuple[int, int]] = []  # impossible dates too: a part of one must not be read alone
    for rule in (*spans, *dates):
        for match in rule.pattern.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in read):
                continue
            read.append(match.span())
            meant = _meaning(rule, match, today)
            if meant is None:
                continue
            part = match.groupdict()
            month = bool(part.get("m") or (part.get("s") and part.get("d")))
            year = bool(part.get("y") or part.get("yw"))
            hits.append(_Hit(match.start(), match.end(), meant, month, year))
    hits.sort(key=lambda hit: hit.start)
    return [_period(_open_ended(text, hit, today, joints.since)) for hit in _joined(text, hits, joints)]


def _meaning(rule: _Rule, match: re.Match[str], today: date) -> Dates | None:
    try:
        return _MEANINGS[rule.meaning](match.groupdict(), today)
    except (ValueError, OverflowError, KeyError):  # no such day
        return None


def _joined(text: str, hits: list[_Hit], joints: _Joints) -> list[_Hit]:
    """Make one period of two dates with "to" between them; a second without month or year takes the first's."""
    joined: list[_Hit] = []
    for hit in hits:
        last = joined[-1] if joined else None
        whole = _range(last, hit) if last is not None and _belong(text, last, hit, joints) else None
        if whole is None:
            joined.append(hit)
        else:
            joined[-1] = whole
    return joined


def _belong(text: str, first: _Hit, second: _Hit, joints: _Joints) -> bool:
    if joints.to.fullmatch(text, first.end, second.start):
        return True
    return bool(joints.both.fullmatch(text, first.end, second.start) and joints.between.match(text, second.end))


def _range(first: _Hit, second: _Hit) -> _Hit | None:
    start, (_, end) = first.dates[0], second.dates
    if not second.month_given and first.month_given and (second.dates[1] - second.dates[0]) == _DAY:
        day = second.dates[0].day
        if day <= calendar.monthrange(start.year, start.month)[1]:
            end = start.replace(day=day) + _DAY
    elif not second.year_given and first.year_given and second.month_given:
        length = second.dates[1] - second.dates[0]
        moved = _move_year(second.dates[0], start.year - second.dates[0].year)
        end = _end_like(moved, length)
    if end <= start and not second.year_given:
        end = _move_year(end, 1)
    return _Hit(first.start, second.end, (start, end), True, first.year_given or second.year_given) if start < end else None


def _end_like(start: date, length: timedelta) -> date:
    return start + _DAY if length == _DAY else _add_months(start, 1)


def _open_ended(text: str, hit: _Hit, today: date, since: re.Pattern[str]) -> _Hit:
    """Let a period that "since" follows last until today."""
    behind = since.match(text, hit.end)
    if behind is None or hit.dates[0] > today:
        return hit
    return replace(hit, end=behind.end(), dates=(hit.dates[0], today + _DAY))


def _period(hit: _Hit) -> Period:
    return Period(hit.start, hit.end, {"start": hit.dates[0].isoformat(), "end": hit.dates[1].isoformat()})


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


def _add_months(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _move_year(day: date, years: int) -> date:
    return _add_months(day, 12 * years)


def _month(year: int, month: int) -> Dates:
    start = date(year, month, 1)
    return start, _add_months(start, 1)


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
        start = _latest([_add_months(today.replace(day=1), -back) for back in range(13)], number, today)
        return start, start + _DAY
    number = _number(month)
    chosen = year if year is not None else today.year
    if day is None:
        first = date(chosen, number, 1)
        return _month(chosen - (1 if year is None and first > today else 0), number)
    start = date(chosen, number, _number(day))
    if year is None and start > today:
        start = date(chosen - 1, number, _number(day))
    return start, start + _DAY


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
    return start, start + _DAY


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
    first = _add_months(today.replace(day=1), _shift(part))
    return first, _add_months(first, 1)


def _day_of_month(part: dict[str, Any], today: date) -> Dates:
    start = _shifted_month(part, today)[0].replace(day=_number(part["d"]))
    return start, start + _DAY


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
        start = _move_year(start, -1)
    return start, _add_months(start, 3)


def _shifted_quarter(part: dict[str, Any], today: date) -> Dates:
    first = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    start = _add_months(first, 3 * _shift(part))
    return start, _add_months(start, 3)


def _half_year(part: dict[str, Any], today: date) -> Dates:
    half = int(words("periods")["halves"][part["h"]])
    year = _given_year(part, today)
    start = date(year if year is not None else today.year, 6 * half - 5, 1)
    if year is None and start > today:
        start = _move_year(start, -1)
    return start, _add_months(start, 6)


def _relative_day(part: dict[str, Any], today: date) -> Dates:
    start = today + timedelta(days=int(words("periods")["days"][part["rel"]]))
    return start, start + _DAY


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
            return _add_months(today, -6), today + _DAY
        return (today - timedelta(days=14), today + _DAY) if unit == "month" else None
    return _back(today, unit, _number(part["n"]), whole=True)


def _back(today: date, unit: str, count: int, *, whole: bool) -> Dates | None:
    if not 0 < count <= _MOST:
        return None
    if unit in ("day", "week"):
        days = count * (7 if unit == "week" else 1)
        start = today - timedelta(days=days - 1 if whole else days)
    else:
        start = _add_months(today, -count * {"month": 1, "quarter": 3, "year": 12}[unit])
    return start, (today if whole else start) + _DAY


def _ago(part: dict[str, Any], today: date) -> Dates | None:
    """One day so long ago."""
    unit, half = words("periods")["units"][part["u"]], part["n"] == words("periods")["half"]
    if half:
        start = _add_months(today, -6) if unit == "year" else today - timedelta(days=15)
        return (start, start + _DAY) if unit in ("year", "month") else None
    return _back(today, unit, _number(part["n"]), whole=False)


_MEANINGS: dict[str, Callable[[dict[str, Any], date], Dates | None]] = {
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
