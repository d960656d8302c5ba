"""The bills of a person's households."""

from __future__ import annotations

from sqlalchemy import String, and_, bindparam, exists, func, select

from wallet_service.checks import is_id
from wallet_service.context import Context
from wallet_service.masks import mask_number
from wallet_service.profile import profile_of
from wallet_service.schema import PAYS_BILL, accounts, billers, bills, orders, subscriptions, users
from wallet_service.views import Bill

_PAYING = exists().where(orders.c.bill_id == bills.c.id, PAYS_BILL)
_PAID = _PAYING.where(orders.c.status == "posted")
_OPEN = (
    select(
        bills.c.id,
        billers.c.service,
        accounts.c.name,
        bills.c.customer_no,
        bills.c.month,
        bills.c.amount,
        _PAYING.label("under_way"),
    )
    .join(users, users.c.id == subscriptions.c.user_id)
    .join(billers, billers.c.id == subscriptions.c.biller_id)
    .join(accounts, accounts.c.id == billers.c.account_id)
    .join(bills, and_(bills.c.biller_id == billers.c.id, bills.c.customer_index == subscriptions.c.customer_index))
    .where(
        subscriptions.c.user_id == bindparam("user_id"),
        accounts.c.city == func.coalesce(bindparam("city", type_=String), users.c.default_city),
        ~_PAID,
    )
    .order_by(bills.c.month, billers.c.id, bills.c.id)
)


async def open_bills(context: Context, user_id: int, city: str | None) -> tuple[Bill, ...]:
    """Give what is owed, and what is being paid."""
    if city is not None:
        profile_of(context.profiles, city)
    if not is_id(user_id):
        return ()
    async with context.database.read() as connection:
        rows = (await connection.execute(_OPEN, {"user_id": user_id, "city": city})).all()
    return tuple(
        Bill(row.id, row.service, row.name, mask_number(row.customer_no), row.month, row.amount, bool(row.under_way))
        for row in rows
    )
