"""What holds of all entities: every sum and every date reads back in each spelling, and no text breaks or slows anything."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlu.entities import find_entities, normal_form

NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)
TODAY = date(2026, 11, 18)
NAMES = ("李娜", "张三丰", "John")
DIGITS = "零一二三四五六七八九"
CAPITALS = str.maketrans("零一二三四五六七八九十百千万", "零壹贰叁肆伍陆柒捌玖拾佰仟萬")
FULL_WIDTH = str.maketrans("0123456789.,¥", "０１２３４５６７８９．，￥")


def entities(text: str, kind: str | None = None, expects: str | None = None) -> list[dict[str, Any]]:
    """Find the entities of a message as it was typed, of one kind or of all."""
    normal = normal_form(text)
    found = [one.to_json(normal) for one in find_entities(normal.text, NOW, NAMES, expects)]
    return [one for one in found if kind in (None, one["entity"])]


def spoken(number: int) -> str:
    """Write a whole number below a billion in standard Chinese."""
    if number >= 10**4:
        rest = number % 10**4
        return spoken(number // 10**4) + "万" + (("零" if rest < 1000 else "") + spoken(rest) if rest else "")
    out, gap = "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, number = divmod(number, size)
        if digit:
            out, gap = f"{out}{'零' if gap else ''}{DIGITS[digit]}{name}", False
        else:
            gap = bool(out)
    return out or "零"


def spellings(fen: int) -> list[str]:
    """Write a sum in every way that people write one exactly."""
    yuan, rest = divmod(fen, 100)
    jiao, cent = divmod(rest, 10)
    plain = f"{yuan}.{rest:02d}"
    tail = (f"{spoken(jiao)}角" if jiao else "零" if cent and yuan else "") + (f"{spoken(cent)}分" if cent else "")
    units = (f"{spoken(yuan)}元" if yuan else "") + tail
    found = [
        f"转{plain}元",
        f"转{plain}",
        f"转¥{yuan:,}.{rest:02d}",
        f"转{yuan:,}.{rest:02d}块",
        f"{plain}rmb",
        f"RMB {plain}",
        f"人民币{plain}元",
        f"转{plain}元".translate(FULL_WIDTH),
        f"給李娜轉{plain}塊錢",
        f"转{units}",
        f"人民币{units}整",
        "转" + units.translate(CAPITALS).replace("元", "圓"),
        f"转{units.replace('元', '块').replace('角', '毛')}钱",
    ]
    if not rest:
        found += [f"转{yuan}", f"转{spoken(yuan)}", f"给李娜{yuan}块", f"转{yuan}元整"]
    if yuan and jiao and not cent:
        found += [f"转{yuan}块{jiao}", f"{spoken(yuan)}块{spoken(jiao)}", f"转{yuan}块{jiao}毛"]
    if yuan and not yuan % 1000 and not rest and yuan < 10**6:
        found += [f"转{yuan // 1000}k", f"转{yuan // 1000}千" if yuan < 10**4 else f"转{spoken(yuan)}块"]
    if yuan and not yuan % 1000 and not rest and yuan >= 10**4:
        found += [f"转{yuan / 10**4:g}w", f"转{yuan / 10**4:g}万"] if yuan < 10**8 else []
    return found


@given(st.one_of(st.integers(1, 10**4), st.integers(1, 10**10), st.integers(1, 10**6).map(lambda thousand: thousand * 10**5)))
@settings(max_examples=150, deadline=None)
def test_every_spelling_of_a_sum_reads_back(fen: int) -> None:
    """Whatever the sum and however it is written, it is read to the fen, once, with the span of its words."""
    for text in spellings(fen):
        found = entities(text, "amount")
        assert [(one["value"], one.get("problem")) for one in found] == [(fen, None)], text
        assert text[found[0]["start"] : found[0]["end"]] == found[0]["text"]


def day_spellings(day: date) -> list[str]:
    """Write a day in every way that names its year."""
    chinese = "".join(DIGITS[int(digit)] for digit in str(day.year))
    return [
        f"{day.year}年{day.month}月{day.day}日",
        f"{day.year}年{day.month:02d}月{day.day:02d}号",
        f"{day.year}-{day.month:02d}-{day.day:02d}",
        f"{day.year}/{day.month}/{day.day}",
        f"{day.year}.{day.month}.{day.day}",
        f"{day.year}{day.month:02d}{day.day:02d}",
        f"{chinese}年{spoken(day.month).removeprefix('一') if day.month >= 10 else spoken(day.month)}月{day_spoken(day.day)}日",
        f"{str(day.year)[2:]}年{day.month}月{day.day}号",
        f"{day.year}年{day.month}月{day.day}日下午3点",
    ]


def day_spoken(day: int) -> str:
    """Write the number of a day as it is said."""
    return spoken(day).removeprefix("一") if 10 <= day < 20 else spoken(day)


days = st.dates(date(2018, 1, 1), TODAY)


def read(text: str) -> list[tuple[date, date]]:
    """Read the periods of a message, each its first day and its last."""
    found = [one["value"] for one in entities(text, "period")]
    return [(date.fromisoformat(one["start"]), date.fromisoformat(one["end"]) - timedelta(days=1)) for one in found]


@given(days)
@settings(max_examples=100, deadline=None)
def test_every_spelling_of_a_day_reads_back(day: date) -> None:
    """A day that is written out with its year is that day, and so it is without, as the latest one."""
    for text in day_spellings(day):
        assert read(f"查{text}的账单") == [(day, day)], text
    if (TODAY - day).days < 365:
        assert read(f"{day.month}月{day.day}号") == [(day, day)]
    if 0 < (TODAY - day).days <= 300:
        assert read(f"{(TODAY - day).days}天前") == [(day, day)]


@given(days, days)
@settings(max_examples=100, deadline=None)
def test_every_spelling_of_a_stretch_reads_back(one: date, other: date) -> None:
    """From one day to another, from month to month, in each spelling and with each word between: both ends are in it."""
    first, last = sorted((one, other))
    for start, end in zip(day_spellings(first)[:8], day_spellings(last)[:8], strict=True):
        for joint in ("到", "至", "~", "—"):
            assert read(f"从{start}{joint}{end}的明细") == [(first, last)], (start, joint, end)
    whole = (first.replace(day=1), (last.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1))
    assert read(f"{first.year}年{first.month}月到{last.year}年{last.month}月") == [whole]
    if first.year == last.year and first.month < last.month:
        assert read(f"{first.year}年{first.month}-{last.month}月") == [whole]
    assert read(f"{first.year}年{first.month}月{first.day}号到现在") == [(first, TODAY)]


@given(st.integers(1, 12), st.integers(29, 31))
def test_a_day_that_no_month_has_is_asked_back(month: int, day: int) -> None:
    """The thirtieth of February is no other day, and no month either."""
    try:
        date(2025, month, day)
    except ValueError:
        for text in (f"2025年{month}月{day}日", f"2025-{month:02d}-{day}", f"去年{month}月{day}号的账单"):
            assert [(one["value"], one["problem"]) for one in entities(text, "period")] == [(None, "impossible")], text


WORDS = (
    "零一二三两俩十百千万亿半几多来约0123456789.,-+/:%年月日号周星期上下个这本到至前后天昨今明初底旬季度块元毛角分钱¥$"
    "给转账付充提扣李娜张三丰我妈自己的和、@尾号卡+86幺 😀Ａ１㍘㋀½①"
)


def check(text: str, expects: str | None) -> None:
    """Assert that entities are where they say they are, in order, each beside the other."""
    last = 0
    for one in entities(text, expects=expects):
        assert text[one["start"] : one["end"]] == one["text"] != ""
        assert one["start"] >= last, text
        last = one["end"]


@given(
    st.one_of(st.text(max_size=120), st.text(alphabet=WORDS, max_size=60)),
    st.sampled_from([None, "amount", "payee", "code", "choice", "delay", "surname"]),
)
@settings(max_examples=600, deadline=None)
def test_no_text_breaks_anything(text: str, expects: str | None) -> None:
    """Whatever is typed, nothing raises, and the spans are exact and overlap nothing in the text as it was typed."""
    check(text, expects)


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "一",
        "1 ",
        "1,",
        "转1",
        "给李娜和",
        "5月1日到",
        "最近三个月",
        "百分之",
        "的",
        "😀",
        "二百块",
        "上",
        "１．",
        "㍘",
        "半",
        "元",
    ],
)
def test_ten_thousand_characters_take_no_time(piece: str) -> None:
    """However long and however dull a message, it is read in well under a second."""
    text = (piece * 10_000)[:10_000]
    entities(text)
    begun = time.perf_counter()
    check(text, None)
    assert time.perf_counter() - begun < 0.5
