"""The composition root: builds each part once and wires them together."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from bot.config import Settings
from bot.courier import Courier, Send
from bot.desk.agents import Accounts
from bot.desk.routes import desk_routes
from bot.desk.service import Desk
from bot.dialogue.actions import Actions
from bot.dialogue.domain import Slot, check_slots, load_slots
from bot.dialogue.engine import Engine
from bot.dialogue.flows import Flows, Known, load_flows
from bot.dialogue.repair import BUILTIN
from bot.dialogue.runner import Runner
from bot.dialogue.store import Store
from bot.dialogue.understand import Thresholds
from bot.mail import MailPort, parse_smtp_url
from bot.messages import ONE_TIME_PAGE
from bot.migrations import check, migrate
from bot.pictures import read_qr
from bot.simulator import SimulatedPhone
from bot.sms import SmsWebhook
from handlers.wallet_action import using
from locales import Locale
from nlu import Interpreter
from wallet_service import CodeLimit, LoginLimit, Outside, Wallet, connect_channels, errors

ROOT = Path(__file__).parent.parent
PATTERNS = Path(__file__).parent / "dialogue" / "patterns.yml"
_DEMO_CODES = CodeLimit(per_ten_minutes=1_000, per_day=10_000)
_DEMO_LOGINS = LoginLimit(1_000, 10_000, door=_DEMO_CODES)  # the demo's few phones are shared by whoever tries it


@dataclass(frozen=True, slots=True)
class App:
    """The running parts, for doors and commands."""

    settings: Settings
    wallet: Wallet
    store: Store
    engine: Engine
    desk: Desk
    courier: Courier
    locale: Locale
    interpreter: Interpreter
    phone: SimulatedPhone | None


class _People:
    """Who acts, as the engine needs to know it, answered by the wallet."""

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet

    def sign(self, person: int, conversation: int) -> str:
        return self._wallet.sign_actor(person, str(conversation))

    def verify(self, token: str, conversation: int) -> int:
        return self._wallet.verify_actor(token, str(conversation))

    async def names(self, person: int) -> tuple[str, ...]:
        return await self._wallet.contact_names(person)

    async def binding(self, person: int, channel: str, sender: str) -> int | None:
        return await self._wallet.binding_of(person, channel, sender, used=True)

    async def bind(self, person: int, channel: str, sender: str, label: str, key: str) -> None:
        await self._wallet.bind(person, channel, sender, label, key=key)

    async def unbind(self, person: int, binding: int, key: str) -> None:
        with contextlib.suppress(errors.BindingNotFound):
            await self._wallet.unbind(person, binding, key=key, tell=False)

    async def shown_name(self, person: int) -> str:
        """Give what an agent may see of a person: the masked name, or the masked phone of one whose name is not verified."""
        shown = await self._wallet.person(person)
        return shown.name_masked or shown.phone_masked


def utc_now() -> dt.datetime:
    """Give the time."""
    return dt.datetime.now(dt.UTC)


def load_dialogue(
    actions: Actions, locale: Locale, intents: frozenset[str], patterns: Path = PATTERNS
) -> tuple[Flows, dict[str, Slot]]:
    """Read every flow and slot file and hold each against what it refers to; raises ``SourceError`` with file and line."""
    folders = sorted(path.parent for path in (ROOT / "handlers").glob("*/flow.yml"))
    domains = [folder / "domain.yml" for folder in folders if (folder / "domain.yml").exists()]
    slots = load_slots([PATTERNS.with_name("domain.yml"), *domains])
    known = Known(
        slots=frozenset(slots),
        actions=actions.names | frozenset(BUILTIN),
        responses=frozenset(locale.responses),
        intents=intents,
    )
    flows = load_flows([patterns, *(folder / "flow.yml" for folder in folders)], known)
    check_slots(slots, flows, intents)
    return flows, slots


def known_intents() -> frozenset[str]:
    """Give the intents that have training examples."""
    names: set[str] = set()
    for path in (ROOT / "nlu" / "data" / "zh_CN").glob("*.yml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("- intent:"):
                names.add(yaml.safe_load(line)[0]["intent"])
    return frozenset(names)


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    clock: Callable[[], dt.datetime] = utc_now,
    patterns: Path = PATTERNS,
    interpreter: Interpreter | None = None,
    new_token: Callable[[], str] = lambda: secrets.token_urlsafe(12),
) -> AsyncIterator[App]:
    """Open everything but the doors; the demo's data is loaded into an empty database."""
    async with AsyncExitStack() as stack:
        logins, codes = (_DEMO_LOGINS, _DEMO_CODES) if settings.demo else (None, None)
        outside = await stack.enter_async_context(connect_channels(settings.channels, clock=clock))
        if settings.demo:
            outside = {**_demo_channels(), **outside}
        opened = Wallet.open(
            settings.database_url,
            **settings.wallet,
            clock=clock,
            login_limit=logins,
            code_limit=codes,
            outside=outside,
        )
        wallet = await stack.enter_async_context(opened)
        await migrate(wallet.database)
        await check(wallet.database)
        if settings.demo:
            await _load_demo(wallet)
        nlu = await asyncio.to_thread(Interpreter.load) if interpreter is None else interpreter
        locale = Locale.load()
        actions = Actions("handlers", lambda: using(wallet))
        flows, slots = load_dialogue(actions, locale, known_intents(), patterns)
        store = Store(wallet.database)
        phone = SimulatedPhone(clock) if settings.demo else None
        sms = phone.send if phone else await _webhook(stack, settings)
        mail = phone.send if phone else None
        if settings.smtp_url:
            mail = stack.enter_context(MailPort(parse_smtp_url(settings.smtp_url), locale, clock)).send
        courier = Courier(wallet, store, locale, clock, sms=sms, mail=mail)
        if phone is not None:
            phone.drain = courier.drain
        resume, people = _Resume(store, courier), _People(wallet)
        desk = Desk(wallet.database, locale, deliver=courier.deliver, resume=resume, name_of=people.shown_name)
        runner = Runner(
            flows=flows,
            slots=slots,
            actions=actions,
            locale=locale,
            people=people,
            handoffs=desk,
            default_city=settings.city,
            new_token=new_token,
        )
        limits = nlu.thresholds
        engine = resume.engine = Engine(
            store=store,
            runner=runner,
            interpreter=nlu,
            thresholds=Thresholds(limits.accept, limits.clarify, limits.faq),
            cities=wallet.cities,
            read_picture=read_qr,
            heard=desk.bell.ring,
            page_of=lambda ticket: f"{ONE_TIME_PAGE}#{wallet.ticket_token(ticket)}",
            clock=clock,
        )
        task = asyncio.create_task(courier.run(), name="courier")
        stack.push_async_callback(_stop, task)
        yield App(settings, wallet, store, engine, desk, courier, locale, nlu, phone)


class _Resume:
    """Takes a conversation up again after a person handed it back, and shows the words where the customer is."""

    engine: Engine

    def __init__(self, store: Store, courier: Courier) -> None:
        self._store, self._courier = store, courier

    async def __call__(self, conversation_id: int) -> None:
        ends = await self._store.doors_of(conversation_id)
        for reply in await self.engine.resume(conversation_id):
            await self._courier.tell(ends, reply)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _webhook(stack: AsyncExitStack, settings: Settings) -> Send:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return SmsWebhook(settings.sms_webhook_url or "", session).send


def _demo_channels() -> dict[str, Outside]:
    from wallet_service import demo

    return {"bank": demo.Obliging(), "biller": demo.Obliging()}


async def _load_demo(wallet: Wallet) -> None:
    from wallet_service import demo

    await demo.load(wallet)


def web_application(app: App, *, base_url: str) -> web.Application:
    """Build the HTTP side: the doors that speak HTTP, the desk, health and metrics."""
    from bot.channels import dev, pages
    from bot.channels.rest import RestDoor
    from bot.channels.secure import SecurePages
    from bot.channels.web import WebDoor

    settings, engine = app.settings, app.engine

    async def parse(text: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(app.interpreter.parse, text, utc_now())

    async def health() -> Mapping[str, str]:
        try:
            await app.store.find("healthz", "healthz")
        except Exception as fault:
            return {"database": type(fault).__name__}
        return {"ledger": str(app.wallet.chain_fault)} if app.wallet.chain_fault else {}

    async def header(channel: str, sender: str) -> Mapping[str, str]:
        conversation = await app.store.load(channel, sender, "")
        city = (conversation.state["session"].get("city") if conversation else None) or settings.city
        return {
            "wallet": f"{app.locale.city_name(city)}{app.locale.word('ui', 'wallet_suffix')}",
            "city": app.locale.city_name(city),
        }

    async def history(channel: str, sender: str) -> list[dict[str, Any]]:
        conversation = await app.store.load(channel, sender, "")
        if conversation is None:
            return []
        person = conversation.person
        if person is not None and await app.wallet.binding_of(person, channel, sender) is None:
            return []  # logged out from elsewhere: what was said is not for whoever sits here now
        return list(await app.store.transcript(conversation.id))

    origins = (settings.public_url,) if settings.public_url else ()
    chat = WebDoor(engine, history=history, header=header, demo=settings.demo, origins=origins)
    rest = RestDoor(engine, token=settings.rest_token, parse=parse, health=health, open_parse=settings.demo, public_url=base_url)
    app.courier.doors[chat.name] = chat
    app.courier.sweeps.append(chat.collect)
    http = web.Application(client_max_size=16 * 1024**2)
    secure = SecurePages(app.wallet, app.locale, public_url=settings.public_url)
    http.add_routes([*chat.routes(), *rest.routes(), *secure.routes(), *pages.asset_routes()])
    accounts = Accounts(app.wallet.database)
    http.add_routes(desk_routes(app.desk, accounts, locale=app.locale, city_name=app.locale.city_name, secure=settings.secure))
    if app.phone is not None:
        http.add_routes(dev.routes(app.phone, demo=True))

    async def stop(_: web.Application) -> None:
        app.desk.stop()

    http.on_shutdown.append(stop)
    http.on_shutdown.append(chat.close)
    return http
