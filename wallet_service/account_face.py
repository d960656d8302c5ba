"""The part of the wallet's face that is about accounts and not about money: standing, identity, phones, doors, closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TypeVar

from wallet_service import accounts, bindings, closing, reaching, records
from wallet_service.accounts import FreezeBy
from wallet_service.context import Context
from wallet_service.views import Binding, Change, ClosingCheck, Person

T = TypeVar("T")


class AccountFace:
    """What a person, or the house, may do to an account. A change is proven first: start it, ``prove_change``, then do it."""

    _context: Context
    _notices: asyncio.Event

    async def _telling(self, work: Awaitable[T]) -> T:
        """Do what writes notices, and wake whoever sends them."""
        try:
            return await work
        finally:
            self._notices.set()

    # Freezing

    async def freeze(self, user_id: int, *, key: str, by: FreezeBy = "owner") -> Person:
        """Freeze a person's wallets at once; open proposals are cancelled, nothing that is posted is touched."""
        return await self._telling(accounts.freeze(self._context, user_id, key=key, by=by))

    async def start_unfreeze(self, user_id: int, *, key: str) -> Change:
        """Send the code that lifts the owner's own freeze."""
        return await self._telling(accounts.start_unfreeze(self._context, user_id, key=key))

    async def unfreeze(self, user_id: int, change_id: str, *, key: str, second: str | None = None) -> Person:
        """Lift the owner's freeze with a proven code, and a ``second`` one (authenticator, recovery) where there is.

        With nothing but a payment password it is ``second_proof_needed``: the page ``unfreeze`` takes it.
        """
        return await self._telling(accounts.unfreeze(self._context, user_id, change_id, key=key, second=second))

    async def lift_freeze(self, user_id: int, *, agent: str, key: str) -> Person:
        """Lift any freeze after an agent has looked."""
        return await self._telling(accounts.lift_freeze(self._context, user_id, agent=agent, key=key))

    # Identity and contact

    async def raise_level(self, user_id: int, level: int, *, name: str, id_number: str, key: str, by: str) -> Person:
        """Note that a person was identified by ``by``, so far that their wallets are of class ``level`` (3 … 1)."""
        raised = accounts.raise_level(self._context, user_id, level, name=name, id_number=id_number, key=key, by=by)
        return await self._telling(raised)

    async def phone_proofs(self, user_id: int) -> tuple[str, ...]:
        """Tell by what a person may move to a new phone besides its code: old_phone, authenticator, id_number."""
        return await reaching.phone_proofs(self._context, user_id)

    async def start_phone_change(self, user_id: int, phone: str, *, key: str) -> Change:
        """Send a code to a person's new phone."""
        return await self._telling(reaching.start_phone_change(self._context, user_id, phone, key=key))

    async def change_phone(
        self,
        user_id: int,
        change_id: str,
        *,
        key: str,
        binding: int | None = None,
        old_phone: str | None = None,
        authenticator: str | None = None,
        id_number: str | None = None,
    ) -> Person:
        """Move to a proven phone with one proof more (``old_phone`` is a change that is proven); other doors are logged out."""
        proofs = {"old_phone": old_phone, "authenticator": authenticator, "id_number": id_number}
        return await self._telling(reaching.change_phone(self._context, user_id, change_id, key=key, binding=binding, **proofs))

    async def start_email(self, user_id: int, address: str, *, key: str) -> Change:
        """Send a code to the mailbox that a person wants to be told at."""
        return await self._telling(reaching.start_email(self._context, user_id, address, key=key))

    async def set_email(self, user_id: int, change_id: str, *, key: str) -> Person:
        """Take a proven mailbox."""
        return await self._telling(reaching.set_email(self._context, user_id, change_id, key=key))

    # Doors

    async def bind(self, user_id: int, channel: str, address: str, label: str, *, key: str) -> Binding:
        """Note that a person is logged in at a door; a new one is told."""
        return await self._telling(bindings.bind(self._context, user_id, channel, address, label, key=key))

    async def binding_of(self, user_id: int, channel: str, address: str, *, used: bool = False) -> int | None:
        """Give the binding by which a door speaks for a person, None when it does not any more; ``used`` notes the time."""
        return await bindings.binding_of(self._context, user_id, channel, address, used=used)

    async def bindings(self, user_id: int) -> tuple[Binding, ...]:
        """List where a person is logged in, the last used first."""
        return await bindings.bindings(self._context, user_id)

    async def unbind(self, user_id: int, binding_id: int, *, key: str, tell: bool = True) -> None:
        """Log a person out at a door; ``tell`` them when it is done from elsewhere."""
        await self._telling(bindings.unbind(self._context, user_id, binding_id, key=key, tell=tell))

    async def unbind_all(self, user_id: int, *, key: str, except_: int | None = None) -> None:
        """Log a person out everywhere, but for one door."""
        await self._telling(bindings.unbind_all(self._context, user_id, key=key, except_=except_))

    # Closing

    async def close_check(self, user_id: int) -> ClosingCheck:
        """Tell what keeps an account from being closed."""
        return await closing.close_check(self._context, user_id)

    async def export_records(self, user_id: int, *, header: Sequence[str], words: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Give all movements as CSV in pieces and note that they were taken along; ``header`` names ``RECORD_COLUMNS``."""
        async for piece in records.export_records(self._context, user_id, header=header, words=words):
            yield piece

    async def send_closing_code(self, user_id: int, *, key: str) -> Change:
        """Send the code that begins the cooling-off, unless something has to be settled first."""
        return await self._telling(closing.send_closing_code(self._context, user_id, key=key))

    async def start_closing(self, user_id: int, change_id: str, *, key: str) -> Person:
        """Begin the cooling-off with a proven code."""
        return await self._telling(closing.start_closing(self._context, user_id, change_id, key=key))

    async def cancel_closing(self, user_id: int, *, key: str) -> Person:
        """Call a closing off."""
        return await self._telling(closing.cancel_closing(self._context, user_id, key=key))
