"""What is known of a payer, a payee and their dealings when a payment is proposed, in one statement; and what was decided then.

However long a history is, only its newest rows are looked at, by the indexes that are there anyway: what is older than the
newest 400 orders of a payer, or than the newest 400 receipts of a wallet, counts as never having been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    String,
    Subquery,
    bindparam,
    distinct,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.errors import PayeeLimitExceeded
from wallet_service.risk import Decision, RiskFacts, Rules
from wallet_service.schema import Instant, accounts, bindings, contacts, decisions, entries, orders, outbox, users

SEEN = 400  # orders or entries looked at of one person or wallet
_PAID = ("transfer", "pay", "withdraw")
_WINDOWS = {
    "ten_minutes": timedelta(minutes=10),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "season": timedelta(days=90),
}


def _since(window: str, at: ColumnElement[Any]) -> ColumnElement[bool]:
    return at > bindparam(f"since_{window}", type_=Instant)


def _within(window: str, at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Tell whether a moment is less than a window away, to either side: clocks differ, and one that went back far must not take
    the whole history for what happened just now."""
    return _since(window, at) & (at < bindparam(f"until_{window}", type_=Instant))


_user, _payer, _payee, _payee_user = (bindparam(name, type_=BigInteger) for name in ("user", "payer", "payee", "payee_user"))
_payee_wallets = select(accounts.c.id).where(or_(accounts.c.id == _payee, accounts.c.user_id == _payee_user))
_payer_wallets = select(accounts.c.id).where(accounts.c.user_id == _user)


def _added(condition: ColumnElement[bool], amount: ColumnElement[Any]) -> ColumnElement[int]:
    """Add up an amount over the rows that meet a condition."""
    return func.coalesce(func.sum(amount).filter(condition), 0).cast(BigInteger)


_newest = (
    select(
        orders.c.kind,
        orders.c.status,
        orders.c.payee_id,
        orders.c.amount,
        orders.c.refusal,
        orders.c.created_at,
        orders.c.authorised_at.label("at"),
    )
    .where(orders.c.actor_id == _user)
    .order_by(orders.c.id.desc())
    .limit(SEEN)
    .cte("newest")
)


def _too_much() -> ScalarSelect[int]:
    """Count the payments of the payer that the payee had no room for."""
    mine = (_newest.c.payee_id == _payee) & (_newest.c.refusal == PayeeLimitExceeded.code)
    return select(func.count()).where(mine, _within("day", _newest.c.created_at)).scalar_subquery()


def _paid() -> Subquery:
    """Select what the payer confirmed, one row in all."""
    counted = _newest.c.kind.in_(_PAID) & _newest.c.status.in_(("authorised", "posted"))
    sums = [
        column
        for window in ("ten_minutes", "hour", "day", "season")
        for column in (
            _added(_within(window, _newest.c.at), literal(1)).label(f"count_{window}"),
            _added(_within(window, _newest.c.at), _newest.c.amount).label(f"sum_{window}"),
        )
    ]
    small = _within("hour", _newest.c.at) & (_newest.c.amount <= bindparam("small", type_=Integer))
    each = (
        select(
            _newest.c.payee_id,
            func.min(_newest.c.at).label("first_at"),
            func.max(_newest.c.amount).filter(_within("season", _newest.c.at)).label("largest"),
            _added(small, literal(1)).label("small"),
            *sums,
        )
        .where(counted)
        .group_by(_newest.c.payee_id)
        .subquery()
    )
    return select(
        func.min(each.c.first_at).filter(each.c.payee_id.in_(_payee_wallets)).label("first_at"),
        func.coalesce(func.max(each.c.largest), 0).label("largest"),
        _added(_within("hour", each.c.first_at), each.c.small).label("small"),
        *(func.coalesce(func.sum(each.c[column.name]), 0).cast(BigInteger).label(column.name) for column in sums),
    ).subquery("paid")


def _receipts(wallet: ColumnElement[int]) -> Subquery:
    """Select the newest entries that credit a wallet."""
    return (
        select(entries.c.kind, entries.c.debit_id, entries.c.amount, entries.c.at)
        .where(entries.c.credit_id == wallet)
        .order_by(entries.c.id.desc())
        .limit(SEEN)
        .subquery()
    )


def _received() -> Subquery:
    """Select what came in from others, one row in all."""
    seen = _receipts(_payer)
    sums = (_added(_within(window, seen.c.at), seen.c.amount).label(f"received_{window}") for window in ("hour", "day"))
    return select(*sums).where(seen.c.kind == "transfer").subquery("received")


def _collected() -> Subquery:
    """Select who paid the payee, one row in all."""
    seen = _receipts(_payee)
    return (
        select(
            func.count(distinct(seen.c.debit_id)).filter(_within("day", seen.c.at)).label("payers"),
            func.min(seen.c.at).filter(seen.c.debit_id.in_(_payer_wallets)).label("first_at"),
        )
        .where(seen.c.kind.in_(_PAID))
        .subquery("collected")
    )


def _dealings() -> Select[Any]:
    paid, received, collected = _paid(), _received(), _collected()
    changed = select(func.max(outbox.c.created_at)).where(
        outbox.c.user_id == _user,
        outbox.c.kind.in_(bindparam("credential_notices", type_=String, expanding=True)),
        _since("season", outbox.c.created_at),
    )
    person = users.join(received, true()).join(collected, true()).join(paid, true())
    wanted = select(
        users.c.level,
        users.c.created_at,
        users.c.wrong_codes,
        exists().where(contacts.c.owner_id == _user, contacts.c.user_id == _payee_user).label("contact"),
        changed.scalar_subquery().label("changed_at"),
        select(func.max(bindings.c.created_at)).where(bindings.c.user_id == _user).scalar_subquery().label("bound_at"),
        _too_much().label("too_much"),
        received,
        collected.c.payers,
        collected.c.first_at.label("received_at"),
        paid,
    )
    return wanted.select_from(person).where(users.c.id == _user)


_DEALINGS = _dealings()  # built once: it is long


async def gather(
    connection: AsyncConnection,
    rules: Rules,
    *,
    kind: str,
    amount: int,
    user: int,
    payer: int,
    payee: int,
    payee_user: int | None,
    payee_named: bool,
    hints: tuple[str, ...],
    now: datetime,
) -> RiskFacts:
    """Find out what the rules go by when ``user`` pays ``amount`` fen from account ``payer`` to ``payee``, of ``payee_user``."""
    asked = {
        "user": user,
        "payer": payer,
        "payee": payee,
        "payee_user": payee_user,
        "small": rules.small,
        "credential_notices": sorted(rules.credential_notices),
        **{f"since_{window}": now - span for window, span in _WINDOWS.items()},
        **{f"until_{window}": now + span for window, span in _WINDOWS.items()},
    }
    seen = (await connection.execute(_DEALINGS, asked)).mappings().one()
    return RiskFacts(
        kind=kind,
        amount=amount,
        now=now,
        level=seen["level"],
        account_age=_age(now, seen["created_at"]) or 0,
        contact=bool(seen["contact"]),
        paid_for=_age(now, min((at for at in (seen["first_at"], seen["received_at"]) if at is not None), default=None)),
        payee_named=payee_named,
        largest=seen["largest"],
        typical=seen["sum_season"] // max(seen["count_season"], 1),
        payments_10_minutes=seen["count_ten_minutes"],
        payments_hour=seen["count_hour"],
        payments_day=seen["count_day"],
        spent_10_minutes=seen["sum_ten_minutes"],
        spent_hour=seen["sum_hour"],
        spent_day=seen["sum_day"],
        small_to_new_hour=seen["small"],
        received_hour=seen["received_hour"],
        received_day=seen["received_day"],
        payee_payers_day=seen["payers"],
        credentials_changed=_age(now, seen["changed_at"]),
        device_added=_age(now, seen["bound_at"]),
        payee_full_day=seen["too_much"],
        wrong_codes=seen["wrong_codes"],
        hints=tuple(sorted(rules.hints.intersection(hints))),
    )


def _age(now: datetime, then: datetime | None) -> int | None:
    return None if then is None else max(int((now - then).total_seconds()), 0)


async def record(
    connection: AsyncConnection, decision: Decision, facts: RiskFacts, *, user: int, order_id: int | None, now: datetime
) -> None:
    """Keep a decision with its reasons and what they rest on: figures only, nobody's name or number."""
    row: Mapping[str, Any] = {
        "user_id": user,
        "order_id": order_id,
        "verdict": decision.verdict,
        "reasons": [{"code": reason.code, **reason.figures} for reason in decision.reasons],
        "facts": {**asdict(facts), "now": now.isoformat()},
        "created_at": now,
    }
    await connection.execute(insert(decisions), row)
