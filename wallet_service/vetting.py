"""The look at a payment before it becomes an order: the risk rules, then a stranger's family name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import errors
from wallet_service.commands import Command, Pay, Transfer
from wallet_service.risk import JUDGED, Decision, RiskFacts, assess, packaged_rules
from wallet_service.sheet import Sheet
from wallet_service.surnames import confirm_surname
from wallet_service.watching import gather, record


@dataclass(frozen=True, slots=True)
class Vetted:
    """What is known of a payment and was decided of it."""

    facts: RiskFacts
    decision: Decision

    def impose(self, row: dict[str, Any]) -> None:
        """Put upon an order's row what its payer is told, and the day that it has to wait, or refuse it with ``risk_refused``."""
        if self.decision.verdict == "refuse":
            raise errors.RiskRefused(reasons=self.decision.deciding)
        row["warnings"] = self.decision.deciding
        if self.decision.verdict == "delay":
            row["delay"] = max(row["delay"], packaged_rules().delay)


async def examine(connection: AsyncConnection, command: Command, row: dict[str, Any], sheet: Sheet) -> Vetted | None:
    """Judge the payment that an order's row describes, whose accounts are on the sheet; None for kinds that are never judged."""
    if row["kind"] not in JUDGED:
        return None
    payee = sheet.accounts[row["payee_id"]]
    facts = await gather(
        connection,
        packaged_rules(),
        kind=row["kind"],
        amount=row["amount"],
        user=row["actor_id"],
        payer=row["payer_id"],
        payee=row["payee_id"],
        payee_user=payee["user_id"],
        payee_named=payee["user_id"] is None or bool(_name(sheet, payee)),
        hints=command.hints if isinstance(command, Transfer | Pay) else (),
        now=sheet.now,
    )
    return Vetted(facts, assess(facts, packaged_rules()))


async def vet(connection: AsyncConnection, command: Command, row: dict[str, Any], sheet: Sheet) -> Vetted | None:
    """Examine a proposal of a payer who is held; raises ``risk_refused`` and ``surname_…``, whose traces are to be kept."""
    vetted = await examine(connection, command, row, sheet)
    if vetted is None:
        return None
    try:
        vetted.impose(row)
        if isinstance(command, Transfer):
            await _confirm_stranger(connection, command, vetted.facts, sheet.accounts[row["payee_id"]], sheet)
    except errors.WalletError:
        await keep(connection, vetted, row, order_id=None)
        raise
    return vetted


async def keep(connection: AsyncConnection, vetted: Vetted, row: dict[str, Any], *, order_id: int | None) -> None:
    """Keep a decision, beside its order if one came of it."""
    facts = vetted.facts
    await record(connection, vetted.decision, facts, user=row["actor_id"], order_id=order_id, now=facts.now)


async def _confirm_stranger(
    connection: AsyncConnection, command: Transfer, facts: RiskFacts, payee: dict[str, Any], sheet: Sheet
) -> None:
    """Have the family name of a payee confirmed who is no contact and was never paid, if there is a verified one."""
    if facts.contact or facts.paid_for is not None or not facts.payee_named:
        return
    sides = {"payer": command.payer, "payee": payee["user_id"]}
    name = _name(sheet, payee)
    await confirm_surname(connection, packaged_rules(), **sides, name=name, said=command.surname, now=sheet.now)


def _name(sheet: Sheet, account: dict[str, Any]) -> str:
    return sheet.context.vault.open("users.name", account["owner_name"])
