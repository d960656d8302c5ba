"""Slots and how messages fill them: every ``handlers/*/domain.yml``, Rasa's format with a few additions of our own.

A mapping ``from_hints`` gathers what wordings of fraud the messages of a flow hold, all of them. ``sensitive: true`` keeps a
slot's value out of every record, ``forget: true`` has the message that held it removed from the chat as well,
``session: true`` lets a slot outlast the flow that set it, and ``remember: [flow]`` keeps what it was when such a flow ended,
for messages that leave it out the next time (「再转一次」).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.dialogue.source import Mapped, SourceError, read

_TYPES = ("text", "bool", "any")
_MAPPINGS: Mapping[str, tuple[str, ...]] = {
    "from_entity": ("entity", "role", "intent", "not_intent"),
    "from_intent": ("intent", "value"),
    "from_text": (),
    "from_hints": (),
    "custom": (),
}


@dataclass(frozen=True, slots=True)
class SlotMapping:
    """One way in which a message may fill a slot, and when it applies."""

    kind: str
    entity: str = ""
    role: str = ""
    intent: str = ""
    value: Any = None
    only_intents: tuple[str, ...] = ()
    not_intents: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()  # (active flow or "", requested slot or "")
    where: str = field(default="", compare=False)  # file:line

    def applies(self, active_flow: str, requested_slot: str, intent: str = "") -> bool:
        """Say whether the conditions hold for the flow on top, the slot it asks for and the intent of the message."""
        if intent in self.not_intents or (self.only_intents and intent not in self.only_intents):
            return False
        return not self.conditions or any(
            flow in ("", active_flow) and slot in ("", requested_slot) for flow, slot in self.conditions
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as declared: its type, its mappings, and the folder of each capability that uses it."""

    name: str
    type: str
    mappings: tuple[SlotMapping, ...]
    sensitive: bool = False
    session: bool = False
    forget: bool = False
    remember: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    @property
    def readable(self) -> bool:
        """Tell whether anything in a message can fill it without being asked for."""
        return any(mapping.kind == "from_entity" for mapping in self.mappings)

    @property
    def gathers(self) -> bool:
        """Tell whether it gathers the wordings of fraud."""
        return any(mapping.kind == "from_hints" for mapping in self.mappings)

    @property
    def answer_only(self) -> bool:
        """Tell whether nothing but the answer to its own question can fill it."""
        needed = [{slot for _, slot in mapping.conditions} for mapping in self.mappings]
        return bool(needed) and all(asked == {self.name} for asked in needed)


def load_slots(paths: Iterable[Path]) -> dict[str, Slot]:
    """Read domain files; the same slot may stand in several only when it is declared alike in each."""
    slots: dict[str, Slot] = {}
    for path in paths:
        document = read(path).only("version", "slots")
        declared = document.mapping("slots")
        for name, source in declared.items():
            if not isinstance(source, Mapped):
                raise declared.fault(f"slot {name!r} must be a mapping", name)
            slot = _slot(name, source)
            if name in slots:
                slot = replace(slot, folders=slots[name].folders | slot.folders)
                if slot != replace(slots[name], folders=slot.folders):
                    raise source.fault(f"slot {name!r} is declared differently elsewhere")
            slots[name] = slot
    return slots


def check_slots(slots: Mapping[str, Slot], flows: Collection[str], intents: Collection[str]) -> None:
    """Hold every name that a mapping refers to against what exists; raises :class:`SourceError`."""
    for slot in slots.values():
        if unknown := slot.remember.difference(flows):
            where = slot.mappings[0].where if slot.mappings else "domain.yml"
            raise SourceError(f"{where}: slot {slot.name!r} names flow {min(unknown)!r}, which does not exist")
        for mapping in slot.mappings:
            asked = {("intent", name) for name in (mapping.intent, *mapping.only_intents, *mapping.not_intents)}
            asked |= {("flow", flow) for flow, _ in mapping.conditions} | {("slot", name) for _, name in mapping.conditions}
            for kind, name in sorted(asked):
                if name and name not in {"intent": intents, "flow": flows, "slot": slots}[kind]:
                    raise SourceError(f"{mapping.where}: slot {slot.name!r} names {kind} {name!r}, which does not exist")


def _slot(name: str, source: Mapped) -> Slot:
    source.only("type", "mappings", "sensitive", "session", "forget", "remember")
    if source.flag("sensitive") and "remember" in source:
        raise source.fault("a sensitive slot is not remembered", "remember")
    if source.text("type") not in _TYPES:
        raise source.fault(f"unknown slot type {source['type']!r} (known: {', '.join(_TYPES)})", "type")
    return Slot(
        name=name,
        type=source["type"],
        mappings=tuple(_mapping(item) for item in source.mappings("mappings")),
        sensitive=source.flag("sensitive"),
        session=source.flag("session"),
        forget=source.flag("forget"),
        remember=frozenset(source.texts("remember")),
        folders=frozenset({source.path.parent.name}),
    )


def _mapping(item: Mapped) -> SlotMapping:
    kind = item.text("type")
    if kind not in _MAPPINGS:
        raise item.fault(f"unknown mapping {kind!r} (known: {', '.join(_MAPPINGS)})", "type")
    item.only("type", "conditions", *_MAPPINGS[kind])
    conditions = [condition.only("active_flow", "requested_slot") for condition in item.mappings("conditions")]
    return SlotMapping(
        kind=kind,
        entity=item.text("entity") if kind == "from_entity" else "",
        role=item.text("role", ""),
        intent=item.text("intent") if kind == "from_intent" else "",
        value=item.get("value"),
        only_intents=item.texts("intent") if kind == "from_entity" else (),
        not_intents=item.texts("not_intent"),
        conditions=tuple((condition.text("active_flow", ""), condition.text("requested_slot", "")) for condition in conditions),
        where=f"{item.path}:{item.line}",
    )
