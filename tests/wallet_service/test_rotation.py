"""A new data key while the service runs: nothing unreadable at any moment, and no key deleted that anything needs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from wallet_service import ROTATION_KEEP, Fen, Sealed, Transfer, rotation, vaulting
from wallet_service.errors import UnknownDataKey
from wallet_service.schema import metadata, orders, reveals, users
from wallet_service.vault import head_of
from wallet_service.vaulting import learn_keys

DATABASES = ("sqlite", "postgresql")


async def _look(wallet) -> None:
    """Let a wallet look at the data keys now, as it does every few seconds."""
    await learn_keys(wallet.database, wallet.context.vault, wallet.context.now())


async def _keys(till) -> list[int]:
    return [key for (key,) in await till.sql("SELECT id FROM data_keys ORDER BY id")]


async def _sealed_under(till, key_id: int) -> set[str]:
    """Name the columns that hold a value under a key, looked at from outside of the tables' types."""
    found = set()
    for table in metadata.tables.values():
        for column in table.c:
            if isinstance(column.type, Sealed):
                rows = await till.sql(f'SELECT "{column.name}" FROM {table.name} WHERE "{column.name}" IS NOT NULL')
                if any(bytes(value).startswith(head_of(key_id)) for (value,) in rows):
                    found.add(f"{table.name}.{column.name}")
    return found


async def _reveal(till) -> None:
    """Leave a row whose table is append-only but for what is sealed again."""
    row = {"user_id": till.ids["李娜"], "actor": "x", "field": "phone", "reason": "投诉处理", "at": till.clock.now}
    await till.write(insert(reveals).values(row))


async def _sees(wallet, till) -> tuple[object, ...]:
    """Give much of what people see that stands sealed."""
    user = till.ids["王小明"]
    return (
        await wallet.person(user),
        await wallet.contact_names(user),
        await wallet.history(user, limit=200),
        await wallet.find_payees(user, "13800000002", city="xiamen"),
    )


async def test_everything_is_sealed_again_and_the_old_key_goes(till) -> None:
    """Orders that are posted, append-only reveals and all else: nothing is left under the old key, and all reads as before."""
    await till.transfer("王小明", "李娜", 100, note="房租")
    await _reveal(till)
    await till.wallet.seal()
    before, used = await _sees(till.wallet, till), await _sealed_under(till, 1)
    assert {"users.phone", "orders.note", "contacts.name", "challenges.phone", "replays.outcome", "reveals.reason"} - used <= {
        "challenges.phone"
    }
    done = await till.wallet.rotate_keys(keep=0)
    assert (done.key_id, done.retired, done.left) == (2, (1,), ())
    assert done.resealed > 300
    assert await _keys(till) == [2]
    assert await _sealed_under(till, 1) == set()
    assert await _sealed_under(till, 2) == used
    assert await _sees(till.wallet, till) == before
    report = await till.wallet.verify()
    assert (report.faults, report.sealed) == ((), report.entries)
    async with till.reopened() as other:
        assert await _sees(other, till) == before
    await till.transfer("王小明", "李娜", 100, note="房租")
    assert await _sealed_under(till, 1) == set()
    assert (await till.wallet.rotate_keys(keep=0)).key_id == 3


async def test_the_service_goes_on_meanwhile(till, monkeypatch) -> None:
    """Payments of this process and of another, all through a rotation in small steps: none fails, and the books are right."""
    monkeypatch.setattr(rotation, "BATCH", 7)
    over = asyncio.Event()
    paid = 0

    async def pay() -> None:
        nonlocal paid
        while not over.is_set():
            await till.transfer("王小明", "李娜", 1, note="一分")
            await _sees(till.wallet, till)
            paid += 1

    async def look_on(other) -> None:
        while not over.is_set():
            await _look(other)
            await _sees(other, till)
            command = Transfer(till.ids["李娜"], await till.number("王小明"), Fen(1), note="看看")
            await other.propose(command, actor=till.ids["李娜"], key=f"other/{till.key()}")

    async with till.reopened() as other:
        tasks = [asyncio.create_task(pay()), asyncio.create_task(look_on(other))]
        rotating = asyncio.create_task(till.wallet.rotate_keys(keep=60))
        while not rotating.done():
            await asyncio.sleep(0.5)
            till.clock.advance(seconds=21)
        over.set()
        await asyncio.gather(*tasks)
        done = await rotating
        assert await _sees(other, till) == await _sees(till.wallet, till)
    assert (done.retired, done.left) == ((1,), ())
    assert done.key_id == 2
    assert paid > 2
    assert await till.held_by("李娜") == 80_000 + paid
    await till.wallet.seal()
    assert (await till.wallet.verify()).faults == ()


async def test_a_new_key_is_known_before_it_is_used(till) -> None:
    """For the time of grace everybody seals under the old key, and everybody reads the new one from the first use on."""
    async with till.reopened() as other:
        rotating = asyncio.create_task(till.wallet.rotate_keys(keep=60))
        while await _keys(till) != [1, 2]:
            await asyncio.sleep(0.01)
        for wallet in (till.wallet, other):
            await _look(wallet)
            assert (wallet.context.vault.current, set(wallet.context.vault.ciphers)) == (1, {1, 2})
        await till.newcomer("13911110001")
        till.clock.advance(seconds=61)
        while till.wallet.context.vault.current != 2:
            await asyncio.sleep(0.01)
        person = await till.newcomer("13911110002")
        assert other.context.vault.current == 1  # has not looked since
        assert (await other.person(person.id)).phone_masked == "139****0002"
        await _look(other)
        assert other.context.vault.current == 2
        till.clock.advance(seconds=61)
        done = await rotating
    assert (done.retired, done.left) == ((1,), ())


async def test_a_rotation_that_died_is_finished_by_the_next(till, monkeypatch) -> None:
    """Half sealed again, all is readable, for a newly opened wallet too; then no third key is made and the first goes."""
    before, real, rounds = await _sees(till.wallet, till), rotation._sealed_again, iter(range(150))

    def dying(*arguments):
        if next(rounds, None) is None:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(rotation, "BATCH", 50)
    monkeypatch.setattr(rotation, "_sealed_again", dying)
    with pytest.raises(KeyboardInterrupt):
        await till.wallet.rotate_keys(keep=0)
    monkeypatch.setattr(rotation, "_sealed_again", real)
    assert await _sealed_under(till, 1)
    assert await _sealed_under(till, 2)
    assert await _sees(till.wallet, till) == before
    async with till.reopened() as other:
        assert await _sees(other, till) == before
        done = await other.rotate_keys(keep=0)
    assert (done.key_id, done.retired) == (2, (1,))
    assert await _keys(till) == [2]
    assert await _sees(till.wallet, till) == before


async def test_a_key_that_anything_needs_is_never_deleted(till) -> None:
    """A table that nobody told of keeps its key; told of, it is sealed again too, and then the key goes."""
    others = MetaData()
    letters = Table("letters", others, Column("id", Integer, primary_key=True), Column("body", Sealed("letters.body")))
    async with till.wallet.database.write() as connection:
        await connection.run_sync(others.create_all)
        await connection.execute(insert(letters), [{"body": "您好"}, {"body": None}])
    done = await till.wallet.rotate_keys(keep=0)
    assert (done.key_id, done.retired, done.left) == (2, (), (1,))
    assert await _keys(till) == [1, 2]
    done = await till.wallet.rotate_keys(others, keep=0)
    assert (done.key_id, done.resealed, done.retired, done.left) == (2, 1, (1,), ())
    async with till.wallet.database.read() as connection:
        found = await connection.execute(select(letters.c.body).order_by(letters.c.id))
        assert found.scalars().all() == ["您好", None]


async def test_what_does_not_open_keeps_its_key(till, caplog) -> None:
    """A damaged value stops neither the rotation of the others nor, by a deleted key, its own repair."""
    ((sealed,),) = await till.sql("SELECT name FROM users WHERE id = ?", till.ids["李娜"])
    await till.sql("UPDATE users SET name = ? WHERE id = ?", bytes(sealed)[:-1] + b"?", till.ids["李娜"])
    done = await till.wallet.rotate_keys(keep=0)
    assert (done.retired, done.left) == ((), (1,))
    assert await _sealed_under(till, 1) == {"users.name", "users.phone"}
    assert f"row {till.ids['李娜']} of users does not open" in caplog.text
    await till.sql("UPDATE users SET name = ? WHERE id = ?", bytes(sealed), till.ids["李娜"])
    assert (await till.wallet.rotate_keys(keep=0)).retired == (1,)


async def test_a_key_deleted_under_a_process_is_put_back(till) -> None:
    """One that slept through the whole rotation seals under the old key; what it wrote is readable once it has looked."""
    async with till.reopened() as sleeper:
        await till.wallet.rotate_keys(keep=0)
        assert sleeper.context.vault.current == 1
        async with sleeper.database.write() as connection:
            await connection.execute(users.update().where(users.c.id == till.ids["李娜"]).values(email="li@example.com"))
        mail = select(users.c.email).where(users.c.id == till.ids["李娜"])
        async with till.wallet.database.read() as connection:
            with pytest.raises(UnknownDataKey, match=r"users\.email is sealed under data key 1"):
                (await connection.execute(mail)).scalar_one()
        await _look(sleeper)
        assert await _keys(till) == [1, 2]
        await _look(till.wallet)
        async with till.wallet.database.read() as connection:
            assert (await connection.execute(mail)).scalar_one() == "li@example.com"
        assert sleeper.context.vault.current == 2
    assert (await till.wallet.rotate_keys(keep=0)).retired == (1,)


async def test_a_process_that_did_nothing_puts_nothing_back(till) -> None:
    """Who has sealed nothing since its last look just forgets a key that is gone."""
    async with till.reopened() as sleeper:
        await _look(sleeper)
        await till.wallet.rotate_keys(keep=0)
        await _look(sleeper)
        assert (sleeper.context.vault.current, set(sleeper.context.vault.ciphers)) == (2, {2})
    assert await _keys(till) == [2]


async def test_an_unknown_key_is_looked_for_at_once(till, monkeypatch) -> None:
    """A value under a key that another process made is refused clearly the first time, and read a moment later."""
    monkeypatch.setattr(vaulting, "LOOK", 3600.0)
    async with till.reopened() as other:
        await asyncio.sleep(0)
        await till.wallet.rotate_keys(keep=0)
        with pytest.raises(UnknownDataKey):
            await other.person(till.ids["王小明"])
        for _ in range(500):
            await asyncio.sleep(0.01)
            if other.context.vault.current == 2:
                break
        assert (await other.person(till.ids["王小明"])).name == "王小明"


async def test_two_rotations_at_once_are_one(till) -> None:
    """Two operators, one new key."""
    async with till.reopened() as other:
        first, second = await asyncio.gather(till.wallet.rotate_keys(keep=0), other.rotate_keys(keep=0))
    assert {first.key_id, second.key_id} == {2}
    assert await _keys(till) == [2]
    assert set(first.retired) | set(second.retired) == {1}


async def test_a_row_somebody_works_on_is_left_for_later(till) -> None:
    """A rotation waits for nobody's lock, and comes back for what was held."""
    async with till.reopened() as other:
        async with other.database.write() as connection:
            await connection.execute(select(orders.c.id).where(orders.c.id == 1).with_for_update())
            rotating = asyncio.create_task(till.wallet.rotate_keys(keep=0))
            if till.wallet.database.is_sqlite:  # where the one writer keeps everybody waiting
                await asyncio.sleep(1.0)
            else:
                while bytes((await till.sql("SELECT note FROM orders WHERE id = 2"))[0][0])[:5] != head_of(2):
                    await asyncio.sleep(0.05)
                assert bytes((await till.sql("SELECT note FROM orders WHERE id = 1"))[0][0])[:5] == head_of(1)
            assert not rotating.done()
        assert (await rotating).retired == (1,)


def test_grace_is_longer_than_a_look() -> None:
    """By default every process looks several times before a new key is used."""
    assert timedelta(seconds=ROTATION_KEEP) > 3 * timedelta(seconds=vaulting.LOOK)
