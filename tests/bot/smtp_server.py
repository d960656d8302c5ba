"""A mail server on loopback that speaks SMTP (RFC 5321) strictly, with STARTTLS, TLS and log-in, and fails where it should."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import re
import ssl
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DROP = "drop"  # the connection is cut instead of an answer
HANG = "hang"  # no answer ever comes
_LONGEST_LINE = 1000  # octets with CRLF (RFC 5321, 4.5.3.1.6)


@dataclass(frozen=True)
class Letter:
    """A letter that was taken: its envelope, its octets, and how it came."""

    sender: str
    recipient: str
    octets: bytes
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """The letter as a mail program reads it."""
        read = message_from_bytes(self.octets, policy=policy.default)
        assert isinstance(read, EmailMessage)
        return read

    @property
    def text(self) -> str:
        """The words of the letter."""
        return str(self.message.get_content()).replace("\r\n", "\n").strip()


@dataclass
class SmtpServer:
    """The server; ``answers`` holds, for a verb (or ``.`` for the end of a letter), what it says instead, in turn."""

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    offers_starttls: bool = True
    tls_from_the_start: bool = False
    letters: list[Letter] = field(default_factory=list)
    answers: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    heard: list[tuple[str, bool]] = field(default_factory=list)  # verbs, and whether they came encrypted
    port: int = 0

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._context = _certified(self.folder)
        context = self._context if self.tls_from_the_start else None
        self._open: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    def url(self, options: str = "", scheme: str = "smtp", login: str = "") -> str:
        """Give the address of the server as a setting."""
        return f"{scheme}://{login}127.0.0.1:{self.port}?from=notices@bank.example{options}"

    @property
    def authority(self) -> str:
        """The option of the setting that names who vouches for this server."""
        return f"&ca={self.folder / 'smtp.pem'}"

    def count(self, verb: str) -> int:
        """Tell how often a verb was heard."""
        return sum(said == verb for said, _ in self.heard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client went away
        finally:
            self._open.discard(writer)
            writer.transport.abort()


class _Dropped(ConnectionError):
    """The connection was cut as it was told to be."""


class _Session:
    """One connection: who it is, and the letter that it is handing over."""

    def __init__(self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._encrypted = server.tls_from_the_start
        self._greeted = False
        self._user: str | None = None
        self._sender: str | None = None
        self._recipient: str | None = None

    async def run(self) -> None:
        await self._say("connect", "220 mail.test ESMTP")
        while True:
            line = await self._line()
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            self._server.heard.append((verb, self._encrypted))
            does: Callable[[str], object] | None = getattr(self, f"_{verb.lower()}", None)
            if does is None or not verb.isalpha():
                await self._say(verb, "500 5.5.2 unknown command")
                continue
            await does(rest)  # type: ignore[misc]
            if verb == "QUIT":
                return

    async def _line(self) -> str:
        octets = await self._reader.readuntil(b"\n")
        assert octets.endswith(b"\r\n"), "a bare line feed"
        assert len(octets) <= _LONGEST_LINE, "a line that is too long"
        return octets[:-2].decode("ascii")

    async def _say(self, verb: str, *lines: str) -> bool:
        """Answer, or do what the test wants instead; tell whether this was the answer meant."""
        instead = self._server.answers[verb].pop(0) if self._server.answers[verb] else None
        if instead == DROP:
            raise _Dropped
        if instead == HANG:
            await self._reader.read()  # until the client has had enough
            raise _Dropped
        said = (instead,) if instead else lines
        self._writer.write("".join(f"{line}\r\n" for line in said).encode())
        await self._writer.drain()
        return instead is None

    async def _ehlo(self, name: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9.-]+|\[.+\]", name), "EHLO without a name"
        self._greeted, self._sender, self._recipient = True, None, None
        more = ["8BITMIME", "SIZE 1000000", "AUTH PLAIN LOGIN"]
        if self._server.offers_starttls and not self._encrypted:
            more.append("STARTTLS")
        shown = ["mail.test", *more]
        await self._say("EHLO", *(f"250{'-' if one != shown[-1] else ' '}{one}" for one in shown))

    async def _starttls(self, _: str) -> None:
        if self._encrypted or not self._server.offers_starttls:
            await self._say("STARTTLS", "503 5.5.1 not here")
        elif await self._say("STARTTLS", "220 2.0.0 go ahead"):
            await self._writer.start_tls(self._server._context)
            self._encrypted, self._greeted, self._user = True, False, None  # RFC 3207, 4.2: all is forgotten

    async def _auth(self, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        if mechanism.upper() == "PLAIN":
            _, user, password = base64.b64decode(first or await self._ask("")).split(b"\0")
        else:
            user = base64.b64decode(first or await self._ask("Username:"))
            password = base64.b64decode(await self._ask("Password:"))
        if self._server.users.get(user.decode()) != password.decode():
            await self._say("AUTH", "535 5.7.8 wrong user or password")
        elif await self._say("AUTH", "235 2.7.0 welcome"):
            self._user = user.decode()

    async def _ask(self, prompt: str) -> str:
        await self._say("ask", f"334 {base64.b64encode(prompt.encode()).decode()}")
        return await self._line()

    async def _mail(self, rest: str) -> None:
        given = re.fullmatch(r"FROM:<([^<>\s]+@[^<>\s]+)>( (SIZE=\d+|BODY=8BITMIME))*", rest, re.IGNORECASE)
        if not self._greeted or given is None:
            await self._say("MAIL", "503 5.5.1 not now, or not so")
        elif self._server.users and self._user is None:
            await self._say("MAIL", "530 5.7.0 log in first")
        elif await self._say("MAIL", "250 2.1.0 ok"):
            self._sender, self._recipient = given[1], None

    async def _rcpt(self, rest: str) -> None:
        given = re.fullmatch(r"TO:<([^<>\s]+@[^<>\s]+)>", rest, re.IGNORECASE)
        if self._sender is None or given is None:
            await self._say("RCPT", "503 5.5.1 not now, or not so")
        elif await self._say("RCPT", "250 2.1.5 ok"):
            self._recipient = given[1]

    async def _data(self, _: str) -> None:
        if self._sender is None or self._recipient is None:
            await self._say("DATA", "503 5.5.1 to nobody")
            return
        if not await self._say("DATA", "354 go ahead"):
            return
        lines = []
        while (line := await self._line()) != ".":
            lines.append(line.removeprefix("."))
        if await self._say(".", "250 2.0.0 taken"):
            octets = "".join(f"{line}\r\n" for line in lines).encode("ascii")
            self._server.letters.append(Letter(self._sender, self._recipient, octets, self._encrypted, self._user))
        self._sender = self._recipient = None

    async def _rset(self, _: str) -> None:
        self._sender = self._recipient = None
        await self._say("RSET", "250 2.0.0 forgotten")

    async def _quit(self, _: str) -> None:
        await self._say("QUIT", "221 2.0.0 good-bye")


def _certified(folder: Path) -> ssl.SSLContext:
    """Give a server's side of TLS with a certificate made here for 127.0.0.1; ``smtp.pem`` in the folder vouches for it."""
    certificate, key = folder / "smtp.pem", folder / "smtp.key"
    if not certificate.exists():
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(private, hashes.SHA256())
        )
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
