"""What stands sealed in the database: how it looks there, what may be asked of it, and what an error tells of it."""

from __future__ import annotations

import traceback

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from wallet_service.schema import accounts, challenges, contacts, orders, outbox, replays, users
from wallet_service.vault import SHORTEST, head_of

DATABASES = ("sqlite", "postgresql")


async def test_equal_texts_look_different_and_open_only_where_they_belong(till) -> None:
    """Two seals of one name have no byte run in common, and a name moved into the e-mail column does not open."""
    await till.write(update(users).where(users.c.id == till.ids["李娜"]).values(name="王小明"))
    first, second = [bytes(name) for (name,) in await till.sql("SELECT name FROM users WHERE id IN (1, 2)")]
    assert len(first) == len(second) == SHORTEST + len("王小明".encode())
    assert first[5:21] != second[5:21]
    assert first[21:] != second[21:]
    await till.sql("UPDATE users SET email = name WHERE id = 1")
    async with till.wallet.database.read() as connection:
        with pytest.raises(InvalidTag):
            (await connection.execute(select(users.c.email).where(users.c.id == 1))).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: users.c.phone == "13800000001",
        lambda: users.c.phone != "13800000001",
        lambda: users.c.name == contacts.c.name,
        lambda: contacts.alias("c").c.name == users.c.name,
        lambda: users.c.name.in_(["王小明"]),
        lambda: users.c.name.not_in(["王小明"]),
        lambda: users.c.name.like("王%"),
        lambda: users.c.name.startswith("王"),
        lambda: users.c.name.between("a", "b"),
        lambda: users.c.name < "王",
        users.c.name.desc,
        lambda: users.c.name.asc().nulls_last(),
        lambda: users.c.name + "x",
        lambda: "x" + users.c.name,
        lambda: users.c.name.is_distinct_from("x"),
        lambda: orders.c.note.ilike("x"),
        lambda: outbox.c.facts == {},
        lambda: update(users).where(users.c.phone == "13800000001"),
        lambda: delete(replays).where(replays.c.outcome == "{}"),
        lambda: select(users).join(challenges, challenges.c.phone == users.c.phone),
    ],
)
def test_what_would_find_nothing_is_refused(build) -> None:
    """A sealed column takes no part in a comparison: the statement is not even built, and the error names the column."""
    with pytest.raises(TypeError, match="is sealed: look it up by its blind index"):
        build()


@pytest.mark.parametrize(
    "wanted",
    [
        select(users.c.id).order_by(users.c.name),
        select(users.c.id).order_by(func.lower(users.c.name)),
        select(func.count()).group_by(users.c.name),
        select(users.c.id).where(literal("13800000001") == users.c.phone),
        select(users.c.id).join(accounts, accounts.c.name == users.c.name),
        select(users.c.id).join(accounts).order_by(accounts.c.id, users.alias("other").c.phone),
    ],
)
async def test_what_no_column_sees_is_refused_before_it_is_sent(till, wanted) -> None:
    """A sealed column on the right side, or to sort or group by: nobody gets rows in the order of their ciphertext."""
    async with till.wallet.database.read() as connection:
        with pytest.raises(TypeError, match="is sealed"):
            await connection.execute(wanted)


async def test_null_may_be_asked_for(till) -> None:
    """Whether there is a value is no secret, in each of the ways to ask."""
    async with till.wallet.database.read() as connection:
        for missing in (users.c.email.is_(None), users.c.email == None, users.c.name.is_not(None), users.c.name != None):  # noqa: E711
            assert (await connection.execute(select(func.count()).select_from(users).where(missing))).scalar_one() == 5


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(getattr(error, "orig", None))


async def test_an_error_quotes_no_row(till) -> None:
    """A refused row and an argument of the wrong kind are not repeated in the error, its cause, or a trace of it."""
    statements = (
        ("UPDATE accounts SET city = 'told', user_id = NULL WHERE user_id IS NOT NULL", IntegrityError),
        (
            "INSERT INTO replays (scope, key, digest, outcome, created_at) SELECT 0, 'told', digest, NULL, 0 FROM replays",
            IntegrityError,
        ),
        ("INSERT INTO billers (account_id, service) SELECT id, 'told' FROM accounts, generate_series(1, 2) told", DBAPIError),
    )
    await till.propose("王小明", "李娜", 100)
    for statement, kind in statements:
        with pytest.raises(kind) as caught:
            await till.sql(statement)
        shown = _told(caught.value).replace(statement, "")
        assert "DETAIL" not in shown
        assert "told" not in shown
    if not till.wallet.database.is_sqlite:  # SQLite takes any value for any column
        wrong = update(accounts).values(balance="told")
        with pytest.raises(DBAPIError) as caught:
            await till.write(wrong)
        assert "told" not in _told(caught.value)
        assert "argument $1" in _told(caught.value)
        cast = text("SELECT CAST('told' AS integer)")
        async with till.wallet.database.read() as connection:
            with pytest.raises(DBAPIError) as caught:
                await connection.execute(cast)
        assert "told" not in _told(caught.value).replace(str(cast), "")


async def test_a_sealed_text_of_an_order_stays_what_it_is(till) -> None:
    """Neither another order's note nor a new seal of the same key may be put in; the same text under a newer key may."""
    order = await till.propose("王小明", "李娜", 100, note="房租")
    vault = till.wallet.context.vault
    with pytest.raises(DBAPIError):
        await till.write(update(orders).where(orders.c.id == order.id).values(note="别的"))
    with pytest.raises(DBAPIError):
        await till.sql("UPDATE orders SET note = (SELECT note FROM orders WHERE id = 1) WHERE id = ?", order.id)
    ((sealed,),) = await till.sql("SELECT note FROM orders WHERE id = ?", order.id)
    await till.sql("UPDATE orders SET note = ? WHERE id = ?", head_of(2) + bytes(sealed)[5:], order.id)
    assert vault.current == 1


async def test_the_decisive_columns_are_sealed(till) -> None:
    """Every text of which people write or are the content stands sealed; a new column of that sort has to be thought of here."""
    clear = {
        (table.name, column.name)
        for table in users.metadata.tables.values()
        for column in table.c
        if str(column.type).startswith(("VARCHAR", "TEXT", "JSON"))
    }
    assert clear <= CLEAR, clear - CLEAR


# Texts that stand in clear, and hold words of the program's own, numbers that tell of nobody, or what is told to everybody.
CLEAR = {
    ("users", "status"),
    ("users", "frozen_by"),
    ("users", "default_city"),
    ("account_events", "kind"),
    ("account_events", "by"),
    ("accounts", "kind"),
    ("accounts", "city"),
    ("accounts", "number"),  # told to every payer
    ("accounts", "name"),  # of merchants and billers; a person's wallet has none
    ("billers", "service"),
    ("cards", "bank"),
    ("cards", "kind"),
    ("cards", "status"),
    ("orders", "kind"),
    ("orders", "status"),
    ("orders", "method"),
    ("orders", "second"),
    ("orders", "warnings"),
    ("orders", "refusal"),
    ("orders", "outside"),
    ("orders", "outside_no"),
    ("orders", "outside_state"),
    ("orders", "receipt_no"),
    ("entries", "kind"),
    ("challenges", "purpose"),
    ("challenges", "status"),
    ("outbox", "kind"),
    ("outbox", "status"),
    ("outbox", "way"),
    ("replays", "key"),  # made of ids and of hashes of ids
    ("authenticators", "status"),
    ("passwords", "hash"),  # argon2
    ("tickets", "purpose"),
    ("bindings", "channel"),
    ("bindings", "status"),
    ("decisions", "verdict"),
    ("decisions", "reasons"),  # figures
    ("decisions", "facts"),
    ("reveals", "actor"),
    ("reveals", "field"),
}


async def test_a_card_number_is_nowhere_but_sealed(till) -> None:
    """What is inserted through the tables is sealed by the tables themselves, JSON values too."""
    now = till.wallet.context.now()
    row = {"kind": "told", "status": "void", "counter": 0, "facts": {"to": "6222021234567890123"}, "attempts": 0}
    await till.write(insert(outbox).values(**row, to="6222021234567890123", due_at=now, created_at=now))
    ((to, facts),) = await till.sql('SELECT "to", facts FROM outbox WHERE kind = ?', "told")
    assert b"6222" not in bytes(to) + bytes(facts)
    async with till.wallet.database.read() as connection:
        found = (await connection.execute(select(outbox.c.to, outbox.c.facts).where(outbox.c.kind == "told"))).one()
    assert tuple(found) == ("6222021234567890123", {"to": "6222021234567890123"})
