"""Plays a conversation written in YAML through the REST door, with the codes that really arrive on the simulated phone.

A case is ``{name, login?, city?, at?, turns: [...]}``; ``at: "12:00"`` has it begin at the next such time in Shanghai. Each turn
is one of

- ``user: text``: what the person says; ``<wallet NAME>`` in it stands for that demo user's wallet number in Xiamen;
- ``code: NAME``: the newest code on that demo user's phone (or on a phone of that number) is typed; or
  ``code: {of: NAME, earlier: 1, say: "it is {spaced}"}``: the code before the newest, put into words (``code``, ``spaced`` or
  full-width ``wide``);
- ``press: title``: the button of that title, in the newest reply that offers it;
- ``press_old: title``: the first button of that title in the whole conversation, pressed before or long gone by;
- ``image: qr text`` or ``image: blank``: a picture;
- ``again: true``: the very same message once more, with its message id (the answer must be the same);
- ``later: minutes``: time passes, and what is due is done (no message);
- ``agent: take``, ``agent: back``, ``agent: close`` or ``agent: {say: text}``: what the desk does (no message);
- ``page: {answer: text}``: the person opens the one-time page that the newest answer links to and fills it in; what is not given
  is read from the phone or from the authenticator app that an earlier page has set up (no message);
- ``app: true``: the code that the authenticator app shows now is typed; ``recovery: N``: the N-th of the recovery codes;
- ``gift: {from: NAME, to: NAME, yuan: amount}``: somebody else pays, with the code on their phone (no message);
- ``balance: {NAME: yuan}``: the ledger must hold that, in Xiamen or in ``NAME@city`` (no message);
- ``phone: {NAME: [parts]}``: the newest message on that demo user's phone must hold these parts (no message);

and what the answer must hold: ``bot: [parts in order of no matter which reply]``, ``not: [parts that must not appear]``,
``buttons: [titles]``, ``silent: true``.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import re
import tomllib
from importlib.resources import files
from typing import Any
from uuid import uuid4

import qrcode
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from PIL import Image

from bot.app import App
from bot.demo import demo_user
from tests.conftest import Clock
from wallet_service import Fen, Transfer
from wallet_service.context import SHANGHAI
from wallet_service.keys import hotp
from wallet_service.masks import mask_phone

_TURNS = {
    *("user", "code", "press", "press_old", "image", "again", "later", "agent", "balance", "phone"),
    *("page", "app", "recovery", "gift"),
}
_CHECKS = {"bot", "not", "buttons", "silent"}
_QUIET = {"later", "agent", "balance", "phone", "page", "gift"}


class Player:
    """One person at the REST door, and whoever else the case needs."""

    def __init__(self, app: App, server: TestServer, session: ClientSession, clock: Clock) -> None:
        self.app, self.server, self.session, self.clock = app, server, session, clock
        self.sender, self.city = uuid4().hex, None
        self.last: dict[str, Any] = {}
        self.replies: list[dict[str, Any]] = []
        self.seen: dict[str, str] = {}
        self.agent: Any = None
        self.app_key, self.recovery_codes = b"", [""]

    async def play(self, case: dict[str, Any]) -> None:
        """Play one case and hold every answer against what it must hold."""
        unknown = set(case) - {"name", "login", "city", "at", "turns"}
        assert not unknown, f"unknown fields {unknown}"
        self.city = case.get("city")
        if "at" in case:
            self.clock.ahead = until(case["at"], self.clock())
        if "login" in case:
            phone = demo_user(case["login"])
            await self.say("登录")
            await self.say(phone)
            await self.say(await self.code(phone))
            assert "已登录" in self.words(), self.words()
            self.seen.clear()
        for number, turn in enumerate(case["turns"], 1):
            where = f"{case['name']}, turn {number} {turn}"
            assert len(_TURNS & set(turn)) == 1, f"{where}: exactly one of {_TURNS}"
            assert set(turn) <= _TURNS | _CHECKS, f"{where}: unknown {set(turn) - _TURNS - _CHECKS}"
            await self.turn(turn, where)
            self.check(turn, where)

    async def turn(self, turn: dict[str, Any], where: str) -> None:
        """Do what one turn says."""
        match next(iter(_TURNS & set(turn))):
            case "user":
                await self.say(await self.with_wallets(turn["user"]))
            case "code":
                told = turn["code"] if isinstance(turn["code"], dict) else {"of": turn["code"]}
                phone = told["of"] if told["of"].isdigit() else demo_user(told["of"])
                code = await self.code(phone, told.get("earlier", 0))
                wide = code.translate({ord(digit): ord(digit) + 0xFEE0 for digit in code})
                words = told.get("say", "{code}")
                await self.say(words.format(code=code, spaced=f"{code[:3]} {code[3:]}", wide=wide))
            case "press":
                found = [b for r in reversed(self.replies) for b in r.get("buttons", []) if b["title"] == turn["press"]]
                assert found, f"{where}: no such button among {[b['title'] for r in self.replies for b in r.get('buttons', [])]}"
                await self.say(found[0]["payload"])
            case "press_old":
                await self.say(self.seen[turn["press_old"]])
            case "image":
                await self.send({"message": "", "attachments": [{"type": "image", "data": picture(turn["image"])}]})
            case "again":
                before = self.replies
                await self.post(self.last)
                assert self.replies == before, f"{where}: {self.replies} is not {before}"
            case "later":
                self.clock.ahead += dt.timedelta(minutes=turn["later"])
                await self.app.wallet.run_due()
                await self.app.courier.drain()
            case "agent":
                await self.desk(turn["agent"])
            case "page":
                await self.fill_in(turn["page"], where)
            case "app":
                await self.say(self.app_code())
            case "recovery":
                await self.say(self.recovery_codes[turn["recovery"] - 1])
            case "gift":
                await self.give(**turn["gift"])
            case "balance":
                for name, yuan in turn["balance"].items():
                    await self.holds(name, yuan, where)
            case "phone":
                for name, parts in turn["phone"].items():
                    newest = (await self.outbox(demo_user(name)))[0]["text"]
                    assert all(part in newest for part in parts), f"{where}: {newest!r}"

    def check(self, turn: dict[str, Any], where: str) -> None:
        """Hold the answer against what the turn expects."""
        if _QUIET & set(turn):
            return
        words, titles = self.words(), [b["title"] for r in self.replies for b in r.get("buttons", [])]
        if turn.get("silent"):
            assert self.replies == [], f"{where}: {words}"
            return
        assert words, f"{where}: no answer"
        for part in turn.get("bot", []):
            assert re.search(re.escape(str(part)).replace(r"\*\*\*", ".*"), words), f"{where}: {part!r} is not in {words!r}"
        for part in turn.get("not", []):
            assert str(part) not in words, f"{where}: {part!r} is in {words!r}"
        for title in turn.get("buttons", []):
            assert title in titles, f"{where}: {title!r} is not among {titles}"

    def words(self) -> str:
        """Give all texts of the newest answer."""
        return "\n".join(reply["text"] for reply in self.replies)

    async def say(self, text: str) -> None:
        """Send a text."""
        await self.send({"message": text})

    async def send(self, body: dict[str, Any]) -> None:
        """Send a new message."""
        metadata = {"metadata": {"city": self.city}} if self.city else {}
        self.city = None
        await self.post({"sender": self.sender, "message_id": uuid4().hex, **body, **metadata})

    async def post(self, body: dict[str, Any]) -> None:
        """Post a message to the REST door and keep the replies."""
        self.last = body
        url = self.server.make_url("/webhooks/rest/webhook")
        async with self.session.post(url, json=body, headers={"Authorization": "Bearer demo"}) as response:
            assert response.status == 200, await response.text()
            self.replies = await response.json()
        for button in (button for reply in self.replies for button in reply.get("buttons", [])):
            self.seen.setdefault(button["title"], button["payload"])

    async def code(self, phone: str, earlier: int = 0) -> str:
        """Read the newest code from the simulated phone, or one that came ``earlier`` codes before it."""
        return str([message["code"] for message in await self.outbox(phone) if "code" in message][earlier])

    async def outbox(self, phone: str = "") -> list[dict[str, Any]]:
        """Read what came to the simulated phone, or to all, newest first."""
        async with self.session.get(self.server.make_url("/dev/outbox"), params={"to": phone}) as response:
            return list(await response.json())

    async def fill_in(self, answers: dict[str, str], where: str) -> None:
        """Use the newest link as its page's script does."""
        links = [button["url"] for reply in self.replies for button in reply.get("buttons", []) if "url" in button]
        assert links, f"{where}: no link among {self.replies}"
        asking = {"token": links[-1].partition("/secure#")[2]}
        shown = await self.ask("open", asking)
        if "secret" in shown:
            self.app_key = base64.b32decode(shown["secret"].replace(" ", ""))
        for name in shown["asks"]:
            match answers.get(name), name:
                case None, "code":
                    sent = await self.ask("code", asking)
                    (phone,) = {m["to"] for m in await self.outbox() if mask_phone(m["to"]) == sent["phone"] and "code" in m}
                    asking[name] = await self.code(phone)
                case None, "app_code" | "second":
                    asking[name] = self.app_code()
                case given, _:
                    asking[name] = str(given)
        assert set(answers) <= set(shown["asks"]), f"{where}: the page asks for {shown['asks']}"
        done = await self.ask("use", asking)
        self.recovery_codes = done["codes"] or self.recovery_codes

    async def ask(self, act: str, body: dict[str, str]) -> dict[str, Any]:
        """Ask the one-time page's server."""
        async with self.session.post(self.server.make_url(f"/secure/{act}"), json=body) as response:
            answer = dict(await response.json())
            assert response.status == 200, answer
            return answer

    def app_code(self) -> str:
        """Give the code that the authenticator app shows now."""
        return hotp(self.app_key, int(self.clock().timestamp()) // 30)

    async def give(self, **gift: Any) -> None:
        """Let somebody else pay somebody."""
        payer, wallet = self.user_id(gift["from"]), self.app.wallet
        (payee,) = await wallet.find_payees(payer, demo_user(gift["to"]), city="xiamen")
        amount = Fen(round(float(gift["yuan"]) * 100))
        transfer = Transfer(payer, payee.wallet_id, amount, surname=gift["to"][0])
        order = await wallet.propose(transfer, actor=payer, key=uuid4().hex)
        await wallet.authorize(order.id, await self.code(demo_user(gift["from"])), actor=payer, key=uuid4().hex)

    def user_id(self, name: str) -> int:
        """Give a demo user's id."""
        people = tomllib.loads(files("wallet_service").joinpath("demo.toml").read_text("utf-8"))["people"]
        return 1 + [one["name"] for one in people].index(name)

    async def with_wallets(self, text: str) -> str:
        """Put wallet numbers in the places that name their holders."""
        for name in re.findall(r"<wallet (\w+)>", text):
            (match,) = await self.app.wallet.find_payees(1, demo_user(name), city="xiamen")
            text = text.replace(f"<wallet {name}>", match.wallet_id)
        return text

    async def desk(self, act: Any) -> None:
        """Be the agent at the desk."""
        from bot.desk.agents import add_agent

        if self.agent is None:
            self.agent = await add_agent(self.app.wallet.database, "小周", "a long password", "agent")
        overview = await self.app.desk.overview(self.agent)
        if act == "take":
            await self.app.desk.take(overview.queue[0].id, self.agent)
        elif act == "back":
            await self.app.desk.hand_back(overview.mine[0].id, self.agent)
        elif act == "close":
            await self.app.desk.close(overview.mine[0].id, self.agent)
        else:
            await self.app.desk.say(overview.mine[0].id, self.agent, act["say"], uuid4().hex)

    async def holds(self, name: str, yuan: Any, where: str) -> None:
        """Hold the ledger's balance of a demo user in Xiamen, or in ``name@city``, against yuan."""
        person, _, city = name.partition("@")
        balance = await self.app.wallet.balance(self.user_id(person), city or "xiamen")
        assert balance.available == round(float(yuan) * 100), f"{where}: {name} holds {balance.available} fen"


def until(at: str, now: dt.datetime) -> dt.timedelta:
    """Say how long it is until the clocks of Shanghai show a time."""
    there = now.astimezone(SHANGHAI)
    then = dt.datetime.combine(there.date(), dt.time.fromisoformat(at), SHANGHAI)
    return then - there if then >= there else then + dt.timedelta(days=1) - there


def picture(content: str) -> str:
    """Make a data URI of a PNG: a QR code of a text, or a blank picture."""
    image = Image.new("RGB", (64, 64), "white") if content == "blank" else qrcode.make(content).get_image()
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
