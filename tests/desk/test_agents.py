"""Accounts of the desk: making them, logging in, sessions, and the brake on guessing."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from bot.desk.agents import SESSION, add_agent
from bot.desk.errors import BadRequest, NotLoggedIn, Throttled
from bot.desk.tables import agent_sessions, agents, login_failures
from tests.desk.conftest import PASSWORD, House

HERE = "127.0.0.1"


async def _fails(house: House, name: str = "小林", address: str = HERE, password: str = "wrong password") -> None:
    with pytest.raises(NotLoggedIn, match="wrong_login"):
        await house.accounts.log_in(name, password, address)


async def test_the_password_is_kept_as_an_argon2_hash(house: House) -> None:
    """The database holds neither a password nor a session's token."""
    assert (await add_agent(house.database, " 小林 ", PASSWORD, "admin")).name == "小林"
    token, session = await house.accounts.log_in("小林", PASSWORD, HERE)
    assert session.agent.role == "admin"
    async with house.database.read() as connection:
        stored = (await connection.execute(sa.select(agents.c.password))).scalar_one()
        kept = (await connection.execute(sa.select(agent_sessions.c.token))).scalar_one()
    assert stored.startswith("$argon2id$")
    assert token not in kept


@pytest.mark.parametrize(
    ("name", "password", "role", "code"),
    [
        ("", PASSWORD, "agent", "bad_agent_name"),
        ("a" * 33, PASSWORD, "agent", "bad_agent_name"),
        ("a\nb", PASSWORD, "agent", "bad_agent_name"),
        ("小林", "short", "agent", "bad_password"),
        ("小林", "x" * 129, "agent", "bad_password"),
        ("小林", PASSWORD, "root", "bad_role"),
    ],
)
async def test_a_wrong_agent_is_refused(house: House, name: str, password: str, role: str, code: str) -> None:
    """An empty or ill-formed name, a short or endless password and an unknown role are each named."""
    with pytest.raises(BadRequest, match=code):
        await add_agent(house.database, name, password, role)  # type: ignore[arg-type]


async def test_a_name_is_given_once(house: House) -> None:
    """A second agent of the same name is refused and changes nothing."""
    await house.agent()
    with pytest.raises(BadRequest, match="agent_exists"):
        await add_agent(house.database, "小林", "another password")
    assert (await house.accounts.log_in("小林", PASSWORD, HERE))[1].agent.role == "agent"


async def test_wrong_names_and_passwords_look_alike(house: House) -> None:
    """Nobody learns from the answer whether a name exists."""
    await house.agent()
    await _fails(house)
    await _fails(house, name="谁")


async def test_a_session_ends_with_its_time_and_with_log_out(house: House) -> None:
    """A token is good until its time is over or its owner logs out, and another one never was."""
    await house.agent()
    token, session = await house.accounts.log_in("小林", PASSWORD, HERE)
    assert (await house.accounts.session(token)) == session
    house.clock.pass_seconds(SESSION / 1000 - 1)
    await house.accounts.session(token)
    house.clock.pass_seconds(1)
    with pytest.raises(NotLoggedIn, match="no_session"):
        await house.accounts.session(token)

    token, _ = await house.accounts.log_in("小林", PASSWORD, HERE)
    await house.accounts.log_out(token)
    for dead in (token, "", "x"):
        with pytest.raises(NotLoggedIn):
            await house.accounts.session(dead)


async def test_five_failures_block_and_blocks_grow(house: House) -> None:
    """After five wrong passwords even the right one waits; each further failure doubles the wait; success forgets all."""
    await house.agent()
    for _ in range(5):
        await _fails(house)
    with pytest.raises(Throttled) as first:
        await house.accounts.log_in("小林", PASSWORD, HERE)
    assert first.value.facts == {"seconds": 60}
    house.clock.pass_seconds(60)
    await _fails(house)
    with pytest.raises(Throttled) as second:
        await house.accounts.log_in("小林", PASSWORD, HERE)
    assert second.value.facts == {"seconds": 120}
    house.clock.pass_seconds(120)
    await house.accounts.log_in("小林", PASSWORD, HERE)
    await _fails(house)
    await house.accounts.log_in("小林", PASSWORD, HERE)


async def test_a_stranger_does_not_lock_an_agent_out(house: House) -> None:
    """Failures from one address do not stop the agent from logging in at another."""
    await house.agent()
    for _ in range(5):
        await _fails(house, address="10.9.9.9")
    await house.accounts.log_in("小林", PASSWORD, HERE)


async def test_guesses_at_once_are_not_more_than_guesses_in_turn(house: House) -> None:
    """Twelve guesses at the same moment get five answers, the rest a wait."""
    await house.agent()
    results = await asyncio.gather(
        *(house.accounts.log_in("小林", f"guess number {n}", HERE) for n in range(12)), return_exceptions=True
    )
    assert sum(isinstance(one, NotLoggedIn) for one in results) == 5
    assert sum(isinstance(one, Throttled) for one in results) == 7


async def test_an_address_that_tries_many_names_is_blocked(house: House) -> None:
    """Guessing one password at many names runs into the address's limit, which a good log-in does not lift."""
    await house.agent()
    async with house.database.write() as connection:
        await connection.execute(sa.delete(login_failures))
    for n in range(49):
        await house.accounts._count({f"pair {HERE} n{n}": 5, f"name n{n}": 30, f"address {HERE}": 50})
    await house.accounts.log_in("小林", PASSWORD, HERE)
    await _fails(house, name="n50")
    with pytest.raises(Throttled):
        await _fails(house, name="n51")


async def test_old_failures_are_forgotten(house: House) -> None:
    """A day later nothing counts any more, and nothing is kept."""
    await house.agent()
    for _ in range(5):
        await _fails(house)
    house.clock.pass_seconds(24 * 3600)
    await house.accounts.log_in("小林", PASSWORD, HERE)
    async with house.database.read() as connection:
        rows = (await connection.execute(sa.select(login_failures.c.failures))).scalars().all()
    assert rows == [0]
