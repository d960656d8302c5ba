"""Several wishes in one message, what a message leaves out, and values that are not what they look like."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlu import Interpreter
from nlu.ellipsis import asked_of_other
from nlu.model import load_model
from nlu.words import words

NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)
NAMES = ("李娜", "张三丰")

SEVERAL = [
    ("查下余额再转100给李娜", ["check_balance", "transfer_money"]),
    ("先看看明细，然后给李娜转50", ["check_history", "transfer_money"]),
    ("转100给李娜，再转200给张三丰", ["transfer_money", "transfer_money"]),
    ("转100给李娜和200给张三丰", ["transfer_money", "transfer_money"]),
    ("余额多少 顺便问下今天还能转多少", ["check_balance", "check_limits"]),
    ("查余额和明细", ["check_balance", "check_history"]),
    ("取消这个，转50给张三丰", ["cancel", "transfer_money"]),
    ("查余额，再转100给李娜，谢谢", ["check_balance", "transfer_money"]),
    ("查下余额，别转钱给李娜", ["check_balance", "cancel"]),
    ("转500给李娜，再交水费", ["transfer_money", "pay_bill"]),
    ("转500给李娜，查余额", ["transfer_money", "check_balance"]),
    ("不是转账，是充值", ["cancel", "top_up"]),
    ("查昨天和今天的明细", ["check_history", "check_history"]),
    ("查余额再查明细再查限额再转100给李娜", ["check_balance", "check_history", "check_limits", "transfer_money"]),
]
WHOLE = [
    "你好，我想查余额",
    "转100给李娜，24小时到账",
    "转100给李娜，24小时到账行不",
    "先充值再提现要手续费吗",
    "先充值，再提现要手续费吗",
    "钱包转账和提现有什么区别",
    "给李娜和张三丰各转100",
    "给李娜转账，转100",
    "我要转账，给李娜，100块",
    "转200给李娜，不，转给张三丰",
    "搞错了，是给张三丰转二百",
    "转100给李娜，算了不转了",
    "我没说要查余额再转100给李娜",
    "不要查余额，转100给李娜",
    "如果余额不够就别转100给李娜了",
    "怎么查余额再转账",
    "转100给李娜 备注：吃饭，然后唱歌",
    "转100给李娜，另外备注写生日快乐",
    "我想转3000，看看额度够不够",
    "给13800000003转50块，刷单用",
    "转500给李娜，交水费",
    "转500给李娜，退款",
    "算了，给李娜",
    "转账 手续费",
    "注销之后积分作废吗",
    "大额提现另外收费吗",
    "手机落公交上了，先把它关掉",
    "他说不要我还了，那就取消吧",
    "接到电话说我白条影响征信 让我转钱注销 我已经转了",
    "电子账户销户 里面有0.37怎么办",
    "提现 明细",
    "再见",
    "查余额，谢谢",
]


@pytest.fixture(scope="module")
def parse(interpreter: Interpreter) -> Any:
    """The parse of one message of somebody with two contacts."""
    return lambda text: interpreter.parse(text, NOW, NAMES)


@pytest.mark.parametrize(("text", "intents"), SEVERAL)
def test_each_wish_is_read_by_itself(parse: Any, text: str, intents: list[str]) -> None:
    """The message falls into its wishes, each with its own values."""
    clauses = parse(text)["clauses"]
    assert [clause["intent"]["name"] for clause in clauses] == intents
    assert all(clause["text"] == text[clause["start"] : clause["end"]] for clause in clauses)


@pytest.mark.parametrize("text", WHOLE)
def test_one_wish_stays_whole(parse: Any, text: str) -> None:
    """What is one wish, one question, a correction or a condition is not cut."""
    assert "clauses" not in parse(text)


def test_a_sum_and_a_payee_belong_to_their_own_clause(parse: Any) -> None:
    """Neither wish takes a value of the other."""
    first, second = parse("转100给李娜，再转200给张三丰")["clauses"]
    told = [{one["entity"]: one["value"] for one in clause["entities"]} for clause in (first, second)]
    assert told == [{"amount": 10000, "payee": "李娜"}, {"amount": 20000, "payee": "张三丰"}]


_PIECES = st.sampled_from(
    [
        *"，。 、；再和，",
        "然后",
        "顺便",
        "查余额",
        "转100给李娜",
        "200给张三丰",
        "不转了",
        "取消",
        "明细",
        "手续费多少",
        "的一半",
        "给自己转",
        "吗",
        "呢",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=9).map("".join) | st.text(max_size=60))
def test_clauses_are_spans_in_order(interpreter: Interpreter, text: str) -> None:
    """Whatever is written, clauses are at least two spans of it, in order, that do not overlap; nothing raises."""
    form = interpreter.parse(text, NOW, NAMES)
    assert form["text"] == text
    clauses = form.get("clauses", [])
    assert len(clauses) != 1
    for clause in clauses:
        assert 0 <= clause["start"] < clause["end"] <= len(text)
        assert clause["text"] == text[clause["start"] : clause["end"]]
        assert "clauses" not in clause
    assert all(before["end"] <= after["start"] for before, after in pairwise(clauses))


@pytest.mark.parametrize(
    ("text", "mark", "intents"),
    [
        ("再转一次", "again", ["transfer_money"]),
        ("再来一笔", "again", []),
        ("同样的再转200", "same", ["transfer_money"]),
        ("给张三丰也转一笔", "same", ["transfer_money"]),
        ("换成300", "instead", []),
        ("那李娜呢", "other", []),
        ("那上个月呢", "other", []),
        ("再看看青岛的", "again", []),
    ],
)
def test_a_message_that_leaves_something_out(parse: Any, text: str, mark: str, intents: list[str]) -> None:
    """It is marked, with the verb that it names."""
    assert parse(text).get("elliptical") == {"mark": mark, "intents": intents}


@pytest.mark.parametrize(
    "text", ["再说一遍", "再见", "重新开始", "转100给李娜", "再给张三丰转100", "你呢", "呢", "再转一次不行吗"]
)
def test_a_message_that_leaves_nothing_out(parse: Any, text: str) -> None:
    """Other messages with the same words in them are left alone."""
    assert parse(text).get("elliptical") is None


@pytest.mark.parametrize(
    ("question", "text", "asked"),
    [
        ("转账收手续费吗", "那提现呢", "提现收手续费吗"),
        ("转账收手续费吗", "那青岛呢", "青岛转账收手续费吗"),
        ("青岛转账收手续费吗", "那厦门的呢", "厦门转账收手续费吗"),
        ("转账和提现哪个快", "那充值呢", None),
        ("有什么优惠", "那提现呢", None),
        ("", "那提现呢", None),
        ("转账收手续费吗", "提现多少", None),
    ],
)
def test_a_question_asked_of_something_else(question: str, text: str, asked: str | None) -> None:
    """Only the thing is exchanged, and only where it is clear which."""
    assert asked_of_other(question, text) == asked


@pytest.mark.parametrize("text", ["给自己转100", "转给我自己100块", "给本人转50", "往自己这儿转点钱"])
def test_oneself_is_no_payee(parse: Any, text: str) -> None:
    """Who wants to pay themselves is told so."""
    assert [one["problem"] for one in parse(text)["entities"] if one["entity"] == "payee"] == ["oneself"]


@pytest.mark.parametrize("text", ["给自己的银行卡提现100", "我自己看看", "转100给李娜自己的钱包"])
def test_oneself_elsewhere(parse: Any, text: str) -> None:
    """One's card or the word in passing name no such payee."""
    assert not any(one.get("problem") == "oneself" for one in parse(text)["entities"])


@pytest.mark.parametrize("text", ["转100的一半", "给李娜转100块的三分之一", "转余额100的30%给李娜", "转1000的一半给张三丰"])
def test_a_share_is_not_the_sum(parse: Any, text: str) -> None:
    """A share of a sum is nothing that could be paid without asking."""
    assert [one["problem"] for one in parse(text)["entities"] if one["entity"] == "amount"] == ["vague"]


@pytest.mark.parametrize("text", ["水电费怎么交", "怎么交水费", "怎么充值", "怎么付款", "怎么转账"])
def test_a_question_about_a_service_has_its_answer(parse: Any, interpreter: Interpreter, text: str) -> None:
    """What may not be taken for an order goes to the answer that stands out."""
    form = parse(text)
    assert form["intent"]["name"] == "faq"
    assert form["response_selector"]["faq"]["response"]["confidence"] >= interpreter.thresholds.faq


@pytest.mark.parametrize("text", ["提现要多久", "钱包转账和提现有什么区别"])
def test_an_unclear_question_has_none(parse: Any, interpreter: Interpreter, text: str) -> None:
    """Where nothing stands out, the nearest answers stay below what is given."""
    assert parse(text)["response_selector"]["faq"]["response"]["confidence"] < interpreter.thresholds.faq


@pytest.mark.parametrize("text", ["转8000给李娜行不行", "给李娜转账行不行", "能不能给李娜转50", "给李娜转50可以吗"])
def test_a_polite_wish_is_a_wish(parse: Any, text: str) -> None:
    """Sum or payee and politeness are an order, whatever mark stands at the end."""
    assert parse(text)["intent"]["name"] == "transfer_money"


@pytest.mark.parametrize("text", ["算了 还是李娜吧", "算了，还是转给李娜吧", "算了还是改成200吧", "算了 给李娜"])
def test_something_else_instead_is_no_cancellation(parse: Any, text: str) -> None:
    """What begins like a cancellation and ends with a value corrects."""
    assert parse(text)["intent"]["name"] == "correct_slot"


@pytest.mark.parametrize("text", ["算了 我还是给现金吧", "算了，还是李娜那笔不转了", "我没有要转账", "算了不转了"])
def test_a_cancellation_is_one(parse: Any, text: str) -> None:
    """With nothing named instead, it stays a cancellation."""
    assert parse(text)["intent"]["name"] == "cancel"


def test_the_words_name_labels_that_exist() -> None:
    """Every intent in the word lists is one that the model knows."""
    known = set(load_model().card.labels)
    wishes, ellipsis = words("wishes"), words("ellipsis")
    named = {*wishes["doing"], *wishes["asking"], *wishes["checking"], *wishes["dropping"], *ellipsis["verbs"]}
    assert named <= known
    assert set(words("guards")["money_intents"]) <= {*wishes["doing"]}
