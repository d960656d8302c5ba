"""The inventory of the five source articles against the answers, the titles and the phrasings."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CITIES = ("xiamen", "qingdao", "chongqing", "shanxi", "lanzhou")
TOPICS = {
    *("balance", "pay", "transfer", "top_up", "withdraw", "bill_pay", "history", "reset_password", "kyc", "freeze_account"),
    *("close_account", "bank_card", "limits", "fees", "coupons_points", "security", "human", "payment_failed", "refund"),
    *("other_out_of_scope", "account", "product", "small_talk"),
}
# What the assistant can do today; a button for anything else would lead nowhere.
INTENTS = {
    *("check_balance", "transfer_money", "check_history", "ask_human", "switch_city", "log_in", "open_wallet", "ask_help"),
    *("recall_transfer", "transfer_not_arrived"),
}
PHRASINGS_LEAST = 16
LINES_MOST = 5
TITLE_MOST = 14


def _read(path: Path) -> dict[str, Any]:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(data, dict), path
    return data


INVENTORY = _read(ROOT / "docs/facts.yml")
ANSWERS = {path.stem: _read(path) for path in sorted((ROOT / "locales/zh_CN/faq").glob("*.yml"))}


def _plain(example: str) -> str:
    """Take the entity marks out of one training line."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", example).strip()


def _phrasings() -> dict[str, list[str]]:
    """Read every FAQ phrasing by its key."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "nlu/data/zh_CN/faq").glob("*/*.yml")):
        for item in _read(path)["nlu"]:
            key = item["intent"].removeprefix("faq/")
            assert key != item["intent"], f"{path.name}: {item['intent']} is no FAQ label"
            assert key not in found, f"{key} stands twice"
            assert (item["metadata"]["topic"], key) == (path.parent.name, path.stem), f"{key} stands in {path}"
            found[key] = [_plain(line.removeprefix("- ")) for line in item["examples"].splitlines()]
    return found


PHRASINGS = _phrasings()


def _variants(city: str, key: str) -> list[dict[str, Any]]:
    """Give a city's own answer, else the common one, else nothing."""
    name = f"utter_faq/{key}"
    for source in (city, "common"):
        if name in ANSWERS[source]["responses"]:
            return list(ANSWERS[source]["responses"][name])
    return []


def _title(city: str, key: str) -> str | None:
    """Give the short form of a question, as a city or the common file writes it."""
    for source in (city, "common"):
        if key in (ANSWERS[source].get("titles") or {}):
            return str(ANSWERS[source]["titles"][key])
    return None


@pytest.mark.parametrize("row", INVENTORY["facts"], ids=lambda row: row["id"])
def test_each_fact_is_answered_in_its_city(row: dict[str, Any]) -> None:
    """Every wording of the answer that a city gives holds the fact's own strings."""
    assert row["says"]
    variants = _variants(row["city"], row["faq"])
    assert variants, f"{row['faq']} has no answer for {row['city']}"
    for variant in variants:
        missing = [text for text in row["says"] if text not in variant["text"]]
        assert not missing, f"{row['id']}: {row['faq']} does not say {missing}"


def test_each_section_of_the_articles_is_covered() -> None:
    """No heading without a fact, no fact under an unknown heading, no id twice."""
    listed = {(city, section) for city, sections in INVENTORY["sections"].items() for section in sections}
    assert {city for city, _ in listed} == set(CITIES)
    assert {(row["city"], row["section"]) for row in INVENTORY["facts"]} == listed
    assert max(Counter(row["id"] for row in INVENTORY["facts"]).values()) == 1


def test_answers_and_phrasings_have_the_same_keys() -> None:
    """An answer that nobody can ask for and a question without an answer are both faults; the inventory knows no other keys."""
    answered = {name.removeprefix("utter_faq/") for data in ANSWERS.values() for name in data["responses"]}
    assert answered == set(PHRASINGS)
    assert {row["faq"] for row in INVENTORY["facts"]} <= answered


def test_each_city_has_a_file_and_no_answer_is_dead() -> None:
    """A common answer that all five cities override would never be read."""
    assert set(ANSWERS) == {"common", *CITIES}
    for name in ANSWERS["common"]["responses"]:
        assert not all(name in ANSWERS[city]["responses"] for city in CITIES), f"{name} is overridden everywhere"


def test_each_answer_has_a_title_for_its_button() -> None:
    """A title is short, belongs to an answer, and no two questions share one."""
    titles = {key: title for data in ANSWERS.values() for key, title in (data.get("titles") or {}).items()}
    assert set(titles) == set(PHRASINGS)
    assert all(0 < len(title) <= TITLE_MOST for title in titles.values())
    assert max(Counter(titles.values()).values()) == 1
    for city, data in ANSWERS.items():
        for name in data["responses"]:
            assert _title(city, name.removeprefix("utter_faq/")), f"{name} of {city} has no title within reach"


def test_answers_are_short_and_their_buttons_lead_somewhere() -> None:
    """At most five lines, Chinese punctuation, no template marks, and only buttons for what the assistant does."""
    for city, data in ANSWERS.items():
        for name, variants in data["responses"].items():
            for variant in variants:
                text = variant["text"].replace("{{ city_name }}", "厦门")  # the one variable that an answer is given
                assert len(text.splitlines()) <= LINES_MOST, f"{city}: {name} is too long"
                assert not re.search(r"[一-鿿][,;:?!()]|[{}]", text), f"{city}: {name} has foreign punctuation or marks"
                for button in variant.get("buttons", []):
                    assert button["title"]
                    assert button["payload"].removeprefix("/") in INTENTS, f"{city}: {name} offers {button['payload']}"


def test_phrasings_are_many_and_all_different() -> None:
    """Enough phrasings for each key, none under two keys or twice, each in a file of its own below its topic."""
    assert {path.name for path in (ROOT / "nlu/data/zh_CN/faq").iterdir()} <= TOPICS
    thin = {key: len(lines) for key, lines in PHRASINGS.items() if len(lines) < PHRASINGS_LEAST}
    assert not thin
    twice = [text for text, count in Counter(text for lines in PHRASINGS.values() for text in lines).items() if count > 1]
    assert not twice


def test_heldout_sentences_are_really_held_out() -> None:
    """Five sentences a key, and none of them in the training data."""
    rows = [line.split("\t") for line in (ROOT / "tests/nlu/heldout_faq.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    assert {len(row) for row in rows} == {2}
    counts = Counter(key for _, key in rows)
    assert set(counts) == set(PHRASINGS)
    assert min(counts.values()) >= 5
    trained = {text for lines in PHRASINGS.values() for text in lines}
    assert not [text for text, _ in rows if text in trained]
    assert len({text for text, _ in rows}) == len(rows)
