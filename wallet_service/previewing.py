"""What would come of a command, and what is left to spend: the same judgement as a proposal's, without doing anything."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from wallet_service import errors
from wallet_service.checks import is_id
from wallet_service.commands import Command
from wallet_service.context import Context, day_start
from wallet_service.drafting import draft, judge, judge_payer, outlay
from wallet_service.factors import second_factors
from wallet_service.limits import Spending, numbered_day
from wallet_service.money import Fen
from wallet_service.profile import Profile, profile_of
from wallet_service.reading import own_account
from wallet_service.sheet import Sheet
from wallet_service.vetting import examine
from wallet_service.views import Allowance, Preview


async def preview(context: Context, command: Command, *, actor: int) -> Preview:
    """Tell what a command would cost and whether it would be refused, and why."""
    if not is_id(command.payer) or command.payer != actor:
        raise errors.NotAllowed
    sheet = Sheet(context, context.now())
    async with context.database.read() as connection:
        try:
            row = await judge(context, connection, await draft(context, connection, command), sheet)
            if (vetted := await examine(connection, command, row, sheet)) is not None:
                vetted.impose(row)
        except errors.WalletError as refusal:
            return Preview(allowed=False, refusal=refusal.code, facts=refusal.facts)
    return Preview(
        allowed=True,
        fee=row["fee"],
        total=row["amount"] + row["fee"],
        second=row["second"] == "needed",
        delay=row["delay"],
        warnings=tuple(row["warnings"]),
    )


async def affords(context: Context, user_id: int, amount: Fen, city: str | None) -> Preview:
    """Tell whether a person's wallet could transfer a sum, or which of its own rules refuses it; the payee's are not asked."""
    if not is_id(user_id):
        raise errors.NoWallet(city=city)
    sheet = Sheet(context, context.now())
    async with context.database.read() as connection:
        try:
            row = await outlay(context, connection, user_id, amount, city)
            await sheet.look(connection, (row["payer_id"],))
            await judge_payer(context, connection, row, sheet)
        except errors.WalletError as refusal:
            return Preview(allowed=False, refusal=refusal.code, facts=refusal.facts, fee=None, total=None, second=False)
    total = row["amount"] + row["fee"]
    return Preview(allowed=True, refusal=None, facts={}, fee=row["fee"], total=total, second=row["second"] == "needed")


async def allowance(context: Context, user_id: int, city: str | None) -> Allowance:
    """Tell what a person's wallet may still pay out, by each rule, and what would lift it."""
    account = await own_account(context, user_id, city)
    async with context.database.read() as connection:
        second = bool(await second_factors(connection, user_id))
    profile = profile_of(context.profiles, account["city"])
    return _allowance(profile, account, Spending.of(account).at(context.now()), second=second)


def _allowance(profile: Profile, account: Any, spending: Spending, *, second: bool) -> Allowance:
    limits, factors = profile.limits[account["level"]], profile.factors
    day_left = max(limits.day.fen - spending.day_spent, 0)
    year_left = max(limits.year.fen - spending.year_spent, 0)
    code_left = max(factors.code.fen - spending.day_spent, 0)
    available = account["balance"] - account["held"]
    bounds = [limits.single.fen, day_left, year_left, available, *(() if second else (code_left,))]
    return Allowance(
        city=account["city"],
        level=account["level"],
        status=account["status"],
        available=available,
        most=max(min(bounds), 0) if account["status"] == "active" else 0,
        single_limit=limits.single.fen,
        day_limit=limits.day.fen,
        day_used=spending.day_spent,
        day_left=day_left,
        year_limit=limits.year.fen,
        year_used=spending.year_spent,
        year_left=year_left,
        balance_limit=limits.balance.fen,
        static_limit=profile.static_code.fen,
        static_left=max(profile.static_code.fen - spending.static_spent, 0),
        code_limit=factors.code.fen,
        code_left=code_left,
        second=second,
        day_resets_at=day_start(numbered_day(spending.day) + timedelta(days=1)),
        year_resets_at=day_start(date(spending.year + 1, 1, 1)),
        lifted_by=limits.lifted_by,
    )
