"""Finds sums of money and reads them to the fen; what has no single exact reading is reported as vague, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from nlu.amount_context import MASK, Bare
from nlu.amount_grammar import AmountGrammar, amount_grammar
from nlu.numbers import read_number, signs
from nlu.words import words

HUGE = 10**15
"""From this many fen on an amount is marked: no wallet holds it, and databases end at 2**63."""

VAGUE = "vague"
_SCALE = {"y": Decimal(1), "j": Decimal("0.1"), "f": Decimal("0.01")}


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum in the text, ``bare`` when written without a unit.

    ``fen`` is None when there is no one exact number of whole fen, ``problem`` says why it cannot be moved as it stands.
    """

    start: int
    end: int
    fen: int | None
    bare: bool = False
    problem: str | None = None

    @property
    def vague(self) -> bool:
        """Tell whether the sum must be asked back."""
        return self.problem == VAGUE


def find_amounts(
    text: str, taken: Sequence[tuple[int, int]] = (), payees: Sequence[tuple[int, int]] = (), expects: str | None = None
) -> list[Amount]:
    """Find the sums in a normalised text outside the ``taken`` and ``payees`` spans.

    A bare number counts beside a money verb, as a correction, or when the conversation ``expects`` an amount.
    """
    masked = list(text)
    for start, end in [*taken, *payees]:
        masked[start:end] = MASK * (end - start)
    grammar = amount_grammar()
    open_text = _hide("".join(masked), grammar.no_sums)
    hidden = _hide(open_text, grammar.idiom)
    bare = Bare(hidden, expects, grammar, paid=bool(payees))
    found: list[Amount] = []
    for one in _merge_joined(hidden, _scan(hidden, grammar), bare, grammar):
        marked = _mark_foreign_and_about(open_text, one, grammar)
        if share := grammar.share_after.match(text, marked.end):  # figures of shares are hidden in the others
            marked = Amount(marked.start, share.end(), None, problem=VAGUE)
        if not one.bare or bare.is_money(one.start, one.end, about=marked != one):
            found.append(replace(marked, bare=False))
    return found


def _hide(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda found: MASK * len(found.group()), text)


def _scan(text: str, grammar: AmountGrammar) -> list[Amount]:
    found: list[Amount] = []
    at = 0
    while at < len(text):
        tokens = _tokens(text, at, grammar)
        if not tokens or tokens[0][0] not in "nh":
            at += 1
            continue
        shape = _shape(text, tokens, grammar)
        if shape is None:
            at = tokens[0][2]
            continue
        one = _read(text, tokens[:shape], grammar)
        found.append(one)
        at = one.end
    return found


def _tokens(text: str, at: int, grammar: AmountGrammar) -> list[tuple[str, int, int]]:
    tokens: list[tuple[str, int, int]] = []
    while len(tokens) < 12 and (match := grammar.token.match(text, at)):
        tokens.append((str(match.lastgroup), at, match.end()))
        at = match.end()
    return tokens


def _shape(text: str, tokens: list[tuple[str, int, int]], grammar: AmountGrammar) -> int | None:
    """Give how many tokens make the longest sensible sum."""
    kinds = "".join(" " if kind == "s" else kind for kind, _, _ in tokens)
    for shape in grammar.shapes:
        match = shape.match(kinds)
        if match is None:
            continue
        size = match.end()
        if _fits(text, tokens, size, grammar):
            return size
    return None


def _fits(text: str, tokens: list[tuple[str, int, int]], size: int, grammar: AmountGrammar) -> bool:
    kind, _, end = tokens[size - 1]
    first = tokens[0][0]
    rest = tokens[size][0] if size < len(tokens) else ""
    if size > 1 and kind in "nh":  # a tail such as the five of 三块五 must not belong to what follows
        return rest not in ("y", "j", "h") and not grammar.not_after.match(text, end)
    names = {"y": "yuan", "j": "jiao", "f": "fen"}
    if kind in names and grammar.not_next[names[kind]].match(text, end):
        return False
    return not (first == "h" and size == 1)


def _read(text: str, tokens: list[tuple[str, int, int]], grammar: AmountGrammar) -> Amount:
    start, end = tokens[0][1], tokens[-1][2]
    kinds = "".join(kind for kind, _, _ in tokens if kind not in "s")
    bare = kinds.strip("m") == "n" or (kinds == "nf" and text[tokens[-1][1] : end] == words("amounts")["fen"][-1])
    yuan = _value(kinds, [text[a:b] for kind, a, b in tokens if kind not in "s"])
    lone = "m" not in kinds and kinds[1:] == "y" and text[start:end] in words("amounts")["lone"]
    prefix = grammar.prefix.search(text, 0, start)
    if prefix:
        start, bare = prefix.start(), False
    if suffix := grammar.suffix.match(text, end):
        end, bare = suffix.end(), False
    sign = grammar.sign.search(text, 0, start)
    negative = bool(sign) and not (sign and grammar.numeral.match(text[max(0, sign.start() - 1) : sign.start()]))
    if sign and negative:
        start = sign.start()
    if yuan is None:
        return Amount(start, end, None, bare and not grammar.vague_sum.match(text, tokens[0][1]), VAGUE)
    fen = yuan * 100
    if fen != int(fen):
        return Amount(start, end, None, bare, "sub_fen")
    value = -int(fen) if negative else int(fen)
    problem = "negative" if value < 0 else "zero" if value == 0 else "huge" if value >= HUGE else None
    return Amount(start, end, value, bare or lone, problem)


def _value(kinds: str, pieces: list[str]) -> Decimal | None:
    """Add up yuan, jiao and fen; None when any piece has no exact reading."""
    half = Decimal("0.5")
    total, last = Decimal(0), Decimal(1)
    index = 0
    while index < len(kinds):
        kind, piece = kinds[index], pieces[index]
        unit = kinds[index + 1] if index + 1 < len(kinds) else ""
        if kind in "mw":
            index += 1
            continue
        if kind == "h":
            total += half * _SCALE.get(unit, last)
            index += 2 if unit in _SCALE else 1
            continue
        if kind != "n":
            return None
        part = _part(piece, unit, last if index else None)
        if part is None:
            return None
        total += part
        last = _SCALE.get(unit, last)
        index += 2 if unit in _SCALE else 1
    return total


def _part(piece: str, unit: str, above: Decimal | None) -> Decimal | None:
    """Read the number of one unit; ``above`` is the unit before it, of which a number without a unit is a part."""
    sign = signs()
    if above is None:
        value = read_number(piece)
        return None if value is None else value * _SCALE.get(unit, Decimal(1))
    digits = "".join(str(sign.digits.get(char, char)) for char in piece)
    if not re.fullmatch("[0-9]{1,2}", digits):
        return None
    if unit in _SCALE:
        return Decimal(int(digits)) * _SCALE[unit] if len(digits) == 1 or digits[0] == "0" else None
    if len(digits) == 2 and not piece.isascii() and digits[0] != "0":
        return None
    if above == _SCALE["j"] and len(digits) == 2:
        return None
    return Decimal(f"0.{digits}") * above


def _merge_joined(text: str, found: list[Amount], bare: Bare, grammar: AmountGrammar) -> list[Amount]:
    """Make one vague sum of ranges (1万-5万), of alternatives, and of numbers that only a space or comma divides."""
    merged: list[Amount] = []
    for one in found:
        last = merged[-1] if merged else None
        counted = one.bare and bare.is_counted(one.start, one.end)
        if last is not None and not counted and grammar.joined.fullmatch(text, last.end, one.start):
            gap = text[last.end : one.start]
            if last.bare or gap.strip(" ,"):
                merged[-1] = Amount(last.start, one.end, None, last.bare and one.bare, VAGUE)
                continue
        merged.append(one)
    return merged


def _mark_foreign_and_about(text: str, one: Amount, grammar: AmountGrammar) -> Amount:
    """Make a sum vague when it is of other money, or when the words around it say that it is not exact."""
    before = grammar.foreign_before.search(text, 0, one.start)
    after = grammar.foreign_after.match(text, one.end)
    if before or after:
        start = before.start() if before else one.start
        return Amount(start, after.end() if after else one.end, None, problem=VAGUE)
    start, end = one.start, one.end
    about = grammar.about_before.search(text, 0, start)
    if about and not grammar.not_about.search(text, 0, start):
        start = about.start()
    if times := grammar.times_before.search(text, 0, start):
        start = times.start()
    if behind := grammar.about_after.match(text, end):
        end = behind.end()
    return one if (start, end) == (one.start, one.end) else Amount(start, end, None, one.bare, VAGUE)
