"""The city wallets as data: every figure has a source, fees add up to the fen, and a broken file is refused by name."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from wallet_service import ConfigurationError, Fee, Figure, packaged_profiles
from wallet_service import profile as module
from wallet_service.profile import FEE_KINDS, load_profiles

CITIES = ("chongqing", "lanzhou", "qingdao", "shanxi", "xiamen")
FOLDER = Path(module.__file__).parent / "profiles"
ROWS = yaml.safe_load((Path(__file__).parents[2] / "docs" / "facts.yml").read_text("utf-8"))["facts"]
CITY_OF_ROW = {row["id"]: row["city"] for row in ROWS}
SOURCES = ("press", "article", "project default", "43号公告", "条码支付业务规范（试行）")
LIMITS = {  # balance, single, day and year in yuan, and the way up
    4: (10_000, 2_000, 5_000, 50_000, "verify_identity"),
    3: (20_000, 5_000, 10_000, 200_000, "bind_card"),
    2: (500_000, 50_000, 100_000, 5_000_000, "visit_counter"),
    1: (5_000_000, 500_000, 1_000_000, 50_000_000, None),
}

# --- the five cities ---


@pytest.fixture(params=CITIES)
def profile(request):
    """Each city's profile in turn."""
    return packaged_profiles()[request.param]


def test_there_are_the_five_cities() -> None:
    """No more and no fewer, each with wallet numbers of its own."""
    profiles = packaged_profiles()
    assert tuple(sorted(profiles)) == CITIES
    assert sorted(profile.code for profile in profiles.values()) == ["01", "02", "03", "04", "05"]


def test_every_figure_has_a_source_and_a_date(profile) -> None:
    """Who says it, when that was read, and for an article the rows: of this city's own article if that is the source."""
    assert len(profile.figures) == 4 * 4 + 1 + 2 + len(FEE_KINDS) + 2
    for figure in profile.figures:
        assert figure.source in SOURCES
        assert re.fullmatch(r"20\d\d-\d\d", figure.date)
        cities = {CITY_OF_ROW[row] for row in figure.articles}
        assert figure.source != "article" or cities == {profile.city}
        assert f"{figure.source} ({figure.date})" in profile.sources
    assert len(set(profile.sources)) == len(profile.sources)


def test_each_class_has_its_limits(profile) -> None:
    """Four classes of wallets, the higher the more, and each but the best tells the way to the next."""
    for level, (*yuan, lifted_by) in LIMITS.items():
        limits = profile.limits[level]
        figures = (limits.balance, limits.single, limits.day, limits.year)
        assert [figure.fen for figure in figures] == [100 * figure for figure in yuan]
        assert limits.lifted_by == lifted_by
        assert limits.single.fen <= limits.day.fen <= limits.year.fen
    assert sorted(profile.limits) == [1, 2, 3, 4]


def test_confirming_better_allows_more(profile) -> None:
    """1,000 yuan a day without a code, 5,000 with one, nothing further with a second factor; 500 to static codes."""
    assert (profile.factors.none.fen, profile.factors.code.fen, profile.factors.second) == (100_000, 500_000, None)
    assert profile.static_code.fen == 50_000


def test_only_credit_cards_and_large_withdrawals_cost_something(profile) -> None:
    """Everything else is free, however large."""
    charged = {kind: profile.fee(kind, 10**9) for kind in FEE_KINDS if profile.fee(kind, 10**9)}
    assert charged == {"top_up_credit_card": 6_000_000, "withdraw": 999_900}


def test_a_withdrawal_is_free_up_to_the_months_quota(profile) -> None:
    """1,000 yuan a month cost nothing, what lies beyond one in a thousand and at least ten fen."""
    assert profile.fees["withdraw"].quota_period == "month"
    for amount, used, fee in (
        (100_000, 0, 0),
        (100_001, 0, 10),
        (110_000, 0, 10),
        (110_001, 0, 11),
        (1, 99_999, 0),
        (2, 99_999, 10),
        (200_000, 50_000, 150),
        (200_000, 300_000, 200),
    ):
        assert profile.fee("withdraw", amount, used) == fee


def test_a_kind_without_a_fee_is_a_mistake_and_not_free(profile) -> None:
    """A misspelt kind of order must not go out free of charge."""
    with pytest.raises(KeyError):
        profile.fee("withdrawal", 1)


def test_a_transfer_arrives_at_once_or_later(profile) -> None:
    """Real time, two hours, a day."""
    assert profile.arrival.delays == (0, 2 * 3600, 24 * 3600)


def test_an_account_closes_empty_settled_and_after_a_week(profile) -> None:
    """What must hold before, and how long its owner may come back."""
    assert profile.closing.preconditions == ("no_balance", "nothing_pending", "records_exported")
    assert profile.closing.cooling_off_days == 7


def test_a_city_says_only_what_its_own_article_says() -> None:
    """The articles of three cities name fees; every other figure is the common one."""
    own = {
        (city, kind)
        for city, profile in packaged_profiles().items()
        for kind, fee in profile.fees.items()
        if fee.source == "article"
    }
    assert own == {
        ("xiamen", "transfer"),
        *(("chongqing", kind) for kind in ("transfer", "pay", "bill", "refund")),
        ("lanzhou", "top_up"),
    }
    profiles = packaged_profiles()
    for profile in profiles.values():
        assert {**profile.limits} == {**profiles["qingdao"].limits}


# --- fees to the fen ---

AMOUNTS = st.integers(0, 10**12)


@st.composite
def fees(draw: st.DrawFn) -> Fee:
    """Any fee that a file may hold."""
    rate = draw(st.integers(1, 1_000_000))
    low = draw(st.integers(0, 10**6))
    high = draw(st.none() | st.integers(low, 10**7))
    quota = draw(st.integers(0, 10**9))
    return Fee(
        rate_ppm=rate,
        min=low,
        max=high,
        free_quota=quota,
        quota_period="year" if quota else None,
        source="test",
        date="2026-11",
    )


@pytest.mark.parametrize(
    ("amount", "fee"), [(0, 0), (1, 10), (10_000, 10), (10_001, 11), (20_000, 20), (10_000_000, 2_500), (10**11, 2_500)]
)
def test_a_fee_is_rounded_up_between_its_bounds(amount: int, fee: int) -> None:
    """One in a thousand, at least 10 fen and at most 25 yuan, never a fraction; nothing for nothing."""
    assert Fee(rate_ppm=1_000, min=10, max=2_500, source="test", date="2026-11").of(amount) == fee


@given(fees(), AMOUNTS, AMOUNTS)
def test_a_fee_is_the_rate_of_what_lies_beyond_the_quota(fee: Fee, amount: int, used: int) -> None:
    """The exact fraction, rounded up to a fen, then held between the bounds; whatever is within the quota is free."""
    beyond = max(amount - max(fee.free_quota - used, 0), 0)
    exact = ceil(Fraction(beyond * fee.rate_ppm, 1_000_000))
    bounded = min(max(exact, fee.min), exact + fee.min if fee.max is None else fee.max)
    assert fee.of(amount, used) == (bounded if beyond else 0) >= 0


@given(fees(), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_never_costs_less(fee: Fee, amount: int, more: int, used: int, further: int) -> None:
    """A larger amount, or more of the quota gone, costs as much or more."""
    assert fee.of(amount, used) <= fee.of(amount + more, used)
    assert fee.of(amount, used) <= fee.of(amount, used + further)


@given(fees(), AMOUNTS)
def test_the_quota_ends_at_a_fen(fee: Fee, used: int) -> None:
    """All that is left of it is free; one fen more is charged as one fen alone."""
    assume(fee.max != 0)
    left = max(fee.free_quota - used, 0)
    assert fee.of(left, used) == 0
    assert fee.of(left + 1, used) == max(1, fee.min)


# --- broken files ---


@pytest.fixture
def folder(tmp_path):
    """A copy of the package's own profiles to break."""
    for path in FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text("utf-8"), "utf-8")
    return tmp_path


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("fen = 1_000_000,", "", "limits.class_4.balance: fen is missing"),
        ("fen = 1_000_000,", "fen = 10_000.0,", "limits.class_4.balance.fen"),
        ("fen = 1_000_000,", 'fen = "1000000",', "limits.class_4.balance.fen"),
        ("fen = 1_000_000,", "fen = true,", "limits.class_4.balance.fen"),
        ("fen = 1_000_000,", "fen = -1,", "limits.class_4.balance.fen"),
        ("fen = 1_000_000,", "fen = 9_223_372_036_854_775_808,", "limits.class_4.balance.fen"),
        ("fen = 1_000_000,", "fen = 1_000_000, yuan = 1,", "limits.class_4.balance.yuan: unknown key"),
        ('fen = 1_000_000, source = "press",', "fen = 1_000_000,", "limits.class_4.balance: source is missing"),
        ('fen = 1_000_000, source = "press",', 'fen = 1_000_000, source = "",', "limits.class_4.balance.source"),
        ('source = "press", date = "2026-11"', 'source = "press"', "limits.class_4.balance: date is missing"),
        ('source = "press", date = "2026-11"', 'source = "press", date = "2026-13"', "limits.class_4.balance: .* date"),
        ('source = "press", date = "2026-11"', 'source = "press", date = 2026', "limits.class_4.balance.date"),
        ("single = {", "singel = {", "limits.class_4.singel: unknown key"),
        ("[limits.class_3]", "[limits.class_5]", "limits.class_5: unknown key"),
        (
            "[limits.class_1]  # identity verified at the counter\nbalance = {",
            "[limits.class_1]\n_ = {",
            "limits.class_1._: unknown key",
        ),
        ("[static_code]", "[static_codes]", "static_codes: unknown key"),
        ("fen = 50_000\n", "", "static_code: fen is missing"),
        ("none = {", "nobody = {", "factors.nobody: unknown key"),
        ('code = { fen = 500_000, source = "43号公告", date = "2026-11" }', "", "factors: code is missing"),
        ("none = {", "second = 5\nnone = {", "factors.second: must be a table"),
        ("[fees.withdraw]", "[fees.withdrawal]", "fees.withdrawal: unknown key"),
        ("rate_ppm = 1_000\n", "", "fees.withdraw: rate_ppm is missing"),
        ("rate_ppm = 1_000\n", "rate_ppm = 1_000_001\n", "fees.withdraw: rate_ppm"),
        ("rate_ppm = 1_000\n", "rate_ppm = 0\n", "fees.withdraw: .* rate_ppm"),
        ("rate_ppm = 1_000\n", "rate_ppm = 1_000\nmax = 9\n", "fees.withdraw: max is below min"),
        ('quota_period = "month"', "", "fees.withdraw: .* quota_period"),
        ('quota_period = "month"', 'quota_period = "week"', "fees.withdraw.quota_period"),
        ("free_quota = 100_000", "", "fees.withdraw: free_quota"),
        ('"xm-08", "cq-28"', '"xm-08", 28', "fees.transfer.articles"),
        ("[0, 7_200, 86_400]", "[]", "arrival: delays"),
        ("[0, 7_200, 86_400]", "[0, 86_400, 7_200]", "arrival: delays"),
        ("[0, 7_200, 86_400]", "7_200", "arrival.delays"),
        ('"no_balance"', '"no_money"', "closing.preconditions"),
        ("cooling_off_days = 7\n", "", "closing: cooling_off_days is missing"),
        ("[closing]", "closing", "line"),
    ],
)
def test_a_broken_common_file_is_refused(folder: Path, old: str, new: str, where: str) -> None:
    """A figure that is missing, misspelt, of another type or out of range stops the start; file and key are named."""
    _replace(folder / "common.toml", old, new)
    with pytest.raises(ConfigurationError, match=f"^common.toml: .*{where}"):
        load_profiles(folder)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('name_key = "city_lanzhou"', "", "name_key is missing"),
        ('name_key = "city_lanzhou"', 'name_key = "city_lanzhou"\ncolour = "red"', "colour: unknown key"),
        ('code = "05"', "code = 5", "code"),
        ('features = ["balance", ', "features = [1, ", "features"),
        ("[fees]", "[fee]", "fee: unknown key"),
        ("top_up =", "topup =", "fees.topup: unknown key"),
        ("rate_ppm = 0, ", "", "fees.top_up: rate_ppm is missing"),
        ('source = "article", ', "", "fees.top_up: source is missing"),
        ("[fees]", "limits = 1\n[fees]", "limits: must be a table"),
    ],
)
def test_a_broken_city_is_refused(folder: Path, old: str, new: str, where: str) -> None:
    """Its own file and key are named; its own figure never borrows a rate or a source from the common one."""
    _replace(folder / "lanzhou.toml", old, new)
    with pytest.raises(ConfigurationError, match=f"^lanzhou.toml: .*{where}"):
        load_profiles(folder)


def test_a_city_replaces_one_figure_and_keeps_the_rest(folder: Path) -> None:
    """A figure of its own, deep inside a class, changes nothing beside it and nothing elsewhere."""
    path = folder / "shanxi.toml"
    own = '[limits.class_4]\nday = { fen = 1, source = "here", date = "2027-01" }\n'
    path.write_text(f"{path.read_text('utf-8')}\n{own}", "utf-8")
    before, after = packaged_profiles(), load_profiles(folder)
    assert after["shanxi"].limits[4].day == Figure(1, source="here", date="2027-01")
    assert after["shanxi"].limits[4].year == before["shanxi"].limits[4].year
    assert after["shanxi"].limits[3] == before["shanxi"].limits[3]
    assert {city: after[city] for city in CITIES if city != "shanxi"} == {
        city: before[city] for city in CITIES if city != "shanxi"
    }


def test_a_further_factor_figure_can_be_given(folder: Path) -> None:
    """A city that agrees on a figure for the strongest confirmation writes it down, and it counts among the sources."""
    path = folder / "shanxi.toml"
    own = '[factors]\nsecond = { fen = 7, source = "here", date = "2027-01" }\n'
    path.write_text(f"{path.read_text('utf-8')}\n{own}", "utf-8")
    shanxi = load_profiles(folder)["shanxi"]
    assert shanxi.factors.second == Figure(7, source="here", date="2027-01")
    assert "here (2027-01)" in shanxi.sources


def test_two_cities_never_share_wallet_numbers(folder: Path) -> None:
    """The same two digits twice are refused."""
    _replace(folder / "lanzhou.toml", 'code = "05"', 'code = "04"')
    with pytest.raises(ConfigurationError, match="code"):
        load_profiles(folder)


def test_a_folder_without_the_common_file_is_refused(folder: Path) -> None:
    """What is missing is named, not a traceback."""
    (folder / "common.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"^common.toml"):
        load_profiles(folder)
