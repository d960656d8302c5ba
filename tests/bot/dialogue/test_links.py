"""Links to one-time pages are made when a reply leaves; neither what opens them nor a second factor's code is kept anywhere."""

from __future__ import annotations

from pathlib import Path

from bot.dialogue.masking import masked, may_hold_code
from bot.messages import TICKET, Reply
from tests.bot.talk import LI, WANG, Talk, rows
from tests.conftest import OpenDemo
from tests.handlers.record import prepare


def _in_bytes(database: Path, text: str) -> bool:
    """Look for a text in a database file and its log."""
    files = [database, database.with_name(database.name + "-wal")]
    return any(text.encode() in path.read_bytes() for path in files if path.exists())


def _link(talk: Talk) -> str:
    """Give the link of the last answer."""
    return next(button.url for reply in talk.outcome.replies for button in reply.buttons if button.url)


async def test_a_link_opens_its_page_and_is_kept_nowhere(open_demo: OpenDemo, tmp_path: Path) -> None:
    """It works, the same message gives it again, and what opens it stands in no table."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(LI)
        await talk.say("给李娜")
        await talk.say("取消")
        message = talk.inbound("绑定验证器", "m1")
        await talk.send(message)
        link = _link(talk)
        path, _, token = link.partition("#")
        assert path == "/secure"
        assert (await app.wallet.open_ticket(token)).purpose == "add_authenticator"
        await talk.send(message)
        assert _link(talk) == link
        assert not _in_bytes(tmp_path / "demo.db", token)
    assert token not in str(rows(tmp_path / "demo.db", "SELECT * FROM events"))


async def test_the_words_of_a_link_show_it_again(open_demo: OpenDemo) -> None:
    """Where it cannot be pressed its title is typed, also from a page that was loaded anew: the same link comes once more."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(LI)
        await talk.say("设置支付密码")
        link = _link(talk)
        await talk.say("打开安全页面")
        assert _link(talk) == link
        await talk.say("我还有多少钱", "打开安全页面")
        assert not [button for reply in talk.outcome.replies for button in reply.buttons if button.url]


async def test_a_reply_keeps_its_ticket(open_demo: OpenDemo) -> None:
    """What is stored names the ticket, and reads back as it was."""
    reply = Reply("好", ())
    assert Reply.from_json(reply.to_json()) == reply
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(LI)
        before = await app.store.find(talk.channel, talk.sender)
        await talk.say("设置支付密码")
        assert before is not None
        said = (await app.store.get(before)).state["said"]
        kept = [button.url for one in said for button in Reply.from_json(one).buttons]
        assert [url.startswith(TICKET) for url in kept] == [True]


async def test_codes_of_the_second_factor_are_kept_nowhere(open_demo: OpenDemo, tmp_path: Path) -> None:
    """An authenticator's code and a recovery code are masked in every record, and their messages leave the chat."""
    typed = ("482 913", "k7q2-9mxp 3abc", "ABCD-EFGH-JKMN", "ｋ７ｑ２ｚｚｚｚｙｙｙｙ")
    async with open_demo() as app:
        talk = Talk(app)

        async def code(phone: str) -> str:
            await app.courier.drain()
            return talk.code(phone)

        await prepare(app.wallet, code)
        await talk.log_in(WANG)
        assert "验证器上的6位数" in await talk.say("给李娜转5100块")
        for number, text in enumerate(typed, 1):
            answer = await talk.say(text)
            assert f"还可以试{5 - number}次" in answer
            assert talk.outcome.forget_message
        conversation = await app.store.find(talk.channel, talk.sender)
        assert conversation is not None
        record = str(await app.store.transcript(conversation))
        for text in typed:
            assert text not in record
            assert not _in_bytes(tmp_path / "demo.db", text)
        await talk.say("李娜是我同事")
        assert not talk.outcome.forget_message


def test_what_looks_like_a_recovery_code() -> None:
    """Three groups of four letters and digits, in any spelling; other words and numbers are what they were."""
    for text in ("K7Q2-9MXP-3ABC", "k7q2 9mxp 3abc", "K7Q29MXP3ABC", "恢复码 K7Q2-9MXP-3ABC", "Ｋ７Ｑ２-９ＭＸＰ-３ＡＢＣ"):
        assert may_hold_code(text)
        assert masked(text, everything=True).count("•") >= 12
    for text in ("cancel", "transfer money", "abcd-efgh", "李娜 abcd"):
        assert masked(text, everything=True) == text
