"""Settings: each one that is wrong or missing is named in one line."""

from __future__ import annotations

import pytest

from bot.config import SettingsError, read_settings

CITIES = ("xiamen", "qingdao")
GOOD = {
    "ZHANGGUI_DATABASE_URL": "sqlite:///x.db",
    "ZHANGGUI_SECRET_KEY": "x" * 32,
    "ZHANGGUI_SMS_WEBHOOK_URL": "https://sms.example/send",
}


def test_good_settings_are_taken() -> None:
    """What is set is taken, what is not has its default, and nothing secret shows in the repr."""
    more = {"ZHANGGUI_CITY": "qingdao", "ZHANGGUI_PUBLIC_URL": "https://example.org/", "ZHANGGUI_REST_TOKEN": "hush-hush"}
    more["ZHANGGUI_SMTP_URL"] = "smtps://u:hush-hush@mail.example?from=a@b.example"
    settings = read_settings(demo=False, cities=CITIES, environment={**GOOD, **more, "OTHER": "x"})
    assert (settings.city, settings.public_url, settings.secure) == ("qingdao", "https://example.org", True)
    assert settings.log_level == "warning"
    assert "x" * 32 not in repr(settings)
    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_setting_is_named(name: str) -> None:
    """Outside the demo each of these is needed; an empty one is missing too."""
    for environment in ({key: value for key, value in GOOD.items() if key != name}, {**GOOD, name: ""}):
        with pytest.raises(SettingsError, match=f"^{name} is missing: .*$"):
            read_settings(demo=False, cities=CITIES, environment=environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CITY", "atlantis"),
        ("CITY", "Xiamen"),
        ("LOG_LEVEL", "loud"),
        ("SECRET_KEY", "guessable"),
        ("PUBLIC_URL", "example.org"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "https://"),
        ("TELEGRAM_API", "localhost:8081"),
        ("SMS_WEBHOOK_URL", "javascript:alert(1)"),
        ("SMTP_URL", "mail.example"),
        ("SMTP_URL", "smtp://u:p@mail.example"),
        ("SMTP_URL", "smtp://u:p@mail.example?from=a@b.example&starttls=off"),
        ("BANK_URL", "http://bank.example"),
        ("BILLER_URL", "https://biller.example?x=1"),
        ("TELEGRAM_TOKENS", "misspelt"),
        ("PORT", "8080"),
    ],
)
@pytest.mark.parametrize("demo", [True, False])
def test_a_wrong_setting_is_named(name: str, value: str, demo: bool) -> None:
    """A value that cannot be, or a name that is no setting, is refused in one line, in the demo too; no secret is repeated."""
    with pytest.raises(SettingsError, match=f"^ZHANGGUI_{name} ") as caught:
        read_settings(demo=demo, cities=CITIES, environment={**GOOD, f"ZHANGGUI_{name}": value})
    assert "\n" not in str(caught.value)
    assert name not in ("SECRET_KEY", "SMTP_URL") or value not in str(caught.value)


def test_the_demo_needs_nothing() -> None:
    """In demo mode everything has a value for this run: a temporary database, a known token, no secret of ours."""
    settings = read_settings(demo=True, cities=CITIES, environment={})
    assert (settings.database_url, settings.rest_token, settings.secret_key) == ("sqlite://", "demo", None)


def test_without_the_demo_there_is_no_rest_token() -> None:
    """The REST door stays shut unless a token was chosen."""
    assert read_settings(demo=False, cities=CITIES, environment=GOOD).rest_token is None


def test_the_channels_outside_are_taken() -> None:
    """The bank and the biller each by itself; their keys show nowhere."""
    more = {"ZHANGGUI_BANK_URL": "https://bank.example/till/", "ZHANGGUI_BANK_KEY": "hush-" * 7}
    settings = read_settings(demo=False, cities=CITIES, environment={**GOOD, **more})
    assert {name: end.url for name, end in settings.channels.items()} == {"bank": "https://bank.example/till"}
    assert "hush-" not in repr(settings)
    for left_out in more:
        one = {name: value for name, value in more.items() if name != left_out}
        with pytest.raises(SettingsError, match=f"^{left_out} must be"):
            read_settings(demo=False, cities=CITIES, environment={**GOOD, **one})
