"""The signed HTTP channel against a real server that is slow, cut off, wrong or dishonest: never done twice, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.wallet_service.bank import KEY, Bank, open_bank
from wallet_service import ConfigurationError, Errand, Fen, Outside, TopUp, Wallet, Withdraw
from wallet_service.outside_http import Endpoint, connect_channels, read_endpoints, sign

DATABASES = ("sqlite", "postgresql")
WORKING = False
ERRAND = Errand(
    number="202611200000000281a1b2c3d4",
    kind="withdraw",
    city="xiamen",
    amount=10_000,
    fee=10,
    card="6200000000000005",
    bank="青松银行",
    service=None,
    customer_no=None,
    month=None,
    again=False,
)
LIES = [
    *("cut after", "500 after", "garbage", "a list", "huge", "unsigned", "wrong key", "changed on the way"),
    *("other number", "pending", "done, but 402", "refused, but 200", "refused without reason", "missing to a POST", "redirect"),
    *("408", "425", "403"),
]
NOT_DONE = ["cut before", "500 before", "401", "429"]


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    """A bank on loopback."""
    async with open_bank() as running:
        yield running


@pytest.fixture
async def channel(bank: Bank) -> AsyncIterator[Outside]:
    """The till's end of it, with all the patience that it has by day."""
    async with connect_channels({"bank": Endpoint(bank.url, KEY)}) as channels:
        yield channels["bank"]


async def _run(channel: Outside, errand: Errand) -> str:
    """Run an errand as the timekeeper does: whatever is raised is unknown."""
    try:
        return await channel.run(errand)
    except Exception:
        return "unknown"


async def test_an_order_is_sent_once_with_all_that_is_needed(bank, channel) -> None:
    """The content in fen, signed, by a number in the address and nothing personal beside it."""
    assert await channel.run(ERRAND) == "done"
    assert bank.requests == [("POST", ERRAND.number)]
    assert bank.done[ERRAND.number] == {
        "number": ERRAND.number,
        "kind": "withdraw",
        "city": "xiamen",
        "amount": 10_000,
        "fee": 10,
        "card": "6200000000000005",
        "bank": "青松银行",
        "currency": "CNY",
    }
    bill = replace(ERRAND, number="2", kind="bill", card=None, bank=None, service="water", customer_no="6000123401", month=202611)
    assert await channel.run(bill) == "done"
    assert {"service", "customer_no", "month"} <= bank.done["2"].keys()
    assert not {"card", "bank"} & bank.done["2"].keys()


async def test_a_refusal_is_one(bank, channel) -> None:
    """Signed, with a reason, about this order: asked again it is the same."""
    errand = replace(ERRAND, card="6250947000000014")
    assert [await channel.run(errand), await channel.run(replace(errand, again=True))] == ["refused", "refused"]
    assert [method for method, _ in bank.requests] == ["POST", "GET"]
    assert bank.executions == 0


@pytest.mark.parametrize("trick", LIES)
async def test_what_cannot_be_trusted_is_unknown_and_asked_for_again(bank, channel, trick) -> None:
    """It was done, whatever came back: asking finds that out, and it is not sent a second time."""
    bank.tricks.append(trick)
    assert await _run(channel, ERRAND) == "unknown"
    assert await _run(channel, replace(ERRAND, again=True)) == "done"
    assert [method for method, _ in bank.requests] == ["POST", "GET"]
    assert bank.executions == 1


async def test_an_answer_that_comes_too_late_is_unknown(bank, channel) -> None:
    """Patience ends, the order was done all the same: asking finds that out, and it is not sent a second time."""
    bank.tricks.append("slow")
    async with connect_channels({"bank": Endpoint(bank.url, KEY)}, patience=2) as hasty:
        assert await _run(hasty["bank"], ERRAND) == "unknown"
    assert await _run(channel, replace(ERRAND, again=True)) == "done"
    assert (bank.requests[-1], bank.executions) == (("GET", ERRAND.number), 1)


@pytest.mark.parametrize("trick", NOT_DONE)
async def test_what_never_arrived_is_sent_when_the_bank_says_so(bank, channel, trick) -> None:
    """Asked about it, the bank never heard of the number: the same order with the same content is sent, and done once."""
    bank.tricks.append(trick)
    assert await _run(channel, ERRAND) == "unknown"
    bank.tricks.extend(["unsigned", "500 before"])  # a "missing" that is not signed, or not clear, sends nothing
    for answer in ("unknown", "unknown", "done"):
        assert await _run(channel, replace(ERRAND, again=True)) == answer
    assert [method for method, _ in bank.requests] == ["POST", "GET", "GET", "GET", "POST"]
    assert bank.executions == 1


async def test_an_answer_belongs_to_its_request_alone(bank, channel) -> None:
    """One that was signed for an earlier order, played again, says nothing; nor does one that comes twice on a connection."""
    assert await channel.run(ERRAND) == "done"
    bank.tricks.append("replayed")
    other = replace(ERRAND, number="202611200000000282aaaaaaaa", card="6250947000000014")
    assert await _run(channel, other) == "unknown"
    assert await channel.run(replace(other, again=True)) == "refused"
    bank.tricks.append("twice")
    assert await _run(channel, replace(ERRAND, number="3")) == "done"
    for number in ("4", "5"):
        refused = replace(other, number=number)
        assert await _run(channel, refused) in ("refused", "unknown")
        assert await _run(channel, replace(refused, again=True)) == "refused"


async def test_the_timestamp_is_of_the_tills_own_clock(bank) -> None:
    """What a request says of its time comes from the clock that the wallet was given."""
    async with connect_channels(
        {"bank": Endpoint(bank.url, KEY)}, clock=lambda: datetime(2026, 11, 20, 4, tzinfo=UTC)
    ) as channels:
        await channels["bank"].run(ERRAND)
    assert bank.timestamps == [1_795_147_200]


async def test_the_other_end_turns_a_wrong_signature_away(bank) -> None:
    """A till with another key gets nothing done, and takes that for no refusal."""
    async with connect_channels({"bank": Endpoint(bank.url, "not the key that they both have, no")}) as channels:
        assert await channels["bank"].run(ERRAND) == "unknown"
    assert bank.executions == 0


async def test_nobody_listens(channel, bank) -> None:
    """A port that is closed is no answer."""
    async with connect_channels({"bank": Endpoint("http://127.0.0.1:9/till", KEY)}, patience=2) as channels:
        assert await _run(channels["bank"], ERRAND) == "unknown"


async def test_many_processes_may_ask_at_once(bank, channel) -> None:
    """Twenty times the same order at the same moment: done once, and all are told so."""
    errands = [replace(ERRAND, again=place % 2 == 1) for place in range(20)]
    assert set(await asyncio.gather(*(channel.run(errand) for errand in errands))) == {"done"}
    assert bank.executions == 1


def test_signatures_are_what_the_page_says() -> None:
    """A vector to hold another implementation against: lines joined by a newline, the body last, hexadecimal."""
    request = sign(b"k" * 32, "POST", "/zhanggui/orders/1", "1795147200", body=b'{"number":"1"}')
    assert request == "389c4c493d12ac7e49e5e17960794244dd7e6f6c3774e14570b3642f0c2a032c"
    assert (
        sign(b"k" * 32, "answer", "200", request, body=b"{}")
        == "9008378acdce7d640ed5cb36aeb1fab371619d67a41bbb25ab0e3fef73f2602e"
    )


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"BANK_URL": "https://bank.example"}, "BANK_KEY"),
        ({"BANK_KEY": "k" * 32}, "BANK_URL"),
        ({"BANK_URL": "https://bank.example", "BANK_KEY": "k" * 31}, "BANK_KEY"),
        *(
            ({"BILLER_URL": url, "BILLER_KEY": "k" * 32}, "BILLER_URL")
            for url in (
                *("http://bank.example", "ftp://bank.example", "bank.example", "https://", "https://user:pass@bank.example"),
                *(
                    "https://bank.example?x=1",
                    "https://bank.example/#x",
                    "https://bank.example:x",
                    "https://银行.example",
                    "http://[::1",
                ),
                "https://bank.example/%41",
            )
        ),
    ],
)
def test_a_wrong_setting_is_named(settings, fault) -> None:
    """Card numbers go out over https only, to a plain address, under a key that cannot be guessed; no key is repeated."""
    with pytest.raises(ConfigurationError, match=f"^{fault} must be") as caught:
        read_endpoints(settings)
    assert "k" * 31 not in str(caught.value)


def test_settings_are_taken() -> None:
    """Each channel by itself, none at all, and one on this machine; the key does not show."""
    assert read_endpoints({}) == {}
    found = read_endpoints({"BANK_URL": "http://localhost:8099/bank/", "BANK_KEY": KEY, "OTHER": "x"})
    assert found == {"bank": Endpoint("http://localhost:8099/bank", KEY)}
    assert KEY not in repr(found)
    both = {"BANK_URL": "https://bank.example", "BANK_KEY": KEY, "BILLER_URL": "http://[::1]:1", "BILLER_KEY": KEY}
    assert set(read_endpoints(both)) == {"bank", "biller"}


async def _open(till, bank: Bank, stack: AsyncExitStack) -> Wallet:
    channels = await stack.enter_async_context(connect_channels({"bank": Endpoint(bank.url, KEY)}, patience=2))
    return await stack.enter_async_context(till.reopened(outside=channels, working=False))


async def test_orders_through_a_bad_network_are_done_once(till, bank) -> None:
    """Top-ups and withdrawals, a bank that fails in every way, two tills that ask: in the end both sides agree to the fen."""
    user, debit, credit = till.ids["王小明"], await till.card(), await till.card("credit")
    async with AsyncExitStack() as stack:
        first, second = await _open(till, bank, stack), await _open(till, bank, stack)
        commands = [TopUp(user, debit, Fen(1_000 + place)) for place in range(10)]
        commands += [Withdraw(user, debit, Fen(2_000 + place)) for place in range(10)]
        commands += [TopUp(user, credit, Fen(3_000 + place)) for place in range(5)]
        orders = [await till.confirmed(command) for command in commands]
        bank.tricks.extend(["slow", *LIES, *NOT_DONE, "replayed", "twice"] * 2)
        for _ in range(12):
            await asyncio.gather(first.run_due(), second.run_due())
            till.clock.advance(hours=1)
    ended = [await till.wallet.order(order.id, actor=user) for order in orders]
    assert [order.status for order in ended] == ["posted"] * 20 + ["voided"] * 5
    assert bank.executions == len(bank.done) == 20
    assert {content["amount"] for content in bank.done.values()} == {order.amount for order in ended[:20]}
    assert await till.standing(await till.account("王小明")) == (500_000 + 10_045 - 20_045, 0)
    assert len({number for _, number in bank.requests}) == 25
    assert (await till.wallet.verify()).faults == ()
