"""The answer to "what is the family name?": read in the ways in which people give it, and not where none is given."""

from __future__ import annotations

import pytest

from nlu import Interpreter
from nlu.entities import normal_form
from nlu.surnames import find_surname

GIVEN = {
    "陈": "陈",
    "姓陈": "陈",
    "他姓陈": "陈",
    "姓陈的": "陈",
    "陈姓": "陈",
    "陳": "陈",
    "免贵姓陈": "陈",
    "应该姓陈吧": "陈",
    "对方姓氏是陈": "陈",
    "耳东陈": "陈",
    "陈先生": "陈",
    "陈建国": "陈",
    "他叫陈建国": "陈",
    "陈建国，姓陈": "陈",
    "是陈": "陈",
    "姓欧阳": "欧阳",
    "欧阳": "欧阳",
    "对方姓诸葛": "诸葛",
    "姓 Smith": "smith",
    "Smith": "smith",
}
NONE = [
    "不姓陈",
    "姓什么",
    "您贵姓",
    "可能姓陈也可能姓程",
    "好",
    "好的",
    "马上",
    "高兴",
    "不知道",
    "算了",
    "那算了",
    "安全吗",
    "方便",
    "123",
]
STEERING = ["取消", "人工", "余额", "不转了", "再说一遍", "你好"]


@pytest.mark.parametrize(("text", "name"), GIVEN.items())
def test_a_family_name_is_read(text: str, name: str) -> None:
    """Bare, told with 姓, with a title, or as part of the whole name."""
    found = find_surname(normal_form(text).text)
    assert found is not None
    assert found.value == name


@pytest.mark.parametrize("text", NONE)
def test_what_gives_none_gives_none(text: str) -> None:
    """A wrong guess costs the customer one of three tries, so nothing is guessed."""
    assert find_surname(normal_form(text).text) is None


@pytest.mark.parametrize("text", STEERING)
def test_steering_is_no_name(text: str) -> None:
    """What drops, repeats or leads away is understood as such while the name is asked."""
    form = Interpreter.load().parse(text, expects="surname")
    assert "surname" not in {one["entity"] for one in form["entities"]}


def test_it_is_read_only_when_asked_for() -> None:
    """Elsewhere the same words are nobody's family name."""
    interpreter = Interpreter.load()
    assert [one["entity"] for one in interpreter.parse("姓陈", expects="surname")["entities"]] == ["surname"]
    assert "surname" not in {one["entity"] for one in interpreter.parse("姓陈")["entities"]}


def test_other_values_stand_beside_it() -> None:
    """Whoever gives the name and corrects the amount in one breath is heard in both."""
    form = Interpreter.load().parse("姓陈，金额改成300", expects="surname")
    assert {one["entity"]: one["value"] for one in form["entities"]} == {"surname": "陈", "slot": "amount", "amount": 30000}
