"""Whether a payment looks like fraud: explainable rules over a few figures, offline, each decision kept with its reasons.

The rules stand in ``risk.toml``. They protect the payer: a warning is shown with the order, a delay leaves a day in which the
transfer can be called back, a refusal leads to a person (Anti-Telecom and Online Fraud Law, art. 18).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from wallet_service.context import SHANGHAI
from wallet_service.errors import ConfigurationError, InvalidHints

Verdict = Literal["allow", "warn", "delay", "refuse"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # ever stricter
_FILE = Path(__file__).with_name("risk.toml")
_ANY = "any"
JUDGED = frozenset({"transfer", "pay", "withdraw"})  # kinds of orders; nobody is defrauded by paying their own bills


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """What is known of a payment that is about to be proposed. Amounts in fen, ages in seconds, ``now`` in UTC.

    Payments count from their confirmation, delayed ones too, this one not; ``typical`` and ``largest`` are of 90 days, 0 without
    any. ``paid_for`` is the age of the first payment to this payee, None before it. ``small_to_new_hour`` counts small payments
    of the last hour to payees never paid before that hour. ``payee_full_day`` counts this payer's confirmed payments of the last
    day that the payee's wallet had no room for. ``hints`` name the wordings of fraud that the chat has heard.
    """

    kind: str
    amount: int
    now: datetime
    level: int
    account_age: int
    contact: bool
    paid_for: int | None
    payee_named: bool = True
    largest: int = 0
    typical: int = 0
    payments_10_minutes: int = 0
    payments_hour: int = 0
    payments_day: int = 0
    spent_10_minutes: int = 0
    spent_hour: int = 0
    spent_day: int = 0
    small_to_new_hour: int = 0
    received_hour: int = 0
    received_day: int = 0
    payee_payers_day: int = 0
    payee_full_day: int = 0
    credentials_changed: int | None = None
    device_added: int | None = None
    wrong_codes: int = 0
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that fired: its name as ``code``, and the figures it saw with those it goes by (JSON values)."""

    code: str
    verdict: Verdict
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a payment, and every rule that says so or less, the strictest first."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()

    @property
    def deciding(self) -> list[str]:
        """Name the rules that the verdict is of: what a person is told."""
        return [reason.code for reason in self.reasons if reason.verdict == self.verdict]


@dataclass(frozen=True, slots=True)
class Condition:
    """A measure and the bounds it has to keep, both inclusive; a figure that is not known keeps none."""

    measure: str
    at_least: int | None = None
    at_most: int | None = None

    def holds(self, value: int | None) -> bool:
        """Tell whether a measured value keeps the bounds."""
        return (
            value is not None
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: it fires when all conditions hold and, where it names ``hints``, one of these was heard."""

    name: str
    verdict: Verdict
    source: str
    kinds: frozenset[str]
    conditions: tuple[Condition, ...]
    hints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules with what they call large, small, night and everyday; the same names as in ``risk.toml``."""

    date: str
    figures: str
    delay: int
    night_from: int
    night_until: int
    small: int
    settled: int
    large: Mapping[int, int]
    everyday_amount: int
    everyday_spent_day: int
    wrong_per_payee: int
    wrong_per_payer: int
    credential_notices: frozenset[str]
    hints: frozenset[str]
    rules: tuple[Rule, ...]


def assess(facts: RiskFacts, rules: Rules) -> Decision:
    """Judge a payment: the strictest verdict of all rules that fire."""
    heard = rules.hints.intersection(facts.hints)
    if _is_everyday(facts, rules, heard):
        return Decision("allow")
    fired = [rule for rule in rules.rules if _fires(rule, facts, rules, heard)]
    fired.sort(key=lambda rule: -VERDICTS.index(rule.verdict))
    reasons = tuple(Reason(rule.name, rule.verdict, _figures(rule, facts, rules, heard)) for rule in fired)
    return Decision(fired[0].verdict if fired else "allow", reasons)


def _is_everyday(facts: RiskFacts, rules: Rules, heard: frozenset[str]) -> bool:
    little = facts.amount <= rules.everyday_amount and facts.spent_day + facts.amount <= rules.everyday_spent_day
    return little and not heard and not _is_stranger(facts, rules) and not facts.payee_full_day


def _is_stranger(facts: RiskFacts, rules: Rules) -> bool:
    """Tell whether a payee is no contact and was not paid before, or only today: a try makes no acquaintance."""
    return not facts.contact and (facts.paid_for is None or facts.paid_for < rules.settled)


def _is_night(facts: RiskFacts, rules: Rules) -> bool:
    hour = facts.now.astimezone(SHANGHAI).hour
    return hour >= rules.night_from or hour < rules.night_until


def _times(part: int, whole: int) -> int | None:
    return part // whole if whole else None


# What rules can go by besides the figures of RiskFacts: yes and no, and proportions (None with nothing to compare with).
_MEASURES: Mapping[str, Callable[[RiskFacts, Rules], int | None]] = {
    "large": lambda facts, rules: facts.amount >= rules.large[facts.level],
    "large_day": lambda facts, rules: facts.spent_day + facts.amount >= rules.large[facts.level],
    "night": _is_night,
    "stranger": _is_stranger,
    "payee_unnamed": lambda facts, _: not facts.payee_named,
    "times_largest": lambda facts, _: _times(facts.amount, facts.largest),
    "times_typical": lambda facts, _: _times(facts.amount, facts.typical),
    "passed_on_hour_percent": lambda facts, _: _times((facts.spent_hour + facts.amount) * 100, facts.received_hour),
    "passed_on_day_percent": lambda facts, _: _times((facts.spent_day + facts.amount) * 100, facts.received_day),
}


_COUNTED = frozenset(item.name for item in fields(RiskFacts) if item.type in ("int", "int | None"))


def _measured(name: str, facts: RiskFacts, rules: Rules) -> int | None:
    value: int | None = _MEASURES[name](facts, rules) if name in _MEASURES else getattr(facts, name)
    return value


def _fires(rule: Rule, facts: RiskFacts, rules: Rules, heard: frozenset[str]) -> bool:
    if facts.kind not in rule.kinds or (rule.hints and not rule.hints & heard):
        return False
    return all(condition.holds(_measured(condition.measure, facts, rules)) for condition in rule.conditions)


def _figures(rule: Rule, facts: RiskFacts, rules: Rules, heard: frozenset[str]) -> dict[str, Any]:
    """List what a rule saw and the bounds it goes by."""
    figures: dict[str, Any] = {}
    for condition in rule.conditions:
        name, value = condition.measure, _measured(condition.measure, facts, rules)
        if name == "large":
            figures.update(amount=facts.amount, amount_at_least=rules.large[facts.level])
        elif name == "large_day":
            figures.update(amount=facts.amount, spent_day=facts.spent_day, together_at_least=rules.large[facts.level])
        elif name == "night":
            figures.update(clock=f"{facts.now.astimezone(SHANGHAI):%H:%M}")
        elif not isinstance(value, bool):
            bounds = {f"{name}_at_least": condition.at_least, f"{name}_at_most": condition.at_most}
            figures.update({name: value}, **{bound: figure for bound, figure in bounds.items() if figure is not None})
    if rule.hints:
        figures["hints"] = sorted(rule.hints & heard)
    return figures


def load_rules(path: Path = _FILE) -> Rules:
    """Read the rules; a broken one is named."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        night, large, everyday, surname = (data.pop(name) for name in ("night", "large", "everyday", "surname"))
        hints, own = frozenset(data.pop("hints")), data.pop("rules")
        return Rules(
            night_from=night["from"],
            night_until=night["until"],
            large={level: large[f"class_{level}"] for level in (1, 2, 3, 4)},
            everyday_amount=everyday["amount"],
            everyday_spent_day=everyday["spent_day"],
            hints=hints,
            credential_notices=frozenset(data.pop("credential_notices")),
            rules=tuple(_rule(rule, hints) for rule in own),
            **surname,
            **data,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: {type(error).__name__} {error}") from error


@cache
def packaged_rules() -> Rules:
    """Give the rules that come with the package, read once."""
    return load_rules()


def check_hints(hints: object) -> None:
    """Refuse what is no tuple of names that the rules know: a misspelt one would be heard by none of them."""
    if not isinstance(hints, tuple) or not all(isinstance(hint, str) and hint in packaged_rules().hints for hint in hints):
        raise InvalidHints


def _rule(data: Mapping[str, Any], hints: frozenset[str]) -> Rule:
    name, verdict, kinds, heard = data["name"], data["verdict"], frozenset(data["kinds"]), data.get("hints", ())
    named = hints if heard == _ANY else frozenset(heard)
    if verdict not in VERDICTS[1:] or not kinds <= JUDGED or not named <= hints:
        raise ValueError(f"{name}: a verdict, kind of order or hint that nobody knows")
    if verdict == "delay" and kinds != {"transfer"}:
        raise ValueError(f"{name}: only a transfer can be delayed")
    return Rule(name, verdict, data["source"], kinds, tuple(_conditions(name, data["when"])), named)


def _conditions(rule: str, when: Mapping[str, Any]) -> list[Condition]:
    if unknown := when.keys() - _MEASURES.keys() - _COUNTED:
        raise ValueError(f"{rule}: no measure {', '.join(sorted(unknown))}")
    return [
        Condition(name, int(bound), int(bound)) if isinstance(bound, bool) else Condition(name, **bound)
        for name, bound in when.items()
    ]
