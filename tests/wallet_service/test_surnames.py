"""The family name of a stranger: found in a name, asked for, taken, and not found out by trying."""

from __future__ import annotations

from typing import Any

import pytest

from wallet_service.brakes import hold
from wallet_service.errors import SurnameLocked, SurnameNeeded, SurnameWrong, WalletError
from wallet_service.risk import packaged_rules
from wallet_service.surnames import confirm_surname, family_name, is_family_name

DATABASES = ("sqlite", "postgresql")
RULES = packaged_rules()


@pytest.mark.parametrize(
    ("name", "family"),
    {
        "陈建国": "陈",
        "欧阳娜娜": "欧阳",
        "欧阳": "欧",
        "司马光": "司马",
        "单雄信": "单",
        "单于夫罗": "单于",
        "买买提·吐尔逊": "买买提",
        "John Smith": "John",
        "": "",
    }.items(),
)
def test_the_family_name_in_a_name(name: str, family: str) -> None:
    """One character, a known name of two, or the first part of a name that is not Han."""
    assert family_name(name) == family


@pytest.mark.parametrize("said", ["陈", " 陈 ", "陈建国"])
def test_a_family_name_is_taken_as_said(said: str) -> None:
    """Alone or in the whole name."""
    assert is_family_name(said, "陈建国")


@pytest.mark.parametrize("said", ["", "程", "建国", "陈建", "陈陈", "欧"])
def test_anything_else_is_none(said: str) -> None:
    """A part of it, more than it, or nothing."""
    assert not is_family_name(said, "陈建国")
    assert not is_family_name(said, "欧阳娜娜")


async def guess(till: Any, payer: str, payee: str, said: str | None) -> WalletError | None:
    """Say a family name; give the refusal, whose traces are kept as the wallet keeps those of any refusal."""
    async with till.wallet.database.write() as connection:
        await hold(till.wallet.context, connection, till.ids[payer])
        asked = {"payer": till.ids[payer], "payee": till.ids[payee], "name": payee, "said": said, "now": till.clock.now}
        try:
            await confirm_surname(connection, RULES, **asked)
        except WalletError as refusal:
            return refusal
    return None


async def test_a_strangers_family_name_is_asked_and_taken(till) -> None:
    """Without one it is asked for, showing no more than the masked name; the right one passes, and costs nothing."""
    asked = await guess(till, "李娜", "陈建国", None)
    assert isinstance(asked, SurnameNeeded)
    assert asked.facts == {"name_masked": "*建国"}
    for _ in range(5):
        assert await guess(till, "李娜", "陈建国", "陈") is None


async def test_wrong_guesses_end_for_the_day(till) -> None:
    """Two are told how many are left, the third locks until midnight in Shanghai: then even the right one is not taken."""
    for left in (2, 1):
        wrong = await guess(till, "李娜", "陈建国", "程")
        assert isinstance(wrong, SurnameWrong)
        assert wrong.facts == {"name_masked": "*建国", "tries_left": left}
    for said in ("成", "陈", None):
        locked = await guess(till, "李娜", "陈建国", said)
        assert isinstance(locked, SurnameLocked)
        assert locked.facts == {"retry_at": "2026-11-20T16:00:00+00:00"}
    assert await guess(till, "王小明", "陈建国", "陈") is None
    till.clock.advance(hours=12)
    assert await guess(till, "李娜", "陈建国", "陈") is None


async def test_wrong_guesses_are_few_over_all_payees(till) -> None:
    """Nine in a day, whoever is guessed at: a list of phones is no list of names."""
    for payee in ("王小明", "张三丰", "赵敏"):
        for _ in range(3):
            await guess(till, "李娜", payee, "钱")
    assert isinstance(await guess(till, "李娜", "陈建国", "陈"), SurnameLocked)
