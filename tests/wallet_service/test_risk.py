"""The risk rules: what each fires at, what none may fire at, and that a broken rule file is named."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_service import risk
from wallet_service.errors import ConfigurationError
from wallet_service.risk import VERDICTS, RiskFacts, assess, load_rules, packaged_rules

RULES = packaged_rules()
NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
ELEVEN = NOON + timedelta(hours=11)  # at night in Shanghai
YEAR = 365 * 86_400
# ¥20 at noon from a class 2 wallet of a year, to somebody whom it never paid.
PLAIN = RiskFacts(kind="transfer", amount=2_000, now=NOON, level=2, account_age=YEAR, contact=False, paid_for=None)
LARGE = 500_000
BOUNDS = PLAIN.now.replace(hour=13, minute=59, second=59), PLAIN.now.replace(hour=22, minute=0)  # the day's edges, in UTC

# Each rule: what makes it fire, and the least changes of that which keep it from firing.
FIRES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "large_to_stranger": ({"amount": LARGE}, [{"amount": LARGE - 1}, {"contact": True}, {"paid_for": 86_400}, {"level": 1}]),
    "large_to_stranger_at_night": (
        {"amount": LARGE, "now": ELEVEN},
        [{"amount": LARGE - 1}, {"contact": True}, {"now": BOUNDS[0]}, {"now": BOUNDS[1]}],
    ),
    "payee_unnamed": ({"payee_named": False}, [{"payee_named": True}, {"contact": True}]),
    "large_to_unnamed": ({"payee_named": False, "amount": LARGE}, [{"payee_named": True}, {"amount": LARGE - 1}]),
    "unlike_before": (
        {"amount": LARGE, "largest": 100_000, "typical": 25_000},
        [{"largest": 100_001}, {"typical": 25_001}, {"largest": 0, "typical": 0}, {"contact": True}, {"amount": LARGE - 1}],
    ),
    "new_account_large": ({"amount": LARGE, "account_age": 604_800}, [{"account_age": 604_801}, {"amount": LARGE - 1}]),
    "probing": ({"amount": LARGE, "small_to_new_hour": 2}, [{"small_to_new_hour": 1}, {"amount": LARGE - 1}]),
    "probing_often": ({"amount": LARGE, "small_to_new_hour": 5}, [{"small_to_new_hour": 4}, {"amount": LARGE - 1}]),
    "many_in_ten_minutes": ({"payments_10_minutes": 5}, [{"payments_10_minutes": 4}, {"contact": True}, {"kind": "pay"}]),
    "many_in_an_hour": ({"payments_hour": 10}, [{"payments_hour": 9}, {"contact": True}, {"kind": "pay"}]),
    "far_too_many_in_an_hour": ({"payments_hour": 60, "kind": "pay"}, [{"payments_hour": 59}]),
    "passed_on": (
        {"amount": 100_000, "spent_hour": 60_000, "received_hour": 200_000},
        [{"spent_hour": 59_999}, {"received_hour": 199_999}, {"received_hour": 202_600}, {"contact": True}],
    ),
    "passed_on_all_day": (
        {"amount": 100_000, "spent_day": 1_700_000, "received_day": 2_000_000, "payments_day": 5},
        [{"spent_day": 1_699_999}, {"received_day": 1_999_999}, {"payments_day": 4}, {"contact": True}],
    ),
    "payee_collects": ({"amount": 100_000, "payee_payers_day": 10}, [{"payee_payers_day": 9}, {"amount": 99_999}]),
    "payee_collects_much": ({"amount": 100_000, "payee_payers_day": 30}, [{"payee_payers_day": 29}, {"contact": True}]),
    "credentials_changed": (
        {"amount": LARGE, "credentials_changed": 86_400, "contact": True},
        [{"credentials_changed": 86_401}, {"credentials_changed": None}, {"amount": LARGE - 1}, {"kind": "pay"}],
    ),
    "credentials_changed_pay": (
        {"kind": "pay", "amount": 60_000, "spent_day": LARGE - 60_000, "credentials_changed": 86_400, "paid_for": YEAR},
        [{"credentials_changed": 86_401}, {"spent_day": LARGE - 60_001}, {"kind": "transfer"}],
    ),
    "credentials_changed_withdraw": (
        {"kind": "withdraw", "amount": LARGE, "credentials_changed": 0},
        [{"credentials_changed": 86_401}, {"amount": LARGE - 1}, {"kind": "transfer"}],
    ),
    "new_device_large": ({"amount": LARGE, "device_added": 86_400}, [{"device_added": 86_401}, {"contact": True}]),
    "new_device_large_pay": (
        {"kind": "pay", "amount": LARGE, "device_added": 86_400},
        [{"device_added": 86_401}, {"amount": LARGE - 1}, {"paid_for": 86_400}, {"kind": "transfer"}],
    ),
    "wrong_codes_large": ({"amount": LARGE, "wrong_codes": 3}, [{"wrong_codes": 2}, {"contact": True}]),
    "payee_full_often": ({"payee_full_day": 3, "contact": True}, [{"payee_full_day": 2}, {"kind": "pay"}]),
    "fraud_wording": (
        {"hints": ("lottery",), "contact": True},
        [{"hints": ()}, {"hints": ("a word that nobody knows",)}, {"kind": "withdraw"}],
    ),
    "fraud_wording_to_stranger": ({"hints": ("lottery",)}, [{"hints": ()}, {"contact": True}, {"kind": "pay"}]),
    "fraud_wording_large": ({"hints": ("lottery",), "amount": LARGE, "contact": True}, [{"hints": ()}, {"amount": LARGE - 1}]),
    "fraud_wording_large_to_stranger": ({"hints": ("lottery",), "amount": LARGE}, [{"hints": ()}, {"contact": True}]),
    "safe_account": ({"hints": ("lottery", "safe_account")}, [{"hints": ("lottery",)}, {"contact": True}]),
}


def fired(facts: RiskFacts) -> set[str]:
    """Give the rules that fire."""
    return {reason.code for reason in assess(facts, RULES).reasons}


@pytest.mark.parametrize("name", [rule.name for rule in RULES.rules])
def test_each_rule_fires_at_its_bounds_and_not_beside_them(name: str) -> None:
    """Every condition of every rule counts: with any one just missed, the rule is silent."""
    changes, misses = FIRES[name]
    facts = replace(PLAIN, **changes)
    assert name in fired(facts)
    for missed in misses:
        assert name not in fired(replace(facts, **missed)), missed


def test_every_rule_says_where_it_comes_from() -> None:
    """No rule without a source, and no name twice."""
    assert all(rule.source for rule in RULES.rules)
    assert len({rule.name for rule in RULES.rules}) == len(RULES.rules) == len(FIRES)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "allow"),
        ({"amount": LARGE}, "warn"),
        ({"amount": LARGE, "now": ELEVEN}, "delay"),
        ({"amount": LARGE, "contact": True, "now": ELEVEN}, "allow"),
        ({"amount": LARGE, "paid_for": 3_600, "now": ELEVEN}, "delay"),
        ({"amount": LARGE, "small_to_new_hour": 9, "now": ELEVEN}, "refuse"),
        ({"amount": LARGE, "hints": ("refund_service",)}, "refuse"),
        ({"amount": 50_000, "hints": ("refund_service",)}, "delay"),
        ({"amount": 5_000, "hints": ("police",)}, "refuse"),
        ({"amount": 5_000, "hints": ("police",), "contact": True}, "warn"),
    ],
)
def test_the_strictest_verdict_wins(changes: dict[str, Any], verdict: str) -> None:
    """A night's large first payment waits a day; one that smells of more goes to a person; the reasons stand strictest first."""
    decision = assess(replace(PLAIN, **changes), RULES)
    assert decision.verdict == verdict
    strictness = [next(rule.verdict for rule in RULES.rules if rule.name == reason.code) for reason in decision.reasons]
    assert strictness == sorted(strictness, key=VERDICTS.index, reverse=True)
    assert strictness[:1] == ([verdict] if verdict != "allow" else [])


def test_a_reason_carries_its_figures() -> None:
    """Whoever asks why is told what was seen and what the bound is."""
    decision = assess(replace(PLAIN, amount=600_000, now=ELEVEN, small_to_new_hour=3, hints=("lottery", "?")), RULES)
    figures = {reason.code: reason.figures for reason in decision.reasons}
    large = {"amount": 600_000, "amount_at_least": 500_000}
    assert figures["large_to_stranger_at_night"] == {**large, "clock": "23:00"}
    assert figures["probing"] == {**large, "small_to_new_hour": 3, "small_to_new_hour_at_least": 2}
    assert figures["fraud_wording"] == {"hints": ["lottery"]}
    decision = assess(replace(PLAIN, kind="pay", amount=60_000, spent_day=440_000, credentials_changed=60), RULES)
    spent = {"amount": 60_000, "spent_day": 440_000, "together_at_least": 500_000}
    [reason] = decision.reasons
    assert reason.figures == {**spent, "credentials_changed": 60, "credentials_changed_at_most": 86_400}


_ODD = {
    item.name: st.none() | st.integers(0, 10**9) if item.type == "int | None" else st.integers(0, 10**9)
    for item in fields(RiskFacts)
    if item.type in ("int", "int | None") and item.name not in ("level", "amount", "paid_for")
}
ANYTHING = st.fixed_dictionaries(
    {
        **_ODD,
        "level": st.integers(1, 4),
        "payee_named": st.booleans(),
        "now": st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1)),  # noqa: DTZ001
    }
)


@given(ANYTHING, st.integers(1, 50_000), st.sampled_from([(True, None), (False, 86_400), (True, 0)]))
def test_small_payments_to_known_people_are_let_be(odd: dict[str, Any], amount: int, known: tuple[bool, int | None]) -> None:
    """Up to ¥500 at a time and ¥2,000 a day to a contact or somebody paid before today, nothing fires, whatever else is so but
    that this payee could not take all of it lately."""
    odd["spent_day"] %= 200_001 - amount
    odd["payee_full_day"] = 0
    facts = RiskFacts(kind="transfer", amount=amount, contact=known[0], paid_for=known[1], **odd)
    assert assess(facts, RULES).verdict == "allow"


@given(ANYTHING, st.integers(1, 10**9), st.sampled_from(["bill", "top_up", "refund"]))
def test_bills_top_ups_and_refunds_are_never_judged(odd: dict[str, Any], amount: int, kind: str) -> None:
    """Paying one's bills, filling one's wallet and getting money back cannot be fraud's doing."""
    facts = RiskFacts(kind=kind, amount=amount, contact=False, paid_for=None, hints=("lottery",), **odd)
    assert assess(facts, RULES).verdict == "allow"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('verdict = "warn"', 'verdict = "maybe"', "large_to_stranger"),
        ('kinds = ["transfer"]', 'kinds = ["bill"]', "large_to_stranger"),
        ("large = true, stranger = true }", "huge = true }", "no measure huge"),
        ("large = true, stranger = true }", "kind = true }", "no measure kind"),
        ("at_least = 5", "above = 5", "above"),
        ('hints = ["safe_account", "police"]', 'hints = ["polize"]', "safe_account"),
        ("class_3", "class_5", "class_3"),
        ('kinds = ["withdraw"]\nwhen', 'kinds = ["withdraw"]\nverdict = "delay"\nwhen', "TOMLDecodeError"),
        ('verdict = "refuse"', 'verdict = "delay"', "only a transfer can be delayed"),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """A slip in the file stops the start, with the place."""
    text = Path(risk.__file__).with_suffix(".toml").read_text("utf-8")
    assert old in text
    broken = tmp_path / "risk.toml"
    broken.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigurationError, match=fault):
        load_rules(broken)
