"""The city wallets as data: limits, fees and features, each figure with its source and date."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wallet_service.errors import ConfigurationError, UnknownCity

_FOLDER = Path(__file__).parent / "profiles"
_COMMON = "common"
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount in fen with where it comes from and when that was read."""

    fen: int
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one class of wallets may hold and pay out; ``lifted_by`` names the intent that leads to the next class."""

    balance: Figure
    single: Figure
    day: Figure
    year: Figure
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee in millionths of the amount, with bounds in fen."""

    rate_ppm: int
    min: int
    max: int
    source: str
    date: str

    def of(self, amount: int) -> int:
        """Give the fee in fen for an amount in fen, rounded up."""
        return min(max(-(-amount * self.rate_ppm // _MILLION), self.min), self.max)


@dataclass(frozen=True, slots=True)
class Profile:
    """One city's wallet: ``limits`` by level (4 … 1), ``fees`` by kind of order; ``name_key`` is its name in locales."""

    city: str
    name_key: str
    code: str
    limits: Mapping[int, Limits]
    fees: Mapping[str, Fee]
    features: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """List where the figures come from, each source once."""
        figures = [
            figure for limits in self.limits.values() for figure in (limits.balance, limits.single, limits.day, limits.year)
        ]
        return tuple(
            dict.fromkeys([*(f"{f.source} ({f.date})" for f in figures), *(f"{f.source} ({f.date})" for f in self.fees.values())])
        )

    def fee(self, kind: str, amount: int) -> int:
        """Give the fee in fen of an order of this kind and amount; kinds without a fee cost nothing."""
        return self.fees[kind].of(amount) if kind in self.fees else 0


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in own.items():
        merged[name] = _merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
    return merged


def _limits(data: Mapping[str, Any]) -> Limits:
    figures = {name: Figure(**data[name]) for name in ("balance", "single", "day", "year")}
    return Limits(lifted_by=data.get("lifted_by"), **figures)


def _profile(city: str, data: Mapping[str, Any]) -> Profile:
    return Profile(
        city=city,
        name_key=data["name_key"],
        code=data["code"],
        limits={int(name.removeprefix("class_")): _limits(limits) for name, limits in data["limits"].items()},
        fees={kind: Fee(**fee) for kind, fee in data["fees"].items()},
        features=tuple(data["features"]),
    )


def load_profiles(folder: Path = _FOLDER) -> dict[str, Profile]:
    """Read every city's profile in a folder; a broken one is named."""
    common = tomllib.loads((folder / f"{_COMMON}.toml").read_text("utf-8"))
    profiles = {}
    for path in sorted(folder.glob("*.toml")):
        if path.stem != _COMMON:
            try:
                profiles[path.stem] = _profile(path.stem, _merged(common, tomllib.loads(path.read_text("utf-8"))))
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigurationError(f"{path.name}: {type(error).__name__} {error}") from error
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
