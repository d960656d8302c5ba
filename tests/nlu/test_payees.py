"""Who gets the money: found by contacts, by how the sentence is built and by the lexical model, and never cut."""

from __future__ import annotations

import pytest

from nlu.entities import normal_form
from nlu.payees import find_payees

CONTACTS = ("李娜", "张三丰", "Tom Li", "老婆", "王五")

FOUND = {
    "给刘三发转500": ["刘三发"],
    "给三丰转": ["三丰"],
    "给我妈转二百": ["我妈"],
    "给老王头转二百": ["老王头"],
    "给欧阳娜娜转": ["欧阳娜娜"],
    "给司马相如转五十": ["司马相如"],
    "给尉迟恭打款": ["尉迟恭"],
    "转给王五一百": ["王五"],
    "转给张三500": ["张三"],
    "给赵六六百块": ["赵六"],
    "转给丁一百块": ["丁一"],
    "给小李转50": ["小李"],
    "转给阿强100": ["阿强"],
    "给马云打钱": ["马云"],
    "给陈发发红包50": ["陈发"],
    "给王打打钱": ["王打"],
    "给还珠转20": ["还珠"],
    "给周和转50": ["周和"],
    "给李娜和张三丰各转50": ["李娜", "张三丰"],
    "转李娜50": ["李娜"],
    "转账李雷50": ["李雷"],
    "转李雷二百": ["李雷"],
    "给高圆圆付500": ["高圆圆"],
    "给钱多多转账100": ["钱多多"],
    "给张还转50": ["张还"],
    "给王大锤汇1000": ["王大锤"],
    "给夏天转50": ["夏天"],
    "给江山打200": ["江山"],
    "打200给何不凡": ["何不凡"],
    "转50给安然吧": ["安然"],
    "转100给易中天": ["易中天"],
    "给任意转50": ["任意"],
    "帮我给高兴转100": ["高兴"],
    "给万三千转账": ["万三千"],
    "给买买提转账": ["买买提"],
    "给古丽娜扎尔转100": ["古丽娜扎尔"],
    "给Jerry转50": ["Jerry"],
    "转账给 陈建国 100": ["陈建国"],
    "给黄师傅付款": ["黄师傅"],
    "李雷那边转50过去": ["李雷"],
    "把50转李雷": ["李雷"],
    "向赵敏转账": ["赵敏"],
    "给李四光转五百": ["李四光"],
    "给孙二娘转账二百五": ["孙二娘"],
    "汇款给欧阳修": ["欧阳修"],
    "收款人改成李白": ["李白"],
    "转给许三多三百": ["许三多"],
    "给伍佰转五百": ["伍佰"],
    "给我老婆转1000": ["老婆"],
    "给我姐转1000": ["我姐"],
    "给我的朋友王小明转50": ["王小明"],
    "给房东转两千三": ["房东"],
    "给李娜的钱包转50": ["李娜"],
    "给李娜那边转50": ["李娜"],
    "给我儿子的女朋友转500": ["我儿子的女朋友"],
    "往王小明账户转300": ["王小明"],
    "转给李娜": ["李娜"],
    "转五十给小芳": ["小芳"],
    "给妈妈转五百": ["妈妈"],
    "帮我转三百给表姐": ["表姐"],
    "我想给我爸打点钱": ["我爸"],
    "给张老师转补课费500": ["张老师"],
    "麻烦转给小王200块谢谢": ["小王"],
    "给鲁智深发个红包66": ["鲁智深"],
    "给林黛玉汇一万": ["林黛玉"],
    "給張三豐轉五百": ["张三丰"],
    "转给tom li 50": ["Tom Li"],
    "不是李娜,是张三丰": ["李娜", "张三丰"],
    "别给李娜了给张三丰": ["李娜", "张三丰"],
    "给李娜娜转50": ["李娜娜"],
    "转给李娜的弟弟100": ["李娜的弟弟"],
    "给李娜妈妈转100": ["李娜妈妈"],
    "给李娜女士转100": ["李娜"],
    "给楼下卖菜的刘姐转30": ["楼下卖菜的刘姐"],
    "转50给楼下卖菜的刘姐": ["楼下卖菜的刘姐"],
    "给小王的老婆转300": ["小王的老婆"],
    "给门口水果店老板转45": ["门口水果店老板"],
    "给陈建国先生转500": ["陈建国先生"],
    "给我同事小周转60": ["小周"],
    "给我大儿子转500": ["我大儿子"],
    "给二舅汇2000": ["二舅"],
    "转给阿布都热合曼100": ["阿布都热合曼"],
    "转给Mary Ann 30": ["Mary Ann"],
    "给王伟、刘洋、赵敏各转50": ["王伟", "刘洋", "赵敏"],
    "给贾宝玉薛宝钗各转50": ["贾宝玉", "薛宝钗"],
    "给张三100,李四200": ["张三", "李四"],
    "@李娜 转50": ["李娜"],
    "打800到赵本山账户": ["赵本山"],
    "给房东转房租2300": ["房东"],
    "转给林冲的那二百": ["林冲"],
}

NOBODY = [
    "给我转200",
    "给他转50",
    "给朋友转100",
    "给别人转账要手续费吗",
    "怎么给别人转账",
    "你给我查一下转账记录",
    "给手机充100",
    "打200给他",
    "还我300",
    "可以给我转200吗",
    "李娜给我转的钱没到",
    "给银行卡转500",
    "转账到银行卡",
    "转人工",
    "转账失败",
    "给商家付款失败",
    "给客服发消息",
    "给自己转账可以吗",
    "转账多久到账",
    "给你转钱",
    "给我看看余额",
    "转到微信怎么转",
    "金额和收款人都错了",
    "给老板扫100",
    "给东西付款",
    "往里面充100",
    "给孩子那张卡转50",
    "转给谁来着",
    "给个链接我设支付密码",
    "给关了吗",
    "给花呗还款",
    "给朋友代付款可以吗",
    "转账到现在还没有到账",
    "向周星星收200",
    "转柒圆零柒分",
    "转千儿八百",
    "收款人不对",
]


def payees(text: str, names: tuple[str, ...] = CONTACTS, expects: str | None = None) -> list[str]:
    """Find the payees of a message as it was typed."""
    normal = normal_form(text)
    found = find_payees(normal.text, names=names, expects=expects)
    return [
        one.value if one.value in names or not one.value.isascii() else text[slice(*normal.span(one.start, one.end))]
        for one in found
        if not one.own
    ]


@pytest.mark.parametrize(("text", "expected"), FOUND.items())
def test_a_payee_is_found_whole(text: str, expected: list[str]) -> None:
    """The name comes out whole, whatever numerals, verbs or particles it holds or stands beside."""
    assert payees(text) == expected


@pytest.mark.parametrize("text", NOBODY)
def test_nobody_in_particular_is_no_payee(text: str) -> None:
    """Pronouns, things and people who sent money are not payees."""
    assert payees(text) == []


@pytest.mark.parametrize(
    "text", [text for text, found in FOUND.items() if found not in (["老婆"], ["Tom Li"]) and "女士" not in text]
)
def test_names_are_found_without_contacts_too(text: str) -> None:
    """Contacts make a name certain; without them the sentence and the lexical model still find it."""
    assert payees(text, names=()) == FOUND[text]


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "李雷": ["李雷"],
        "李娜吧": ["李娜"],
        "转给李雷": ["李雷"],
        "小李": ["小李"],
        "我妈": ["我妈"],
        "给老王": ["老王"],
        "欧阳娜娜": ["欧阳娜娜"],
        "是张三丰": ["张三丰"],
        "算了": [],
        "取消": [],
        "不转了": [],
        "谁": [],
        "什么意思": [],
        "转人工": [],
        "余额多少": [],
        "从头再来": [],
        "二百": [],
        "不知道": [],
        "给个链接我设支付密码": [],
        "都错了": [],
        "老地方": [],
        "就是上次那个李强": ["李强"],
        "楼下卖菜的刘姐": ["楼下卖菜的刘姐"],
    }.items(),
)
def test_a_bare_name_answers_to_whom(text: str, expected: list[str]) -> None:
    """When a payee is being asked for, a name alone is one, and a command is not."""
    assert payees(text, expects="payee") == expected


@pytest.mark.parametrize("text", ["给自己转200", "转给我自己200", "把钱转给本人"])
def test_the_speaker_is_nobody_else(text: str) -> None:
    """Whoever pays themselves names nobody; the words are marked as their own."""
    (one,) = find_payees(normal_form(text).text)
    assert one.own
    assert payees("转到自己的银行卡") == payees("转给自己的卡") == []


def test_a_contact_is_known_without_the_surname() -> None:
    """A given name stays what it is even where its first character is a numeral."""
    assert payees("转三丰 75") == ["三丰"]
    assert payees("转三丰 75", names=()) == []


def test_a_part_of_a_contacts_name_is_not_that_contact() -> None:
    """A nickname is given as it was written: whom it means is for the wallet to ask."""
    assert payees("给小李转50", names=("李小明",)) == ["小李"]
