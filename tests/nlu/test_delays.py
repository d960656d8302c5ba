"""When the money is to arrive, as people say it, and what only sounds like it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlu.entities import find_entities, normal_form

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
HOUR, DAY = 3_600, 86_400
OPEN = "open"


def read(text: str, expects: str | None = None) -> list[Any]:
    """Give the seconds of each delay that stands, ``open`` for one of no length."""
    found = find_entities(normal_form(text).text, NOW, ("李娜", "张三丰"), expects)
    return [one.problem or one.value for one in found if one.kind == "delay" and not one.negated]


@pytest.mark.parametrize(
    ("text", "seconds"),
    {
        "给李娜转200，两小时后到账": 2 * HOUR,
        "给李娜转200两小时后到账": 2 * HOUR,
        "给李娜转两百两小时后到账": 2 * HOUR,
        "2个小时以后再到账": 2 * HOUR,
        "过两个钟头再让她收到": 2 * HOUR,
        "延迟两小时": 2 * HOUR,
        "晚2小时到账": 2 * HOUR,
        "24小时到账": DAY,
        "廿四小时后到账": DAY,
        "轉給李娜 延時24小時到帳": DAY,
        "明天到账": DAY,
        "次日到帐": DAY,
        "隔天再到": DAY,
        "推迟到明天": DAY,
        "T+1到账": DAY,
        "一天后到账": DAY,
        "三小时后到账": 3 * HOUR,
        "一个半小时后到账": 5_400,
        "半小时后到账": 1_800,
        "后天到账": 2 * DAY,
        "下周再到账": 7 * DAY,
        "实时到账": 0,
        "马上到账": 0,
        "还是改成实时吧": 0,
        "不要延迟了": 0,
        "不用延迟到账": 0,
        "延迟到账": OPEN,
        "别马上到账": OPEN,
        "不要实时到账": OPEN,
        "晚点到账": OPEN,
        "过会儿再到": OPEN,
        "不要实时到账，2小时到账": 2 * HOUR,
        "不是两小时后到账，是24小时后到账": DAY,
        "给李娜转200备注房租，两小时后到账": 2 * HOUR,
    }.items(),
)
def test_a_time_of_arrival_is_read(text: str, seconds: int | str) -> None:
    """In words, digits and both together; what is taken back does not count."""
    assert set(read(text)) == {seconds}


@pytest.mark.parametrize(
    "text",
    [
        "转账多久到账",
        "两小时后还没到账",
        "三天没到账",
        "明天到期",
        "昨晚两点到账的那笔",
        "明天给李娜转200",
        "明天收到货再付",
        "给李娜转200备注明天到账",
        "最近24小时的明细",
        "2小时内到账",
        "李娜明天到厦门",
    ],
)
def test_what_only_sounds_like_it_is_none(text: str) -> None:
    """Questions, complaints, days of other things and the text of a note ask for no delay."""
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    {"两小时": 2 * HOUR, "那就24小时吧": DAY, "明天": DAY, "一天后": DAY, "实时": 0, "马上": 0, "算了 2小时吧": 2 * HOUR}.items(),
)
def test_asked_for_it_less_is_enough(text: str, seconds: int) -> None:
    """A bare length answers the question for it, and is nothing by itself."""
    assert read(text, "delay") == [seconds]
    assert read(text) == []


def test_the_other_parts_of_an_order_stay_what_they_are() -> None:
    """Sum, payee and note beside a time of arrival."""
    found = find_entities(normal_form("给李娜转200两小时后到账，备注房租").text, NOW, ("李娜",))
    assert {one.kind: one.value for one in found} == {"payee": "李娜", "amount": 20_000, "delay": 7_200, "note": "房租"}


@given(
    st.text(alphabet="一二两半十0123456789个小时天后再到账延迟晚明实马上不别,。 ", max_size=40), st.sampled_from([None, "delay"])
)
def test_any_mixture_of_such_words_is_read(text: str, expects: str | None) -> None:
    """Whatever stands together, nothing fails, and no delay is below zero."""
    assert all(one == OPEN or one >= 0 for one in read(text, expects))
