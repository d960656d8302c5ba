"""Notices by mail, through the SMTP server of ``ZHANGGUI_SMTP_URL``.

``smtp://user:password@host:port?from=address``: port 587, STARTTLS required unless the host is this machine or the URL says
``starttls=off``; ``smtps://…``: port 465, TLS from the first byte; ``ca=file.pem``: who vouches for the server instead of the
system's authorities. A password never crosses a network in the clear: such a URL is refused.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from bot.courier import Refused
from locales import Locale
from wallet_service import Notice

_PORTS = {"smtp": 587, "smtps": 465}  # RFC 8314: submission, and submission over TLS
_OPTIONS = ("from", "starttls", "ca")
_ANSWER_SECONDS = 10.0  # for each answer of the server
_SECONDS = 45.0  # for the whole of one message: less than a claim of a notice lasts
_THREADS = 4  # as many as the courier carries at once; of their own, so that a server that hangs takes no others


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and from whom; ``tls`` says when the link is encrypted."""

    host: str
    port: int
    tls: Literal["off", "starttls", "from_the_start"]
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    authorities: str | None = None


def parse_smtp_url(url: str) -> MailServer:
    """Read an SMTP URL; raises ``ValueError`` with a reason that repeats nothing of the URL."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        options = dict(pairs := parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("cannot be read: special characters of user and password are written as %XX") from None
    if scheme not in _PORTS or not host:
        raise ValueError("must be smtp://host or smtps://host")
    if parts.path not in ("", "/") or parts.fragment:
        raise ValueError("has more behind the host than options: special characters of user and password are written as %XX")
    if len(options) < len(pairs) or not set(options) <= set(_OPTIONS):
        raise ValueError(f"may have these options, each once: {', '.join(_OPTIONS)}")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have both user and password, or neither")
    return MailServer(
        host=host,
        port=port or _PORTS[scheme],
        tls=_tls(scheme, host, options.get("starttls"), bool(parts.username)),
        sender=_sender(options.get("from", "")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        authorities=_authorities(options.get("ca")),
    )


def _tls(scheme: str, host: str, starttls: str | None, has_password: bool) -> Literal["off", "starttls", "from_the_start"]:
    if starttls not in (None, "required", "off"):
        raise ValueError("must have starttls=required or starttls=off")
    if scheme == "smtps":
        if starttls is not None:
            raise ValueError("starts with smtps, which needs no starttls")
        return "from_the_start"
    if starttls == "required" or (starttls is None and not _is_this_machine(host)):
        return "starttls"
    if has_password and not _is_this_machine(host):
        raise ValueError("would send its password in the clear: leave starttls=off out")
    return "off"


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _sender(address: str) -> str:
    with suppress(ValueError, IndexError, MessageError):
        if address.isascii() and (parsed := Address(addr_spec=address)).username and parsed.domain:
            return address
    raise ValueError("must say from whom mail comes: from=notices@your.domain")


def _authorities(file: str | None) -> str | None:
    try:
        ssl.create_default_context(cafile=file)
    except OSError:
        raise ValueError("must name a file with certificates in ca=") from None
    return file


class MailPort:
    """Hands each notice to the server as one letter. A repeat has the same Message-ID, so that it can be told."""

    def __init__(self, server: MailServer, locale: Locale, clock: Callable[[], dt.datetime]) -> None:
        self._server, self._locale, self._clock = server, locale, clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mail")
        self._tls = ssl.create_default_context(cafile=server.authorities)

    def __enter__(self) -> MailPort:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, notice: Notice, text: str) -> None:
        """Send one notice; raises ``Refused`` when the server will never take it, and otherwise what hindered it now."""
        letter = self._letter(notice, text)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_SECONDS):
            await loop.run_in_executor(self._threads, self._hand_over, letter, notice.to)

    def _letter(self, notice: Notice, text: str) -> EmailMessage:
        house, sender = self._locale.word("ui", "mail_sender"), self._server.sender
        letter = EmailMessage(policy=SMTP)
        try:
            letter["To"] = Address(addr_spec=notice.to)
        except (ValueError, IndexError, MessageError):
            raise Refused from None  # not an address at all
        letter["From"] = Address(house, addr_spec=sender)
        letter["Subject"] = self._locale.say("utter_mail_subject", {}).text
        letter["Date"] = format_datetime(self._clock())
        letter["Message-ID"] = f"<notice.{notice.id}.{notice.created_at:%Y%m%d%H%M%S%f}@{sender.rpartition('@')[2]}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office note in return
        letter.set_content(self._locale.say("utter_mail", {"text": text}).text, cte="base64")
        return letter

    def _hand_over(self, letter: EmailMessage, to: str) -> None:
        """Speak with the server, in a thread; every answer is waited for ten seconds at most."""
        server = self._server
        greeted_as = server.sender.rpartition("@")[2]
        if server.tls == "from_the_start":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, greeted_as, timeout=_ANSWER_SECONDS, context=self._tls
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, greeted_as, timeout=_ANSWER_SECONDS)
        try:
            if server.tls == "starttls":
                smtp.starttls(context=self._tls)
            if server.user:
                smtp.login(server.user, server.password)
            smtp.send_message(letter, server.sender, [to])
        except smtplib.SMTPRecipientsRefused as fault:
            raise _judged(fault.recipients[to][0], fault) from None
        except smtplib.SMTPDataError as fault:
            raise _judged(fault.smtp_code, fault) from None
        finally:
            with suppress(smtplib.SMTPException, OSError):  # the letter is taken or not, whatever the good-bye is
                smtp.quit()


def _judged(status: int, fault: Exception) -> Exception:
    """Tell what is refused for good (5xx, about this letter or its recipient) from what may go later (RFC 5321, 4.2.1)."""
    return Refused(status) if 500 <= status < 600 else fault
