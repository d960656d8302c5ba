"""The whole parse: its form, its safety, and that nothing makes it fail."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlu import Interpreter

NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)
MONEY = ("transfer_money", "pay_merchant", "top_up", "withdraw", "pay_bill")

HARMLESS = [
    "你好",
    "在吗",
    "余额",
    "我没有要转账",
    "我不想转账了",
    "不转了",
    "别转",
    "怎么转账",
    "转账要手续费吗",
    "能不能转账",
    "转账多久到账",
    "为什么转不了账",
    "给别人转账要手续费吗",
    "一天最多转多少",
    "怎么提现",
    "提现要多久",
    "充值有优惠吗",
    "可以用微信充值吗",
    "电费怎么交",
    "能交水费吗",
    "付款失败怎么办",
    "今天天气怎么样",
    "讲个笑话",
    "谢谢",
    "人工",
    "张三丰是谁",
    "明天星期几",
    "李娜",
    "五月天的歌",
    "好的",
    "转账限额",
    "我要投诉",
    "没让你转账",
    "取消转账",
    "转账记录",
    "提现没到账",
    "扫码失败了",
    "充值的钱没到",
    "为什么扣我手续费",
    "哈哈",
    "让李娜给我转300",
    "李娜",
]

ORDERS = {
    "给李娜转200块": "transfer_money",
    "转200给李娜": "transfer_money",
    "给刘三发转500": "transfer_money",
    "转账": "transfer_money",
    "可以帮我给李娜转50块吗": "transfer_money",
    "充值100": "top_up",
    "提现500": "withdraw",
    "帮我交电费": "pay_bill",
    "查余额": "check_balance",
    "查上个月的账单": "check_history",
    "人工": "ask_human",
    "取消": "cancel",
    "换到青岛": "switch_city",
    "不是300,是500": "correct_slot",
    "你好": "greet",
    "谢谢": "thank",
}


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    """Load the committed model once."""
    return Interpreter.load()


def parse(interpreter: Interpreter, text: str) -> dict[str, Any]:
    """Parse as the demo user would be parsed."""
    return interpreter.parse(text, now=NOW, names=("李娜", "张三丰"))


def test_the_parse_form_is_rasas(interpreter: Interpreter) -> None:
    """Names, rankings, entities, FAQ ranking and topic stand where Rasa's clients look for them."""
    form = parse(interpreter, "给李娜转200块")
    assert set(form) == {"text", "intent", "intent_ranking", "entities", "response_selector", "topic", "topic_ranking", "hints"}
    assert form["text"] == "给李娜转200块"
    assert form["intent"] == form["intent_ranking"][0]
    assert form["topic"] == form["topic_ranking"][0]["name"] == "transfer"
    assert [(one["entity"], one["start"], one["end"], one["value"]) for one in form["entities"]] == [
        ("payee", 1, 3, "李娜"),
        ("amount", 4, 8, 20000),
    ]
    shares = [one["confidence"] for one in form["intent_ranking"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.001


def test_a_question_ranks_answers(interpreter: Interpreter) -> None:
    """A question's best answer leads the FAQ ranking, and the intent is faq."""
    form = parse(interpreter, "在公交上能用吗")
    selected = form["response_selector"]["faq"]
    assert form["intent"]["name"] == "faq"
    assert selected["response"] == selected["ranking"][0]
    assert selected["response"]["intent_response_key"] == "faq/transit"
    assert selected["response"]["confidence"] >= interpreter.thresholds.faq


@pytest.mark.parametrize(("text", "intent"), ORDERS.items())
def test_plain_orders_are_taken(interpreter: Interpreter, text: str, intent: str) -> None:
    """What people say most is understood well enough to act on."""
    form = parse(interpreter, text)
    assert form["intent"]["name"] == intent
    assert form["intent"]["confidence"] >= interpreter.thresholds.accept


@pytest.mark.parametrize("text", HARMLESS)
def test_no_question_denial_or_chat_moves_money(interpreter: Interpreter, text: str) -> None:
    """Questions, denials and words without money stay below the threshold for every intent that moves money."""
    for one in parse(interpreter, text)["intent_ranking"]:
        assert one["name"] not in MONEY or one["confidence"] < interpreter.thresholds.accept


@given(
    st.text(
        alphabet=st.characters(
            exclude_characters="转汇打付充存提取缴交还钱款块元费红扫刷买结埋划拨借送给向往到发支入出卡冲加进回账罚欠套变拿"
        ),
        max_size=30,
    )
)
@settings(max_examples=150, deadline=None)
def test_nothing_without_a_word_of_money_is_an_order(interpreter: Interpreter, text: str) -> None:
    """Random text without any word of money is no order, whatever the model thinks."""
    form = parse(interpreter, text)
    named = any(one["entity"] in ("amount", "payee") for one in form["entities"])
    for one in form["intent_ranking"]:
        assert named or one["name"] not in MONEY or one["confidence"] < interpreter.thresholds.accept or text.isascii()


@given(st.text(max_size=200), st.sampled_from([None, "amount", "payee", "code", "nonsense"]))
@settings(max_examples=200, deadline=None)
def test_any_text_gets_a_form(interpreter: Interpreter, text: str, expects: str | None) -> None:
    """Whatever is typed, a form comes back that JSON can carry, with spans inside the text."""
    form = interpreter.parse(text, now=NOW, names=("李娜", "", " ", "💰"), expects=expects)
    json.dumps(form)
    assert form["text"] == text
    for one in form["entities"]:
        assert text[one["start"] : one["end"]] == one["text"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "😀😀",
        "\x00\x01",
        "\ud800",
        "转" * 10_000,
        "1" * 10_000,
        "二百" * 5_000,
        "给" * 10_000,
        "{{ 7*7 }}",
        "<b>转账</b>",
        "a" * 10_000,
        "不是" * 5000,
    ],
)
def test_odd_messages_are_answered_fast(interpreter: Interpreter, text: str) -> None:
    """Nothing, symbols, control characters, markup and ten thousand characters cost well under a second."""
    interpreter.parse(text, now=NOW)
    begun = time.perf_counter()
    form = interpreter.parse(text, now=NOW)
    assert time.perf_counter() - begun < 1
    assert form["topic"]


@pytest.mark.parametrize(
    ("text", "key"),
    {
        "提现收手续费吗": "faq/withdraw_fee",
        "充值要不要手续费": "faq/top_up_fee",
        "转账要手续费吗": "faq/transfer_fee_free",
        "付钱的密码忘了": "faq/reset_payment_password",
        "登录密码想不起来了": "faq/reset_login_password",
        "解绑银行卡": "faq/unbind_card",
        "怎么绑卡": "faq/bind_card_how",
        "你们怎么保证我的钱安全": "faq/security_measures",
        "实名怎么弄": "faq/verify_how",
    }.items(),
)
def test_the_answer_that_fits_leads_its_topic(interpreter: Interpreter, text: str, key: str) -> None:
    """Whether a message counts as a service or as a question, the best answer on its topic comes first among them."""
    form = parse(interpreter, text)
    ranking = form["response_selector"]["faq"]["ranking"]
    assert next(one["intent_response_key"] for one in ranking if one["topic"] == form["topic"]) == key
    shares = [one["confidence"] for one in ranking]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("text", ["密码", "密码?", "手续费", "費用"])
def test_a_noun_that_names_a_topic_prefers_none_of_its_answers(interpreter: Interpreter, text: str) -> None:
    """Which question of the topic is meant is for the person to say, so its answers are equally likely."""
    form = parse(interpreter, text)
    shares = [one["confidence"] for one in form["response_selector"]["faq"]["ranking"] if one["topic"] == form["topic"]]
    assert len(shares) > 1
    assert len(set(shares)) == 1


SAID = {
    "有人说要我的验证码 给他行不": {"ask_security", "report_fraud"},
    "不用验证码行不行": {"ask_security"},
    "有人来电话要我报收到的验证码": {"ask_security", "report_fraud"},
    "那没事了 谢谢啊": {"goodbye", "thank"},
    "你吃了没": {"chitchat", "greet"},
    "不登了不登了": {"cancel"},
    "不查了 算了": {"cancel"},
    "转账也不要了": {"cancel"},
    "还有几个人排我前面": {"ask_human"},
    "排到我没": {"ask_human"},
    "转给谁来着": {"repeat"},
    "多少钱来着": {"repeat"},
    "等一下": {"chitchat", "affirm"},
    "登出账号": {"log_out"},
    "行那就开": {"affirm"},
    "金额和收款人都错了": {"correct_slot"},
    "转账限额": {"check_limits", "ask_limits"},
}
ASKED = {
    "重庆这个钱包好久出来的": "faq/when_launched",
    "她那边收钱要手续费吗": "faq/transfer_fee_free",
    "为什么要手机号啊": "faq/privacy_tips",
    "嗯那个我想问一下就是我在那个超市买东西的时候能不能用你们这个钱包付款啊就是扫码那种": "faq/where_to_use",
    "哦然后还有一个问题就是说我要是把那个钱转给我朋友的话他多长时间能收到呢": "faq/arrival_realtime",
}


@pytest.mark.parametrize(("text", "intents"), SAID.items())
def test_what_people_say_on_the_way_is_understood(interpreter: Interpreter, text: str, intents: set[str]) -> None:
    """Second thoughts, queueing, safety and small words lead to one of the readings that help, never to another."""
    form = parse(interpreter, text)
    assert form["intent"]["name"] in intents
    shares = {one["name"]: one["confidence"] for one in form["intent_ranking"]}
    assert sum(shares.get(intent, 0.0) for intent in intents) >= interpreter.thresholds.accept


@pytest.mark.parametrize(("text", "key"), ASKED.items())
def test_spoken_questions_find_their_answer(interpreter: Interpreter, text: str, key: str) -> None:
    """Dialect, fillers and long breath do not hide what is asked."""
    form = parse(interpreter, text)
    assert form["intent"]["name"] == "faq"
    assert form["response_selector"]["faq"]["response"]["intent_response_key"] == key


@pytest.mark.parametrize("text", ["账户", "帐户", "帳戶", "那個 帳戶"])
def test_a_bare_noun_is_no_order(interpreter: Interpreter, text: str) -> None:
    """One word that names a thing says not what to do with it."""
    assert parse(interpreter, text)["intent"]["confidence"] < interpreter.thresholds.accept


@pytest.mark.parametrize(("text", "intent"), {"都重来吧": "restart", "不想弄了": "cancel", "从头再来": "restart"}.items())
def test_an_awaited_name_swallows_no_command(interpreter: Interpreter, text: str, intent: str) -> None:
    """Four characters that could be a name, but surely are a command, stay a command."""
    form = interpreter.parse(text, now=NOW, names=("李娜",), expects="payee")
    assert form["entities"] == []
    assert form["intent"]["name"] == intent


@pytest.mark.parametrize("text", ["不知道", "不晓得"])
def test_not_knowing_is_neither_a_name_nor_a_no(interpreter: Interpreter, text: str) -> None:
    """Whoever does not know denies nothing."""
    form = interpreter.parse(text, now=NOW, expects="payee")
    assert form["entities"] == []
    assert form["intent"]["name"] != "deny"


def test_threads_share_one_interpreter() -> None:
    """Eight threads that start cold get the same answer."""
    interpreter = Interpreter.load()
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(json.dumps(parse(interpreter, "麻烦给王大锤那边打个三百过去,谢谢啦"), sort_keys=True))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1


def test_a_known_message_takes_little_time(interpreter: Interpreter) -> None:
    """The median of everyday messages stays in the low milliseconds even on a busy machine."""
    interpreter.warm()
    times = []
    for _ in range(20):
        for text in ORDERS:
            begun = time.perf_counter()
            parse(interpreter, text)
            times.append(time.perf_counter() - begun)
    assert sorted(times)[len(times) // 2] < 0.01
