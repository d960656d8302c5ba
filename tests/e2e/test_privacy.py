"""A full run of the real service, and then a search: what people say, prove themselves with and are called is nowhere to be read.

The service is a process of its own on a real database; people come by REST and by the web chat, codes leave by a gateway's
webhook, an agent sits at the desk, and second factors are set up on the one-time page.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import select, update

from bot.desk.agents import add_agent
from bot.migrations import migrate
from tests.bot.talk import CHEN, LI, WANG, wrong
from tests.conftest import SECRET
from tests.e2e.leaks import forms, leaks
from tests.wallet_service.conftest import sql_on
from wallet_service import Wallet, demo
from wallet_service.bench import cluster as postgres
from wallet_service.keys import hotp
from wallet_service.schema import accounts, orders, users

ROOT = Path(__file__).parents[2]
TOKEN = "rest-token-of-this-test-only"
AGENT, AGENT_PASSWORD = "xiaolin", "an agent's long password"
PASSWORD = "correct horse battery"
MAIL_PASSWORD = "the mail server's own"
CARD = "6222021234567890128"
NOTE = "还房租给房东赵"
WORDS = "我妈妈住院了急着用钱"
AGENTS_WORDS = "请您带上证件到湖滨北路网点"
STRANGER = "13911112222"
VISITOR = "visitor-9f8e7d6c5b4a39281706"
PATIENCE = 60.0  # seconds


@dataclass
class Town:
    """Everything around the service: its gateway, its process, and whatever secret came up on the way."""

    folder: Path
    url: str
    base: str = ""
    phones: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    secrets: dict[str, str] = field(default_factory=dict)
    harmless: set[str] = field(default_factory=set)
    http: Any = None

    def know(self, name: str, secret: str) -> str:
        """Take note of a secret."""
        self.secrets[f"{name} {secret}"] = secret
        return secret

    async def code(self, phone: str) -> str:
        """Wait for the next code on a phone."""
        async with asyncio.timeout(PATIENCE):
            while not self.phones[phone]:
                await asyncio.sleep(0.05)
        return self.know("code", self.phones[phone].pop(0))

    async def say(self, sender: str, text: str) -> str:
        """Say something by REST; gives the words of the answer, with the links of its buttons."""
        body = {"sender": sender, "message": text, "message_id": uuid4().hex}
        async with self.http.post(f"{self.base}/webhooks/rest/webhook", json=body) as response:
            assert response.status == 200, await response.text()
            replies = await response.json()
        links = [button["url"] for reply in replies for button in reply.get("buttons", ()) if button.get("url")]
        return "\n".join([*(reply["text"] for reply in replies), *links])

    async def ask_page(self, act: str, token: str, **body: str) -> dict[str, Any]:
        """Ask the one-time page's server side for something."""
        async with self.http.post(f"{self.base}/secure/{act}", json={"token": token, **body}) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server of the module's own."""
    pytest.importorskip("asyncpg")
    try:
        postgres._tool("pg_dump")
        with postgres.server() as running:
            yield running
    except postgres.Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    """A database with the demo's people in it, one of them identified, and an agent."""
    url = f"sqlite:///{tmp_path / 'real.db'}"
    if request.param == "postgresql":
        running, name = request.getfixturevalue("server"), f"p{uuid4().hex}"
        await sql_on(running.url("postgres"), f"CREATE DATABASE {name}")
        url = running.url(name)
    made = Town(tmp_path, url)
    async with Wallet.open(url, secret=SECRET) as wallet:
        await migrate(wallet.database)
        ids = await demo.load(wallet)
        await add_agent(wallet.database, AGENT, AGENT_PASSWORD)
        identity = {"name": "李娜", "id_number": made.know("id", "110101199003070978")}
        await wallet.raise_level(ids["李娜"], 2, **identity, key="1", by="counter")
        async with wallet.database.write() as connection:
            mail = update(users).where(users.c.id == ids["李娜"])
            await connection.execute(mail.values(email=made.know("mailbox", "li.na.1990@example.com")))
    async with gateway(made) as sms, aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as made.http:
        with service(made, sms):
            await ready(made)
            yield made
    if request.param == "postgresql":
        await sql_on(running.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def gateway(town: Town) -> AsyncIterator[str]:
    """The SMS gateway: keeps the codes of each phone."""

    async def take(request: web.Request) -> web.Response:
        body = await request.json()
        if found := re.search(r"\d{6}", body["text"]):
            town.phones[body["to"]] += [found[0]] if body["kind"].endswith("_code") else []
        return web.Response()

    app = web.Application()
    app.router.add_post("/sms", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/sms"
    await runner.cleanup()


class service:
    """The service as operators start it, with everything logged; ended as they end it."""

    def __init__(self, town: Town, sms: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        town.base = f"http://127.0.0.1:{port}"
        settings = {
            "DATABASE_URL": town.url,
            "SECRET_KEY": SECRET,
            "SMS_WEBHOOK_URL": sms,
            "SMTP_URL": f"smtp://us:{MAIL_PASSWORD.replace(' ', '%20')}@127.0.0.1:9?from=us@example.com&starttls=off",
            "REST_TOKEN": TOKEN,
            "LOG_LEVEL": "debug",
        }
        plain = {name: value for name, value in os.environ.items() if not name.startswith("ZHANGGUI_")}
        self._environment = plain | {"PYTHONPATH": str(ROOT)} | {f"ZHANGGUI_{name}": value for name, value in settings.items()}
        self._command = [sys.executable, "-m", "bot.cli", "run", "--port", str(port)]
        self._folder = town.folder

    def __enter__(self) -> None:
        """Start it."""
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )

    def __exit__(self, *_: object) -> None:
        """End it in good order."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0
        self._log.close()


async def ready(town: Town) -> None:
    """Wait until the service answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with town.http.get(f"{town.base}/healthz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


# -- the run --------------------------------------------------------------------------------------------------------------


async def log_in(town: Town, sender: str, phone: str) -> str:
    """Log in by phone and code."""
    await town.say(sender, "/log_in")
    await town.say(sender, f"我的手机号是{phone}")
    return await town.say(sender, await town.code(phone))


async def transfers(town: Town) -> None:
    """To a contact and to a phone; with wrong codes, a new code, and the right one; with a card number and worries said."""
    await log_in(town, WANG, WANG)  # a caller that names its customers by their phones
    await town.say(WANG, f"给{LI}转200块，备注{NOTE}")
    for _ in range(2):
        typed = town.know("wrong code", wrong(await town.code(WANG)))
        assert "不对" in await town.say(WANG, typed)
        await town.say(WANG, "没收到，重发一下验证码")
    await town.say(WANG, town.know("spoken code", f"验证码是 {typed[:3]} {typed[3:]}"))
    assert "转好了" in await town.say(WANG, await town.code(WANG))
    await town.say(WANG, WORDS)
    await town.say(WANG, f"我的卡号 {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:16]} {CARD[16:]}")
    await town.say(WANG, f"给{CHEN}转50块")
    await town.say(WANG, "取消")


async def second_factors(town: Town) -> None:
    """A password and an authenticator set up on the one-time page, and a payment that needs one of them."""
    await town.say("two", "设置支付密码")
    await town.say("two", LI)
    token = link(town, await town.say("two", await town.code(LI)))
    await town.ask_page("open", token)
    await town.ask_page("code", token)
    await town.ask_page("use", token, code=await town.code(LI), new=PASSWORD)
    token = link(town, await town.say("two", "设置身份验证器"))
    offer = await town.ask_page("open", token)
    secret = town.know("authenticator", str(offer["secret"]).replace(" ", ""))
    await town.ask_page("code", token)
    app_code = town.know("app code", hotp(base64.b32decode(secret), int(time.time()) // 30))
    done = await town.ask_page("use", token, code=await town.code(LI), password=PASSWORD, app_code=app_code)
    assert len(done["codes"]) == 10
    for recovery in done["codes"]:
        town.know("recovery code", recovery)


def link(town: Town, said: str) -> str:
    """Take the token out of a one-time page's link."""
    return town.know("token", urlsplit(said.split()[-1]).fragment)


async def browser(town: Town) -> None:
    """A visitor of the web chat who asks for a person."""
    async with town.http.ws_connect(f"{town.base}/ws") as page:
        await page.send_json({"type": "hello", "visitor": VISITOR})
        for number, text in enumerate((f"我叫张三丰，电话{STRANGER}", "人工")):
            await page.send_json({"type": "message", "id": f"message-{number}", "text": text})
            async with asyncio.timeout(PATIENCE):
                while json.loads(await page.receive_str())["type"] != "turn":
                    pass


async def desk(town: Town) -> None:
    """An agent takes WANG's conversation, talks, and gives it back."""
    await town.say(WANG, "转人工")
    api = f"{town.base}/desk/api"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

        async def post(path: str, token: str, **body: str) -> dict[str, Any]:
            async with http.post(f"{api}/{path}", json=body, headers={"X-CSRF-Token": token}) as response:
                assert response.status == 200, await response.text()
                answer: dict[str, Any] = await response.json()
            return answer

        async with http.get(f"{api}/login") as response:
            token = (await response.json())["csrf"]
        token = (await post("login", token, name=AGENT, password=AGENT_PASSWORD))["csrf"]
        for cookie in http.cookie_jar:
            town.know("session", cookie.value)
        async with http.get(f"{api}/queue") as response:
            waiting = (await response.json())["queue"]
        handoff = next(one["id"] for one in waiting if "小明" in one["name"])
        await post(f"handoffs/{handoff}/take", token)
        await post(f"handoffs/{handoff}/say", token, text=f"{AGENTS_WORDS}，或致电{STRANGER}", key=uuid4().hex)
        assert AGENTS_WORDS in await town.say(WANG, f"好的，{WORDS}")
        await post(f"handoffs/{handoff}/return", token)
    await town.say(WANG, "查余额")


async def run_through(town: Town) -> None:
    """Do all of it."""
    await asyncio.gather(transfers(town), second_factors(town), browser(town))
    await log_in(town, "three", CHEN)
    await town.say("three", f"给{WANG}转1块")
    await town.say("three", "王小明")  # whom a stranger pays is asked for
    assert "转好了" in await town.say("three", await town.code(CHEN))
    await desk(town)
    for name, secret in {
        "phone": WANG,
        "payee's phone": LI,
        "third phone": CHEN,
        "stranger's phone": STRANGER,
        "card": CARD,
        "spaced card": f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]}",
        "password": PASSWORD,
        "agent's password": AGENT_PASSWORD,
        "mail password": MAIL_PASSWORD,
        "mail password in a URL": MAIL_PASSWORD.replace(" ", "%20"),
        "note": NOTE,
        "words": WORDS,
        "agent's words": AGENTS_WORDS,
        "visitor": VISITOR,
        "secret key": SECRET,
        "REST token": TOKEN,
    }.items():
        town.know(name, secret)
    data = tomllib.loads((ROOT / "wallet_service" / "demo.toml").read_text("utf-8"))
    for person in data["people"]:
        town.know("demo phone", person["phone"])
        town.know("demo name", person["name"])
        for card in person.get("cards", ()):
            town.know("demo card", card["number"])
    for biller in data["billers"]:
        town.know("customer", biller["customer_no"])
    for item in data["history"]["items"]:
        if len(item["note"]) > 2:
            town.know("demo note", item["note"])


# -- the search -----------------------------------------------------------------------------------------------------------


async def harmless(town: Town) -> set[str]:
    """Give the long numbers that stand in the database in clear: a code could be a part of one by chance."""
    async with Wallet.open(town.url, secret=SECRET, working=False) as wallet, wallet.database.read() as connection:
        numbers = [*(await connection.execute(select(accounts.c.number).where(accounts.c.number.is_not(None)))).scalars()]
        numbers += (await connection.execute(select(orders.c.receipt_no).where(orders.c.receipt_no.is_not(None)))).scalars()
        numbers += (await connection.execute(select(orders.c.outside_no).where(orders.c.outside_no.is_not(None)))).scalars()
    return set(numbers)


def log_of(town: Town) -> bytes:
    """Give what the service printed, without the moments, whose microseconds have six digits too."""
    lines = (town.folder / "log").read_bytes()
    return re.sub(rb'"timestamp": ?"[^"]*"', b"", lines)


async def metrics_of(town: Town) -> bytes:
    """Give what the service tells its watchman, without the measured values."""
    async with town.http.get(f"{town.base}/metrics") as response:
        text = await response.text()
    return "\n".join(line.rpartition(" ")[0] for line in text.splitlines()).encode()


def dumped(dump: bytes) -> bytes:
    """Give what a dump holds, bytes as such instead of their hexadecimal digits, and without the moments (ms since 1970): six
    digits in a row stand in both by chance."""
    plain = re.sub(rb"\\\\x((?:[0-9a-f]{2})+)", lambda found: bytes.fromhex(found[1].decode()), dump)
    return re.sub(rb"\b1[78]\d{11}\b", b"", plain)


async def places(town: Town) -> dict[str, bytes]:
    """Give all that the service has written, as it stands at this moment."""
    found = {"log": log_of(town)}
    if town.url.startswith("sqlite"):
        path = town.folder / "real.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(town.folder / "backup.db")) as target:
            source.backup(target)
        found |= {file.name: file.read_bytes() for file in town.folder.iterdir() if file.name != "log"}
        assert {"real.db", "real.db-wal", "real.db-shm", "backup.db", "real.db.head"} <= set(found)
        assert len(found["real.db-wal"]) > 100_000
    else:
        folder, name = town.url.partition("host=")[2], urlsplit(town.url).path[1:]
        dump = [postgres._tool("pg_dump"), "-h", folder, "-U", "postgres"]
        done = await asyncio.to_thread(subprocess.run, [*dump, name], capture_output=True, check=True)
        custom = await asyncio.to_thread(subprocess.run, [*dump, "-Fc", "-Z0", name], capture_output=True, check=True)
        found |= {"dump": done.stdout, "custom dump": custom.stdout}
    return found


async def test_nothing_of_anybody_can_be_read(town: Town) -> None:
    """Log at debug, database with WAL and SHM, back-up or dump, and metrics hold no code, password, phone, name, card or word."""
    await run_through(town)
    assert len(town.secrets) > 60
    found = await places(town)
    assert "pid" in found["log"].decode() or b"chat" in found["log"]
    assert sum(map(len, found.values())) > 500_000
    found |= {name: dumped(content) for name, content in found.items() if "dump" in name}
    found["metrics"] = await metrics_of(town)
    assert leaks(found, town.secrets, await harmless(town)) == []


# -- the search finds -----------------------------------------------------------------------------------------------------

SAMPLES = {"code": "493201", "phone": WANG, "name": "王小明", "words": WORDS, "token": "aB+/9 z"}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("before", ["", "x", "xy", "xyz ", "名"])
def test_a_secret_is_found_in_every_form(name: str, before: str) -> None:
    """Wherever it begins among other bytes, in each encoding, as text or inside another one."""
    text = f"{before}{SAMPLES[name]} and more"
    written = {
        "utf-8": text.encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "hex": text.encode().hex().encode(),
        "HEX": text.encode().hex().upper().encode(),
        "base64": base64.b64encode(text.encode()),
        "base64url": base64.urlsafe_b64encode(text.encode()),
        "JSON": json.dumps({"text": text}).encode(),
        "a file": b"\x00\x01" + text.encode() + b"\x00" * 100,
    }
    for form, content in written.items():
        assert leaks({"log": content}, {name: SAMPLES[name]}), form
        assert not leaks({"log": content}, {"other": "918273"}), form


@pytest.mark.parametrize("name", SAMPLES)
def test_a_secret_is_found_in_a_dump(name: str) -> None:
    """As text and in a column of bytes, beside a moment; bytes whose digits look like a code are none."""
    secret = SAMPLES[name]
    for column in (secret.encode(), rb"\\x" + f"x{secret}".encode().hex().encode()):
        assert leaks({"dump": dumped(b"1\t1795493201000\t" + column + b"\t\\\\x00\n")}, {name: secret})
    assert not leaks({"dump": dumped(b"1\t1795493201000\t\\\\x00493201ff\n")}, SAMPLES)


def test_a_number_known_to_be_harmless_is_no_leak() -> None:
    """A receipt's number that happens to hold a code is none; the code beside it is."""
    receipt = "202611220000000300"
    assert leaks({"db": f"x{receipt}x".encode()}, {"code": "112200"})
    assert not leaks({"db": f"x{receipt}x".encode()}, {"code": "112200"}, [receipt])
    assert leaks({"db": f"x{receipt}x112200".encode()}, {"code": "112200"}, [receipt]) == ["code in db as utf-8"]


def test_the_forms_are_many() -> None:
    """No encoding is left out by a slip."""
    assert {form.split(" after")[0] for form, _ in forms("王小明+>?")} >= {"utf-8", "utf-16-le", "hex", "base64", "JSON", "URL"}
