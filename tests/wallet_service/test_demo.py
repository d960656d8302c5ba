"""The demo's people, balances and books, the city profiles, and the benchmark."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from wallet_service import ConfigurationError, packaged_profiles
from wallet_service.bench import bench_ledger
from wallet_service.demo import load
from wallet_service.profile import load_profiles

CITIES = ("chongqing", "lanzhou", "qingdao", "shanxi", "xiamen")
PEOPLE = {
    "王小明": ("138****0001", 500_000, 2, "active"),
    "李娜": ("138****0002", 80_000, 3, "active"),
    "陈建国": ("138****0003", 10_000, 4, "active"),
    "赵敏": ("138****0004", 30_000, 3, "frozen"),
    "张三丰": ("138****0005", 0, 3, "active"),
}


async def test_the_demo_is_what_was_promised(till) -> None:
    """Everybody's phone, level, status, and the same balance in every city."""
    for name, (phone, balance, level, status) in PEOPLE.items():
        person = await till.wallet.person(till.ids[name])
        assert (person.name, person.phone_masked, person.level, person.status) == (name, phone, level, status)
        assert {city: await till.held_by(name, city) for city in CITIES} == dict.fromkeys(CITIES, balance)
    assert await till.wallet.contact_names(till.ids["王小明"]) == ("李娜", "张三丰")


async def test_the_demo_has_three_months_of_history_in_every_city(till) -> None:
    """Something in each of the three months, with notes and counterparties people recognise."""
    for city in CITIES:
        items = await till.wallet.history(till.ids["王小明"], city=city, limit=200)
        ages = [(till.clock.now - item.at) // timedelta(days=1) for item in items]
        assert [sum(1 for age in ages if 30 * month <= age < 30 * (month + 1)) > 10 for month in range(3)] == [True] * 3
        assert all(item.note for item in items)
        assert all(item.counterparty for item in items if item.kind in ("payment", "bill", "transfer"))
    assert (await till.wallet.verify()).faults == ()


async def test_the_demo_has_shops_and_bills(till) -> None:
    """Two merchants and four billers a city, each with something due."""
    for city in CITIES:
        assert (await till.sql("SELECT COUNT(*) FROM accounts WHERE kind = 'merchant' AND city = ?", city))[0][0] == 2
        due = await till.sql(
            "SELECT service FROM bills JOIN billers ON billers.id = biller_id JOIN accounts ON accounts.id = account_id"
            " WHERE city = ? AND amount > 0 ORDER BY service",
            city,
        )
        assert due == [("electricity",), ("gas",), ("phone",), ("water",)]


async def test_loading_the_demo_twice_is_loading_it_once(till) -> None:
    """The same ids come back and nothing is added."""
    before = (await till.wallet.verify()).entries
    assert await load(till.wallet) == till.ids
    assert (await till.wallet.verify()).entries == before


def test_every_figure_has_a_source_and_a_date() -> None:
    """Five cities, four classes each, ever larger limits; what nobody published says so."""
    profiles = packaged_profiles()
    assert tuple(sorted(profiles)) == CITIES
    for profile in profiles.values():
        assert sorted(profile.limits) == [1, 2, 3, 4]
        for level, limits in profile.limits.items():
            for figure in (limits.balance, limits.single, limits.day, limits.year):
                assert figure.source in ("press", "project default")
                assert re.fullmatch(r"\d{4}-\d{2}", figure.date)
            assert limits.single.fen <= limits.day.fen <= limits.year.fen
            assert (limits.lifted_by is None) == (level == 1)
        assert profile.limits[4].single.fen == 200_000
        assert profile.limits[2].balance.fen == 50_000_000
        assert len(profile.sources) == 3


def test_a_broken_profile_is_named(tmp_path: Path) -> None:
    """The file with the fault stands in the message; so does a number code used twice."""
    source = Path(load_profiles.__code__.co_filename).parent / "profiles"
    common = (source / "common.toml").read_text("utf-8")
    (tmp_path / "common.toml").write_text(common, "utf-8")
    (tmp_path / "here.toml").write_text('name_key = "x"\nfeatures = []\n', "utf-8")
    with pytest.raises(ConfigurationError, match="here"):
        load_profiles(tmp_path)
    for name in ("here", "there"):
        (tmp_path / f"{name}.toml").write_text('name_key = "x"\ncode = "09"\nfeatures = []\n', "utf-8")
    with pytest.raises(ConfigurationError, match="code"):
        load_profiles(tmp_path)


@pytest.mark.parametrize("hot", [False, True])
async def test_the_benchmark_posts_real_transfers(hot) -> None:
    """It counts what the verified ledger holds."""
    result = await bench_ledger(2, 0.2, hot)
    assert result["verified"]
    assert result["transfers"] > 0
    assert (result["clients"], result["hot"]) == (2, hot)
