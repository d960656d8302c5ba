"""Sums of money: every spelling to the fen, and never a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlu.amounts import Amount, find_amounts
from nlu.entities import normal_form
from nlu.numbers import read_number

EXACT = {
    "给李娜转200块": 20000,
    "转200": 20000,
    "转二百五": 25000,
    "转二百五十": 25000,
    "转两百五": 25000,
    "一百二十块五": 12050,
    "转两万三": 2300000,
    "转二万三千": 2300000,
    "三块二": 320,
    "三块二毛": 320,
    "三块二毛五": 325,
    "三块二毛五分": 325,
    "五毛": 50,
    "五毛钱": 50,
    "五角": 50,
    "五毛五": 55,
    "¥1,234.50": 123450,
    "￥1234.5": 123450,
    "¥50": 5000,
    "1.2万元": 1200000,
    "转1.2万": 1200000,
    "转1万2": 1200000,
    "转1万2千": 1200000,
    "转1千5": 150000,
    "半块钱": 50,
    "半块": 50,
    "三块半": 350,
    "十块零五分": 1005,
    "十块零五毛": 1050,
    "十块零五": 1005,
    "10块5": 1050,
    "10块5毛": 1050,
    "5块25": 525,
    "转两千零五十": 205000,
    "转两千零五": 200500,
    "转两千五": 250000,
    "3k元": 300000,
    "转3k": 300000,
    "转3k5": 350000,
    "转3w": 3000000,
    "转1.5w": 1500000,
    "壹佰圆整": 10000,
    "人民币壹仟贰佰叁拾肆元伍角陆分": 123456,
    "１００元": 10000,
    "１，２３４．５０元": 123450,
    "转一百二": 12000,
    "转一百零二": 10200,
    "转一百二十": 12000,
    "转一百一十五": 11500,
    "转一百十五": 11500,
    "转十五": 1500,
    "转十": 1000,
    "十块": 1000,
    "二十块": 2000,
    "廿块": 2000,
    "廿五块": 2500,
    "卅块": 3000,
    "转三十万": 30000000,
    "转十万": 10000000,
    "转一万零三百": 1030000,
    "转一万五百": 1050000,
    "转三万五": 3500000,
    "转3万5": 3500000,
    "转10万5千": 10500000,
    "一百二十五万三千元": 125300000,
    "一亿元": 10**10,
    "转四千零五万": 4005000000,
    "1000万元": 10**9,
    "4.78万元": 4780000,
    "0.5元": 50,
    "0.01元": 1,
    "8分钱": 8,
    "三毛二分": 32,
    "一毛钱": 10,
    "100rmb": 10000,
    "RMB 100": 10000,
    "cny50": 5000,
    "人民币50元": 5000,
    "50 元": 5000,
    "50塊錢": 5000,
    "兩百塊": 20000,
    "貳佰圓": 20000,
    "二零零元": 20000,
    "转五零零": 50000,
    "转三点五": 350,
    "三点五元": 350,
    "十二点五块": 1250,
    "一点二万元": 1200000,
    "充100": 10000,
    "充值100": 10000,
    "充话费100": 10000,
    "打200给他": 20000,
    "还我300": 30000,
    "给我妈转二百": 20000,
    "提现500": 50000,
    "提现五百": 50000,
    "取八百": 80000,
    "付20": 2000,
    "汇五千": 500000,
    "存一千": 100000,
    "发红包66": 6600,
    "发个6.66的红包": 666,
    "200给李娜": 20000,
    "转一块": 100,
    "一块钱": 100,
    "一块五": 150,
    "转500来": 50000,
    "交电费50": 5000,
    "不是三百,改成500": 50000,
    "50块3个": 5000,
    "5\u200b0块": 5000,
    "99999999.99元": 9999999999,
    "给张三丰转120": 12000,
    "转给李娜110": 11000,
    "金额改成122": 12200,
    "付119": 11900,
    "转10086": 1008600,
    "一百块人民币": 10000,
    "50元rmb": 5000,
    "<b>50元</b>": 5000,
    "看http://a.example/50 转60": 6000,
    "转六吧": 600,
    "转三丰 75": 7500,
    "转(50)": 5000,
    "扣了500": 50000,
    "昨天被扣了我300": 30000,
    "怎么少了200": 20000,
    "就剩30了": 3000,
    "到手980": 98000,
    "来500": 50000,
    "把三千六的房租打给房东": 360000,
    "转给林冲的那二百": 20000,
    "还信用卡3000": 300000,
    "转半万": 500000,
    "转一万半": 1500000,
    "转两个亿": 20000000000,
    "转十一": 1100,
    "两千八百块零五毛": 280050,
    "转十万零一千": 10100000,
    "金额:200": 20000,
    "给1203房充50": 5000,
}

VAGUE = [
    "两三百块",
    "几百块",
    "十几块",
    "转一百多",
    "一百多块",
    "一百来块",
    "百八十块",
    "百十来块",
    "千把块",
    "万把块钱",
    "三五块",
    "二三十块",
    "十五六块",
    "50到100元",
    "50-100元",
    "1万-5万元",
    "10~15k元",
    "一百二十到一百五十万元",
    "50或者100块",
    "大概500块",
    "500块左右",
    "500元以内",
    "不到100块",
    "超过1000元",
    "300美元",
    "$20",
    "50欧元",
    "100港币",
    "转1 000",
    "转1,23元",
    "转1..5",
    "转.50",
    "转007元",
    "5²元",
    "½块",
    "四十九兆元",
    "转一千 二百块",
    "2x50元",
    "50+50元",
    "转好几百",
    "数百元",
    "转一二三四五",
    "1e9元",
    "转1E5",
    "1.5e3块",
    "转2e-1元",
    "转100的一半",
    "转小一千",
    "转一千出头",
    "块八毛",
    "转百八十",
    "转千儿八百",
    "转两个一百",
    "这3笔100元",
    "四百 点 五元",
    "五百 余万元",
    "小于40万",
    "15k左右",
]

NONE = [
    "一块去吃饭",
    "我们一块儿走",
    "有一点慢",
    "等一下",
    "2楼",
    "第2张卡",
    "3个月",
    "10086",
    "拨打95588",
    "尾号6688",
    "转尾号1234的卡",
    "等5分钟",
    "3天到账",
    "五次",
    "两个人",
    "千万别转",
    "万一转错了",
    "十分感谢",
    "一毛不拔",
    "三元桥地铁站",
    "转一下",
    "转一个朋友",
    "充10次",
    "100积分",
    "打八折",
    "50%",
    "密码123456",
    "12:30转的",
    "余额",
    "转点钱",
    "转账多少钱",
    "两万三",
    "二维码",
    "3.0版本",
    "第三方支付",
    "三角债",
    "元旦快乐",
    "5G套餐",
    "v2会员",
    "10号线",
    "打110",
    "110报警",
    "拨打客服10086",
    "95588热线",
    "120电话打不通",
    "<img src=x onerror=alert(1)>",
    "0x1F元",
    "转0xff",
    "版本2.10.3",
    "转1.2.3",
    "8:30转的",
    "晚上8点30转的",
    "三点半付的",
    "0592-1234567",
    "转给400-800-1234",
    "转12012345678",
    "转三哥",
    "不对 493201",
    "付款用数字钱包",
    "转给他要几天",
    "充值几点到",
    "提现次数",
    "提现T+1到账",
    "付款返回码96",
    "刷卡提示61",
    "金额是零",
    "转到零钱",
    "费率0.38变成0.6",
    "3点50转的",
    "三点五十付的",
    "付了百分之五",
    "手续费是千分之2.4",
    "交三分之一",
    "付款打七成 六",
    "花呗变成负数了",
    "能迟一到两天还款嘛",
    "12306退款什么时候到账",
    "交易失败 11[9100004]",
    "退伍",
    "拾到钱包交给谁",
    "闽D12345交罚款",
    "十一转账要手续费吗",
    "转134****5678",
]

PROBLEMS = {
    "0.001元": (None, "sub_fen"),
    "转0.005": (None, "sub_fen"),
    "1.234元": (None, "sub_fen"),
    "转-50": (-5000, "negative"),
    "-50元": (-5000, "negative"),
    "－50元": (-5000, "negative"),
    "负五十元": (-5000, "negative"),
    "转0": (0, "zero"),
    "0元": (0, "zero"),
    "零元": (0, "zero"),
    "0.00元": (0, "zero"),
    "转99999999999999999元": (9999999999999999900, "huge"),
}


def amounts(text: str, expects: str | None = None) -> list[Amount]:
    """Find the sums of a message as it was typed."""
    return find_amounts(normal_form(text).text, expects=expects)


@pytest.mark.parametrize(("text", "fen"), EXACT.items())
def test_a_spelling_is_read_to_the_fen(text: str, fen: int) -> None:
    """Each way of writing a sum gives exactly its fen, and no other exact sum beside it."""
    found = [one for one in amounts(text) if not one.vague]
    assert found[-1].fen == fen
    assert found[-1].problem is None
    assert len(found) == 1 or text.startswith("不是")


@pytest.mark.parametrize("text", VAGUE)
def test_what_has_no_one_reading_is_vague(text: str) -> None:
    """An approximate, ranged, foreign or malformed sum is told as such and carries no figure."""
    found = amounts(text)
    assert found
    assert all(one.vague and one.fen is None for one in found)


@pytest.mark.parametrize("text", NONE)
def test_numbers_of_other_things_are_no_sums(text: str) -> None:
    """Floors, counts, phones, versions and idioms are not money."""
    assert amounts(text) == []


@pytest.mark.parametrize(("text", "expected"), PROBLEMS.items())
def test_a_sum_that_cannot_be_moved_is_marked(text: str, expected: tuple[int | None, str]) -> None:
    """Parts of a fen, nothing, less than nothing and the absurd keep their value and carry a mark."""
    (one,) = amounts(text)
    assert (one.fen, one.problem) == expected


@pytest.mark.parametrize(
    ("text", "fen"), {"50": 5000, "五十": 5000, "三": 300, "1.2万": 1200000, "一千二": 120000, "就50吧": 5000}.items()
)
def test_a_bare_number_answers_how_much(text: str, fen: int) -> None:
    """A number alone is a sum only when one is being asked for."""
    assert amounts(text) == []
    assert [one.fen for one in amounts(text, expects="amount")] == [fen]


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "{{ 7*7 }}",
        "alert(1)",
        "/SetSlots(amount=1)",
        "amount=5",
        "0x1F",
        "1.2.3",
        "8:30",
        "8点半",
        "2026-11-20",
        "0592-1234567",
        "12012345678",
    ],
)
def test_code_times_and_phones_do_not_answer_how_much(text: str) -> None:
    """Even where a sum is awaited, markup, versions, clock times and numbers to call are none."""
    assert amounts(text, expects="amount") == []


def test_an_exponent_is_asked_back_about() -> None:
    """Nobody says a sum with an exponent, so its last digit is never taken for one."""
    (one,) = amounts("1E5", expects="amount")
    assert one.vague


@pytest.mark.parametrize(("text", "fen"), {"200": 20000, "50": 5000, "二百": 20000, "二百吧": 20000, "120": 12000}.items())
def test_a_bare_number_is_a_sum_even_where_a_name_is_awaited(text: str, fen: int) -> None:
    """Whoever answers "to whom?" with a number has said how much."""
    assert [one.fen for one in amounts(text, expects="payee")] == [fen]


@pytest.mark.parametrize("text", ["1380000000", "8010000000017", "二麻子", "三个人"])
def test_a_phone_cut_short_or_a_nickname_is_no_sum(text: str) -> None:
    """What has the shape of a phone or wallet, or goes on as a word, is left for whoever looks for names."""
    assert amounts(text, expects="payee") == []


def spoken(number: int) -> str:
    """Write a whole number in standard Chinese."""
    if number == 0:
        return "零"
    out, gap = "", False
    for size, name in ((10**8, "亿"), (10**4, "万"), (1, "")):
        part, number = divmod(number, size)
        if not part:
            gap = bool(out)
            continue
        out += ("零" if out and (gap or part < 1000) else "") + spoken_section(part) + name
        gap = False
    return out


def spoken_section(part: int) -> str:
    """Write a number below ten thousand."""
    out, gap = "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, part = divmod(part, size)
        if not digit:
            gap = bool(out)
            continue
        out += ("零" if gap else "") + "零一二三四五六七八九"[digit] + name
        gap = False
    return out


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_standard_chinese_reads_back(number: int) -> None:
    """Any whole number written out in Chinese is read as itself."""
    assert read_number(spoken(number)) == number


@given(st.integers(min_value=1, max_value=10**9), st.integers(min_value=0, max_value=99))
def test_yuan_jiao_fen_read_back(yuan: int, rest: int) -> None:
    """Yuan, jiao and fen written out, or in digits, give the sum they were written from."""
    jiao, fen = divmod(rest, 10)
    tail = {(False, False): "", (True, False): f"{spoken(jiao)}角", (False, True): f"零{spoken(fen)}分"}.get(
        (bool(jiao), bool(fen)), f"{spoken(jiao)}角{spoken(fen)}分"
    )
    for text in (f"转{spoken(yuan)}元{tail}", f"转{yuan}.{rest:02d}元", f"转¥{yuan:,}.{rest:02d}"):
        assert [one.fen for one in amounts(text)] == [yuan * 100 + rest], text


@given(st.text(alphabet="0123456789零一二两三五十百千万亿.,点半块元毛角分钱多几来 -¥kw", max_size=14))
def test_no_jumble_gives_a_sum_of_part_of_its_digits(text: str) -> None:
    """Whatever is jumbled together, an exact sum never starts or ends inside a longer numeral."""
    normal = normal_form(text).text
    numerals = set("0123456789零一二两三五十百千万亿")
    for one in find_amounts(normal, expects="amount"):
        before, after = normal[: one.start], normal[one.end :]
        if not one.vague and normal[one.start] in numerals:
            assert before[-1:] not in numerals | {"."}
        if not one.vague and normal[one.end - 1] in numerals:
            assert after[:1] not in numerals
            assert after[:1] != "." or after[1:2] not in numerals
            assert after[:1] != "," or not ("0" <= after[1:2] <= "9")
