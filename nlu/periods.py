"""Finds stretches of time in words and gives them as dates, the end exclusive, by the calendar of Shanghai."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone

from nlu.calendar_days import DAY, Dates, is_day, move_year
from nlu.date_parts import PARTS, NoPartError
from nlu.dates import MEANINGS, UnreadError
from nlu.period_grammar import PeriodGrammar, period_grammar

SHANGHAI = timezone(timedelta(hours=8))
"""China has kept no summer time since 1991."""

EPOCH = date(1970, 1, 1)
"""Where a stretch begins that is said to last until a day; there was no wallet before."""

IMPOSSIBLE, UNCLEAR, FUTURE = "impossible", "unclear", "future"


@dataclass(frozen=True, slots=True)
class Period:
    """A span of normalised text and the dates it names: first day, and the day after the last, ISO.

    ``problem`` marks what must be asked back: no such day, a time that is not read (both without dates), or one that is to come.
    """

    start: int
    end: int
    value: dict[str, str] | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Hit:
    """What one rule read; ``lacks`` says what its words leave to the context: the year, the month, or the week.

    ``closed`` marks a stretch from one date to another, which no word behind opens, ``clock`` one that ends with a time of day.
    """

    start: int
    end: int
    dates: Dates | None
    lacks: str = ""
    problem: str | None = None
    closed: bool = False
    clock: bool = False


def find_periods(text: str, now: datetime) -> list[Period]:
    """Find the periods of a normalised text, seen from ``now`` (aware)."""
    today = now.astimezone(SHANGHAI).date()
    grammar = period_grammar()
    hits = list(_hits(text, today, grammar))
    return [_period(_directed(text, hit, today, grammar), today) for hit in _joined(text, hits, grammar)]


def _hits(text: str, today: date, grammar: PeriodGrammar) -> Iterator[_Hit]:
    """Read from left to right: the first rule that fits where a date begins, and what behind it names a part of it."""
    found = [
        (match.start(), order, match)
        for order, (pattern, _) in enumerate(grammar.dates)
        for match in pattern.finditer(text)
        if not grammar.cut.match(text, match.start())
    ]
    at = 0
    for start, order, match in sorted(found, key=lambda item: item[:2]):
        if start < at:
            continue
        at = match.end()
        part = match.groupdict()
        hit = _Hit(start, at, None, _lacks(grammar.dates[order][1], part))
        try:
            dates = MEANINGS[grammar.dates[order][1]](part, today)
        except UnreadError:
            hit = replace(hit, problem=UNCLEAR)
        except (ValueError, OverflowError):  # no such day
            hit = replace(hit, problem=IMPOSSIBLE)
        else:
            if dates is None:
                continue
            hit = _narrowed(text, replace(hit, dates=dates), grammar)
        at = hit.end
        yield hit


def _lacks(meaning: str, part: dict[str, str | None]) -> str:
    if meaning == "last_week_day":
        return "week"
    if meaning in ("quarter", "half_year", "holiday"):
        return "year"
    if meaning == "date" and not part.get("y") and not part.get("yw"):
        return "year" if part.get("m") else "month"
    return ""


def _narrowed(text: str, hit: _Hit, grammar: PeriodGrammar) -> _Hit:
    """Go from a stretch to the part of it that the words behind name, again and again."""
    for pattern, meaning in grammar.parts:
        match = pattern.match(text, hit.end)
        if match is None or hit.dates is None:
            continue
        try:
            dates = PARTS[meaning](match.groupdict(), hit.dates)
        except NoPartError:
            continue
        except UnreadError:
            return replace(hit, end=match.end(), dates=None, problem=UNCLEAR)
        except (ValueError, OverflowError):
            return replace(hit, end=match.end(), dates=None, problem=IMPOSSIBLE)
        return _narrowed(text, replace(hit, end=match.end(), dates=dates, clock=dates == hit.dates), grammar)
    return hit


def _joined(text: str, hits: list[_Hit], grammar: PeriodGrammar) -> list[_Hit]:
    """Make one period of two dates with "to" between them; each takes from the other what it leaves out."""
    joined: list[_Hit] = []
    for hit in hits:
        last = joined[-1] if joined else None
        if last is None or not _belong(text, last, hit, grammar):
            joined.append(hit)
        else:
            joined[-1] = _range(last, hit)
    return joined


def _belong(text: str, first: _Hit, second: _Hit, grammar: PeriodGrammar) -> bool:
    if grammar.to.fullmatch(text, first.end, second.start):
        return True
    return bool(grammar.both.fullmatch(text, first.end, second.start) and grammar.between.match(text, second.end))


def _range(first: _Hit, second: _Hit) -> _Hit:
    whole = _Hit(first.start, second.end, None, first.lacks, closed=True)
    if first.dates is None or second.dates is None:
        return replace(whole, problem=first.problem or second.problem)
    start, (_, end) = first.dates[0], second.dates
    if first.lacks == "year" and not second.lacks:
        start = move_year(start, second.dates[0].year - start.year)
        start = move_year(start, -1) if start >= end else start
    elif second.lacks:
        end = _end_behind(start, second.dates, second.lacks)
    return replace(whole, dates=(start, end)) if start < end else replace(whole, problem=IMPOSSIBLE)


def _end_behind(start: date, second: Dates, lacks: str) -> date:
    """Say where the second of two dates ends, which leaves out its year, month or week: as soon behind the first as can be."""
    first_day = second[0]
    if lacks == "week":
        return start + timedelta(days=(first_day.weekday() - start.weekday()) % 7) + DAY
    if lacks == "month":
        month = start.replace(day=1)
        if first_day.day < start.day:
            month = (month + timedelta(days=31)).replace(day=1)
        return month.replace(day=min(first_day.day, calendar.monthrange(month.year, month.month)[1])) + DAY
    end = move_year(second[1], start.year - first_day.year)
    return end if end > start else move_year(end, 1)


def _directed(text: str, hit: _Hit, today: date, grammar: PeriodGrammar) -> _Hit:
    """Let a period last from a day until today, or from long ago until a day, where the words around say so."""
    if hit.dates is None:
        return hit
    start, end = hit.dates
    found, behind = next(
        ((name, match) for name, pattern in grammar.behind.items() if (match := pattern.match(text, hit.end))), ("", None)
    )
    if hit.closed:
        return replace(hit, end=behind.end()) if behind and found in ("until", "before") else hit
    if not found:
        found = next((name for name, pattern in grammar.before.items() if pattern.search(text, 0, hit.start)), "")
    hit = replace(hit, end=behind.end() if behind else hit.end)
    if found in ("since", "after"):
        start = start if found == "since" or is_day((start, end)) else end
        return replace(hit, dates=(start, today + DAY)) if start <= today else replace(hit, dates=None, problem=FUTURE)
    if found in ("until", "before"):
        end = end if found == "until" or hit.clock else start
        return replace(hit, dates=(EPOCH, end)) if EPOCH < end <= today + DAY else replace(hit, dates=None, problem=FUTURE)
    return hit


def _period(hit: _Hit, today: date) -> Period:
    if hit.dates is None:
        return Period(hit.start, hit.end, None, hit.problem)
    value = {"start": hit.dates[0].isoformat(), "end": hit.dates[1].isoformat()}
    return Period(hit.start, hit.end, value, FUTURE if hit.dates[0] > today else None)
