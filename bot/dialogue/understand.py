"""From what a message says and where the conversation stands to commands: no words, no wallet, no side effects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.dialogue.commands import (
    Amend,
    Command,
    CorrectSlots,
    Hear,
    Later,
    LeaveOut,
    Proceed,
    ResumeFlow,
    RunPattern,
    SetSlot,
    StartFlow,
)
from bot.dialogue.domain import Slot, SlotMapping
from bot.dialogue.flows import Flow, Flows
from bot.dialogue.masking import is_recovery_code, masked
from bot.dialogue.stack import Frame, State

_PAYLOAD = re.compile(r"/(?:SetSlots\((?P<slots>.*)\)|(?P<intent>[\w/]+)(?P<entities>\{.*\})?)\Z", re.DOTALL)
_SURELY = 0.9  # an intent this sure wins over a word that merely could be an answer
_FREE_TEXT_LENGTH = 20  # characters; a longer message is no name and no note
_NAME_LENGTH = 4  # characters; so short a message that fits nothing else is an answer rather than talk about something else
_NOTHING_ELSE = 0.8  # the share of a message from which on it is nothing but its values
_CANDIDATES = 3
_NEAR = 2  # answers offered with a service that the chat cannot do
_ON_TOPIC = 5  # questions offered when only the topic is known
_WISHES = 3  # done from one message; more is said, not dropped
_ANSWERED = frozenset({"pattern_topic_question", "pattern_not_offered"})  # what the facts answer, as they do a question
QUESTIONS = frozenset({"pattern_search", "pattern_topic_question"})
_ITSELF = 0.75  # of the threshold: what an answer has by itself before other readings as a question count for it
_WORTH_DOING = 0.1  # the chance of a flow from which on it is offered with the answer on how to do it
_CORRECTS = frozenset({"pattern_correction", "pattern_deny"})
_AT_ONCE = frozenset({"pattern_human_handoff", "pattern_search"})
_FAINT = 0.02  # a reading less likely than this is not worth a button
_WITH_VALUES = frozenset(
    {"pattern_correction", "pattern_deny", "pattern_affirm", "pattern_chitchat", "pattern_continue_flow"}
)  # 「不对，是15块」

_WEAKER = frozenset({"pattern_out_of_scope", *_ANSWERED})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which a reading is acted on, worth asking about, or (within the questions) answered."""

    accept: float
    clarify: float
    faq: float


@dataclass(frozen=True, slots=True)
class View:
    """Where the conversation stands, as understanding sees it."""

    state: State
    flows: Flows
    slots: Mapping[str, Slot]

    @property
    def chain(self) -> list[Frame]:
        """Give the frames that can take a value now, nearest first."""
        return list(self.state.chain(self.state.top, self.flows)) if self.state.top else []

    @property
    def asked(self) -> list[str]:
        """Give the slots that were asked for and not answered, the newest question first."""
        steps = [(frame, self.flows[frame.flow].steps.get(frame.step)) for frame in self.chain]
        return [step.name for frame, step in steps if step and step.kind == "collect" and step.id in frame.asked]

    @property
    def expects(self) -> str | None:
        """Name the entity that an answer to the newest question with one would hold."""
        mappings = (mapping for name in self.asked for mapping in self.slots[name].mappings)
        return next((mapping.entity for mapping in mappings if mapping.kind == "from_entity"), None)

    @property
    def secret_asked(self) -> bool:
        """Tell whether an answer now may hold a code, which must not be written anywhere."""
        return any(self.slots[name].sensitive for name in self.asked)

    def filled(self, name: str) -> bool:
        """Tell whether a slot of the flow at work was answered; a sensitive value itself is not kept between turns."""
        return any(frame.slots.get(name) is not None or name in frame.checked for frame in self.chain)

    def fillable(self, flow: Flow) -> list[str]:
        """List the slots that a message may fill for a flow: those it asks for, then the optional ones of its folder."""
        optional = (slot for slot in self.slots.values() if flow.folder in slot.folders and not slot.session)
        return list(dict.fromkeys([*flow.collects(), *(slot.name for slot in optional if slot.readable)]))

    def collected(self) -> list[tuple[str, str]]:
        """List (slot, flow) for every slot that a message may fill for the frames at work, what was asked last first."""
        pairs = [(name, frame.flow) for frame in self.chain for name in self.fillable(self.flows[frame.flow])]
        return sorted(pairs, key=lambda pair: self.asked.index(pair[0]) if pair[0] in self.asked else len(self.asked))


def understand(parse: Mapping[str, Any], view: View, limits: Thresholds) -> list[Command]:
    """Turn one parsed message into commands; several wishes in it become one after another."""
    if parse.get("clauses"):
        return _several(parse, view, limits)
    return _Reading(parse, view, limits).commands()


def _several(parse: Mapping[str, Any], view: View, limits: Thresholds) -> list[Command]:
    """Read each wish by itself: the first where the conversation stands, the others as if nothing were open."""
    kept = [clause for clause in parse["clauses"] if clause["intent"]["name"] != "cancel"]
    drops = len(kept) < len(parse["clauses"]) and view.state.working(view.flows) is not None
    if not kept:
        return _Reading(parse, view, limits).commands()
    alone = View(State(session=dict(view.state.session), ended_flows=list(view.state.ended_flows)), view.flows, view.slots)
    wishes: list[tuple[Mapping[str, Any], Later]] = []
    for clause in kept[:_WISHES]:
        reading = _Reading(clause, alone, limits)
        for command in reading.requests():
            if isinstance(command, StartFlow | RunPattern):
                wishes.append((clause, Later(command, reading.session())))
            if isinstance(command, StartFlow):
                alone.state.ended_flows.insert(0, {"flow": command.flow, "slots": command.slots, "checked": []})
    first: list[Command]
    if drops:
        first = [RunPattern("pattern_cancel_flow", {"intent": "cancel", "go_on": True})]
    elif answer := _answer(kept[0], view, limits):
        first, wishes = answer, [pair for pair in wishes if pair[0] is not kept[0]]
    else:
        wishes = sorted(_distinct(wishes, view), key=lambda pair: _place(pair[1], wishes, view))
        wishes[:-1] = [(clause, replace(later, command=_going_on(later.command))) for clause, later in wishes[:-1]]
        first = _Reading(wishes.pop(0)[0], view, limits).commands(heard=False)
        first = [_going_on(command) if wishes else command for command in first]
    rest = kept[_WISHES:]
    beyond: list[Command] = [LeaveOut(_tail(parse["text"], rest[0]["start"]))] if rest else []
    heard: list[Command] = [Hear(tuple(parse["hints"]))] if parse.get("hints") else []
    return [*beyond, *first, *(later for _, later in wishes), *heard]


def _answer(clause: Mapping[str, Any], view: View, limits: Thresholds) -> list[Command]:
    """Read a first part that answers or corrects what is open, before another wish."""
    commands = _Reading(clause, view, limits).requests()
    return commands if all(isinstance(command, SetSlot | CorrectSlots | Proceed) for command in commands) else []


def _distinct(wishes: list[tuple[Mapping[str, Any], Later]], view: View) -> list[tuple[Mapping[str, Any], Later]]:
    """Leave out what is only said twice; money twice is two payments, each with its own code."""
    kept: list[tuple[Mapping[str, Any], Later]] = []
    for pair in wishes:
        if _asks_nothing(pair[1].command, view) and any(pair[1] == other for _, other in kept):
            continue
        kept.append(pair)
    return kept


def _asks_nothing(command: Command, view: View) -> bool:
    """Tell whether something is done without a word from the person in between."""
    return not isinstance(command, StartFlow) or not view.flows[command.flow].collects()


def _place(wish: Later, wishes: Iterable[tuple[Mapping[str, Any], Later]], view: View) -> int:
    """Say when a wish has its turn: a person is called and a question answered before what takes long, else as it was said."""
    takes_long = any(not _asks_nothing(other.command, view) for _, other in wishes)
    return 0 if takes_long and isinstance(wish.command, RunPattern) and wish.command.pattern in _AT_ONCE else 1


def _going_on(command: Command) -> Any:
    """Let a pattern that would wait for the person go on with what follows it."""
    return RunPattern(command.pattern, command.context | {"go_on": True}) if isinstance(command, RunPattern) else command


def _tail(text: str, start: int) -> str:
    return masked(text[start:].strip(), everything=False)


def press(payload: str, view: View, limits: Thresholds) -> list[Command]:
    """Turn the payload of a pressed button into commands; it says exactly what it means."""
    match = _PAYLOAD.match(payload)
    if match is None:
        raise ValueError(f"a button carries {payload!r}, which is no command")
    if match["slots"] is not None:
        values = dict(pair.split("=", 1) for pair in match["slots"].split(","))
        known = {name.strip(): _typed(view.slots[name.strip()], value.strip()) for name, value in values.items()}
        return _fill(known, view)
    entities = json.loads(match["entities"] or "{}")
    if match["intent"] == "faq":
        return [RunPattern("pattern_search", {"faq": entities["key"], "about": entities.get("city")})]
    if match["intent"] == "correct":
        return [CorrectSlots({entities["slot"]: None})]
    parse = {
        "text": "",
        "intent": {"name": match["intent"], "confidence": 1.0},
        "entities": [{"entity": name, "value": value, "start": 0, "end": 0} for name, value in entities.items()],
    }
    return understand(parse, view, limits)


def is_payload(text: str) -> bool:
    """Tell whether a text has the shape of a button's payload; typed by a person it means nothing."""
    return _PAYLOAD.match(text) is not None


def _typed(slot: Slot, text: str) -> Any:
    if slot.type == "bool":
        return text.lower() == "true"
    if slot.type == "any" and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text


def _fill(values: Mapping[str, Any], view: View) -> list[Command]:
    """Fill slots, or correct those that have another value already."""
    corrections = {name: value for name, value in values.items() if view.filled(name) and name not in view.asked}
    commands: list[Command] = [SetSlot(name, value) for name, value in values.items() if name not in corrections]
    return [CorrectSlots(corrections), *commands] if corrections else commands


class _Reading:
    """One message against one state."""

    def __init__(self, parse: Mapping[str, Any], view: View, limits: Thresholds) -> None:
        self.parse, self.view, self.limits = parse, view, limits
        self.chances: dict[str, float] = {
            item["name"] or "": item["confidence"] for item in parse.get("intent_ranking") or [parse["intent"]]
        }
        self.intent, self.sure = self.leaning()
        self.entities: list[Mapping[str, Any]] = parse["entities"]
        self.text: str = parse.get("text", "").strip()
        self.requested: str = view.asked[0] if view.asked else ""

    def leaning(self) -> tuple[str, float]:
        """Give the likeliest intent and its chance; a question counts as one, whichever way the model names it."""
        asking = {name: chance for name, chance in self.chances.items() if self.is_question(name)}
        intent = max(self.chances, key=lambda name: sum(asking.values()) if name in asking else self.chances[name])
        if intent in asking:
            return max(asking, key=lambda name: asking[name]), sum(asking.values())
        return intent, self.chances[intent]

    def is_question(self, intent: str) -> bool:
        flow = self.view.flows.by_intent.get(intent)
        return intent == "faq" or (flow is not None and flow.id in _ANSWERED)

    def commands(self, *, heard: bool = True) -> list[Command]:
        """Give what the message says about the session (the city), what it asks for, and what it sounds like."""
        hints = [Hear(tuple(self.parse["hints"]))] if heard and self.parse.get("hints") else []
        return [*(SetSlot(name, value) for name, value in self.session().items()), *self.requests(), *hints]

    def session(self) -> dict[str, Any]:
        """Read the slots that outlast a flow."""
        return self.values([(slot.name, "") for slot in self.view.slots.values() if slot.session])

    def requests(self) -> list[Command]:
        values = self.values(self.view.collected())
        flow = self.view.flows.by_intent.get(self.intent) if self.sure >= self.limits.accept else None
        if (amended := self.amended(flow, values)) is not None:
            return [amended]
        if values and (self.answers_alone(values) or not self.leads_away(flow, values)):
            return _changes(values, self.view)
        if (taken_back := self.taken_back(flow)) is not None:
            return [CorrectSlots(taken_back)]
        foreign = flow is not None and flow.id == "pattern_out_of_scope" and len(self.text) <= _NAME_LENGTH
        if (self.only_digits() or self.secret_word() or foreign) and (answer := self.free_text()):
            return answer
        if recalled := self.recalled(flow):
            return recalled
        if flow is not None:
            return self.lead(flow)
        if self.intent == "faq" and self.sure >= self.limits.accept:
            return self.question()
        return self.free_text() or self.stray_code() or self.unclear()

    def values(self, wanted: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Read the slots that this message fills; no entity fills two, and two different values for one slot fill none."""
        used: set[int] = set()
        values: dict[str, Any] = {}
        for name, flow in wanted:
            requested = name if name in self.view.asked else self.requested  # a question below an offer to go on stands too
            for mapping in self.view.slots[name].mappings:
                if name not in values and mapping.applies(flow, requested, self.intent):
                    self.fill(name, mapping, values, used)
        return values

    def fill(self, name: str, mapping: SlotMapping, values: dict[str, Any], used: set[int]) -> None:
        if mapping.kind == "from_intent" and self.view.asked[:1] == [name] and self.view.state.question == name:
            if self.chances.get(mapping.intent, 0.0) >= self.limits.accept:
                values[name] = mapping.value
        elif mapping.kind == "from_entity":
            found = [
                number
                for number, entity in enumerate(self.entities)
                if entity["entity"] == mapping.entity
                and mapping.role in ("", entity.get("role"))
                and number not in used
                and not entity.get("negated")
            ]
            readings = [_value(self.entities[number]) for number in found]
            if readings and all(reading == readings[0] for reading in readings):
                values[name] = readings[0]
                used.update(found)
            elif readings and self.view.slots[name].type == "any":  # its validator explains what is wrong with a value
                words = [self.parse["text"][self.entities[number]["start"] : self.entities[number]["end"]] for number in found]
                values[name] = {"problem": "several", "text": "、".join(words)}
                used.update(found)

    def covered(self) -> float:
        """Give the share of the message that is entities."""
        told: int = sum(entity["end"] - entity["start"] for entity in self.entities)
        return told / max(len(self.text), 1)

    def answers_alone(self, values: Mapping[str, Any]) -> bool:
        """Tell whether the message is nothing but the answer to the newest question, or a plain yes or no to it."""
        if not self.view.asked or self.view.asked[0] not in values:
            return False
        mapped = any(
            mapping.kind == "from_intent" and mapping.intent == self.intent
            for mapping in self.view.slots[self.view.asked[0]].mappings
        )
        if self.view.slots[self.view.asked[0]].sensitive and self.intent not in self.starting():
            return True  # 「验证码是493201」: whoever sends the code answers, whatever else the words around it sound like
        return mapped or (self.covered() >= _NOTHING_ELSE and self.sure < _SURELY) or self.only_digits()

    def starting(self) -> frozenset[str]:
        """Give the intents of the flows that people ask for, and of correction."""
        flows = self.view.flows.by_intent.items()
        return frozenset(intent for intent, flow in flows if not flow.is_pattern or flow.id == "pattern_correction")

    def leads_away(self, flow: Flow | None, values: Mapping[str, Any]) -> bool:
        """Tell whether the message surely wants something else than what the conversation is at."""
        if self.parse.get("polite") or self.covered() >= _NOTHING_ELSE:
            return False  # 「24小时到账行不」, 「24小时到账」
        if self.intent == "faq":
            return self.sure >= self.limits.accept
        at_work = {frame.flow for frame in self.view.chain}
        if flow is None or flow.id in at_work or flow.id in _WITH_VALUES:
            return False
        # what was just asked for, given in a message that only sounds like talk about something else
        return flow.id not in _WEAKER or self.requested not in values

    def amended(self, flow: Flow | None, values: Mapping[str, Any]) -> Command | None:
        """Read what concerns a wish that waits its turn: one that the message names, or one that alone can take what it says."""
        at_work = {name: value for frame in reversed(self.view.chain) for name, value in frame.slots.items()}
        said = {str(entity["value"]) for entity in self.entities if entity["entity"] != "amount"}
        for frame in self.view.state.waiting(self.view.flows):
            waits = self.view.flows[frame.flow]
            names = said & {str(value) for name, value in frame.slots.items() if value != at_work.get(name)}
            if names and flow is not None and flow.id == "pattern_cancel_flow":
                return Amend(frame.id, {})
            told = self.values([(name, waits.id) for name in self.view.fillable(waits)])
            new = {name: value for name, value in told.items() if frame.slots.get(name) != value}
            again = flow is not None and flow.id == waits.id
            if (names and told and again) or (new and (names or not values) and (again or _corrects(flow))):
                return Amend(frame.id, told)
        return None

    def recalled(self, flow: Flow | None) -> list[Command]:
        """Fill in what the message leaves out from the newest flow that it can mean: 「再转一次」, 「那上个月呢」."""
        hint = self.parse.get("elliptical")
        kinds = {entity["entity"] for entity in self.entities if not entity.get("negated")}
        elsewhere = flow is not None and not flow.is_pattern
        if hint is None or (hint["mark"] == "instead" and elsewhere):  # 「换成青岛」
            return []
        if not kinds and not hint["intents"] and self.sure >= _SURELY:
            return []
        for one in self.view.state.ended_flows:
            meant = self.view.flows.get(one["flow"])
            if meant is None or not (kinds or one["slots"]) or (hint["intents"] and not {*hint["intents"]} & {*meant.intents}):
                continue
            reading = _Reading({**self.parse, **_surely(meant.intents[0])}, self.view, self.limits)
            own = reading.values([(name, meant.id) for name in self.view.fillable(meant)])
            if len(own) + len(session := reading.session()) < len(kinds):
                continue
            if any(frame.flow == meant.id for frame in self.view.chain):
                return [Proceed()]
            kept = {name: value for name, value in one["slots"].items() if name not in own}
            start = StartFlow(meant.id, {**kept, **own}, tuple(name for name in one["checked"] if name in kept))
            return [*(SetSlot(name, value) for name, value in session.items()), start]
        if hint["intents"] and (named := self.view.flows.by_intent.get(hint["intents"][0])) is not None:
            return self.lead(named)
        again = hint["mark"] == "again" or _corrects(flow)
        if flow is None or (flow.is_pattern and not self.view.state.frames and again):
            return [RunPattern("pattern_nothing_before")] if not self.view.state.frames else []
        return []

    def taken_back(self, flow: Flow | None) -> dict[str, Any] | None:
        """Read a correction that gives no new value: 「收款人错了」, 「不对」 at a card."""
        if self.view.state.working(self.view.flows) is None:
            return None
        negated = {entity["entity"] for entity in self.entities if entity.get("negated")}
        named = {entity["value"] for entity in self.entities if entity["entity"] == "slot"}
        collected = {name for name, _ in self.view.collected()}
        by_entity = {name for name in collected if any(m.entity in negated for m in self.view.slots[name].mappings)}
        wrong = [name for name in (named & collected) | by_entity if self.view.filled(name)]
        if wrong and (negated or (flow is not None and flow.id in _WITH_VALUES)):
            return dict.fromkeys(sorted(wrong))
        if flow is not None and flow.id == "pattern_correction":
            return {}
        return None

    def lead(self, flow: Flow) -> list[Command]:
        """Follow an intent: a repair pattern, the flow at work, an interrupted one, or a new one."""
        if flow.is_pattern:
            keys, clear = self.answers_on_topic(), self.stands_out()
            if keys and clear is None and flow.id == "pattern_topic_question":
                return [RunPattern("pattern_clarification", {"candidates": [self.offered(key) for key in keys[:_ON_TOPIC]]})]
            named = any(entity["entity"] == "amount" for entity in self.entities)  # a sum named wants doing, not explaining
            answer = None if named or clear is None else clear["intent_response_key"]
            near = [self.offered(key) for key in keys[:_NEAR]] if answer is None else []
            facts = {"intent": self.intent, "faq": answer, "about": self.city(), "candidates": near}
            return [RunPattern(flow.id, facts | ({"topic": self.parse["topic"]} if "topic" in self.parse else {}))]
        if any(frame.flow == flow.id for frame in self.view.chain):
            return [Proceed()]
        if any(frame.flow == flow.id for frame in self.view.state.frames):
            return [ResumeFlow(flow.id)]
        asked = self.stands_out() if self.parse.get("asked") else None
        if asked is not None and asked["confidence"] > _FAINT:
            return [self.answer(asked["intent_response_key"], {"flow": flow.id, "payload": f"/{flow.intents[0]}"})]
        return [StartFlow(flow.id, self.values([(slot, flow.id) for slot in self.view.fillable(flow)]))]

    def question(self) -> list[Command]:
        """Answer a question when one answer stands out; otherwise offer the nearest.

        A question that already says everything a flow would ask (「能不能给李娜转200」) is a polite wish.
        """
        for flow in self.view.flows.values():
            presets = flow.presets()
            wanted = [name for name in flow.collects() if not self.view.slots[name].answer_only and name not in presets]
            if not flow.is_pattern and flow.intents and len(wanted) > 1 and not self.view.state.frames:
                values = self.values([(slot, flow.id) for slot in self.view.fillable(flow)])
                if all(name in values for name in wanted):
                    return [StartFlow(flow.id, values)]
        best = self.answers()[0]
        alone = best["confidence"] >= _ITSELF * self.limits.faq  # not only because something else about it was asked
        if alone and self.sure * best["confidence"] / self.chances["faq"] >= self.limits.faq:
            return [self.answer(best["intent_response_key"], self.action())]
        candidates, _ = self.nearest()
        return [RunPattern("pattern_clarification", {"candidates": candidates})] if candidates else self.unclear()

    def city(self) -> str | None:
        """Give the one city that a question names; it is answered for that city without changing wallets."""
        cities = {entity["value"] for entity in self.entities if entity["entity"] == "city"}
        return cities.pop() if len(cities) == 1 else None

    def answer(self, key: str, action: Mapping[str, str] | None) -> RunPattern:
        """Answer a question, and offer to do what was asked about where a flow does it."""
        return RunPattern("pattern_search", {"faq": key, "about": self.city(), "action": action})

    def action(self) -> dict[str, str] | None:
        """Give the flow that a question of how to do something is about, as something to press."""
        if not self.parse.get("asked"):
            return None
        flows = ((intent, self.view.flows.by_intent.get(intent), chance) for intent, chance in self.chances.items())
        likely = [(chance, intent, flow) for intent, flow, chance in flows if flow is not None and not flow.is_pattern]
        chance, intent, flow = max(likely, key=lambda one: one[0], default=(0.0, "", None))
        if flow is None or chance < _WORTH_DOING or any(frame.flow == flow.id for frame in self.view.state.frames):
            return None
        return {"flow": flow.id, "payload": f"/{intent}"}

    def stands_out(self) -> Mapping[str, Any] | None:
        """Give the answer that is likelier than all others together, or nearly so, if it is on the topic of the message."""
        answers = self.answers()
        if not answers or answers[0]["topic"] != self.parse["topic"]:
            return None
        whole = sum(item["confidence"] for item in answers)
        return answers[0] if answers[0]["confidence"] >= self.limits.faq * whole > 0 else None

    def answers_on_topic(self) -> list[str]:
        """Give the questions that the message may ask: the likeliest of all, then those on its topic."""
        answers = self.answers()
        fitting = [item for place, item in enumerate(answers) if not place or item["topic"] == self.parse["topic"]]
        return [item["intent_response_key"] for item in fitting]

    def answers(self) -> Sequence[Mapping[str, Any]]:
        """Give the answers that the facts have, likeliest first."""
        ranking: Sequence[Mapping[str, Any]] = self.parse.get("response_selector", {}).get("faq", {}).get("ranking", [])
        return ranking

    def offered(self, key: str) -> dict[str, str]:
        """Give a question as something to press; the city that was named stays with it."""
        about = {"city": city} if (city := self.city()) else {}
        return {"faq": key, "payload": f"/faq{json.dumps({'key': key, **about})}"}

    def free_text(self) -> list[Command]:
        """Take the whole message as the answer, where the question allows it."""
        name = self.view.asked[0] if self.view.asked else None
        free = name is not None and any(
            mapping.kind == "from_text" and mapping.applies(self.view.chain[0].flow, name)
            for mapping in self.view.slots[name].mappings
        )
        if name is None or not free or not 0 < len(self.text) <= _FREE_TEXT_LENGTH or not re.search(r"\w", self.text):
            return []
        if self.view.slots[name].sensitive and not re.search(r"\d", self.text) and not self.secret_word():
            return []  # a phone or a code has digits; without any these are other words
        mapped = {mapping.entity for mapping in self.view.slots[name].mappings}
        others = [entity for entity in self.entities if entity["entity"] not in mapped]
        if sum(entity["end"] - entity["start"] for entity in others) > 0.6 * len(self.text):
            return []  # a time or a sum is no name
        return [SetSlot(name, self.text)]

    def stray_code(self) -> list[Command]:
        """Tell someone who sends a code that none is waited for: an old one, or one that was cancelled."""
        if not self.only_digits() or not any(entity["entity"] == "code" for entity in self.entities):
            return []
        return [RunPattern("pattern_respond", {"intent": "no_code_waits"})]

    def secret_word(self) -> bool:
        """Tell whether the message is an answer like a recovery code to a question for a secret."""
        return self.view.secret_asked and is_recovery_code(self.text)

    def only_digits(self) -> bool:
        return bool(self.text) and not re.search(r"[^\d\s.,,。-]", self.text)

    def unclear(self) -> list[Command]:
        """Say that it was not understood: ask between likely readings, or admit it and offer the nearest."""
        candidates, chance = self.nearest()
        if chance >= self.limits.clarify:
            return [RunPattern("pattern_clarification", {"candidates": candidates})]
        return [RunPattern("pattern_cannot_handle", {"candidates": candidates})]

    def nearest(self) -> tuple[list[dict[str, str]], float]:
        """Give the likeliest flows and questions, best first, as things to press, and the chance that it is one of them."""
        found: list[tuple[float, dict[str, str]]] = []
        for intent, chance in self.chances.items():
            flow = self.view.flows.by_intent.get(intent)
            if flow is not None and not flow.is_pattern:
                found.append((chance, {"flow": flow.id, "payload": f"/{intent}"}))
        found += [(item["confidence"], self.offered(item["intent_response_key"])) for item in self.answers()[:_CANDIDATES]]
        found.sort(key=lambda pair: -pair[0])
        kept = [pair for pair in found[:_CANDIDATES] if pair[0] > _FAINT]
        return [candidate for _, candidate in kept], sum(chance for chance, _ in kept)


def _changes(values: Mapping[str, Any], view: View) -> list[Command]:
    """Fill or correct; what is already so is said to be so when there is nothing else."""
    same = {
        name
        for frame in view.chain
        for name, value in frame.slots.items()
        if name in values and values[name] == value and name not in view.asked
    }
    if changed := {name: value for name, value in values.items() if name not in same}:
        return _fill(changed, view)
    told = {name: value for name, value in values.items() if not view.slots[name].sensitive}
    return [Proceed(), RunPattern("pattern_already_so", {"told": told})]


def _corrects(flow: Flow | None) -> bool:
    return flow is not None and flow.id in _CORRECTS


def _surely(intent: str) -> dict[str, Any]:
    """Give the part of a parse that says nothing but one intent."""
    return {"intent": {"name": intent, "confidence": 1.0}, "intent_ranking": [], "elliptical": None}


def _value(entity: Mapping[str, Any]) -> Any:
    """Give an entity's value; one with a problem goes on as such, for the validator to explain."""
    if "problem" in entity:
        return {"problem": entity["problem"], "text": entity.get("text", "")}
    return entity["value"]
