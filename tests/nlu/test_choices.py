"""Picking from a list that was just shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nlu.entities import find_entities, normal_form

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)


def read(text: str, expects: str | None = "choice") -> list[tuple[str, object]]:
    """Give kinds and values in an answer."""
    return [(one.kind, one.value) for one in find_entities(normal_form(text).text, NOW, ("李娜",), expects)]


@pytest.mark.parametrize(
    ("text", "found"),
    {
        "第二笔": [("choice", "2")],
        "第1个吧": [("choice", "1")],
        "最后那笔": [("choice", "-1")],
        "最上面的那个": [("choice", "1")],
        "45那笔": [("amount", 4_500), ("pointing", None)],
        "200的": [("amount", 20_000), ("pointing", None)],
        "给李娜那笔": [("payee", "李娜"), ("pointing", None)],
        "那笔": [("pointing", None)],
    }.items(),
)
def test_a_place_a_sum_or_a_name_picks(text: str, found: list[tuple[str, object]]) -> None:
    """A place is told from a sum, and words that merely point belong to the answer."""
    assert read(text) == found


def test_nothing_is_picked_where_nothing_was_listed() -> None:
    """The same words mean no choice when none is asked for."""
    assert read("第二笔", None) == [] == read("45那笔", None)
