"""Every word that the desk uses is in the locale, and every word there is used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

import locales
from bot import desk
from bot.desk.store import Role
from bot.desk.views import PREFIX

HERE = Path(desk.__file__).parent
CHOSEN = ("role_", "state_", "who_", "event_", "topic_", "reason_", "error_")  # the rest of these names comes with the data


def _words() -> set[str]:
    file = Path(locales.__file__).parent / "zh_CN" / "desk.yml"
    names = yaml.safe_load(file.read_text(encoding="utf-8"))["ui"]
    assert all(name.startswith(PREFIX) for name in names)
    return {name.removeprefix(PREFIX) for name in names}


def _sources(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(HERE.rglob(pattern)))


def _used() -> set[str]:
    html = re.findall(r"ui\.(\w+)", _sources("*.html"))
    script = _sources("*.js")
    named = re.findall(r"""(?:word|clock|row)\(\s*(?:[\w.]+ \? )?"(\w+)"(?: : "(\w+)")?""", script)
    python = re.findall(r'self\.words\["(\w+)"\]', _sources("*.py"))
    return {*html, *python, *(word for pair in named for word in pair if word)}


def test_every_word_stands_in_the_locale_and_is_used() -> None:
    """No page asks for a word that is missing, and no word is left over."""
    used = {word for word in _used() if not word.endswith("_")}
    assert used - _words() == set()
    assert {word for word in _words() - used if not word.startswith(CHOSEN)} == set()


def test_every_refusal_has_a_sentence() -> None:
    """Each code that the desk can refuse with has its sentence, and each sentence a code."""
    raised = set(re.findall(r'(?:BadRequest|NotLoggedIn|Forbidden|NotFound|Conflict|Throttled)\(\s*"(\w+)"', _sources("*.py")))
    raised |= set(re.findall(r'Conflict\("(\w+)" if .* else "(\w+)"\)', _sources("*.py"))[0]) | {"network"}
    assert {f"error_{code}" for code in raised} == {word for word in _words() if word.startswith("error_")}


def test_every_role_topic_and_event_has_a_name() -> None:
    """Roles, the contract's topics, and what happens to a handoff are named in words."""
    topics = [
        "balance",
        "pay",
        "transfer",
        "top_up",
        "withdraw",
        "bill_pay",
        "history",
        "reset_password",
        "kyc",
        "freeze_account",
        "close_account",
        "bank_card",
        "limits",
        "fees",
        "coupons_points",
        "security",
        "human",
        "payment_failed",
        "refund",
        "other_out_of_scope",
        "account",
        "product",
        "small_talk",
    ]
    wanted = {f"role_{role}" for role in get_args(Role)} | {f"topic_{topic}" for topic in topics}
    wanted |= {"event_taken", "event_returned", "event_ended", "who_user", "who_bot"}
    wanted |= {f"state_{state}" for state in ("waiting", "held", "other", "closed")}
    assert wanted <= _words()
