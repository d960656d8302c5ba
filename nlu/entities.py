"""Finds every entity of a message; no two overlap, and each span points into the text as it was written."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nlu.amount_grammar import amount_grammar, numeral_chars
from nlu.amounts import find_amounts
from nlu.choices import find_choices
from nlu.delays import Delay, find_delays
from nlu.digits import find_codes, find_digits
from nlu.fraud import fraud_spans
from nlu.normalise import Normal, normalise
from nlu.notes import Note, find_note
from nlu.payees import find_payees
from nlu.periods import find_periods
from nlu.surnames import find_surname
from nlu.words import one_of, words

ONESELF = "oneself"  # the problem of a payee who is the speaker


@dataclass(frozen=True, slots=True)
class Entity:
    """A span of the normalised text and what it means.

    ``problem`` marks an amount that cannot be moved as it stands, a delay of no length, the speaker as payee; ``role`` says what
    a city is named for, and ``guessed`` marks a name that nothing but the question it answers makes one.
    """

    kind: str
    start: int
    end: int
    value: Any
    negated: bool = False
    problem: str | None = None
    role: str | None = None
    guessed: bool = False

    def to_json(self, normal: Normal) -> dict[str, Any]:
        """Give the parse form's entity, with its span in the original text."""
        start, end = normal.span(self.start, self.end)
        form: dict[str, Any] = {
            "entity": self.kind,
            "start": start,
            "end": end,
            "value": normal.original[start:end] if self.kind == "note" else self.value,
            "text": normal.original[start:end],
        }
        if self.role:
            form["role"] = self.role
        if self.negated:
            form["negated"] = True
        if self.problem:
            form["problem"] = self.problem
        return form


def normal_form(text: str) -> Normal:
    """Normalise a message; runs of numerals are kept as they are."""
    return normalise(text, keep_runs=numeral_chars())


def find_entities(text: str, now: datetime, names: Sequence[str] = (), expects: str | None = None) -> list[Entity]:
    """Find the entities of a normalised text, in order; ``names`` are the speaker's contacts."""
    surname = find_surname(text) if expects == "surname" else None
    found = [Entity("surname", surname.start, surname.end, surname.value, guessed=surname.guessed)] if surname else []
    delays = find_delays(text, expects)
    if note := find_note(text):
        note = replace(note, end=_until_delay(text, note, delays))
        _add(found, [Entity("note", note.start, note.end, text[note.start : note.end])])
    _add(found, [Entity(one.entity, one.start, one.end, one.value) for one in find_digits(text)])
    _add(found, [Entity("delay", one.start, one.end, one.seconds, problem=_open(one.seconds)) for one in delays])
    choices = find_choices(text) if expects == "choice" else []
    _add(found, [Entity("choice", one.start, one.end, str(one.place)) for one in choices if one.place is not None])
    payees = find_payees(text, [*_spans(found), *fraud_spans(text)], names, expects)
    _add(
        found,
        [
            Entity("payee", one.start, one.end, one.value, problem=ONESELF if one.own else None, guessed=one.guessed)
            for one in payees
        ],
    )
    _add(found, [Entity("period", one.start, one.end, one.value, problem=one.problem) for one in find_periods(text, now)])
    sum_wanted = expects in ("amount", "choice")
    codes = [] if sum_wanted else _codes(text, expects)
    if expects == "code":
        _add(found, codes)
    payee_spans = [(one.start, one.end) for one in found if one.kind == "payee"]
    taken = [(one.start, one.end) for one in found if one.kind != "payee"]
    for one in find_amounts(text, taken, payee_spans, "amount" if sum_wanted else expects):
        _add(found, [Entity("amount", one.start, one.end, one.fen, problem=one.problem)])
    _add(found, codes)
    _add(found, [Entity("pointing", one.start, one.end, None) for one in choices if one.place is None])
    for kind in ("city", "biller", "slot"):
        _add(found, [one for one in _named(text, kind) if note is None or one.value != "note"])  # its marker is a part of it
    return _mark_negated(text, sorted(found, key=lambda one: one.start))


def _until_delay(text: str, note: Note, delays: Sequence[Delay]) -> int:
    """Say where a note ends: before a pause with the time of arrival behind it."""
    pauses = [one.start - 1 for one in delays if note.start < one.start - 1 < note.end and text[one.start - 1] in " ,;"]
    return min([note.end, *pauses])


def _open(seconds: int | None) -> str | None:
    return "open" if seconds is None else None


def _codes(text: str, expects: str | None) -> list[Entity]:
    named_sum = amount_grammar().not_code_after
    return [
        Entity(one.entity, one.start, one.end, one.value)
        for one in find_codes(text, expects)
        if not named_sum.search(text, 0, one.start)
    ]


def _spans(found: Sequence[Entity]) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in found]


def _add(found: list[Entity], more: Sequence[Entity]) -> None:
    """Add what overlaps nothing found before."""
    for one in more:
        if not any(one.start < other.end and other.start < one.end for other in found):
            found.append(one)


@functools.cache
def _name_pattern(kind: str) -> tuple[re.Pattern[str], dict[str, str | None]]:
    """Give the words that name one of a kind, and what each names: nothing, where a longer word only holds one of them."""
    found = words("kinds")
    values: dict[str, str | None] = {word: value for value, written in found[kind].items() for word in written}
    values |= dict.fromkeys(found["nothing"].get(kind, []))
    return re.compile(one_of(values)), values


@functools.cache
def _nicknames() -> tuple[re.Pattern[str], dict[str, str]]:
    found = words("kinds")
    values = {word: value for value, written in found["city_nicknames"].items() for word in written}
    named = one_of(values)
    before = "|".join(f"(?<={word})" for word in found["nickname_before"])
    return re.compile(f"(?:{before}){named}|{named}(?={one_of(found['nickname_after'])})|^{named}$"), values


def _named(text: str, kind: str) -> list[Entity]:
    pattern, values = _name_pattern(kind)
    matches = [(match, values[match[0]]) for match in pattern.finditer(text)]
    if kind == "city":
        pattern, nicknames = _nicknames()
        matches += [(match, nicknames[match[0]]) for match in pattern.finditer(text)]
    found: list[Entity] = []
    for match, value in matches:
        _add(found, [Entity(kind, match.start(), match.end(), value, role=_role(text, match) if kind == "city" else None)])
    return [one for one in found if one.value is not None]


@functools.cache
def _wallet_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    found = words("kinds")["wallet_city"]
    links = f"{one_of(found['links'])}{{0,2}}"
    wallet = f"{links}{one_of(found['wallets'])}{one_of([*found['inside'], ''])}"
    return (
        re.compile(f"{one_of(found['using'])}(?:{one_of(found['mine'])})?$"),
        re.compile(wallet),
        re.compile(f"{links}{one_of([*found['inside'], ''])} ?{one_of(found['spends'])}"),
        re.compile(f"{wallet} ?{one_of(found['spends'])}"),
    )


def _role(text: str, city: re.Match[str]) -> str | None:
    """Say whether a city names the wallet to use: 用青岛的钱包, 从重庆扣, 厦门钱包付."""
    using, wallet, spends, wallet_spends = _wallet_patterns()
    if using.search(text, 0, city.start()):
        named = wallet.match(text, city.end()) or spends.match(text, city.end())
    else:
        named = wallet_spends.match(text, city.end())
    return "wallet" if named else None


_NEGATABLE = frozenset({"amount", "payee", "phone", "card", "biller", "city", "period", "wallet_id", "delay"})


@functools.cache
def _negations() -> tuple[re.Pattern[str], re.Pattern[str]]:
    found = words("negation")
    asking = "".join(found["asking"])
    return re.compile(f"(?<![{asking}]){one_of(found['before'])}{one_of([*found['between'], ''])} ?$"), re.compile(
        f"[ ,;.]*{one_of(found['after'])}"
    )


def _mark_negated(text: str, found: list[Entity]) -> list[Entity]:
    """Mark the values that the speaker takes back: not 300, no longer to Li Na."""
    before, after = _negations()
    denied = {place: match.start() for place, one in enumerate(found) if (match := _denied(before, text, one))}
    starts = set(denied.values())
    for place, one in enumerate(found):
        behind = after.match(text, one.end)
        if behind and not any(behind.start() <= start < behind.end() for start in starts):
            denied[_meant(found, place)] = one.end
    return [replace(one, negated=place in denied and one.kind in _NEGATABLE) for place, one in enumerate(found)]


def _denied(before: re.Pattern[str], text: str, one: Entity) -> re.Match[str] | None:
    return before.search(text, 0, one.start) if one.kind in _NEGATABLE else None


def _meant(found: Sequence[Entity], place: int) -> int:
    """Say which value "no, wrong" behind one takes back: the last one of the kind that is named anew, else this one."""
    anew = next((one.kind for one in found[place + 1 :]), found[place].kind)
    same = [earlier for earlier in range(place + 1) if found[earlier].kind == anew]
    return same[-1] if same else place
