"""Settings, read once from the environment or ``.env``: nobody else reads either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

if TYPE_CHECKING:
    from wallet_service import Endpoint

_PREFIX = "ZHANGGUI_"
_KNOWN = (
    "DATABASE_URL",
    "SECRET_KEY",
    "TELEGRAM_TOKEN",
    "TELEGRAM_API",
    "REST_TOKEN",
    "PUBLIC_URL",
    "CITY",
    "SMS_WEBHOOK_URL",
    "SMTP_URL",
    "BANK_URL",
    "BANK_KEY",
    "BILLER_URL",
    "BILLER_KEY",
    "LOG_LEVEL",
    "LEDGER_WITNESS",
)
_SECRET_LENGTH = 32  # characters
_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(ValueError):
    """A setting that is missing or wrong; the message names it in one line."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can choose. In demo mode what is missing is made up for this run."""

    demo: bool
    database_url: str
    city: str = "xiamen"
    secret_key: str | None = field(default=None, repr=False)
    rest_token: str | None = field(default=None, repr=False)
    telegram_token: str | None = field(default=None, repr=False)
    telegram_api: str | None = None
    public_url: str = ""
    sms_webhook_url: str | None = None
    smtp_url: str | None = field(default=None, repr=False)
    channels: Mapping[str, Endpoint] = field(default_factory=dict)  # "bank", "biller" → where it listens, and its key
    log_level: str = "warning"
    ledger_witness: Path | None = None

    @property
    def wallet(self) -> dict[str, Any]:
        """What the wallet is opened with, beside its database."""
        return {"secret": self.secret_key, "witness": self.ledger_witness}

    @property
    def secure(self) -> bool:
        """Tell whether people reach the server by https."""
        return self.public_url.startswith("https://")


def read_settings(
    *, demo: bool, cities: tuple[str, ...], serving: bool = True, environment: Mapping[str, str] | None = None
) -> Settings:
    """Read and check the settings; raises :class:`SettingsError`. Without a DATABASE_URL the demo uses a temporary database."""
    found = _found(environment)
    city = found.get("CITY", "xiamen")
    if city not in cities:
        raise SettingsError(f"{_PREFIX}CITY is {city!r}; it must be one of {', '.join(cities)}")
    level = found.get("LOG_LEVEL", "warning").lower()
    if level not in _LEVELS:
        raise SettingsError(f"{_PREFIX}LOG_LEVEL is {level!r}; it must be one of {', '.join(_LEVELS)}")
    for name in ("TELEGRAM_API", "PUBLIC_URL", "SMS_WEBHOOK_URL"):
        if name in found and (urlsplit(found[name]).scheme not in ("http", "https") or not urlsplit(found[name]).netloc):
            raise SettingsError(f"{_PREFIX}{name} must be an http or https address")
    if "SMTP_URL" in found:
        from bot.mail import parse_smtp_url  # only who has mail pays for it

        try:
            parse_smtp_url(found["SMTP_URL"])
        except ValueError as fault:
            raise SettingsError(f"{_PREFIX}SMTP_URL {fault}") from None
    if not demo:
        for name, why in (
            ("DATABASE_URL", "where conversations and money are kept, such as sqlite:///zhanggui.db"),
            ("SECRET_KEY", f"at least {_SECRET_LENGTH} random characters"),
            ("SMS_WEBHOOK_URL", "where codes are posted to be sent by SMS"),
        ):
            if name not in found and (serving or name != "SMS_WEBHOOK_URL"):
                raise SettingsError(f"{_PREFIX}{name} is missing: {why} (or start with --demo)")
    if "SECRET_KEY" in found and len(found["SECRET_KEY"]) < _SECRET_LENGTH:
        raise SettingsError(f"{_PREFIX}SECRET_KEY is too short: at least {_SECRET_LENGTH} characters")
    return Settings(
        demo=demo,
        database_url=found.get("DATABASE_URL", "sqlite://"),
        city=city,
        secret_key=found.get("SECRET_KEY"),
        rest_token=found.get("REST_TOKEN", "demo" if demo else None),
        telegram_token=found.get("TELEGRAM_TOKEN"),
        telegram_api=found.get("TELEGRAM_API"),
        public_url=found.get("PUBLIC_URL", "").rstrip("/"),
        sms_webhook_url=found.get("SMS_WEBHOOK_URL"),
        smtp_url=found.get("SMTP_URL"),
        channels=_channels(found),
        log_level=level,
        ledger_witness=Path(found["LEDGER_WITNESS"]) if "LEDGER_WITNESS" in found else None,
    )


def database_url() -> str | None:
    """Give the database that is set, for what needs nothing else."""
    return _found(None).get("DATABASE_URL")


def _channels(found: Mapping[str, str]) -> Mapping[str, Endpoint]:
    if not any(name.startswith(("BANK_", "BILLER_")) for name in found):
        return {}
    from wallet_service import ConfigurationError, read_endpoints  # only who has a channel pays for it

    try:
        return read_endpoints(found)
    except ConfigurationError as fault:
        raise SettingsError(f"{_PREFIX}{fault}") from None


def _found(environment: Mapping[str, str] | None) -> dict[str, str]:
    values: Mapping[str, str | None] = {**dotenv_values(".env"), **os.environ} if environment is None else environment
    found = {name.removeprefix(_PREFIX): value for name, value in values.items() if name.startswith(_PREFIX) and value}
    for name in found:
        if name not in _KNOWN:
            raise SettingsError(f"{_PREFIX}{name} is no setting; known are {', '.join(_PREFIX + known for known in _KNOWN)}")
    return found
