"""The demo's conveniences: whom ``zhanggui chat`` speaks as, and the desk's first agent."""

from __future__ import annotations

import secrets
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING
from uuid import uuid4

from bot.config import SettingsError
from bot.messages import Inbound, Outcome

if TYPE_CHECKING:
    from bot.app import App


def demo_user(name: str | None) -> str:
    """Give the phone of a demo user by name or phone; the first one when nobody is named."""
    users = tomllib.loads(files("wallet_service").joinpath("demo.toml").read_text("utf-8"))["people"]
    phones = {key: user["phone"] for user in users for key in (user["name"], user["phone"])}
    if name is None:
        return str(users[0]["phone"])
    if name not in phones:
        raise SettingsError(f"--user is {name!r}; demo users are {', '.join(str(user['name']) for user in users)}")
    return str(phones[name])


async def log_in(app: App, channel: str, sender: str, phone: str) -> None:
    """Log in as everybody does, through the conversation: by phone and the code that arrives on it; opens a wallet if need be."""
    if app.phone is None:
        raise RuntimeError("there is no simulated phone")
    outcome = Outcome()
    for text in ("/log_in", phone, ""):
        said = text or app.phone.messages(phone)[0]["code"]
        outcome = await app.engine.handle(Inbound(channel, sender, uuid4().hex, said))
        await app.courier.drain()
    if outcome.replies and outcome.replies[-1].buttons:  # a phone without a wallet: the first button opens one
        consent = outcome.replies[-1].buttons[0].payload
        await app.engine.handle(Inbound(channel, sender, uuid4().hex, consent, kind="press"))


async def add_demo_agent(app: App) -> str:
    """Make the agent ``demo`` with a fresh random password, and give that password."""
    from bot.desk.agents import add_agent

    password = secrets.token_urlsafe(9)
    await add_agent(app.wallet.database, "demo", password, "admin")
    return password
