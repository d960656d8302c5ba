"""One spelling for all, with every character's place in the original kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlu.entities import normal_form
from nlu.normalise import LONGEST


@pytest.mark.parametrize(
    ("original", "expected"),
    {
        "轉賬給李娜２００塊": "转账给李娜200块",
        "ＡＢＣ，ａｂｃ！": "abc,abc!",
        "转\u200b账\u202e50\x07": "转账50",
        "  转  账\t\n50  ": "转 账 50",
        "转转转转转账": "转转账",
        "哈哈哈哈哈": "哈哈",
        "!!!!!!": "!!",
        "10000000": "10000000",
        "二百百百": "二百百百",
        "5²": "5²",
        "帳戶": "账户",
        "帐户": "账户",
        "é": "é",
        "": "",
    }.items(),
)
def test_spellings_become_one(original: str, expected: str) -> None:
    """Width, script, control characters, spaces and runs are levelled; numerals are left alone."""
    assert normal_form(original).text == expected


@pytest.mark.parametrize(
    ("original", "part", "expected"),
    [
        ("請　轉　２００　塊", "200", "２００"),
        ("给李\u200b娜转50", "李娜", "李\u200b娜"),
        ("转转转转转账50元", "50元", "50元"),
        ("ﬁ转账50", "50", "50"),
        ("\u202a给我妈转\u202c 100", "100", "100"),
    ],
)
def test_a_span_points_into_the_original(original: str, part: str, expected: str) -> None:
    """What is found in the normalised text is cut out of the original exactly."""
    normal = normal_form(original)
    at = normal.text.index(part)
    start, end = normal.span(at, at + len(part))
    assert original[start:end] == expected


def test_simplified_text_stays_as_it_is() -> None:
    """Words that only Taiwan uses otherwise are not rewritten in simplified text."""
    for text in ("文件和软件的设置", "程序里的余额", "后台", "干杯", "什么"):
        assert normal_form(text).text == text


@given(st.text(max_size=300))
def test_offsets_always_rise_within_the_original(original: str) -> None:
    """Whatever comes in, each character has an origin, in order, inside the text."""
    normal = normal_form(original)
    assert len(normal.text) == len(normal.origin)
    assert list(normal.origin) == sorted(normal.origin)
    assert all(0 <= at < len(original) for at in normal.origin)


def test_a_very_long_text_is_cut() -> None:
    """Beyond a limit no message becomes clearer."""
    assert len(normal_form("转账" * 10_000).text) <= LONGEST
