"""The conditions of flow files: CALM's small language, parsed once and evaluated over plain values.

Grammar (the part of pypred that flow files use)::

    either  := both ("or" both)*
    both    := negated ("and" negated)*
    negated := "not" negated | "(" either ")" | test
    test    := value [("=" | "!=" | ">" | ">=" | "<" | "<=" | "is" ["not"] | "contains") value]
    value   := slots.NAME | context.NAME | number | 'text' | true | false | null

A missing value compares false, whatever the comparison, except with ``is not`` and ``is null``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r"\s*(?:(>=|<=|!=|=|>|<|\(|\))|'([^']*)'|\"([^\"]*)\"|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w.]*))")
_WORDS = {"true": True, "false": False, "null": None, "undefined": None, "empty": None}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "contains": lambda a, b: b in a,
}

Values = Mapping[str, Mapping[str, Any]]
Test = Callable[[Values], Any]


class ConditionError(ValueError):
    """A condition that cannot be read; its text says where."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition; ``names`` are the ``slots.x`` and ``context.x`` that it reads."""

    text: str
    names: frozenset[tuple[str, str]]
    _test: Test = field(repr=False, compare=False)

    def holds(self, values: Values) -> bool:
        """Evaluate over ``{"slots": {...}, "context": {...}}``."""
        return bool(self._test(values))


def parse_condition(text: str) -> Condition:
    """Read one condition; raises :class:`ConditionError`."""
    parser = _Parser(text)
    test = parser.either()
    parser.end()
    return Condition(text, frozenset(parser.names), test)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.names: set[tuple[str, str]] = set()

    def peek(self) -> str:
        return self.tokens[self.at][1].lower() if self.at < len(self.tokens) and self.tokens[self.at][0] != "text" else ""

    def take(self, *words: str) -> str:
        word = self.peek()
        if word in words:
            self.at += 1
            return word
        return ""

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise ConditionError(f"unexpected {self.tokens[self.at][1]!r} in condition {self.text!r}")

    def either(self) -> Test:
        tests = [self.both()]
        while self.take("or"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def both(self) -> Test:
        tests = [self.negated()]
        while self.take("and"):
            tests.append(self.negated())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def negated(self) -> Test:
        if self.take("not"):
            inner = self.negated()
            return lambda values: not inner(values)
        if self.take("("):
            inner = self.either()
            if not self.take(")"):
                raise ConditionError(f"a parenthesis is not closed in condition {self.text!r}")
            return inner
        return self.test()

    def test(self) -> Test:
        left = self.value()
        operator = self.take("=", "!=", ">", ">=", "<", "<=", "is", "contains")
        if not operator:
            return left
        if operator == "is":
            operator = "is not" if self.take("not") else "is"
        right = self.value()
        return lambda values: _compare(operator, left(values), right(values))

    def value(self) -> Test:
        if self.at >= len(self.tokens):
            raise ConditionError(f"condition {self.text!r} ends too early")
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return lambda _: token
        if kind == "number":
            number = float(token) if "." in token else int(token)
            return lambda _: number
        if token.lower() in _WORDS:
            constant = _WORDS[token.lower()]
            return lambda _: constant
        space, _, name = token.partition(".")
        if space not in ("slots", "context") or not name:
            raise ConditionError(f"unknown name {token!r} in condition {self.text!r} (slots.x and context.x can be read)")
        self.names.add((space, name))
        return lambda values: values[space].get(name)


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator in ("is", "is not"):
        same = type(left) is type(right) and left == right
        return same if operator == "is" else not same
    if left is None or right is None:
        return operator == "=" and left is right
    if operator in ("=", "!="):
        return bool(left == right) == (operator == "=")
    try:
        return _COMPARE[operator](left, right)
    except TypeError:
        return False


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConditionError(f"cannot read {text[at:].strip()!r} in condition {text!r}")
        symbol, single, double, number, word = match.groups()
        if symbol:
            found.append(("symbol", symbol))
        elif number:
            found.append(("number", number))
        elif word:
            found.append(("word", word))
        else:
            found.append(("text", single if single is not None else double))
        at = match.end()
    return found
