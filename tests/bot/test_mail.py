"""Mail over a real connection to a mail server on loopback: what arrives, how it gets there, and what each failure means."""

from __future__ import annotations

import asyncio
import datetime as dt
import smtplib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import mail
from bot.courier import Refused
from bot.mail import MailPort, parse_smtp_url
from locales import Locale
from tests.bot.smtp_server import DROP, HANG, SmtpServer
from wallet_service import Notice

NOW = dt.datetime(2026, 11, 20, 4, 30, tzinfo=dt.UTC)
WORDS = "【掌柜】11-20 12:30有人用您的手机号登录了掌柜。\n.一行以点开头"


def notice(number: int = 7, to: str = "wang@example.com") -> Notice:
    """Make a notice for a mailbox."""
    return Notice(id=number, kind="logged_in", to=to, channel="mail", user_id=1, facts={}, created_at=NOW)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SmtpServer]:
    """A mail server that takes everything."""
    server = SmtpServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def send(url: str, what: Notice | None = None) -> None:
    """Send one notice to the server at a URL."""
    with MailPort(parse_smtp_url(url), Locale.load(), lambda: NOW) as port:
        await port.send(what or notice(), WORDS)


async def test_a_letter_arrives_with_its_words_and_headers(server: SmtpServer) -> None:
    """Chinese words and headers, the time of the clock, from and to whom, and that no machine need answer it."""
    await send(server.url())
    (letter,) = server.letters
    assert (letter.sender, letter.recipient) == ("notices@bank.example", "wang@example.com")
    message = letter.message
    assert message["From"].addresses[0].display_name == "掌柜"
    assert message["From"].addresses[0].addr_spec == "notices@bank.example"
    assert str(message["To"]) == "wang@example.com"
    assert str(message["Subject"]) == "您的钱包有一条提醒"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert WORDS.removeprefix("【掌柜】") in letter.text
    assert letter.text.startswith("您好！\n\n")
    assert "【" not in letter.text
    assert letter.octets.isascii()


async def test_a_repeat_can_be_told(server: SmtpServer) -> None:
    """The same notice has the same Message-ID, another one another, also one of the same number from another ledger."""
    other = Notice(
        id=7, kind="logged_in", to="a@b.example", channel="mail", user_id=1, facts={}, created_at=NOW + dt.timedelta(1)
    )
    for what in (notice(), notice(), notice(8), other):
        await send(server.url(), what)
    first, again, *others = [letter.message["Message-ID"] for letter in server.letters]
    assert first == again
    assert len({first, *others}) == 3
    assert first.startswith("<")
    assert first.endswith("@bank.example>")


async def test_starttls_protects_letter_and_password(server: SmtpServer) -> None:
    """Nothing but the greeting goes in the clear; user and password may hold any character."""
    server.users = {"wang@bank": "p:ss/w#rd"}
    await send(server.url(f"&starttls=required{server.authority}", login="wang%40bank:p%3Ass%2Fw%23rd@"))
    assert [(letter.encrypted, letter.user) for letter in server.letters] == [(True, "wang@bank")]
    assert [verb for verb, encrypted in server.heard if not encrypted] == ["EHLO", "STARTTLS"]


async def test_tls_from_the_start(tmp_path: Path) -> None:
    """smtps speaks TLS before the first word."""
    server = SmtpServer(tmp_path, users={"wang": "secret"}, tls_from_the_start=True)
    await server.start()
    await send(server.url(server.authority, scheme="smtps", login="wang:secret@"))
    assert [(letter.encrypted, letter.user) for letter in server.letters] == [(True, "wang")]
    await server.stop()


@pytest.mark.parametrize("authority", [True, False])
async def test_a_server_that_cannot_be_trusted_gets_nothing(server: SmtpServer, authority: bool) -> None:
    """One that hides STARTTLS, or whose certificate nobody vouches for, hears neither password nor letter."""
    server.offers_starttls = not authority
    url = server.url("&starttls=required" + (server.authority if authority else ""), login="wang:secret@")
    with pytest.raises(smtplib.SMTPNotSupportedError if authority else ssl.SSLCertVerificationError):
        await send(url)
    assert server.letters == []
    assert not {"AUTH", "MAIL"} & {verb for verb, _ in server.heard}


@pytest.mark.parametrize("verb", ["RCPT", "DATA", "."])
async def test_a_refusal_for_good_is_told_apart(server: SmtpServer, verb: str) -> None:
    """A 5xx about the recipient or the letter: it says the number and nothing else."""
    server.answers[verb] = ["550 5.1.1 no mailbox wang@example.com here"]
    with pytest.raises(Refused) as refused:
        await send(server.url())
    assert refused.value.status == 550
    assert "wang" not in repr(refused.value)
    assert server.letters == []


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("connect", "421 4.3.2 too busy"),
        ("connect", "554 5.3.2 no service here"),
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "550 5.7.1 this sender may not send"),
        ("RCPT", "450 4.2.0 greylisted"),
        ("RCPT", "421 4.3.2 closing"),
        ("DATA", "451 4.3.0 later"),
        (".", "452 4.3.1 full"),
        *((verb, DROP) for verb in ("connect", "EHLO", "MAIL", "RCPT", "DATA", ".")),
    ],
)
async def test_everything_else_may_go_later(server: SmtpServer, verb: str, answer: str) -> None:
    """A 4xx, a server that has a quarrel with us and not with the recipient, a cut connection: not now, and then it goes."""
    server.answers[verb] = [answer] * (2 if verb == "EHLO" else 1)
    with pytest.raises((smtplib.SMTPException, OSError)):
        await send(server.url())
    assert server.letters == []
    server.answers.clear()
    await send(server.url())
    assert len(server.letters) == 1


async def test_a_wrong_password_is_not_the_recipients_fault(server: SmtpServer) -> None:
    """It waits until the operator has mended the setting."""
    server.users = {"wang": "secret"}
    with pytest.raises(smtplib.SMTPAuthenticationError):
        await send(server.url(login="wang:wrong@"))


@pytest.mark.parametrize("answer", ["421 4.3.2 closing", "500 5.5.2 what", DROP])
async def test_what_was_taken_is_sent_whatever_the_good_bye(server: SmtpServer, answer: str) -> None:
    """A failure after the letter was taken sends no second one."""
    server.answers["QUIT"] = [answer]
    await send(server.url())
    assert len(server.letters) == 1


@pytest.mark.parametrize("to", ["wang", "", "wang@example.com\r\nBcc: all@example.com", "a@b@c", "<a@b.example>"])
async def test_what_is_no_address_is_refused(server: SmtpServer, to: str) -> None:
    """Nothing is asked of the server, and no header is slipped in."""
    with pytest.raises(Refused):
        await send(server.url(), notice(to=to))
    assert server.heard == []


async def test_a_server_that_hangs_stops_nobody(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on while it hangs, and its answer is not waited for for ever."""
    monkeypatch.setattr(mail, "_ANSWER_SECONDS", 0.3)
    server.answers["MAIL"] = [HANG]
    sending = asyncio.create_task(send(server.url()))
    while not server.count("MAIL"):
        await asyncio.sleep(0.01)
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not sending.done()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await sending


def test_the_usual_settings() -> None:
    """Submission with STARTTLS; TLS from the start for smtps; this machine needs neither, unless it is asked for."""
    for url, port, tls in (
        ("smtp://u:p@mail.example?from=a@b.example", 587, "starttls"),
        ("smtp://mail.example:25/?from=a@b.example&starttls=required", 25, "starttls"),
        ("smtp://mail.example?from=a@b.example&starttls=off", 587, "off"),
        ("smtps://u:p@mail.example?from=a@b.example", 465, "from_the_start"),
        ("smtp://u:p@localhost?from=a@b.example", 587, "off"),
        ("smtp://127.0.0.2:2525?from=a%40b.example", 2525, "off"),
        ("smtp://[::1]:25?from=a@b.example&starttls=required", 25, "starttls"),
    ):
        server = parse_smtp_url(url)
        assert (server.port, server.tls, server.sender) == (port, tls, "a@b.example"), url
    assert "hush" not in repr(parse_smtp_url("smtps://u:hush@mail.example?from=a@b.example"))


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example?from=a@b.example",
        "mail.example",
        "smtp://?from=a@b.example",
        "smtp://mail.example",
        "smtp://mail.example?from=",
        "smtp://mail.example?from=nobody",
        "smtp://mail.example?from=掌柜@b.example",
        "smtp://mail.example?from=a@b.example%0d%0aBcc:x@y.example",
        "smtp://u:hush@mail.example?from=a@b.example&starttls=off",
        "smtp://mail.example?from=a@b.example&starttls=maybe",
        "smtps://mail.example?from=a@b.example&starttls=required",
        "smtp://mail.example?from=a@b.example&from=c@d.example",
        "smtp://mail.example?from=a@b.example&tls=no",
        "smtp://mail.example?hush",
        "smtp://mail.example/hush?from=a@b.example",
        "smtp://mail.example?from=a@b.example#hush",
        "smtp://u:hush#x@mail.example?from=a@b.example",
        "smtp://u:hu/sh@mail.example?from=a@b.example",
        "smtp://u@mail.example?from=a@b.example",
        "smtp://:hush@mail.example?from=a@b.example",
        "smtp://mail.example:hush?from=a@b.example",
        "smtp://mail.example:99999?from=a@b.example",
        "smtp://[mail.example?from=a@b.example",
        "smtp://mail.example?from=a@b.example&ca=/no/such/file",
        f"smtp://mail.example?from=a@b.example&ca={__file__}",
    ],
)
def test_a_wrong_setting_is_named(url: str) -> None:
    """In one line that repeats no part of it, for it may hold a password."""
    with pytest.raises(ValueError, match=r"^(must|may|has|cannot|starts|would) [^\n]+$") as refused:
        parse_smtp_url(url)
    assert "hu" not in str(refused.value)
