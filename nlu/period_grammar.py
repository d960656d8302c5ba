"""The word lists of stretches of time as regular expressions, built once."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.holidays import holiday_names
from nlu.numbers import signs
from nlu.words import one_of, words

Rules = tuple[tuple[re.Pattern[str], str], ...]
"""Each a pattern and the name of what it means."""


@dataclass(frozen=True, slots=True)
class PeriodGrammar:
    """Every pattern that finding periods needs; the word lists say what each is for."""

    dates: Rules
    parts: Rules
    cut: re.Pattern[str]
    to: re.Pattern[str]
    both: re.Pattern[str]
    between: re.Pattern[str]
    behind: dict[str, re.Pattern[str]]
    before: dict[str, re.Pattern[str]]


@functools.cache
def period_grammar() -> PeriodGrammar:
    """Build the patterns from the word lists."""
    found, holidays = words("periods"), words("holidays")
    digits = f"0-9{''.join(signs().digits)}{''.join(signs().units)}"
    named = dict(found["fragments"]) | {"digits": digits}
    named |= {name: one_of(found[name]) for name in ("years", "days", "shift", "recent", "coming")}
    named["holiday"] = one_of(holiday_names())
    named["holiday_after"] = one_of([*holidays["that_day"], *holidays["whole"], ""])

    def filled(pattern: str) -> str:
        while (more := re.sub(r"\{([a-z_]+)\}", lambda name: named[name[1]], pattern)) != pattern:
            pattern = more
        return pattern

    named["unread"] = filled(f"(?:{'|'.join(found['unread'])})")
    named["recurring"] = filled(found["recurring"])

    def rules(rows: list[list[str]], lead: str = "") -> Rules:
        return tuple((re.compile(lead + filled(pattern)), meaning) for pattern, meaning in rows)

    def behind(name: str) -> re.Pattern[str]:
        return re.compile(f" ?(?:{'|'.join(sorted(found[name], key=len, reverse=True))})")

    return PeriodGrammar(
        dates=rules(found["dates"]),
        parts=rules(found["parts"], lead=f" ?{found['of']}? ?"),
        cut=re.compile(rf"(?<=[{digits}.])[{digits}]"),
        to=re.compile(filled(named["to"])),
        both=re.compile(named["and"]),
        between=re.compile(named["between"]),
        behind={name: behind(name) for name in ("since", "until", "after", "before")},
        before={name: re.compile(f"{one_of(found[f'{name}_before'])} ?$") for name in ("since", "until")},
    )
