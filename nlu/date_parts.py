"""What the words behind a stretch of time mean that name a part of it: its second week, its last three days, its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from nlu.calendar_days import DAY, Dates, add_months, is_day, is_month, is_year, month_of, one_day, step
from nlu.dates import UnreadError, number
from nlu.holidays import holiday_in
from nlu.words import words


class NoPartError(ValueError):
    """The words behind a stretch do not belong to it."""


def _needs(fits: bool) -> None:
    if not fits:
        raise NoPartError


def _within(part: Dates, whole: Dates) -> Dates:
    if not whole[0] <= part[0] < part[1] <= whole[1]:
        raise ValueError(part)
    return part


def _month_of_year(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_year(whole))
    return month_of(whole[0].year, number(part["m"]))


def _day_of_month(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_month(whole))
    return one_day(whole[0].replace(day=number(part["d"])))


def _quarter_of_year(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_year(whole))
    start = date(whole[0].year, 3 * int(words("periods")["quarters"][part["q"]]) - 2, 1)
    return start, add_months(start, 3)


def _half_of_year(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_year(whole))
    start = date(whole[0].year, 6 * int(words("periods")["halves"][part["h"]]) - 5, 1)
    return start, add_months(start, 6)


def _half_of_month(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_month(whole))
    middle = whole[0] + timedelta(days=15)
    return (whole[0], middle) if words("periods")["halves"][part["h"]] == 1 else (middle, whole[1])


def _third_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_month(whole))
    third = int(words("periods")["thirds"][part["t"]])
    start = whole[0] + timedelta(days=10 * (third - 1))
    return start, whole[1] if third == 3 else start + timedelta(days=10)


def _holiday_of_year(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_year(whole))
    found = holiday_in(part["hol"], whole[0].year, part["after"])
    if found is None:
        raise UnreadError(part["hol"])
    return found


def _week_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    """The nth week that begins in a month, quarter or year, Monday first."""
    _needs(whole[1] - whole[0] > timedelta(days=7))
    start = whole[0] + timedelta(days=-whole[0].weekday() % 7, weeks=number(part["n"]) - 1)
    if not whole[0] <= start < whole[1]:
        raise ValueError(part["n"])
    return start, start + timedelta(days=7)


def _weekday_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(whole[1] - whole[0] > timedelta(days=7))
    weekday = int(words("periods")["week_days"][part["w"]])
    if part.get("n"):
        start = whole[0] + timedelta(days=(weekday - whole[0].weekday()) % 7, weeks=number(part["n"]) - 1)
    else:
        last = whole[1] - DAY
        start = last - timedelta(days=(last.weekday() - weekday) % 7)
    return _within(one_day(start), whole)


def _weekday_in_week(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(whole[1] - whole[0] == timedelta(days=7) and whole[0].weekday() == 0)
    return one_day(whole[0] + timedelta(days=int(words("periods")["week_days"][part["w"]])))


def _day_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(not is_day(whole))
    return _within(one_day(whole[0] + timedelta(days=number(part["n"]) - 1)), whole)


def _first_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(not is_day(whole))
    unit, start = words("periods")["units"][part["u"]], whole[0]
    if unit == "week":
        start += timedelta(days=-start.weekday() % 7)
    return _within((start, step(start, unit, number(part["n"]))), whole)


def _last_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    """The last so many days or months, or the last so many whole weeks."""
    _needs(not is_day(whole))
    unit, end = words("periods")["units"][part["u"]], whole[1]
    if unit == "week":
        end -= timedelta(days=end.weekday())
    return _within((step(end, unit, -number(part["n"])), end), whole)


def _edge_of_whole(part: dict[str, Any], whole: Dates) -> Dates:
    edges = words("periods")["edges"]
    start = whole[0]
    if is_month(whole):
        first, last = _edge(edges["month"], part["e"])
        return start + timedelta(days=first - 1), min(start + timedelta(days=last), whole[1])
    unit = "year" if is_year(whole) else "quarter"
    _needs(unit == "year" or (add_months(start, 3) == whole[1] and part["e"] in edges[unit]))
    first, last = _edge(edges[unit], part["e"])
    return add_months(start, first - 1), add_months(start, last)


def _edge(edges: dict[str, list[int]], word: str) -> list[int]:
    if word not in edges:
        raise UnreadError(word)
    return edges[word]


def _same_day(part: dict[str, Any], whole: Dates) -> Dates:
    _needs(is_day(whole))
    return whole


def _unread(part: dict[str, Any], whole: Dates) -> Dates:
    raise UnreadError


PARTS: dict[str, Callable[[dict[str, Any], Dates], Dates]] = {
    "month_of_year": _month_of_year,
    "day_of_month": _day_of_month,
    "quarter_of_year": _quarter_of_year,
    "half_of_year": _half_of_year,
    "half_of_month": _half_of_month,
    "third_of_whole": _third_of_whole,
    "holiday_of_year": _holiday_of_year,
    "week_of_whole": _week_of_whole,
    "weekday_of_whole": _weekday_of_whole,
    "weekday_in_week": _weekday_in_week,
    "day_of_whole": _day_of_whole,
    "first_of_whole": _first_of_whole,
    "last_of_whole": _last_of_whole,
    "edge_of_whole": _edge_of_whole,
    "same_day": _same_day,
    "unread": _unread,
}
"""The rules of the word list name these; each says what a part of a whole stretch is, or that it is none."""
