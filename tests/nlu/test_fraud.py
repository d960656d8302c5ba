"""Wordings of fraud: heard in what the defrauded say, and not in what everybody says."""

from __future__ import annotations

import pytest

from nlu import Interpreter
from nlu.entities import normal_form
from nlu.fraud import fraud_wordings
from nlu.words import words
from wallet_service.risk import packaged_rules

HEARD = {
    "民警让我把钱转到安全账户": ["police", "safe_account"],
    "把5000转到安 全 账 户": ["safe_account"],
    "公检法说我涉嫌洗钱 转2000到13800000003": ["police"],
    "警察讓我轉賬": ["police"],
    "退款客服让我先付200保证金": ["refund_service"],
    "客服说快递丢了要赔我，让我先转300过去": ["refund_service"],
    "给13800000003转188，刷单用": ["part_time_job"],
    "兼职要先垫付500": ["part_time_job"],
    "贷款要交解冻金，转3000": ["loan_unlock"],
    "放款前要先交1000": ["loan_unlock"],
    "导师带我投资，转一万给他": ["investment"],
    "转8000买USDT": ["investment"],
    "我中奖了要先交税，转500": ["lottery"],
    "老板在微信上让我转5万": ["impersonation"],
    "他让我开屏幕共享再转账": ["screen_sharing"],
}
PLAIN = [
    "给李娜转200块",
    "转给妈妈500，生活费",
    "退款什么时候到",
    "我要退款",
    "客服电话多少",
    "人工客服",
    "给警察叔叔点赞",
    "还贷款2000",
    "把工资转给老婆",
    "投资有风险吗",
    "给老板转88红包",
    "给王老师转学费300",
    "兼职工资到了没",
    "把押金转给房东1500",
    "保证金转给中介800",
    "取消会员",
    "转50，帮我抢票的钱",
    "陈",
]


@pytest.mark.parametrize(("text", "schemes"), HEARD.items())
def test_the_defrauded_are_heard(text: str, schemes: list[str]) -> None:
    """However it is written: spaces, traditional characters, capitals, in whatever order."""
    assert sorted(fraud_wordings(normal_form(text).text)) == schemes


@pytest.mark.parametrize("text", PLAIN)
def test_everyday_words_are_no_fraud(text: str) -> None:
    """Rent, wages, refunds and police stations are part of life."""
    assert fraud_wordings(normal_form(text).text) == []


def test_the_wallet_knows_every_scheme() -> None:
    """A name that only one side knows would be heard and ignored."""
    assert set(words("fraud")) == packaged_rules().hints


def test_the_parse_form_carries_them() -> None:
    """They stand beside the entities, so that they hide none."""
    form = Interpreter.load().parse("转2000到安全账户13800000003，备注刷单")
    assert form["hints"] == ["safe_account", "part_time_job"]
    assert {one["entity"] for one in form["entities"]} == {"amount", "phone", "note"}
