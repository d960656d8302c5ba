"""Where a person is logged in: listed, told when new, logged out from elsewhere."""

from __future__ import annotations

from typing import Any

from tests.wallet_service.conftest import Till

DATABASES = ("sqlite", "postgresql")


async def kinds(till: Till) -> set[tuple[str, str, Any]]:
    """Give the kind, way and label of what was told since the last look."""
    return {(notice.kind, notice.channel, notice.facts.get("label")) for notice in await till.collect_all()}


async def test_a_new_door_is_told_once(till) -> None:
    """At the first log-in there, and again only after it was logged out."""
    wang = till.ids["王小明"]
    first = await till.wallet.bind(wang, "web", "cookie", "Firefox", key=till.key())
    assert await kinds(till) == {("device_added", "doors", "Firefox")}
    till.clock.advance(hours=2)
    again = await till.wallet.bind(wang, "web", "cookie", "Firefox", key=till.key())
    assert (again.id, again.created_at, again.seen_at) == (first.id, first.created_at, till.clock.now)
    assert await kinds(till) == set()
    await till.wallet.unbind(wang, first.id, key=till.key())
    assert await kinds(till) == {("device_removed", "doors", "Firefox")}
    back = await till.wallet.bind(wang, "web", "cookie", "Firefox", key=till.key())
    assert (back.id, back.created_at) == (first.id, till.clock.now)
    assert await kinds(till) == {("device_added", "doors", "Firefox")}


async def test_a_door_speaks_for_whom_it_is_bound_to(till, refused) -> None:
    """Neither for another person nor by another channel, and not after the log-out."""
    wang, li = till.ids["王小明"], till.ids["李娜"]
    binding = await till.wallet.bind(wang, "web", "cookie", "", key=till.key())
    assert await till.wallet.binding_of(wang, "web", "cookie") == binding.id
    assert await till.wallet.binding_of(li, "web", "cookie") is None
    assert await till.wallet.binding_of(wang, "rest", "cookie") is None
    with refused("binding_not_found"):
        await till.wallet.unbind(li, binding.id, key=till.key())
    await till.wallet.unbind(wang, binding.id, key=till.key(), tell=False)
    assert await till.wallet.binding_of(wang, "web", "cookie") is None
    with refused("binding_not_found"):
        await till.wallet.unbind(wang, binding.id, key=till.key())


async def test_the_list_shows_the_last_used_first(till) -> None:
    """A turn within the hour is not written down, a later one is; the address is sealed and shown nowhere."""
    wang = till.ids["王小明"]
    first = await till.wallet.bind(wang, "web", "a secret cookie", "Firefox", key=till.key())
    till.clock.advance(minutes=10)
    second = await till.wallet.bind(wang, "telegram", "4711", "", key=till.key())
    assert [each.id for each in await till.wallet.bindings(wang)] == [second.id, first.id]
    till.clock.advance(minutes=49)
    await till.wallet.binding_of(wang, "web", "a secret cookie", used=True)
    assert [each.id for each in await till.wallet.bindings(wang)] == [second.id, first.id]
    till.clock.advance(minutes=1)
    await till.wallet.binding_of(wang, "web", "a secret cookie", used=True)
    assert [each.id for each in await till.wallet.bindings(wang)] == [first.id, second.id]
    assert "a secret cookie" not in repr(await till.wallet.bindings(wang))
    (row,) = await till.sql("SELECT address FROM bindings WHERE id = ?", first.id)
    assert b"secret" not in bytes(row[0])


async def test_everywhere_but_here(till) -> None:
    """One door stays; without one, none does; nothing to log out is nothing to tell."""
    wang = till.ids["王小明"]
    here = await till.wallet.bind(wang, "web", "here", "", key=till.key())
    for address in ("one", "two"):
        await till.wallet.bind(wang, "web", address, "", key=till.key())
    await till.collect_all()
    await till.wallet.unbind_all(wang, except_=here.id, key=till.key())
    assert [each.id for each in await till.wallet.bindings(wang)] == [here.id]
    assert [(notice.kind, notice.facts["count"]) for notice in await till.collect_all()] == [("devices_removed", 2)]
    await till.wallet.unbind_all(wang, except_=here.id, key=till.key())
    assert await till.collect_all() == []
    await till.wallet.unbind_all(wang, key=till.key())
    assert await till.wallet.bindings(wang) == ()


async def test_two_people_at_one_door(till) -> None:
    """A shared tablet is a door of both, each by themselves."""
    wang, li = till.ids["王小明"], till.ids["李娜"]
    hers = await till.wallet.bind(li, "web", "tablet", "", key=till.key())
    await till.wallet.bind(wang, "web", "tablet", "", key=till.key())
    await till.wallet.unbind_all(wang, key=till.key())
    assert await till.wallet.binding_of(li, "web", "tablet") == hers.id
