"""A person's movements as a table to take along: CSV that opens in any spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal

from wallet_service import errors
from wallet_service.context import SHANGHAI, Context
from wallet_service.events import note
from wallet_service.people import person_on
from wallet_service.reading import MOST_ITEMS, history
from wallet_service.standing import change_user, held_user
from wallet_service.views import HistoryItem

COLUMNS = ("at", "city", "kind", "counterparty", "amount", "balance_after", "note", "order_id")
_BOM = b"\xef\xbb\xbf"  # without it spreadsheets take UTF-8 for something else
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a note that begins so


async def export_records(
    context: Context, user_id: int, *, header: Sequence[str], words: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """Give all movements of all a person's wallets in pieces, newest first in each city, and note that they were taken along.

    ``header`` names ``COLUMNS`` in the reader's language; ``words`` says cities and kinds in it. Amounts are yuan with two
    decimals, negative when money left; times are Asia/Shanghai.
    """
    if len(header) != len(COLUMNS):
        raise errors.InvalidArgument(argument="header")
    async with context.database.read() as connection:
        person = await person_on(connection, user_id)
    if person.status == "closed":
        raise errors.NotLoggedIn
    yield _BOM + _lines([header])
    for city in person.cities:
        before = None
        while page := await history(context, user_id, None, city=city, limit=MOST_ITEMS, before=before):
            yield _lines([_row(item, words) for item in page])
            before = page[-1].id
    async with context.database.write() as connection:
        await held_user(context, connection, user_id)
        await change_user(connection, user_id, exported_at=context.now())
        await note(connection, user_id, "records_exported", context.now())


def _row(item: HistoryItem, words: Mapping[str, str]) -> list[str]:
    return [
        f"{item.at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}",
        words.get(item.city, item.city),
        words.get(item.kind, item.kind),
        _plain(item.counterparty),
        str(Decimal(item.amount).scaleb(-2)),
        str(Decimal(item.balance_after).scaleb(-2)),
        _plain(item.note),
        str(item.order_id),
    ]


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue().encode()
