"""The conditions of flow files: what they mean, and that nothing else can be written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.dialogue.conditions import ConditionError, parse_condition

SLOTS = {
    "amount": 20000,
    "payee": "李娜",
    "yes": True,
    "no": False,
    "zero": 0,
    "empty": "",
    "items": ["a", "b"],
    "rate": 1.5,
    "gone": None,
    "a.b": "dotted",
}
TABLE = {
    "slots.amount": True,
    "slots.zero": False,
    "slots.empty": False,
    "slots.gone": False,
    "slots.absent": False,
    "slots.amount = 20000": True,
    "slots.amount != 20000": False,
    "slots.amount > 19999": True,
    "slots.amount > 20000": False,
    "slots.amount >= 20000": True,
    "slots.amount < 20000": False,
    "slots.amount <= 20000": True,
    "slots.amount > -1": True,
    "slots.rate > 1.4": True,
    "slots.payee = '李娜'": True,
    'slots.payee = "张三"': False,
    "slots.payee != '张三'": True,
    "slots.payee contains '娜'": True,
    "slots.items contains 'b'": True,
    "slots.items contains 'c'": False,
    "slots.yes is true": True,
    "slots.amount is true": False,
    "slots.yes is not true": False,
    "slots.gone is not true": True,
    "slots.gone is null": True,
    "slots.gone is not null": False,
    "slots.payee is not null": True,
    "slots.gone = null": True,
    "slots.amount = null": False,
    "slots.no is false": True,
    "slots.zero is false": False,
    "slots.a.b = 'dotted'": True,
    "context.misses > 1": True,
    "context.flow_name": False,
    "not slots.gone": True,
    "not not slots.gone": False,
    "NOT slots.gone AND slots.yes": True,
    "true": True,
    "false or slots.yes": True,
    "(slots.yes)": True,
    # a missing value compares false, whatever the comparison
    "slots.gone = 1": False,
    "slots.gone != 1": False,
    "slots.gone > 1": False,
    "slots.gone < 1": False,
    "slots.gone >= 1": False,
    "slots.gone <= 1": False,
    "slots.gone contains 'a'": False,
    "'a' contains slots.gone": False,
    "slots.absent != 'x'": False,
    # so does one of another kind
    "slots.payee > 1": False,
    "slots.amount contains 'a'": False,
    "slots.amount = '20000'": False,
    # and binds tighter than or, not tighter than and
    "slots.yes or slots.no and slots.no": True,
    "(slots.yes or slots.no) and slots.no": False,
    "slots.no and slots.no or slots.yes": True,
    "not slots.no and slots.yes": True,
    "not (slots.no or slots.yes)": False,
    "not slots.amount > 5": False,
    "not slots.amount = 5 or slots.no": True,
}
BROKEN = [
    "",
    "   ",
    "slots.amount >",
    "> 5",
    "slots.amount == 5",
    "slots.amount 5",
    "(slots.amount",
    "slots.amount)",
    "slots.",
    "amount > 5",
    "os.system",
    "slots.amount and",
    "and",
    "not",
    "is null",
    "slots.a = 'x",
    "slots.a > 5 > 3",
    "slots.a; slots.b",
    "__import__('os')",
    "slots['a']",
    "slots.a = 1 2",
    "()",
]


@pytest.mark.parametrize("text", TABLE)
def test_a_condition_means_what_it_says(text: str) -> None:
    """Each comparison, each connective and each kind of missing value."""
    assert parse_condition(text).holds({"slots": SLOTS, "context": {"misses": 2}}) is TABLE[text]


@pytest.mark.parametrize("text", BROKEN)
def test_anything_else_is_refused(text: str) -> None:
    """What is no condition is refused when it is read, never when it is evaluated."""
    with pytest.raises(ConditionError):
        parse_condition(text)


def test_the_names_that_a_condition_reads_are_known() -> None:
    """Every slot and fact that a condition mentions can be held against what exists; words in quotes are none."""
    names = parse_condition("slots.a > 1 and (context.b or not slots.c.d) and slots.e = 'slots.f'").names
    assert names == {("slots", "a"), ("context", "b"), ("slots", "c.d"), ("slots", "e")}


_WORDS = [
    *("slots.amount", "slots.gone", "slots.payee", "context.misses", "and", "or", "not", "(", ")", "=", "!=", ">", ">="),
    *("<", "<=", "is", "contains", "true", "false", "null", "1", "-2.5", "'x'", '"y"', "中", "=", "'", ".", "\n"),
]
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just({})


@given(
    st.text() | st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join),
    st.dictionaries(st.sampled_from(["amount", "payee"]), _VALUES),
)
@settings(max_examples=400, deadline=None)
def test_nothing_but_a_condition_error_comes_of_any_text(text: str, slots: dict[str, Any]) -> None:
    """Any text is a condition or a ConditionError; a condition gives yes or no for any values."""
    try:
        condition = parse_condition(text)
    except ConditionError:
        return
    assert condition.holds({"slots": slots, "context": {}}) in (True, False)


_ATOMS = {"slots.yes": True, "slots.no": False, "slots.gone": False, "slots.amount > 5": True, "slots.gone != 1": False}


@st.composite
def _spoken(draw: st.DrawFn, depth: int = 0) -> tuple[str, bool, int]:
    """Build a condition as text, with its value and how tightly it binds (3 an atom, 2 not, 1 and, 0 or)."""
    kind = draw(st.integers(0, 3)) if depth < 4 else 3
    if kind == 3:
        text = draw(st.sampled_from(sorted(_ATOMS)))
        return text, _ATOMS[text], 3
    left = draw(_spoken(depth=depth + 1))
    if kind == 2:
        return f"not {_held(left, 2)}", not left[1], 2
    right = draw(_spoken(depth=depth + 1))
    word = "and" if kind == 1 else "or"
    value = (left[1] and right[1]) if kind == 1 else (left[1] or right[1])
    return f"{_held(left, kind)} {word} {_held(right, kind)}", value, kind


def _held(part: tuple[str, bool, int], tightness: int) -> str:
    return f"({part[0]})" if part[2] < tightness else part[0]


@given(_spoken())
@settings(max_examples=200, deadline=None)
def test_precedence_and_parentheses(built: tuple[str, bool, int]) -> None:
    """A condition written with only the parentheses that it needs has the value of the tree that it was written from."""
    assert parse_condition(built[0]).holds({"slots": SLOTS, "context": {}}) is built[1]
