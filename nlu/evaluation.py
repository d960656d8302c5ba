"""Measures a model on labelled sentences: accuracy, macro-F1, confusions and latency."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nlu.errors import DataError
from nlu.examples import FAQ_PREFIX
from nlu.interpreter import Interpreter

_HEADER = {"text", "topic", "intent", "label", "key"}
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one label was taken for another, with one sentence to look at."""

    right: str
    given: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a model does on labelled sentences; times are milliseconds a message."""

    sentences: int
    accuracy: float
    macro_f1: float
    p50_ms: float
    p95_ms: float
    confusions: tuple[Confusion, ...]
    by_label: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Give plain data for printing."""
        return asdict(self)


def read_labelled(path: Path) -> list[tuple[str, str]]:
    """Read text and label from the first two columns of a TSV file; a header line is optional.

    Under the header "key" the labels are FAQ keys without their prefix.
    """
    rows: list[tuple[str, str]] = []
    prefix = ""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) < 2 or not row[1].strip():
                raise DataError(str(path), number, "text and label, divided by a tab, are wanted")
            if number == 1 and {cell.strip().lower() for cell in row[:2]} <= _HEADER:
                prefix = FAQ_PREFIX if row[1].strip() == "key" else ""
                continue
            rows.append((row[0], prefix + row[1].strip().removeprefix(prefix)))
    if not rows:
        raise DataError(str(path), 1, "no labelled sentence")
    return rows


def evaluate(path: Path | str, interpreter: Interpreter | None = None, now: datetime | None = None) -> Report:
    """Parse every sentence of a TSV file and compare with its label: a topic, an intent or a key of an FAQ answer."""
    rows = read_labelled(Path(path))
    interpreter = interpreter or Interpreter.load()
    interpreter.warm()
    pairs: list[tuple[str, str, str]] = []
    times: list[float] = []
    for text, label in rows:
        begun = time.perf_counter()
        form = interpreter.parse(text, now=now)
        times.append((time.perf_counter() - begun) * 1000)
        pairs.append((text, label, _answer(form, label, interpreter.topics)))
    return _report(pairs, sorted(times))


def _answer(form: dict[str, Any], label: str, topics: frozenset[str]) -> str:
    """Give the model's answer in the terms of the label."""
    if label in topics:
        return str(form["topic"])
    if label.startswith(FAQ_PREFIX) and form["intent"]["name"] == FAQ_PREFIX[:-1]:
        return str(form["response_selector"]["faq"]["response"]["intent_response_key"])
    return str(form["intent"]["name"])


def _report(pairs: Sequence[tuple[str, str, str]], times: Sequence[float]) -> Report:
    wrong: dict[tuple[str, str], list[str]] = {}
    for text, right, given in pairs:
        if right != given:
            wrong.setdefault((right, given), []).append(text)
    confusions = [Confusion(right, given, len(texts), texts[0]) for (right, given), texts in wrong.items()]
    scores = _scores(pairs)
    return Report(
        sentences=len(pairs),
        accuracy=round(sum(right == given for _, right, given in pairs) / len(pairs), 4),
        macro_f1=round(sum(scores.values()) / len(scores), 4),
        p50_ms=round(times[len(times) // 2], 3),
        p95_ms=round(times[min(len(times) - 1, int(len(times) * 0.95))], 3),
        confusions=tuple(sorted(confusions, key=lambda one: (-one.count, one.right, one.given))[:_SHOWN]),
        by_label={label: round(score, 4) for label, score in sorted(scores.items())},
    )


def _scores(pairs: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    """Give the F1 of every label that should have been given."""
    wanted = Counter(right for _, right, _ in pairs)
    given = Counter(answer for _, _, answer in pairs)
    hit = Counter(right for _, right, answer in pairs if right == answer)
    return {label: 2 * hit[label] / (count + given[label]) for label, count in wanted.items()}
