"""Finds stretches of time in words and gives them as dates, the end exclusive, by the calendar of Shanghai."""

from __future__ import annotations

import calendar
import functools
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

from nlu.dates import DAY, MEANINGS, Dates, add_months, move_year
from nlu.words import one_of, words

SHANGHAI = timezone(timedelta(hours=8))
"""China has kept no summer time since 1991."""


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
        return MEANINGS[rule.meaning](match.groupdict(), today)
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
    if not second.month_given and first.month_given and (second.dates[1] - second.dates[0]) == DAY:
        day = second.dates[0].day
        if day <= calendar.monthrange(start.year, start.month)[1]:
            end = start.replace(day=day) + DAY
    elif not second.year_given and first.year_given and second.month_given:
        length = second.dates[1] - second.dates[0]
        moved = move_year(second.dates[0], start.year - second.dates[0].year)
        end = _end_like(moved, length)
    if end <= start and not second.year_given:
        end = move_year(end, 1)
    return _Hit(first.start, second.end, (start, end), True, first.year_given or second.year_given) if start < end else None


def _end_like(start: date, length: timedelta) -> date:
    return start + DAY if length == DAY else add_months(start, 1)


def _open_ended(text: str, hit: _Hit, today: date, since: re.Pattern[str]) -> _Hit:
    """Let a period that "since" follows last until today."""
    behind = since.match(text, hit.end)
    if behind is None or hit.dates[0] > today:
        return hit
    return replace(hit, end=behind.end(), dates=(hit.dates[0], today + DAY))


def _period(hit: _Hit) -> Period:
    return Period(hit.start, hit.end, {"start": hit.dates[0].isoformat(), "end": hit.dates[1].isoformat()})
