"""Domain files: slots and how messages fill them, and that every mistake is refused at start, at its own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.dialogue.domain import check_slots, load_slots
from bot.dialogue.source import SourceError

GOOD = """
slots:
  payee:
    type: text
    mappings:
      - {type: from_entity, entity: payee, intent: pay, not_intent: [deny, cancel], conditions: [{active_flow: pay}]}
      - {type: from_text, conditions: [{active_flow: pay, requested_slot: payee}]}
  agreed:
    type: bool
    sensitive: true
    forget: true
    mappings:
      - {type: from_intent, intent: affirm, value: true}
  city: {type: any, session: true, remember: [pay], mappings: [{type: custom}]}
"""
MISTAKES = {
    "unknown field at the top": ("slots: {}\nactions: [action_x]  # !", "'actions'"),
    "slot that is no mapping": ("slots:\n  payee: text  # !", "'payee'"),
    "no type": ("slots:\n  payee: {mappings: [{type: custom}]}  # !", "'type'"),
    "unknown type": ("slots:\n  payee:\n    type: fen  # !", "'fen'"),
    "unknown field of a slot": ("slots:\n  payee:\n    type: text\n    colour: red  # !", "'colour'"),
    "a field of Rasa's that would be ignored": ("slots:\n  payee:\n    type: text\n    initial_value: x  # !", "'initial_value'"),
    "sensitive that is no yes or no": ("slots:\n  payee:\n    type: text\n    sensitive: maybe  # !", "'sensitive'"),
    "mappings that are no list": ("slots:\n  payee:\n    type: text\n    mappings: {type: custom}  # !", "'mappings'"),
    "unknown kind of mapping": ("slots:\n  payee:\n    type: text\n    mappings:\n      - type: from_dream  # !", "'from_dream'"),
    "mapping without its entity": ("slots:\n  payee:\n    type: text\n    mappings:\n      - type: from_entity  # !", "'entity'"),
    "mapping without its intent": ("slots:\n  payee:\n    type: text\n    mappings:\n      - type: from_intent  # !", "'intent'"),
    "unknown field of a mapping": (
        "slots:\n  payee:\n    type: text\n    mappings:\n      - type: from_text\n        entity: payee  # !",
        "'entity'",
    ),
    "intents that are numbers": (
        "slots:\n  payee:\n    type: text\n    mappings:\n      - type: from_entity\n        entity: x\n        intent: [1]  # !",
        "'intent'",
    ),
    "unknown field of a condition": (
        "slots:\n  payee:\n    type: text\n    mappings:\n"
        "      - type: from_text\n        conditions:\n          - flow: pay  # !",
        "'flow'",
    ),
    "a secret that is remembered": (
        "slots:\n  code:\n    type: text\n    sensitive: true\n    remember: [pay]  # !",
        "not remembered",
    ),
    "the same slot twice": ("slots:\n  payee: {type: text}\n  payee: {type: text}  # !", "twice"),
    "broken YAML": ("slots: [  # !", ""),
}
STRAYS = {
    "unknown flow in a condition": ("conditions: [{active_flow: fly}]", "flow 'fly'"),
    "unknown slot in a condition": ("conditions: [{requested_slot: fly}]", "slot 'fly'"),
    "unknown intent": ("intent: fly", "intent 'fly'"),
    "unknown intent among those left out": ("not_intent: [deny, fly]", "intent 'fly'"),
}


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """Types, marks, mappings and their conditions are read as written, with the folder that declares them."""
    slots = load_slots([_written(tmp_path / "pay" / "domain.yml", GOOD)])
    payee = slots["payee"]
    assert payee.folders == {"pay"}
    assert payee.readable
    assert [mapping.kind for mapping in payee.mappings] == ["from_entity", "from_text"]
    assert payee.mappings[0].applies("pay", "", "pay")
    assert not payee.mappings[0].applies("other", "", "pay")
    assert not payee.mappings[0].applies("pay", "", "deny")
    assert not payee.mappings[1].applies("pay", "amount")
    assert slots["agreed"].sensitive
    assert slots["agreed"].forget
    assert slots["agreed"].mappings[0].value is True
    assert slots["city"].session
    assert slots["city"].remember == {"pay"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_where_it_stands(mistake: str, tmp_path: Path) -> None:
    """The error names the file, the line of the mistake, and what is wrong."""
    text, words = MISTAKES[mistake]
    path = _written(tmp_path / "pay" / "domain.yml", text)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "# !" in row)
    with pytest.raises(SourceError) as caught:
        load_slots([path])
    assert str(caught.value).startswith(f"{path}:{line}:"), caught.value
    assert words in str(caught.value)


def test_a_slot_declared_alike_belongs_to_both(tmp_path: Path) -> None:
    """Two capabilities may share a slot when both declare it in the same way."""
    text = "slots: {amount: {type: any, mappings: [{type: from_entity, entity: amount}]}}"
    slots = load_slots([_written(tmp_path / name / "domain.yml", text) for name in ("pay", "send")])
    assert slots["amount"].folders == {"pay", "send"}


@pytest.mark.parametrize("second", ["type: text", "type: any, sensitive: true", "type: any, mappings: [{type: custom}]"])
def test_a_slot_declared_twice_differently_is_refused(second: str, tmp_path: Path) -> None:
    """Another type, another mark or another mapping: the second file is named, with its line."""
    first = _written(tmp_path / "pay" / "domain.yml", "slots:\n  amount: {type: any}")
    path = _written(tmp_path / "send" / "domain.yml", f"\nslots:\n  amount: {{{second}}}")
    with pytest.raises(SourceError, match=r"declared differently") as caught:
        load_slots([first, path])
    assert str(caught.value).startswith(f"{path}:3:")


@pytest.mark.parametrize("stray", STRAYS)
def test_a_name_that_nothing_bears_is_refused(stray: str, tmp_path: Path) -> None:
    """A mapping that waits for a flow, a slot or an intent that does not exist would never apply, so it stops the start."""
    field, words = STRAYS[stray]
    text = f"slots:\n  payee:\n    type: text\n    mappings:\n      - {{type: from_entity, entity: payee, {field}}}"
    path = _written(tmp_path / "pay" / "domain.yml", text)
    with pytest.raises(SourceError, match=words) as caught:
        check_slots(load_slots([path]), {"pay"}, {"pay", "deny"})
    assert str(caught.value).startswith(f"{path}:5:")
    good = _written(tmp_path / "good" / "domain.yml", GOOD)
    check_slots(load_slots([good]), {"pay"}, {"pay", "deny", "cancel", "affirm"})


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_a_slot_tells_what_can_fill_it(tmp_path: Path) -> None:
    """One that only its own question's answer fills is not awaited in a wish; one that gathers hints is told apart."""
    file = tmp_path / "pay" / "domain.yml"
    file.parent.mkdir()
    file.write_text(
        "slots:\n"
        "  surname: {type: text, mappings: [{type: from_entity, entity: surname, conditions: [{requested_slot: surname}]}]}\n"
        "  payee:\n    type: text\n    mappings:\n      - {type: from_entity, entity: payee}\n"
        "      - {type: from_text, conditions: [{requested_slot: payee}]}\n"
        "  hints: {type: any, mappings: [{type: from_hints}]}\n",
        encoding="utf-8",
    )
    slots = load_slots([file])
    assert {name for name, slot in slots.items() if slot.answer_only} == {"surname"}
    assert {name for name, slot in slots.items() if slot.gathers} == {"hints"}
    assert {name for name, slot in slots.items() if slot.readable} == {"surname", "payee"}
