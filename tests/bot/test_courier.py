"""Notices on their ways out: a real wallet, an SMS gateway and a mail server on loopback, and a process that is killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from sqlalchemy import insert, update
from structlog.testing import capture_logs

from bot.app import App
from bot.courier import backoff
from bot.metrics import NOTICES
from tests.bot.smtp_server import HANG, SmtpServer
from tests.bot.talk import LI, WANG, Talk, rows
from tests.bot.test_cli import environment
from tests.conftest import SECRET, Clock, OpenDemo, served
from wallet_service import Fen, Transfer, Wallet
from wallet_service.outbox import notice_row
from wallet_service.schema import outbox, users

WANG_MAIL = "xiaoming@example.com"
LATER = dt.timedelta(minutes=10)  # longer than any wait between two attempts


class Gateway:
    """An SMS gateway: keeps what it was asked to send; answers with ``status``, or never while it ``hangs``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status, self.hangs = 200, False

    async def take(self, request: web.Request) -> web.Response:
        """Take one message."""
        self.asked.append(await request.json())
        if self.hangs:
            await asyncio.Event().wait()
        return web.Response(status=self.status)

    def kinds(self, phone: str = WANG) -> list[str]:
        """Give the kinds of what a phone was sent, in order."""
        return [message["kind"] for message in self.asked if message["to"] == phone]


class World:
    """The gateway, the mail server, the clock, and the settings of an app that uses them."""

    def __init__(self, sms: Gateway, sms_url: str, mail: SmtpServer, database: Path) -> None:
        self.sms, self.mail, self.clock, self.database = sms, mail, Clock(), database
        self.settings: dict[str, Any] = {"demo": False, "sms_webhook_url": sms_url, "smtp_url": mail.url()}

    def mails(self) -> list[str]:
        """Give to whom letters went, in order."""
        return [letter.recipient for letter in self.mail.letters]

    def waiting(self) -> list[tuple[str, str]]:
        """Give kind and way of what still waits, read from outside."""
        return rows(self.database, "SELECT kind, way FROM outbox WHERE status = 'waiting' ORDER BY id")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and a mail server that take everything."""
    sms, mail, http = Gateway(), SmtpServer(tmp_path), web.Application()
    http.add_routes([web.post("/sms", sms.take)])
    gateway = TestServer(http, host="127.0.0.1")
    await gateway.start_server()
    await mail.start()
    yield World(sms, str(gateway.make_url("/sms")), mail, tmp_path / "demo.db")
    await mail.stop()
    await gateway.close()


@pytest.fixture
def open_world(world: World, open_demo: OpenDemo) -> Callable[..., Any]:
    """A function that opens the app of the world; 王小明 has a mailbox."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[App]:
        async with open_demo(clock=world.clock, **{**world.settings, **changes}) as app:
            await set_email(app, WANG_MAIL)
            yield app

    return opened


async def set_email(app: App, address: str) -> None:
    """Give 王小明, the first user, a mailbox."""
    async with app.wallet.database.write() as connection:
        await connection.execute(update(users).where(users.c.id == 1).values(email=address))


async def tell(wallet: Wallet, kind: str, order_id: int | None = None) -> None:
    """Write a notice for 王小明 as the wallet does."""
    async with wallet.database.write() as connection:
        row = notice_row(kind, wallet.context.now(), user_id=1, order_id=order_id)
        await connection.execute(insert(outbox).values(row))


async def log_in(app: App, sms: Gateway, phone: str = WANG) -> str:
    """Log in with the code that the gateway was asked to send; gives it."""
    challenge = await app.wallet.start_login(phone, key=uuid4().hex)
    await app.courier.drain()
    text = next(message["text"] for message in reversed(sms.asked) if message["to"] == phone)
    code = text.partition("验证码 ")[2][:6]
    await app.wallet.finish_login(challenge.id, code, key=uuid4().hex)
    return str(code)


async def until(true: Callable[[], object]) -> None:
    """Wait until something holds; the test's time is up some day."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


async def test_a_log_in_is_told_by_sms_and_mail_and_its_code_by_sms_alone(world: World, open_world: Callable[..., Any]) -> None:
    """A code, of a log-in or a payment, is in no letter; who logged in is told in both places in the same words."""
    async with open_world() as app:
        codes = [await log_in(app, world.sms)]
        await app.courier.drain()
        (wallet,) = await app.wallet.find_payees(1, LI, city="xiamen")
        await app.wallet.propose(Transfer(payer=1, payee=wallet.wallet_id, amount=Fen(100)), actor=1, key="k")
        await app.courier.drain()
    assert world.sms.kinds() == ["login_code", "logged_in", "payment_code"]
    codes.append(world.sms.asked[-1]["text"].partition("验证码 ")[2][:6])
    assert all(code.isdigit() for code in codes)
    assert world.mails() == [WANG_MAIL]
    (letter,) = world.mail.letters
    assert world.sms.asked[1]["text"].removeprefix("【掌柜】") in letter.text
    assert not [code for code in codes if code in letter.text or code.encode() in letter.octets]


async def test_a_lock_reaches_phone_mailbox_and_every_chat(world: World, open_world: Callable[..., Any]) -> None:
    """Whoever locks a wallet by guessing cannot hide it from its owner."""
    async with open_world() as app:
        door = Talk(app, "web")
        await door.say("/log_in", WANG)
        await door.say(world.sms.asked[-1]["text"].partition("验证码 ")[2][:6])
        await app.engine.claim_pushes("web", door.sender)
        until_then = app.wallet.context.now() + dt.timedelta(minutes=5)
        async with app.wallet.database.write() as connection:
            await connection.execute(update(users).where(users.c.id == 1).values(locked_until=until_then))
        await tell(app.wallet, "payments_locked")
        await app.courier.drain()
        (pushed,) = await app.engine.claim_pushes("web", door.sender)
    assert world.sms.kinds()[-1] == "payments_locked"
    assert "不能付款" in pushed.text
    assert "不能付款" in world.mail.letters[-1].text


async def test_a_mail_refused_for_now_goes_later_and_once(world: World, open_world: Callable[..., Any]) -> None:
    """A 4xx: the mail comes again after its wait, not before, and the SMS that went is not repeated."""
    async with open_world() as app:
        world.mail.answers["RCPT"] = ["451 4.3.0 later"]
        await log_in(app, world.sms)
        await app.courier.drain()
        assert (world.mails(), world.waiting()) == ([], [("logged_in", "mail")])
        world.clock.ahead += dt.timedelta(seconds=7)
        await app.courier.drain()
        assert world.mail.count("RCPT") == 1
        world.clock.ahead += dt.timedelta(seconds=4)
        for _ in range(3):
            await app.courier.drain()
            world.clock.ahead += LATER
    assert world.mails() == [WANG_MAIL]
    assert world.sms.kinds() == ["login_code", "logged_in"]
    assert world.waiting() == []


async def test_a_mail_refused_for_good_is_given_up(world: World, open_world: Callable[..., Any]) -> None:
    """A 5xx about the recipient: one attempt, one line in the log and one count, neither with a word of the notice."""
    counted = NOTICES.labels("logged_in", "mail", "given_up")
    before = counted._value.get()
    async with open_world() as app:
        world.mail.answers["RCPT"] = [f"550 5.1.1 no mailbox {WANG_MAIL}"]
        with capture_logs() as lines:
            await log_in(app, world.sms)
            for _ in range(3):
                await app.courier.drain()
                world.clock.ahead += LATER
    (line,) = [line for line in lines if line["event"] == "notice given up"]
    assert {name: line[name] for name in ("kind", "way", "status", "attempts", "fault")} == {
        "kind": "logged_in",
        "way": "mail",
        "status": 550,
        "attempts": 1,
        "fault": "Refused",
    }
    assert WANG_MAIL not in str(lines)
    assert (world.mail.count("RCPT"), world.mails(), world.waiting()) == (1, [], [])
    assert counted._value.get() == before + 1
    assert world.sms.kinds() == ["login_code", "logged_in"]


async def test_a_mail_server_that_was_away_gets_its_mail(world: World, open_world: Callable[..., Any]) -> None:
    """Down for hours, with attempts in vain every ten minutes: when it is back, the mail arrives, once."""
    async with open_world() as app:
        await world.mail.stop()
        await log_in(app, world.sms)
        for _ in range(30):
            await app.courier.drain()
            world.clock.ahead += LATER
        assert world.waiting() == [("logged_in", "mail")]
        await world.mail.start()
        for _ in range(3):
            await app.courier.drain()
            world.clock.ahead += LATER
    assert (world.mails(), world.waiting()) == ([WANG_MAIL], [])


async def test_a_gateway_that_fails_waits_longer_each_time(world: World, open_world: Callable[..., Any]) -> None:
    """SMS has the same backoff; the mail that went meanwhile is not repeated."""
    async with open_world() as app:
        await tell(app.wallet, "logged_in")
        world.sms.status = 503
        await app.courier.drain()
        for attempts, wait in enumerate((10, 20, 40), 1):
            assert len(world.sms.asked) == attempts
            world.clock.ahead += dt.timedelta(seconds=wait * 0.7)
            await app.courier.drain()
            assert len(world.sms.asked) == attempts
            world.clock.ahead += dt.timedelta(seconds=wait * 0.3 + 1)
            await app.courier.drain()
        world.sms.status = 200
        world.clock.ahead += LATER
        await app.courier.drain()
    assert len(world.sms.asked) == 5
    assert len({message["id"] for message in world.sms.asked}) == 1
    assert (world.mails(), world.waiting()) == ([WANG_MAIL], [])


async def test_a_mail_server_that_hangs_holds_up_no_code(world: World, open_world: Callable[..., Any]) -> None:
    """While four letters wait for its answer, a code is on its way at once."""
    async with open_world() as app:
        world.mail.answers["MAIL"] = [HANG] * 4
        for _ in range(4):
            await tell(app.wallet, "logged_in")
        await app.wallet.start_login(LI, key="wakes the courier")
        await until(lambda: world.mail.count("MAIL") == 4)
        await app.wallet.start_login(WANG, key="k")
        async with asyncio.timeout(5):
            await until(lambda: "login_code" in world.sms.kinds())
        assert world.mail.count("MAIL") == 4
        await world.mail.stop()  # lets go of the threads that wait
        await world.mail.start()


async def test_nothing_personal_is_logged(world: World, open_world: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails on whichever way, no line has an address, a phone, a code or words of a notice, at debug either."""
    caplog.set_level(logging.DEBUG)
    world.mail.answers["MAIL"] = ["451 later"]
    world.mail.answers["RCPT"] = [f"450 {WANG_MAIL} is away", f"550 no {WANG_MAIL}"]
    with capture_logs() as lines:
        async with open_world() as app:
            code = await log_in(app, world.sms)
            for world.sms.status in (503, 400, 200):
                await app.courier.drain()
                world.clock.ahead += LATER
            await app.courier.drain()
    assert {line["event"] for line in lines} >= {"notice not sent", "notice given up"}
    logged = str(lines) + caplog.text
    for secret in (WANG_MAIL, "xiaoming", WANG, code, "登录了", SECRET):
        assert secret not in logged


async def test_a_notice_without_words_harms_no_other(world: World, open_world: Callable[..., Any]) -> None:
    """What cannot be put into words waits, and what stands behind it leaves."""
    async with open_world() as app:
        await tell(app.wallet, "a_kind_to_come")
        await tell(app.wallet, "logged_in")
        await app.courier.drain()
    assert world.sms.kinds() == ["logged_in"]
    assert world.waiting() == [("a_kind_to_come", "sms"), ("a_kind_to_come", "doors")]


async def test_without_a_mail_server_only_the_mail_is_missing(world: World, open_world: Callable[..., Any]) -> None:
    """The notice leaves by its other ways, and no mail waits for a server that nobody set."""
    async with open_world(smtp_url=None) as app:
        await tell(app.wallet, "logged_in")
        await app.courier.drain()
    assert (world.sms.kinds(), world.mails(), world.waiting()) == (["logged_in"], [], [])


async def test_the_demo_has_a_mailbox_to_look_into(open_demo: OpenDemo) -> None:
    """Without a mail server the demo's mail is where its SMS are; with one it is really sent."""
    async with open_demo() as app, served(app) as server, ClientSession() as session:
        await set_email(app, WANG_MAIL)
        await tell(app.wallet, "logged_in")
        async with session.get(server.make_url("/dev/outbox"), params={"to": WANG_MAIL}) as answer:
            (message,) = await answer.json()
        assert (message["channel"], message["to"]) == ("mail", WANG_MAIL)
        assert "登录了" in message["text"]


async def test_the_demo_sends_real_mail_where_there_is_a_server(world: World, open_demo: OpenDemo) -> None:
    """SMTP_URL counts in the demo too."""
    async with open_demo(smtp_url=world.mail.url()) as app:
        await set_email(app, WANG_MAIL)
        await tell(app.wallet, "logged_in")
        await app.courier.drain()
        assert app.phone is not None
        assert [message["channel"] for message in app.phone.messages()] == ["sms"]
    assert world.mails() == [WANG_MAIL]


async def test_what_becomes_of_a_delayed_transfer_comes_to_every_chat(open_demo: OpenDemo) -> None:
    """What was answered in a chat is pushed to none; an arrival, a return and a doubt are pushed to all, each once."""
    clock = Clock()
    async with open_demo(clock=clock) as app:
        phone, laptop = Talk(app, "web", "phone"), Talk(app, "web", "laptop")
        for talk in (phone, laptop):
            await talk.log_in(WANG)

        async def pushed() -> list[list[str]]:
            await app.courier.drain()
            waiting = [await app.engine.claim_pushes("web", talk.sender) for talk in (phone, laptop)]
            assert all(reply.system for replies in waiting for reply in replies)
            return [[reply.text for reply in replies] for replies in waiting]

        await pushed()
        for number in ("200", "300"):
            await phone.say(f"给李娜转{number}，两小时后到账")
            await phone.say(phone.code(WANG))
        assert "撤回好了" in await phone.say("撤回300那笔", "是的")
        assert await pushed() == [[], []]
        clock.ahead += dt.timedelta(minutes=121)
        await app.wallet.run_due()
        for (text,) in await pushed():
            assert "*娜的¥200.00已在" in text
        await phone.say("给李娜转40，明天到账")
        await phone.say(phone.code(WANG))
        await app.wallet.freeze(2, key="frozen meanwhile")
        clock.ahead += dt.timedelta(days=1, minutes=1)
        await app.wallet.run_due()
        for (text,) in await pushed():
            assert "*娜的¥40.00没有办成，钱已退回" in text
        await tell(app.wallet, "order_unknown", order_id=(await app.wallet.transfers(1, 1))[0].id)
        for (text,) in await pushed():
            assert "不会重复扣款" in text


def test_waits_grow_and_differ_by_chance() -> None:
    """10 s, 20 s … at most 10 min, of which chance takes up to a quarter."""
    whole = [backoff(attempts, 0.0).total_seconds() for attempts in (1, 2, 3, 4, 6, 7, 8, 150)]
    assert whole == [10, 20, 40, 80, 320, 600, 600, 600]
    assert backoff(1, 0.999).total_seconds() == pytest.approx(7.5, abs=0.01)
    assert backoff(150, 0.5).total_seconds() == 525


@asynccontextmanager
async def running(world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    """The real server as a process of its own on the world's database; it is killed at the end."""
    settings = {
        "DATABASE_URL": f"sqlite:///{world.database}",
        "SECRET_KEY": SECRET,
        "SMS_WEBHOOK_URL": world.settings["sms_webhook_url"],
        "SMTP_URL": world.settings["smtp_url"],
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.cli", "run", "--port", "0"),
        cwd=world.database.parent,
        env=environment(**settings),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("slow", ["mail", "sms"])
async def test_a_kill_between_sms_and_mail(world: World, open_world: Callable[..., Any], slow: str) -> None:
    """Killed while one way is under way and the other is done: the done one is not repeated, the other one goes later.

    What was handed over without an answer goes again, under the same number, by which the gateway tells it.
    """
    async with open_world():
        pass  # makes the database
    async with Wallet.open(f"sqlite:///{world.database}", secret=SECRET) as wallet:
        await tell(wallet, "logged_in")
    world.mail.answers["DATA"] = [HANG] if slow == "mail" else []
    world.sms.hangs = slow == "sms"
    async with running(world):
        await until(lambda: world.sms.asked and world.mail.count("DATA") and world.waiting() == [("logged_in", slow)])
    world.sms.hangs = False
    world.clock.ahead += LATER
    async with open_world() as app:
        for _ in range(3):
            await app.courier.drain()
            world.clock.ahead += LATER
    assert world.mails() == [WANG_MAIL]
    assert world.sms.kinds() == ["logged_in"] * (1 if slow == "mail" else 2)
    assert len({message["id"] for message in world.sms.asked}) == 1
    assert world.waiting() == []
