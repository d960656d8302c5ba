"""The city wallets as data: limits, fees and rules, each figure with where it comes from and when that was read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wallet_service.errors import ConfigurationError, UnknownCity

CLASSES = {"class_4": 4, "class_3": 3, "class_2": 2, "class_1": 1}
FEE_KINDS = ("transfer", "pay", "bill", "refund", "top_up", "top_up_credit_card", "withdraw")
_FOLDER = Path(__file__).parent / "profiles"
_COMMON = "common"
_CITY_OWN = {"name_key": "city", "code": "00", "features": []}  # what only a city's own file has
_MILLION = 1_000_000
_HIGHEST = 2**63 - 1  # what a column of the database holds

QuotaPeriod = Literal["month", "year", "life"]
Precondition = Literal["no_balance", "nothing_pending", "records_exported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """Where figures come from, the month (yyyy-mm) that was read, and the rows of docs/facts.yml that speak of them."""

    source: str
    date: str
    articles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.source or not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", self.date):
            raise ValueError("needs a source and a date like 2026-11")


@dataclass(frozen=True, slots=True)
class Figure(Sourced):
    """An amount in fen."""

    fen: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What one class of wallets may hold and pay out; ``lifted_by`` names the intent that leads to the next class."""

    balance: Figure
    single: Figure
    day: Figure
    year: Figure
    lifted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Factors:
    """What may be paid out in a day by how it was confirmed: by no code, by the order's code, by a second factor on top.

    None is no further figure: payer and issuer agree on it, and the class's own limits are that agreement.
    """

    none: Figure
    code: Figure
    second: Figure | None = None


@dataclass(frozen=True, slots=True)
class Fee(Sourced):
    """A fee in millionths of the amount, with bounds in fen; ``free_quota`` fen a calendar month, year or life cost nothing."""

    rate_ppm: int
    min: int = 0
    max: int | None = None
    free_quota: int = 0
    quota_period: QuotaPeriod | None = None

    def __post_init__(self) -> None:
        Sourced.__post_init__(self)  # a slotted class loses the plain super()
        if self.rate_ppm > _MILLION:
            raise ValueError("rate_ppm is more than the whole amount")
        if self.max is not None and self.max < self.min:
            raise ValueError("max is below min")
        if not self.rate_ppm and (self.min or self.max or self.free_quota):
            raise ValueError("bounds and quota mean nothing without a rate_ppm")
        if bool(self.free_quota) != (self.quota_period is not None):
            raise ValueError("free_quota and quota_period belong together")

    def of(self, amount: int, used: int = 0) -> int:
        """Give the fee in fen for an amount in fen, ``used`` fen of the quota being gone already.

        Only what lies beyond the quota is charged, rounded up to a fen; the bounds hold for what is charged at all.
        """
        charged = amount - max(self.free_quota - used, 0)
        fee = -(-charged * self.rate_ppm // _MILLION)
        if fee <= 0:
            return 0
        fee = max(fee, self.min)
        return fee if self.max is None else min(fee, self.max)


@dataclass(frozen=True, slots=True)
class Arrival(Sourced):
    """The delays in seconds that a transfer may be sent with, rising; the payer can recall it until it is due."""

    delays: tuple[int, ...]

    def __post_init__(self) -> None:
        Sourced.__post_init__(self)
        if not self.delays or list(self.delays) != sorted(set(self.delays)):
            raise ValueError("delays must rise")


@dataclass(frozen=True, slots=True)
class Closing(Sourced):
    """What must hold before an account is closed, and the days in which its owner may still think better of it."""

    cooling_off_days: int
    preconditions: tuple[Precondition, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """One city's wallet: ``limits`` by level (4 … 1), ``fees`` by kind (``FEE_KINDS``); ``name_key`` is its name in locales.

    ``static_code`` is what may be paid in a day to merchants' static codes.
    """

    city: str
    name_key: str
    code: str
    features: tuple[str, ...]
    limits: Mapping[int, Limits]
    static_code: Figure
    factors: Factors
    fees: Mapping[str, Fee]
    arrival: Arrival
    closing: Closing

    @property
    def figures(self) -> tuple[Sourced, ...]:
        """List everything here that has a source."""
        limits = [figure for each in self.limits.values() for figure in (each.balance, each.single, each.day, each.year)]
        factors = [figure for figure in (self.factors.none, self.factors.code, self.factors.second) if figure is not None]
        return (*limits, self.static_code, *factors, *self.fees.values(), self.arrival, self.closing)

    @property
    def sources(self) -> tuple[str, ...]:
        """List where the figures come from, each source once."""
        return tuple(dict.fromkeys(f"{figure.source} ({figure.date})" for figure in self.figures))

    def fee(self, kind: str, amount: int, used: int = 0) -> int:
        """Give the fee in fen of an amount in fen, ``used`` fen of the free quota being gone; KeyError for no ``FEE_KINDS``."""
        return self.fees[kind].of(amount, used)


class _Fault(Exception):
    """What is wrong, and the keys that lead there."""

    def __init__(self, keys: tuple[str, ...], what: str) -> None:
        super().__init__(what)
        self.keys = keys


def _table(value: Any, keys: tuple[str, ...], known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Fault(keys, "must be a table")
    for name in value:
        if name not in known:
            raise _Fault((*keys, name), "unknown key")
    for name in needed:
        if name not in value:
            raise _Fault(keys, f"{name} is missing")
    return value


def _read(kind: Any, value: Any, keys: tuple[str, ...]) -> Any:
    """Turn a value of a file into what an annotation promises: the dataclasses are the format, nothing is coerced."""
    if isinstance(kind, type) and is_dataclass(kind):
        known = {field.name: field.default is MISSING for field in fields(kind)}
        table = _table(value, keys, tuple(known), tuple(name for name, needed in known.items() if needed))
        hints = get_type_hints(kind)
        inside = {name: _read(hints[name], item, (*keys, name)) for name, item in table.items()}
        try:
            return kind(**inside)
        except ValueError as error:
            raise _Fault(keys, str(error)) from error
    if NoneType in get_args(kind):
        return _read(get_args(kind)[0], value, keys)  # None is a key left out
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_read(get_args(kind)[0], item, keys) for item in value)
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if kind is int and type(value) is int and 0 <= value <= _HIGHEST:
        return value
    if kind is str and isinstance(value, str) and value:
        return value
    raise _Fault(keys, f"{value!r} will not do")


def _built(city: str, data: dict[str, Any]) -> Profile:
    hints = get_type_hints(Profile)
    names = tuple(name for name in hints if name != "city")
    _table(data, (), names, names)
    limits = _table(data["limits"], ("limits",), tuple(CLASSES), tuple(CLASSES))
    fees = _table(data["fees"], ("fees",), FEE_KINDS, FEE_KINDS)
    return Profile(
        city=city,
        limits={level: _read(Limits, limits[name], ("limits", name)) for name, level in CLASSES.items()},
        fees={kind: _read(Fee, fees[kind], ("fees", kind)) for kind in FEE_KINDS},
        **{name: _read(hints[name], data[name], (name,)) for name in names if name not in ("limits", "fees")},
    )


def _profile(name: str, data: dict[str, Any]) -> Profile:
    try:
        return _built(name, data)
    except _Fault as fault:
        raise ConfigurationError(": ".join(filter(None, (f"{name}.toml", ".".join(fault.keys), str(fault))))) from fault


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: {error}") from error


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a city's own data over the common ones; a figure is replaced whole, so that it never borrows another's source."""
    merged = dict(base)
    for name, value in own.items():
        old = base.get(name)
        if isinstance(value, dict) and isinstance(old, dict) and "source" not in old:
            merged[name] = _merged(old, value)
        else:
            merged[name] = value
    return merged


def load_profiles(folder: Path = _FOLDER) -> dict[str, Profile]:
    """Read every city's profile in a folder, or raise ConfigurationError that names the file and key at fault."""
    common = _toml(folder / f"{_COMMON}.toml")
    _profile(_COMMON, {**common, **_CITY_OWN})  # sound by itself: what is wrong after this is the city's own
    cities = [path for path in sorted(folder.glob("*.toml")) if path.stem != _COMMON]
    profiles = {path.stem: _profile(path.stem, _merged(common, _toml(path))) for path in cities}
    codes = [profile.code for profile in profiles.values()]
    if len(set(codes)) != len(codes):
        raise ConfigurationError("two cities share a wallet number code")
    return profiles


@cache
def packaged_profiles() -> Mapping[str, Profile]:
    """Give the profiles that come with the package, read once."""
    return load_profiles()


def profile_of(profiles: Mapping[str, Profile], city: str) -> Profile:
    """Give a city's profile or refuse with ``unknown_city``."""
    if not isinstance(city, str) or city not in profiles:
        raise UnknownCity(city=str(city))
    return profiles[city]
