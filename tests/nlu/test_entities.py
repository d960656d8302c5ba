"""All entities of a message together: kinds, spans, values taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlu.entities import find_entities, normal_form

NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)
NAMES = ("李娜", "张三丰")


def entities(text: str, expects: str | None = None) -> list[dict[str, Any]]:
    """Find the entities of a message as it was typed, in the parse form."""
    normal = normal_form(text)
    return [one.to_json(normal) for one in find_entities(normal.text, NOW, NAMES, expects)]


def kinds(text: str, expects: str | None = None) -> dict[str, Any]:
    """Give entity → value, for messages that name each once."""
    return {one["entity"]: one["value"] for one in entities(text, expects)}


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "给13800000002转50": {"phone": "13800000002", "amount": 5000},
        "转给 138 0000 0002 五十": {"phone": "13800000002", "amount": 5000},
        "转给138-0000-0002": {"phone": "13800000002"},
        "+86 13800000002": {"phone": "13800000002"},
        "8613800000002": {"phone": "13800000002"},
        "手机号１３８００００００２２": {"phone": "13800000022", "slot": "phone"},
        "绑定6228482898203884775": {"card": "6228482898203884775"},
        "卡号 6228 4828 9820 3884 775": {"card": "6228482898203884775", "slot": "card"},
        "4111111111111111": {"card": "4111111111111111"},
        "4111111111111112": {},
        "转50到8010000000017": {"amount": 5000, "wallet_id": "8010000000017"},
        "订单号T20261118000123": {"order": "T20261118000123"},
        "查一下单号 20261118123456789012": {"order": "20261118123456789012"},
        "493201": {"code": "493201"},
        "验证码是493201": {"code": "493201", "slot": "code"},
        "转账123456元": {"amount": 12345600},
        "换到青岛": {"city": "qingdao"},
        "我在重庆": {"city": "chongqing"},
        "蘭州": {"city": "lanzhou"},
        "交电费50": {"biller": "electricity", "amount": 5000},
        "水费多少": {"biller": "water"},
        "给手机充100话费": {"amount": 10000, "biller": "phone", "slot": "phone"},
        "收款人错了": {"slot": "payee"},
        "金额写错了": {"slot": "amount"},
        "收钱的人不对": {"slot": "payee"},
        "转三丰 75": {"payee": "三丰", "amount": 7500},
        "给李娜转200块": {"payee": "李娜", "amount": 20000},
        "给张三丰转一百多": {"payee": "张三丰", "amount": None},
        "上个月给李娜转了多少": {"payee": "李娜", "period": {"start": "2026-10-01", "end": "2026-11-01"}},
        "尾号6688那张": {"card": "6688"},
        "手机尾号1234": {"slot": "phone"},
        "给幺三八零零零零零零零二转50": {"phone": "13800000002", "amount": 5000},
        "138 000 00002": {"phone": "13800000002"},
        "(+86)138-0000-0002": {"phone": "13800000002"},
        "8010 0000 00017": {"wallet_id": "8010000000017"},
        "订单号 2026 1118 0001 23": {"order": "20261118000123"},
        "充流量50": {"biller": "phone", "amount": 5000},
        "交党费20": {"biller": "party_dues", "amount": 2000},
        "个税怎么交": {"biller": "income_tax"},
        "给油卡充500": {"biller": "fuel_card", "amount": 50000},
        "还一下信用卡": {"biller": "credit_card"},
        "社保卡丢了": {},
        "切到Qingdao": {"city": "qingdao"},
        "我在鹭岛": {"city": "xiamen"},
        "山城火锅付了50": {"amount": 5000},
        "金城武是谁": {},
        "给自己转200": {"payee": "自己", "amount": 20000},
        "2月30号": {"period": None},
        "": {},
    }.items(),
)
def test_a_message_gives_its_entities(text: str, expected: dict[str, Any]) -> None:
    """Each kind is found with its value, and nothing that is not there."""
    assert kinds(text) == expected


def test_what_is_expected_decides_what_six_digits_are() -> None:
    """Six digits are a code, unless a sum was asked for."""
    assert kinds("123456", "code") == {"code": "123456"}
    assert kinds("123456", "amount") == {"amount": 12345600}
    assert kinds("493 201", "code") == {"code": "493201"}
    assert kinds("不对,是493201", "code") == {"code": "493201"}
    assert kinds("金额改成100000", "code") == {"slot": "amount", "amount": 10000000}
    assert kinds("转100000", "code") == {"amount": 10000000}


@pytest.mark.parametrize(
    ("text", "note"),
    {
        "给李娜转200备注饭钱": "饭钱",
        "转200给李娜，附言：房租": "房租",
        "给李娜转50 留言 生日快乐": "生日快乐",
        "给李娜转300，就说是还他的": "还他的",
        "给李娜转200,备注1月房租,谢谢": "1月房租",
        "备注饭钱 给李娜转50": "饭钱",
        "给李娜转200备注「Happy Birthday」": "Happy Birthday",
        "给李娜轉500 備註飯錢": "飯錢",
        "备注给张三丰买药": "给张三丰买药",
        "备注改成房租": "房租",
        "附言不对，改成生日快乐": "生日快乐",
        "给李娜转20备注" + "长" * 80: None,
        "给李娜转5备注订单号T20261118000123": "订单号T20261118000123",
    }.items(),
)
def test_a_note_is_taken_as_it_is_written(text: str, note: str | None) -> None:
    """The words for a payment's note come out whole, up to their limit, and nothing inside them is anything else."""
    (found,) = [one for one in entities(text) if one["entity"] == "note"]
    assert found["value"] == text[found["start"] : found["end"]]
    assert len(found["value"]) <= 50
    assert note is None or found["value"] == note


@pytest.mark.parametrize(
    "text",
    [
        "备注写错了",
        "不写备注",
        "无备注",
        "转账怎么备注",
        "备注能写多少字",
        "能不能备注",
        "留言板在哪",
        "给李娜转了,他就说是没收到",
    ],
)
def test_words_about_notes_are_no_note(text: str) -> None:
    """Questions, refusals and what somebody else said give nothing to write down."""
    assert [one for one in entities(text) if one["entity"] == "note"] == []


@pytest.mark.parametrize(
    "text",
    [
        "用青岛的钱包转10块给李娜",
        "从青岛账户转5块",
        "拿青岛钱包付",
        "青岛钱包转50给李娜",
        "从青岛扣吧",
        "用我青岛的那个钱包付",
        "給李娜轉50用青島錢包",
    ],
)
def test_a_city_can_name_the_wallet_to_use(text: str) -> None:
    """Where the money is to come from carries its role."""
    assert [(one["value"], one.get("role")) for one in entities(text) if one["entity"] == "city"] == [("qingdao", "wallet")]


@pytest.mark.parametrize("text", ["换到青岛的钱包", "查青岛钱包余额", "在青岛能用吗", "我在青岛转的", "青岛怎么开通", "青岛"])
def test_a_city_elsewhere_has_no_role(text: str) -> None:
    """A city that is asked about, or gone to, does not say which wallet pays."""
    assert [one.get("role") for one in entities(text) if one["entity"] == "city"] == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "不是300,是500": [(30000, True), (50000, False)],
        "300不对应该是500": [(30000, True), (50000, False)],
        "不是300块 是500块": [(30000, True), (50000, False)],
        "别给李娜了给张三丰": [("李娜", True), ("张三丰", False)],
        "不是给李娜,是给张三丰": [("李娜", True), ("张三丰", False)],
        "给张三丰,不是李娜": [("张三丰", False), ("李娜", True)],
        "不要转200了,转50": [(20000, True), (5000, False)],
        "不对 是15块": [(1500, False)],
        "改成500": [(50000, False)],
        "李娜写错了,是王小明": [("李娜", True), ("王小明", False)],
        "转给李娜200,不对,是150": [("李娜", False), (20000, True), (15000, False)],
        "转200给李娜,不对,是150": [(20000, True), ("李娜", False), (15000, False)],
        "给李娜转200,错了,是给张三丰": [("李娜", True), (20000, False), ("张三丰", False)],
        "额不是 二百五不好听 二百六": [(25000, True), (26000, False)],
        "不是100 是120": [(10000, True), (12000, False)],
        "是500不是300": [(50000, False), (30000, True)],
    }.items(),
)
def test_a_value_taken_back_is_negated(text: str, expected: list[tuple[Any, bool]]) -> None:
    """In a correction the old value is marked and the new one is not."""
    found = [one for one in entities(text) if one["entity"] in ("amount", "payee")]
    assert [(one["value"], one.get("negated", False)) for one in found] == expected


def test_spans_are_exact_in_the_original() -> None:
    """Full-width, traditional and invisible characters before an entity do not move its span."""
    text = "請\u200b給　張三豐　轉　５００　塊"
    found = {one["entity"]: text[one["start"] : one["end"]] for one in entities(text)}
    assert found == {"payee": "張三豐", "amount": "５００　塊"}


@given(
    st.text(alphabet="备注就说用给转李娜张三丰500元二百五块 ,不是13800000002昨天上月电费青岛8订单号", max_size=40),
    st.sampled_from([None, "amount", "payee", "code"]),
)
def test_no_two_entities_overlap(text: str, expects: str | None) -> None:
    """However entities are jumbled, each character belongs to one at most and each span reads as its text."""
    found = entities(text, expects)
    last = 0
    for one in found:
        assert last <= one["start"] < one["end"] <= len(text)
        assert text[one["start"] : one["end"]] == one["text"]
        last = one["end"]
