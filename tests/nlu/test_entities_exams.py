"""Exams of entities: our own held-out sentences, and the open halves of yardsticks beside the project, with what is reached."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from nlu import Interpreter, evaluate
from nlu.entities import find_entities, normal_form
from nlu.periods import EPOCH

EVAL = Path(__file__).parents[3] / "shared" / "eval"
beside = pytest.mark.skipif(not EVAL.exists(), reason="the shared vectors are not on this machine")
OWN = Path(__file__).parent / "heldout_parse.tsv"
NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)
SHANGHAI = timezone(timedelta(hours=8))


def entities(text: str, now: datetime = NOW, expects: str | None = None) -> list[dict[str, Any]]:
    """Find the entities of a message as it was typed, in the parse form."""
    normal = normal_form(text)
    return [one.to_json(normal) for one in find_entities(normal.text, now, (), expects)]


def rows(name: str) -> list[dict[str, str]]:
    """Read one of the tables, in which quotation marks mean nothing."""
    with (EVAL / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_own_sentences_give_exactly_their_entities(interpreter: Interpreter) -> None:
    """Every entity whole with its value and nothing beside them, in at least 97 of 100 held-out sentences."""
    report = evaluate(OWN, interpreter, NOW)
    assert report.entities_exact is not None
    assert report.entities_exact >= 0.97, report.entity_faults


def sums(text: str, expects: str | None = None) -> tuple[list[int], list[str]]:
    """Give the exact sums of a message in fen, and the words of all."""
    found = [one for one in entities(text, expects=expects) if one["entity"] == "amount"]
    return [one["value"] for one in found if not one.get("problem")], [one["text"] for one in found]


def fen(expected: str) -> int | None:
    """Turn an expected sum in yuan into fen; None where the table gives none."""
    try:
        return int(Decimal(expected) * 100)
    except InvalidOperation:
        return None


@beside
def test_amounts_are_right_or_asked_back() -> None:
    """No sum is wrong, none is missed, and of the exact ones all but the one past billions of billions are read."""
    outcome: Counter[str] = Counter()
    for row in rows("amounts.open.tsv"):
        exact, said = sums(row["text"])
        wanted = fen(row["expected"]) if row["kind"] == "exact" else None
        if row["kind"] == "no_amount":
            outcome["right" if not exact else "wrong"] += 1
        elif row["kind"] == "exact":
            outcome["right" if exact == [wanted] else "asked" if said and not exact else "wrong"] += 1
        elif row["kind"] == "span_only":
            outcome["right" if row["span"] in said else "wrong"] += 1
        else:
            outcome["right" if said and not exact else "wrong"] += 1
    assert outcome["wrong"] == 0
    assert outcome["right"] >= 22


@beside
def test_no_number_is_a_wrong_sum() -> None:
    """Where a sum is awaited, no written number, share or fraction gives another sum than itself."""
    wanted: dict[tuple[str, str], list[int | None]] = {}
    for row in rows("numbers.open.tsv"):
        wanted.setdefault((row["text"], row["suite"]), []).append(fen(row["expected"]))
    wrong, right = [], 0
    for (text, suite), values in wanted.items():
        exact, _ = sums(text, "amount")
        allowed = [] if suite in ("PercentModel", "OrdinalModel") else values
        wrong += [text] if any(value not in allowed for value in exact) else []
        right += bool(exact) or not [value for value in allowed if value is not None]
    assert wrong == []
    assert right >= 222


Dates = tuple[str, str]


def later(day: str) -> set[str]:
    """Give the ends that people mean by "until May 10th": some tables leave the tenth out, or May, or the year."""
    end = date.fromisoformat(day)
    ends = {end, end + timedelta(days=1)}
    if end.day == 1:
        ends.add((end + timedelta(days=31)).replace(day=1))
    if (end.month, end.day) == (1, 1):
        ends.add(end.replace(year=end.year + 1))
    return {one.isoformat() for one in ends}


def meant(start: str, end: str, today: date) -> set[Dates]:
    """Give the dates that a row allows: an open end is today's, an open beginning the wallet's."""
    first = start or EPOCH.isoformat()
    if not start and not end:
        return set()
    return {(first, one) for one in (later(end) if end else {(today + timedelta(days=1)).isoformat()})}


def outcome_of(text: str, now: datetime, allowed: set[Dates]) -> str:
    """Say whether a period is right, asked back (with its dates or without), not seen, or wrong."""
    found = [one for one in entities(text, now) if one["entity"] == "period"]
    if any(one["value"] and (one["value"]["start"], one["value"]["end"]) in allowed for one in found):
        return "right"
    return "none" if not found else "asked" if all(one.get("problem") for one in found) else "wrong"


@beside
def test_periods_of_the_first_table() -> None:
    """What remains wrong is one "since" and "until" that we read as one stretch, and a year that its table ends today."""
    outcome: Counter[str] = Counter()
    for row in rows("date_periods.open.tsv"):
        now = datetime.fromisoformat(row["reference"]).replace(tzinfo=SHANGHAI)
        allowed = meant(row["past_start"], row["past_end_excl"], now.date())
        allowed |= meant(row["future_start"], row["future_end_excl"], now.date())
        outcome[outcome_of(row["text"], now, allowed)] += 1
    assert outcome["right"] >= 130
    assert outcome["wrong"] <= 5


def base(given: Any) -> datetime:
    """Read a time that is given as seconds, as some of its fields, or not at all."""
    if isinstance(given, dict):
        given = [given["year"], *(given[name] for name in ("month", "day") if name in given)]
    if isinstance(given, list):
        year, month, day = (given + [12, 28][len(given) - 1 :])[:3]
        return datetime(year, month, day, tzinfo=SHANGHAI)
    return datetime.fromtimestamp(given or NOW.timestamp(), SHANGHAI)


@beside
def test_periods_of_the_second_table() -> None:
    """What is wrong looks ahead where a wallet looks back (Monday, 8 October), or means a holiday and not its leave."""
    outcome: Counter[str] = Counter()
    for line in (EVAL / "jionlp_time.open.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        now, expected = base(row["time_base"]), row["expected"]
        if expected["type"] in ("time_point", "time_span"):
            start, end = (moment[:10] for moment in expected["time"])
            if "inf" not in end:
                end = (date.fromisoformat(end) + timedelta(days=1)).isoformat()
            outcome[outcome_of(row["text"], now, {(start, end)})] += 1
        else:
            outcome["made up" if outcome_of(row["text"], now, set()) == "wrong" else "left alone"] += 1
    assert outcome["right"] >= 90
    assert outcome["wrong"] <= 20
    assert outcome["made up"] == 0
