"""Measures a model on labelled sentences: how often it is right, how honest it is, and whether it knows what is not for it.

A file is tab-separated: a text, its label (a topic, an intent, or a key of an FAQ answer) and, where entities count, those of the
contract: ``kind:words=value``, a space between two, ``?`` as the value where the message must be asked back, a period as
``2026-10-01/2026-11-01``, and no value where it is the words themselves.
"""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nlu.errors import DataError
from nlu.examples import FAQ_PREFIX
from nlu.interpreter import Interpreter

_HEADER = {"text", "topic", "intent", "label", "key", "entities"}
_OUT = {"other_out_of_scope", "out_of_scope"}
_KINDS = frozenset({"amount", "payee", "phone", "card", "period", "biller", "city", "order"})
_NEXT = re.compile(rf" (?=(?:{'|'.join(sorted(_KINDS))}):)")
_SHOWN = 30
_BINS = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of an exam; without ``entities`` those do not count."""

    text: str
    label: str
    entities: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of a row: a label in the row's terms, how sure it was, and that it is nothing for a wallet."""

    row: Row
    given: str
    confidence: float
    outside: float
    entities: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Tell whether the label is the one that was wanted."""
        return self.given == self.row.label


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one label was taken for another, with one sentence to look at."""

    right: str
    given: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a model does on labelled sentences; times are milliseconds a message.

    ``calibration_error`` is the expected one over 15 bins of confidence (Guo et al. 2017). ``outside_auroc`` is the chance that a
    sentence out of scope gets a larger share for being so than one in scope, None without both kinds; ``entities_exact`` is the
    share of sentences with exactly the wanted entities, None without any. The encoder was asked about a share of ``encoded``.
    """

    sentences: int
    accuracy: float
    macro_f1: float
    calibration_error: float
    outside_auroc: float | None
    entities_exact: float | None
    encoded: float
    p50_ms: float
    p95_ms: float
    confusions: tuple[Confusion, ...]
    entity_faults: tuple[str, ...]
    by_label: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Give plain data for printing."""
        return asdict(self)


def read_labelled(path: Path) -> list[Row]:
    """Read an exam; a header line is optional. Under the header "key" the labels are FAQ keys without their prefix."""
    rows: list[Row] = []
    prefix = ""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, cells in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if len(cells) < 2 or not cells[1].strip():
                raise DataError(str(path), number, "text and label, divided by a tab, are wanted")
            if number == 1 and {cell.strip().lower() for cell in cells[:2]} <= _HEADER:
                prefix = FAQ_PREFIX if cells[1].strip() == "key" else ""
                continue
            entities = tuple(sorted(filter(None, _NEXT.split(cells[2].strip())))) if len(cells) > 2 else None
            rows.append(Row(cells[0], prefix + cells[1].strip().removeprefix(prefix), entities))
    if not rows:
        raise DataError(str(path), 1, "no labelled sentence")
    return rows


def evaluate(path: Path | str, interpreter: Interpreter | None = None, now: datetime | None = None) -> Report:
    """Parse every sentence of an exam and compare; periods are read as said at ``now``."""
    rows = read_labelled(Path(path))
    interpreter = interpreter or Interpreter.load()
    interpreter.warm()
    answers: list[Answer] = []
    times: list[float] = []
    before = interpreter.encoded
    for row in rows:
        begun = time.perf_counter()
        form = interpreter.parse(row.text, now=now)
        times.append((time.perf_counter() - begun) * 1000)
        answers.append(_answer(row, form, interpreter.topics))
    return _report(answers, sorted(times), (interpreter.encoded - before) / len(rows))


def _answer(row: Row, form: Mapping[str, Any], topics: frozenset[str]) -> Answer:
    """Give the model's answer in the terms of the label."""
    ranking = form["topic_ranking" if row.label in topics else "intent_ranking"]
    given, confidence = ranking[0]["name"], ranking[0]["confidence"]
    if row.label.startswith(FAQ_PREFIX) and given == FAQ_PREFIX[:-1]:
        best = form["response_selector"]["faq"]["response"]
        given, confidence = best["intent_response_key"], best["confidence"]
    outside = next((one["confidence"] for one in ranking if one["name"] in _OUT), 0.0)
    return Answer(
        row, given, confidence, outside, tuple(sorted(_written(one) for one in form["entities"] if one["entity"] in _KINDS))
    )


def _written(entity: Mapping[str, Any]) -> str:
    """Write an entity as an exam does."""
    value = entity["value"]
    if entity.get("problem"):
        value = "?"
    elif isinstance(value, dict):
        value = f"{value['start']}/{value['end']}"
    said = entity["text"]
    return f"{entity['entity']}:{said}" + ("" if str(value) == said else f"={value}")


def _report(answers: Sequence[Answer], times: Sequence[float], encoded: float) -> Report:
    scores, asked = _scores(answers), [one for one in answers if one.row.entities is not None]
    amiss = [one for one in asked if one.entities != one.row.entities]
    return Report(
        sentences=len(answers),
        accuracy=round(sum(one.right for one in answers) / len(answers), 4),
        macro_f1=round(sum(scores.values()) / len(scores), 4),
        calibration_error=round(_calibration_error(answers), 4),
        outside_auroc=_outside_auroc(answers),
        entities_exact=round(1 - len(amiss) / len(asked), 4) if asked else None,
        encoded=round(encoded, 4),
        p50_ms=round(times[len(times) // 2], 3),
        p95_ms=round(times[min(len(times) - 1, int(len(times) * 0.95))], 3),
        confusions=_confusions(answers),
        entity_faults=tuple(f"{one.row.text}: {' '.join(one.entities) or '-'}" for one in amiss),
        by_label={label: round(score, 4) for label, score in sorted(scores.items())},
    )


def _confusions(answers: Sequence[Answer]) -> tuple[Confusion, ...]:
    wrong: dict[tuple[str, str], list[str]] = {}
    for one in answers:
        if not one.right:
            wrong.setdefault((one.row.label, one.given), []).append(one.row.text)
    found = [Confusion(right, given, len(texts), texts[0]) for (right, given), texts in wrong.items()]
    return tuple(sorted(found, key=lambda one: (-one.count, one.right, one.given))[:_SHOWN])


def _scores(answers: Sequence[Answer]) -> dict[str, float]:
    """Give the F1 of every label that should have been given."""
    wanted = Counter(one.row.label for one in answers)
    given = Counter(one.given for one in answers)
    hit = Counter(one.given for one in answers if one.right)
    return {label: 2 * hit[label] / (count + given[label]) for label, count in wanted.items()}


def _calibration_error(answers: Sequence[Answer]) -> float:
    """Give the mean distance, over bins weighed by size, between how sure the model was and how often it was right."""
    bins: dict[int, list[Answer]] = {}
    for one in answers:
        bins.setdefault(min(int(one.confidence * _BINS), _BINS - 1), []).append(one)
    return sum(abs(sum(one.right - one.confidence for one in held)) for held in bins.values()) / len(answers)


def _outside_auroc(answers: Sequence[Answer]) -> float | None:
    outside = [one.outside for one in answers if one.row.label in _OUT]
    inside = [one.outside for one in answers if one.row.label not in _OUT]
    if not outside or not inside:
        return None
    won = sum((high > low) + (high == low) / 2 for high in outside for low in inside)
    return round(won / (len(outside) * len(inside)), 4)
