"""A person at their one-time pages: opens them, reads the code on the phone, types the answers."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from wallet_service import Order, TicketView
from wallet_service.factors import STEP
from wallet_service.keys import hotp

PASSWORD = "258046"


class App:
    """An authenticator app that was given a secret, on a phone with the tests' clock."""

    def __init__(self, till: Any, secret_text: str) -> None:
        self.till, self.key = till, base64.b32decode(secret_text.replace(" ", ""))

    def code(self, steps: int = 0) -> str:
        """Give the code that it shows now, or showed or will show some steps from now."""
        return hotp(self.key, int(self.till.clock.now.timestamp()) // STEP + steps)

    def next(self) -> str:
        """Wait for the next code and give it: the one before may have been used."""
        self.till.clock.advance(seconds=STEP)
        return self.code()


class Page:
    """One page of one person."""

    def __init__(self, till: Any, token: str) -> None:
        self.till, self.token = till, token

    @staticmethod
    async def open(till: Any, name: str, purpose: str, order: Order | None = None) -> Page:
        """Have the link made, as a chat does."""
        made = await till.wallet.ticket(till.ids[name], purpose, key=till.key(), order_id=order.id if order else None)
        return Page(till, till.wallet.ticket_token(made.id))

    async def view(self) -> TicketView:
        """Look at it."""
        view: TicketView = await self.till.wallet.open_ticket(self.token)
        return view

    async def code(self) -> str:
        """Have the code sent and read it on the phone."""
        await self.till.wallet.send_ticket_code(self.token)
        return str(await self.till.code())

    async def use(self, **answers: str) -> tuple[str, ...]:
        """Type the answers."""
        codes: tuple[str, ...] = await self.till.wallet.use_ticket(self.token, answers)
        return codes


async def set_up_app(till: Any, name: str, **more: str) -> tuple[App, tuple[str, ...]]:
    """Set up an authenticator; gives it with the recovery codes."""
    page = await Page.open(till, name, "add_authenticator")
    view = await page.view()
    assert view.offer is not None
    app = App(till, view.offer.secret_text)
    codes = await page.use(code=await page.code(), app_code=app.code(), **more)
    till.clock.advance(minutes=10)  # nobody is sent too many codes by tests that set up much
    return app, codes


async def set_password(till: Any, name: str, password: str = PASSWORD, **more: str) -> None:
    """Set a first payment password."""
    page = await Page.open(till, name, "set_password")
    await page.use(code=await page.code(), new=password, **more)
    till.clock.advance(minutes=10)


def later(till: Any, **span: float) -> str:
    """Give a moment from now as refusals write it."""
    moment: str = (till.clock.now + timedelta(**span)).isoformat()
    return moment
