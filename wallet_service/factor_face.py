"""The part of the wallet's face that is about second factors: one-time pages, and what a person has set up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from wallet_service import factors, redeeming, seconds, tickets
from wallet_service.context import Context
from wallet_service.views import Change, Ticket, TicketView


class FactorFace:
    """Secrets never pass through a chat: a ticket's page shows and takes them. Whoever makes the link asks for its token."""

    _context: Context
    _notices: asyncio.Event

    async def second_factors(self, user_id: int) -> frozenset[factors.Factor]:
        """Give the second factors that a person has set up."""
        async with self._context.database.read() as connection:
            return await factors.second_factors(connection, user_id)

    async def prove_second(self, order_id: int, second: str, *, actor: int, key: str, code: str | None = None) -> None:
        """Take the authenticator's code, or a recovery code, for an order that needs a second factor; with its own code, both."""
        try:
            await seconds.prove_second(self._context, order_id, second, actor=actor, key=key, code=code)
        finally:
            self._notices.set()  # a lock is told too

    async def ticket(self, user_id: int, purpose: tickets.TicketPurpose, *, key: str, order_id: int | None = None) -> Ticket:
        """Make the ticket of a one-time page, ``enter_password`` for an order; ``invalid_argument`` for what is no such page."""
        return await tickets.ticket(self._context, user_id, purpose, key=key, order_id=order_id)

    def ticket_token(self, ticket_id: str) -> str:
        """Give the secret part of a page's link."""
        return tickets.ticket_token(self._context, ticket_id)

    async def open_ticket(self, token: str, *, issuer: str = "Zhanggui") -> TicketView:
        """Show what a page is for and what it asks; ``issuer`` names us in an authenticator app."""
        return await tickets.open_ticket(self._context, token, issuer=issuer)

    async def send_ticket_code(self, token: str) -> Change:
        """Send the code that a page asks for to the person's phone; the one before is dead."""
        change = await tickets.send_ticket_code(self._context, token)
        self._notices.set()
        return change

    async def use_ticket(self, token: str, answers: Mapping[str, str]) -> tuple[str, ...]:
        """Do what a page is for, once, with an answer to each of :attr:`TicketView.asks`; gives new recovery codes, if any."""
        try:
            return await redeeming.use_ticket(self._context, token, answers)
        finally:
            self._notices.set()  # a lock is told too
