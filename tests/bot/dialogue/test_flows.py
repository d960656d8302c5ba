"""Flow files: what they may say, and that every mistake is refused at start, at its own line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.app import PATTERNS, ROOT
from bot.dialogue.flows import Known, load_flows
from bot.dialogue.source import SourceError

KNOWN = Known(
    slots=frozenset({"payee", "amount", "note"}),
    actions=frozenset({"action_pay", "action_ask_note"}),
    responses=frozenset({"utter_ask_payee", "utter_ask_amount", "utter_done", "utter_too_much"}),
    intents=frozenset({"pay", "send"}),
)
OTHER = "flows: {other: {description: Another one., nlu_trigger: [{intent: send}], steps: [{action: utter_done}]}}"
GOOD = """
flows:
  pay:
    description: Pays.
    if: slots.payee is null
    nlu_trigger:
      - intent: pay
    steps:
      - collect: payee
        description: whom
        ask_before_filling: true
      - id: amount
        collect: amount
        utter: utter_ask_amount
        rejections:
          - if: slots.amount > 100
            utter: utter_too_much
      - collect: note
      - set_slots:
          - note: thanks
      - action: action_pay
        next:
          - if: slots.payee = 'x'
            then: amount
          - if: slots.amount > 5
            then:
              - action: utter_done
                next: END
          - else:
              - noop: true
                next: done
      - id: done
        action: utter_done
      - call: other
      - link: other
"""
# Each mistake stands in the line marked with "# !"; the words are part of the message.
MISTAKES = {
    "unknown field at the top": ("stories: []  # !\nflows: {}", "'stories'"),
    "unknown field of a flow": (
        "flows:\n  pay:\n    description: x\n    slots: []  # !\n    steps: [{action: utter_done}]",
        "'slots'",
    ),
    "a field of Rasa's that would be ignored": (
        "flows:\n  pay:\n    description: x\n    always_include_in_prompt: true  # !\n    steps: [{action: utter_done}]",
        "'always_include_in_prompt'",
    ),
    "flow that is no mapping": ("flows:\n  pay: 3  # !", "'pay'"),
    "no description": ("flows:\n  pay:\n    steps: [{action: utter_done}]  # !", "'description'"),
    "empty description": ("flows:\n  pay:\n    description: ' '  # !\n    steps: [{action: utter_done}]", "description"),
    "no steps": ("flows:\n  pay:\n    description: x\n    steps: []  # !", "step"),
    "steps that are no list": ("flows:\n  pay:\n    description: x\n    steps: {action: utter_done}  # !", "'steps'"),
    "unknown kind of step": ("flows:\n  pay:\n    description: x\n    steps:\n      - dance: true  # !", "collect"),
    "two kinds in one step": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: payee  # !\n        action: utter_done",
        "exactly one",
    ),
    "unknown field of a step": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: payee\n        colour: red  # !",
        "'colour'",
    ),
    "a field of another kind of step": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        utter: utter_done  # !",
        "'utter'",
    ),
    "a field that would be ignored in a step": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: payee\n        force_slot_filling: true  # !",
        "'force_slot_filling'",
    ),
    "next to nowhere": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next: nowhere  # !",
        "'nowhere'",
    ),
    "then to nowhere": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee\n            then: nowhere  # !\n          - else: END",
        "'nowhere'",
    ),
    "else to nowhere": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee\n            then: END\n          - else: nowhere  # !",
        "'nowhere'",
    ),
    "empty next": ("flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next: []  # !", "next"),
    "next that is a number": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next: 5  # !",
        "'next'",
    ),
    "empty then": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee\n            then: []  # !",
        "'then'",
    ),
    "if without then": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee  # !",
        "'then'",
    ),
    "then without if": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n          - then: END  # !",
        "'if'",
    ),
    "if beside else": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - else: END\n            if: slots.payee  # !",
        "'if'",
    ),
    "something after else": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - else: END\n          - if: slots.payee  # !\n            then: END",
        "else",
    ),
    "then that does not say what is next": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee\n            then:\n              - action: utter_done  # !\n          - else: END",
        "what is next",
    ),
    "link with a next": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - link: other\n        next: END  # !",
        "'next'",
    ),
    "noop without a next": ("flows:\n  pay:\n    description: x\n    steps:\n      - noop: true  # !", "noop"),
    "noop that is not true": ("flows:\n  pay:\n    description: x\n    steps:\n      - noop: x  # !\n        next: END", "noop"),
    "unknown slot in a collect": ("flows:\n  pay:\n    description: x\n    steps:\n      - collect: colour  # !", "'colour'"),
    "unknown slot in a condition": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.colour  # !\n            then: END",
        "'colour'",
    ),
    "unknown slot in a guard": (
        "flows:\n  pay:\n    description: x\n    if: slots.colour = 1  # !\n    steps: [{action: utter_done}]",
        "'colour'",
    ),
    "unknown slot in a rejection": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: amount\n        rejections:\n"
        "          - if: slots.colour  # !\n            utter: utter_done",
        "'colour'",
    ),
    "unknown slot that is set": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - set_slots:\n          - colour: red  # !",
        "'colour'",
    ),
    "condition that cannot be read": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n        next:\n"
        "          - if: slots.payee ==  # !\n            then: END",
        "condition",
    ),
    "unknown action": ("flows:\n  pay:\n    description: x\n    steps:\n      - action: action_fly  # !", "'action_fly'"),
    "unknown response": ("flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_fly  # !", "'utter_fly'"),
    "action that is a list": ("flows:\n  pay:\n    description: x\n    steps:\n      - action: [utter_done]  # !", "'action'"),
    "unknown response of a collect": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: payee\n        utter: utter_fly  # !",
        "'utter_fly'",
    ),
    "unknown response of a rejection": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - collect: payee\n        rejections:\n"
        "          - if: slots.payee\n            utter: utter_fly  # !",
        "'utter_fly'",
    ),
    "two steps of one id": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - id: one\n        action: utter_done\n"
        "      - id: one  # !\n        action: utter_done",
        "'one'",
    ),
    "a step called END": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - id: END  # !\n        action: utter_done",
        "'END'",
    ),
    "a flow in the file twice": (
        "flows:\n  pay:\n    description: x\n    steps: [{action: utter_done}]\n"
        "  pay:  # !\n    description: x\n    steps: [{action: utter_done}]",
        "'pay'",
    ),
    "a flow in two files": ("flows:\n  other:\n    description: x  # !\n    steps: [{action: utter_done}]", "already"),
    "a key twice": ("flows:\n  pay:\n    description: x\n    description: y  # !\n    steps: [{action: utter_done}]", "twice"),
    "unknown intent": (
        "flows:\n  pay:\n    description: x\n    nlu_trigger:\n      - intent: fly  # !\n    steps: [{action: utter_done}]",
        "'fly'",
    ),
    "intent in Rasa's long form without a name": (
        "flows:\n  pay:\n    description: x\n    nlu_trigger:\n      - intent: {}  # !\n    steps: [{action: utter_done}]",
        "'name'",
    ),
    "an intent of two flows": (
        "flows:\n  pay:\n    description: x\n    nlu_trigger:\n      - intent: pay\n      - intent: send  # !\n"
        "    steps: [{action: utter_done}]",
        "'other'",
    ),
    "call of an unknown flow": (
        "flows:\n  pay:\n    description: x\n    steps:\n      - action: utter_done\n      - call: fly  # !",
        "'fly'",
    ),
    "link to an unknown flow": ("flows:\n  pay:\n    description: x\n    steps:\n      - link: fly  # !", "'fly'"),
    "broken YAML": ("flows:\n  pay:\n    description: 'x\n    steps: [  # !", ""),
    "a tag of Python's": ("flows:\n  pay: !!python/object:os.system x  # !", "tag"),
    "no mapping at all": ("- just a list  # !", "mapping"),
}


def load(folder: Path, text: str) -> object:
    """Load a flow file beside the one that every case may refer to."""
    (folder / "other.yml").write_text(OTHER, encoding="utf-8")
    (folder / "flow.yml").write_text(text, encoding="utf-8")
    return load_flows([folder / "other.yml", folder / "flow.yml"], KNOWN)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """Every step and field in use is read as it is written, nested steps behind the step that they belong to."""
    flow = load_flows([_written(tmp_path, "other.yml", OTHER), _written(tmp_path, "flow.yml", GOOD)], KNOWN)["pay"]
    assert list(flow.steps)[:4] == ["collect_payee", "amount", "collect_note", "set_slots"]
    assert [step.kind for step in flow.steps.values()] == (
        ["collect", "collect", "collect", "set_slots", "action", "action", "noop", "action", "call", "link"]
    )
    assert flow.collects() == ("payee", "amount", "note")
    assert flow.intents == ("pay",)
    assert flow.steps["collect_payee"].ask_before_filling
    assert flow.steps["amount"].rejections[0].utter == "utter_too_much"
    assert flow.steps["set_slots"].values == (("note", "thanks"),)
    assert flow.presets() == {"note"}
    action = flow.steps["action_action_pay"]
    assert [branch.target for branch in action.next] == ["amount", "action_utter_done", list(flow.steps)[6]]
    assert flow.guard is not None
    assert flow.guard.holds({"slots": {"payee": None}, "context": {}})


def test_rasas_long_form_of_an_intent_is_read(tmp_path: Path) -> None:
    """``intent: {name: …}`` means the same as ``intent: …``."""
    text = "flows: {pay: {description: x, nlu_trigger: [{intent: {name: pay}}], steps: [{action: utter_done}]}}"
    assert load_flows([_written(tmp_path, "flow.yml", text)], KNOWN).by_intent["pay"].id == "pay"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_where_it_stands(mistake: str, tmp_path: Path) -> None:
    """The error names the file, the line of the mistake, and what is wrong."""
    text, words = MISTAKES[mistake]
    line = next((number for number, row in enumerate(text.splitlines(), 1) if "# !" in row), None)
    with pytest.raises(SourceError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'flow.yml'}:{line}:"), message
    assert words in message.split(":", 2)[2], message


@pytest.mark.parametrize("content", [b"flows: {\xff: x}", b"flows:\x00", b"flows: &a {pay: *a}", b"", b"flows: *nothing"])
def test_a_file_that_is_no_flow_file_is_refused(content: bytes, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, control characters, a mapping that holds itself, an unknown alias, nothing at all: no trace."""
    path = tmp_path / "flow.yml"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"flow\.yml:\d+: "):
        load_flows([path], KNOWN)


@given(
    lines=st.lists(st.sampled_from(GOOD.splitlines()[1:]), max_size=12),
    cut=st.integers(0, 200),
    junk=st.sampled_from(["", "- ", "{", "next: 3", "[]", "null", "id: END", "then:", "<<: {a: b}", "? [1]\n: 2"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_a_source_error_comes_of_any_file(lines: list[str], cut: int, junk: str, tmp_path: Path) -> None:
    """Whatever is cut from, mixed into or put behind a flow file, it loads or is refused with file and line."""
    rows = GOOD.splitlines()
    rows[cut % len(rows) : cut % len(rows)] = lines
    told = ""
    try:
        load(tmp_path, "\n".join([*rows[: cut or None], junk]))
    except SourceError as refused:
        told = str(refused)
    assert told == "" or told.startswith(f"{tmp_path / 'flow.yml'}:")


_STEPS = {"$ref": "#/$defs/steps"}
_TEXT = {"type": "string"}


def _step(kind: str, value: object, **more: object) -> dict[str, object]:
    properties = {"id": _TEXT, kind: value, **more}
    return {"type": "object", "required": [kind], "additionalProperties": False, "properties": properties}


_NEXT = {"$ref": "#/$defs/next"}
# The part of Rasa's published schema of flow files that is in use here: our files must stay readable by Rasa's own tools.
SCHEMA = {
    "type": "object",
    "required": ["flows"],
    "additionalProperties": False,
    "properties": {
        "version": _TEXT,
        "flows": {"type": "object", "patternProperties": {"^[A-Za-z_]\\w*$": {"$ref": "#/$defs/flow"}}},
    },
    "$defs": {
        "flow": {
            "type": "object",
            "required": ["description", "steps"],
            "additionalProperties": False,
            "properties": {
                "description": _TEXT,
                "if": _TEXT,
                "persisted_slots": {"type": "array", "items": _TEXT},
                "nlu_trigger": {"type": "array", "minItems": 1, "items": _step("intent", {"anyOf": [_TEXT, {"type": "object"}]})},
                "steps": _STEPS,
            },
        },
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    _step(
                        "collect",
                        _TEXT,
                        description=_TEXT,
                        utter=_TEXT,
                        ask_before_filling={"type": "boolean"},
                        rejections={"type": "array", "items": {"type": "object", "required": ["if", "utter"]}},
                        next=_NEXT,
                    ),
                    _step("action", _TEXT, next=_NEXT),
                    _step("call", _TEXT, next=_NEXT),
                    _step("link", _TEXT),
                    _step("set_slots", {"type": "array", "items": {"type": "object"}}, next=_NEXT),
                    {**_step("noop", {"const": True}, next=_NEXT), "required": ["noop", "next"]},
                ]
            },
        },
        "next": {
            "anyOf": [
                _TEXT,
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "oneOf": [{"required": ["if", "then"]}, {"required": ["else"]}],
                        "properties": {"if": _TEXT, "then": {"anyOf": [_TEXT, _STEPS]}, "else": {"anyOf": [_TEXT, _STEPS]}},
                    },
                },
            ]
        },
    },
}
FILES = [PATTERNS, *sorted((ROOT / "handlers").glob("*/flow.yml"))]


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name}" for path in FILES])
def test_our_files_keep_to_rasas_schema(path: Path) -> None:
    """Each flow file is valid by what Rasa publishes of the format, steps, fields and nesting."""
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMA)


def test_what_rasas_schema_refuses_is_refused_here(tmp_path: Path) -> None:
    """The good example is valid by the schema, and loses that as soon as one field is added."""
    data = yaml.safe_load(GOOD)
    jsonschema.validate(data, SCHEMA)
    data["flows"]["pay"]["steps"][0]["colour"] = "red"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)
    with pytest.raises(SourceError, match="colour"):
        load(tmp_path, yaml.safe_dump(data))


def _written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path
