"""What must not be written anywhere: codes and full phone numbers, in the database as in the logs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from bot.app import App
from bot.dialogue.masking import masked
from bot.migrations import TABLES
from tests.bot.talk import CHEN, LI, WANG, Talk, wrong
from tests.conftest import OpenDemo
from wallet_service import schema

# The wallet must know whom it serves, whose phone a log-in is to prove and which number a phone bill is for; nobody else does.
_KEEPS_PHONES = {"users", "challenges", "subscriptions", "bills"}
_IN_WORDS = "零一二三四五六七八九"


async def kept(app: App, *words: str) -> set[str]:
    """Name the tables whose rows hold one of these words, with everything opened that stands sealed."""
    found = set()
    async with app.wallet.database.read() as connection:
        for table in (*schema.metadata.tables.values(), *TABLES.tables.values()):
            rows = str([tuple(row) for row in await connection.execute(sa.select(table))])
            if any(word in rows for word in words):
                found.add(table.name)
    return found


def in_bytes(database: Path, word: str) -> bool:
    """Tell whether a word stands anywhere in the database's files, deleted rows and the write-ahead log too."""
    return any(word.encode() in path.read_bytes() for path in database.parent.glob(f"{database.name}*"))


def in_words(digits: str) -> str:
    """Spell digits as people do who are afraid of filters."""
    return "".join(_IN_WORDS[int(digit)] for digit in digits)


async def test_no_code_and_no_phone_is_kept(open_demo: OpenDemo, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Through a whole transfer, codes typed in every way, after every turn: no code is kept even sealed, phones by the till only.

    In the file's bytes stand neither these nor a name nor a word of what was said.
    """
    database, codes = tmp_path / "demo.db", set[str]()
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        async with open_demo() as app:
            talk = Talk(app)

            async def say(text: str) -> str:
                words = await talk.say(text)
                codes.update(talk.codes(WANG))
                assert await kept(app, WANG, LI, CHEN) <= _KEEPS_PHONES, text
                return words

            await say("/log_in")
            await say(f"我的手机号是 {WANG[:3]} {WANG[3:7]} {WANG[7:]}")
            await say(wrong(talk.code(WANG)))
            assert "已登录" in await say(talk.code(WANG))
            await say(f"给{CHEN}转60块")
            await say(f"不对，收款人是{LI}")
            assert "138****0002" in talk.words()
            await say("人工")
            await say("取消")
            await say("转账")
            await say(f"{CHEN[:3]}-{CHEN[3:7]}-{CHEN[7:]}")
            await say("50块")
            await say("姓陈")
            for typed in (wrong(talk.code(WANG)), in_words(wrong(talk.code(WANG))), f"验证码 {wrong(talk.code(WANG))} 对吗"):
                codes.add(wrong(talk.code(WANG)))
                await say(typed)
                assert not await kept(app, typed)
            spaced = f"{talk.code(WANG)[:3]} {talk.code(WANG)[3:]}"
            assert "转好了" in await say(spaced)
            assert not await kept(app, spaced, *codes, *map(in_words, codes))
            assert not in_bytes(database, spaced)
    assert len(codes) >= 3
    for code in codes:
        assert not in_bytes(database, code)
        assert not in_bytes(database, in_words(code))
    for word in (WANG, LI, CHEN, "王小明", "李娜", "收款人是", "我的手机号"):
        assert not in_bytes(database, word), word
    assert logs == []
    told = [record.getMessage() for record in caplog.records if record.name != "aiosqlite"]  # the command line silences that
    assert not [line for line in told for secret in (*codes, WANG, LI, CHEN) if secret in line]


async def test_a_message_that_held_a_code_is_to_be_forgotten(open_demo: OpenDemo) -> None:
    """The door is told to delete a message with a code, however it is spelled, and to leave all others."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        assert talk.outcome.forget_message
        await talk.say("给李娜转50块")
        assert not talk.outcome.forget_message
        await talk.say("在公交上能用吗")
        assert not talk.outcome.forget_message
        await talk.say(in_words(wrong(talk.code(WANG))))
        assert talk.outcome.forget_message
        await talk.say(talk.code(WANG))
        assert talk.outcome.forget_message


@pytest.mark.parametrize(
    ("text", "everything", "kept"),
    [
        ("打给13800000001", False, "打给138****0001"),
        ("卡号 6222 0212 3456 7890 128", False, "卡号 ****0128"),
        ("转200块", False, "转200块"),
        ("验证码493201", True, "验证码••••••"),
        ("４９３２０１", True, "••••••"),
        ("四九三二〇一", True, "••••••"),
    ],
)
def test_what_is_kept_of_numbers(text: str, everything: bool, kept: str) -> None:
    """Long numbers keep their ends; where a code may stand, no digit is kept in any spelling."""
    assert masked(text, everything=everything) == kept
