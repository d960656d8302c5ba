"""Whatever stands in place of an argument: every public method refuses by name what it cannot take; no driver sees it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from wallet_service import Fen, Pay, PayBill, Period, TopUp, Transfer, Wallet, WalletError, Withdraw

DATABASES = ("sqlite", "postgresql")
NUMBERS = (0, -1, 2**31, 2**63, -(2**63) - 1, 10**100)
NO_NUMBERS = (True, 1.5, float("nan"), "1", b"1", [1])
TEXTS = ("", " ", "\x00", "\ud800", "𝟙" * 6, "x" * 100_000)
# Taken from the house's own code or its operator, or no plain values.
ELSEWHERE = {"reveal", "wait_for_notices", "rotate_keys", "export_records", "use_ticket"}
KINDS = {"FreezeBy", "changes.Purpose", "tickets.TicketPurpose"}  # texts too, of which few are known
FITTING: dict[str, dict[str, Any]] = {  # of single methods
    "start_change": {"purpose": "set_password"},
    "ticket": {"purpose": "enter_password"},
    "change_phone": {"id_number": None},
    "book": {"kind": "settle"},
}


async def fitting(till) -> dict[str, Any]:
    """Give something that fits for the arguments for which not anything does."""
    actor, order = till.ids["王小明"], await till.propose("王小明", "李娜", 100)
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    change = await till.wallet.start_change(actor, "set_password", key=till.key())
    return {
        "user_id": actor,
        "actor": actor,
        "order_id": order.id,
        "command": await commands(till, "Transfer"),
        "amount": Fen(1),
        "limit": 5,
        "level": 3,
        "city": "xiamen",
        "challenge_id": challenge.id,
        "change_id": change.id,
        "code": "000000",
        "phone": "13900000000",
        "text": "李娜",
        "purpose": "set_password",
        "address": "wang@example.com",
        "by": "owner",
        "period": Period(date(2026, 1, 1), date(2027, 1, 1)),
    }


async def commands(till, kind: str) -> Any:
    """Give a command of a kind that fits."""
    actor, amount = till.ids["王小明"], Fen(1)
    if kind == "Transfer":
        return Transfer(actor, await till.number("李娜"), amount, city="xiamen", note="x")
    if kind == "Pay":
        return Pay(actor, (await till.merchant())[1], amount, city="xiamen", note="x")
    if kind == "PayBill":
        return PayBill(actor, (await till.bill())[0])
    return (TopUp if kind == "TopUp" else Withdraw)(actor, await till.card(), amount, city="xiamen")


def anything(parameter: inspect.Parameter) -> Any:
    """Give something of an argument's type."""
    of_type = {"int": 1, "str": "x", "bool": True}
    return None if parameter.annotation.endswith("| None") else of_type.get(parameter.annotation, parameter.default)


def unfit(name: str, annotation: str) -> tuple[object, ...]:
    """Give what is to be tried in place of an argument with this annotation."""
    if annotation in ("int", "int | None", "Fen"):
        return NUMBERS + NO_NUMBERS
    return TEXTS if annotation in ("str", "str | None", *KINDS) else ()


def methods() -> list[str]:
    """Name every public method that goes to the database."""
    found = inspect.getmembers(Wallet, inspect.iscoroutinefunction)
    return [name for name, _ in found if not name.startswith("_") and name not in ELSEWHERE]


async def broken(call: Callable[[], Awaitable[object]]) -> str | None:
    """Give what a call raised that is no refusal."""
    try:
        await call()
    except WalletError:
        return None
    except Exception as fault:
        return f"{type(fault).__name__}: {str(fault).splitlines()[0][:120]}"
    return None


async def test_no_argument_gets_past_the_border(till) -> None:
    """Each argument of each method in turn is of the wrong type, out of range, or no text that can be kept."""
    fits, faults, tried = await fitting(till), [], 0
    for method in methods():
        call = getattr(till.wallet, method)
        parameters = inspect.signature(call).parameters.values()
        for wrong in parameters:
            for value in unfit(wrong.name, wrong.annotation):
                arguments = {each.name: fits.get(each.name, anything(each)) for each in parameters}
                arguments |= FITTING.get(method, {})
                arguments |= {"key": till.key()} if "key" in arguments else {}
                arguments[wrong.name] = value
                fault = await broken(lambda call=call, arguments=arguments: call(**arguments))
                tried += 1
                if fault:
                    faults.append((method, wrong.name, repr(value)[:20], fault))
    assert not faults, "\n".join(map(str, faults))
    assert tried > 1_000
    assert (await till.wallet.verify()).ok


@pytest.mark.parametrize("kind", ["Transfer", "Pay", "TopUp", "Withdraw", "PayBill"])
async def test_no_field_of_a_command_gets_past_the_border(till, kind) -> None:
    """The same for what is inside a command, proposed and previewed."""
    fits, faults = await commands(till, kind), []
    for wrong in fields(fits):
        for value in (*NUMBERS, *NO_NUMBERS, *TEXTS, None):
            command = replace(fits, **{wrong.name: value})
            for call in (
                lambda command=command: till.wallet.propose(command, actor=till.ids["王小明"], key=till.key()),
                lambda command=command: till.wallet.preview(command, actor=till.ids["王小明"]),
            ):
                fault = await broken(call)
                if fault:
                    faults.append((wrong.name, repr(value)[:20], fault))
    assert not faults, "\n".join(map(str, faults))
    assert (await till.wallet.verify()).ok
