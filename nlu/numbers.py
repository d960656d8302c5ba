"""Reads one written number exactly, or not at all: Arabic, Chinese, financial capitals and mixtures such as 1万2."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal

from nlu.words import words

_PLAIN = re.compile(r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]+)?")
_LATIN = re.compile(r"(?P<head>[0-9]+(?:\.[0-9]+)?)(?P<unit>[a-z])(?P<tail>[1-9])?")
_LONGEST = 32


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters that numbers are written with."""

    digits: dict[str, int]
    units: dict[str, int]
    bigs: dict[str, int]
    latin: dict[str, int]
    twenties: dict[str, str]
    zeros: str
    point: str
    half: str
    measure: str
    counting_twos: str

    @property
    def chars(self) -> str:
        """Give every Chinese numeral character."""
        return "".join([*self.digits, *self.units, *self.bigs, *self.twenties])


@functools.cache
def signs() -> Signs:
    """Give the numeral characters of the word list."""
    found = words("amounts")
    return Signs(
        digits=found["digits"],
        units=found["units"],
        bigs=found["bigs"],
        latin=found["latin_units"],
        twenties=found["twenties"],
        zeros=found["zeros"],
        point=found["point"],
        half=found["half"],
        measure=found["measure"],
        counting_twos=found["counting_twos"],
    )


def read_number(written: str) -> Decimal | None:
    """Read a whole written number; None when it has no single exact reading."""
    if not written or len(written) > _LONGEST:
        return None
    if _PLAIN.fullmatch(written):
        return Decimal(written.replace(",", ""))
    if latin := _LATIN.fullmatch(written):
        return _with_latin_unit(latin)
    sign = signs()
    if sign.half in written:
        return _with_half(written)
    written = written.replace(sign.measure, "")
    for short, long in sign.twenties.items():
        written = written.replace(short, long)
    if sign.point in written or "." in written:
        return _with_point(written)
    if len(written) > 1 and all(char in sign.digits for char in written):
        return _digit_by_digit(written)
    return _with_bigs(written)


def _arabic(written: str) -> bool:
    """Tell whether a text is ASCII digits only; superscripts are digits to Python, and none to anybody else."""
    return written.isascii() and written.isdigit()


def _with_latin_unit(found: re.Match[str]) -> Decimal | None:
    unit = signs().latin.get(found["unit"])
    head = read_number(found["head"])
    if unit is None or head is None or (found["tail"] and "." in found["head"]):
        return None
    return head * unit + int(found["tail"] or 0) * unit // 10


def _with_half(written: str) -> Decimal | None:
    """Read half of a unit, alone or behind a number that ends with the unit: half a hundred, a ten thousand and a half."""
    sign = signs()
    sizes = sign.units | sign.bigs
    if written[0] == sign.half:
        return Decimal(sizes[written[1]]) / 2 if len(written) == 2 and written[1] in sizes else None
    whole = read_number(written[:-1]) if written[-1] == sign.half and written[-2] in sizes else None
    return None if whole is None else whole + Decimal(sizes[written[-2]]) / 2


def _with_point(written: str) -> Decimal | None:
    """Read 三点五, 1.2万, 一点二万: digits after the point, at most one large unit behind them."""
    sign = signs()
    scale = 1
    while written and written[-1] in sign.bigs | sign.units:
        scale *= (sign.bigs | sign.units)[written[-1]]
        written = written[:-1]
    if "." in written and not _arabic(written.replace(".", "")):
        return None
    whole, point, tail = written.replace(sign.point, ".").partition(".")
    if not point or not whole or not tail or any(char in sign.counting_twos for char in tail):
        return None
    digits = "".join(str(sign.digits.get(char, char)) for char in tail)
    head = read_number(whole)
    if head is None or head != int(head) or not re.fullmatch("[0-9]+", digits):
        return None
    if whole[-1] in sign.bigs or (scale > 1 and whole[-1] in sign.units):
        return None
    return Decimal(f"{int(head)}.{digits}") * scale


def _digit_by_digit(written: str) -> Decimal | None:
    """Read 二零零 as 200; two plain digits side by side (三五) are an approximation, so no number."""
    sign = signs()
    if written[0] in sign.zeros or not any(char in sign.zeros for char in written):
        return None
    return Decimal("".join(str(sign.digits[char]) for char in written))


def _with_bigs(written: str) -> Decimal | None:
    sign = signs()
    for char, size in sorted(sign.bigs.items(), key=lambda item: -item[1]):
        if char not in written:
            continue
        left, _, right = written.rpartition(char)
        head = _with_bigs(left)
        if head is None or head == 0 or (head >= 10000 and not any(big in left for big in sign.bigs)):
            return None
        tail = _tail(right, size)
        return None if tail is None else head * size + tail
    return _section(written)


def _tail(written: str, unit: int) -> Decimal | None:
    """Read what follows a unit: nothing, 零-led rest, one digit that stands for tenths of the unit, or the next units down."""
    sign = signs()
    if not written:
        return Decimal(0)
    if written[0] in sign.zeros:
        rest = _with_bigs(written[1:])
        return rest if rest is not None and 0 < rest < unit else None
    if len(written) == 1 and (written in sign.digits or _arabic(written)):
        return Decimal(sign.digits[written] if written in sign.digits else int(written)) * (unit // 10)
    if _arabic(written):
        digits = len(str(unit)) - 1
        return Decimal(written) if written[0] != "0" and digits - 1 <= len(written) <= digits else None
    rest = _with_bigs(written)
    return rest if rest is not None and unit // 100 <= rest < unit else None


def _section(written: str) -> Decimal | None:
    """Read a number below 10,000 such as 两千零五十, 一百二 or 1千5."""
    sign = signs()
    if not written:
        return None
    if _arabic(written):
        return Decimal(written) if written == "0" or written[0] != "0" else None
    if written in sign.digits:
        return Decimal(sign.digits[written])
    place = next((index for index, char in enumerate(written) if char in sign.units), None)
    if place is None:
        return None
    unit = sign.units[written[place]]
    left, right = written[:place], written[place + 1 :]
    head = _head(left, unit)
    if head is None:
        return None
    if any(sign.units.get(char, 0) >= unit for char in right):
        return None
    tail = _tail(right, unit)
    if tail is not None and right and right[0] not in sign.zeros and not _arabic(right) and len(right) > 1 and tail < unit // 10:
        return None
    return None if tail is None else Decimal(head * unit) + tail


def _head(written: str, unit: int) -> int | None:
    sign = signs()
    if not written:
        return 1 if unit == 10 else None
    if written in sign.digits and written not in sign.zeros:
        return sign.digits[written]
    if _arabic(written) and written[0] != "0" and len(written) <= 4:
        return int(written)
    return None
