"""The app with its bank: an order that a customer confirms is done by the channel that the settings name."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conftest import OpenDemo
from tests.wallet_service.bank import KEY, open_bank
from wallet_service import Endpoint, Fen, Order, TopUp

WANG = 1


async def _topped_up(app: Any) -> Order:
    card = (await app.wallet.cards(WANG))[0].id
    order = await app.wallet.propose(TopUp(WANG, card, Fen(12_300)), actor=WANG, key="top up")
    await app.courier.drain()
    code = app.phone.messages("13800000001")[0]["code"]
    await app.wallet.authorize(order.id, code, actor=WANG, key="yes")
    async with asyncio.timeout(10):
        while (order := await app.wallet.order(order.id, actor=WANG)).status == "authorised":
            await asyncio.sleep(0.02)
    return order


async def test_the_demo_brings_a_bank_of_its_own(open_demo: OpenDemo) -> None:
    """Without a setting, a top-up is done all the same."""
    async with open_demo() as app:
        assert (await _topped_up(app)).status == "posted"


async def test_the_bank_of_the_settings_is_asked(open_demo: OpenDemo) -> None:
    """The address and the key of the settings lead to the bank, which does it once."""
    async with open_bank() as bank, open_demo(channels={"bank": Endpoint(bank.url, KEY)}) as app:
        assert (await _topped_up(app)).status == "posted"
        assert [content["amount"] for content in bank.done.values()] == [12_300]
