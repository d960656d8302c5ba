"""Flows as data: reads every ``handlers/*/flow.yml`` and ``patterns.yml`` at start and refuses what it does not know.

The format is Rasa CALM's: steps ``collect``, ``action``, ``set_slots``, ``call``, ``link``, ``noop``; ``next`` as a step id,
``END`` or a list of if/then/else whose ``then`` may hold steps of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.dialogue.conditions import Condition, ConditionError, parse_condition
from bot.dialogue.source import Mapped, read

END = "END"
_STEP_KINDS = ("collect", "action", "set_slots", "call", "link", "noop")
_COLLECT_FIELDS = ("description", "utter", "ask_before_filling", "rejections")


@dataclass(frozen=True, slots=True)
class Branch:
    """Where to go on, and under which condition (always, when there is none)."""

    target: str
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A condition under which a collected value is thrown away, and the words that say why."""

    condition: Condition
    utter: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a flow; ``kind`` says which of the other fields count, ``name`` is its slot, action or flow."""

    id: str
    kind: str
    name: str
    next: tuple[Branch, ...]
    utter: str = ""
    ask_before_filling: bool = False
    rejections: tuple[Rejection, ...] = ()
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as read: its steps in the order of the file, the intents that start it, and the folder that owns it."""

    id: str
    description: str
    folder: str
    steps: Mapping[str, Step]
    intents: tuple[str, ...]
    guard: Condition | None
    persisted_slots: tuple[str, ...] = ()  # what the caller is left with when this flow has ended

    @property
    def first(self) -> str:
        """Give the id of the first step."""
        return next(iter(self.steps))

    @property
    def is_pattern(self) -> bool:
        """Tell a repair pattern from a flow that a person asks for."""
        return self.id.startswith("pattern_")

    def collects(self) -> tuple[str, ...]:
        """List the slots that this flow asks for itself, in order."""
        return tuple(step.name for step in self.steps.values() if step.kind == "collect")

    def presets(self) -> frozenset[str]:
        """Give the slots that the flow itself fills where nothing was said."""
        return frozenset(name for step in self.steps.values() for name, _ in step.values)

    def position(self, step_id: str) -> int:
        """Give a step's place in the order of the file; past the end for END."""
        order = list(self.steps)
        return order.index(step_id) if step_id in order else len(order)


class Flows(Mapping[str, Flow]):
    """All flows by id, and the flow that each intent starts."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        self._flows = {flow.id: flow for flow in flows}
        self.by_intent = {intent: flow for flow in self._flows.values() for intent in flow.intents}

    def __getitem__(self, key: str) -> Flow:
        return self._flows[key]

    def __iter__(self) -> Any:
        return iter(self._flows)

    def __len__(self) -> int:
        return len(self._flows)


@dataclass(frozen=True, slots=True)
class Known:
    """What flow files may refer to, besides one another."""

    slots: frozenset[str]
    actions: frozenset[str]
    responses: frozenset[str]
    intents: frozenset[str]


def load_flows(paths: Iterable[Path], known: Known) -> Flows:
    """Read and check flow files; raises :class:`~bot.dialogue.source.SourceError` with file and line at the first mistake."""
    sources: dict[str, Mapped] = {}
    flows: list[Flow] = []
    triggers: dict[str, str] = {}
    others: list[tuple[Mapped, str, str]] = []
    for path in paths:
        document = read(path).only("version", "flows")
        for flow_id, source in document.mapping("flows").items():
            if not isinstance(source, Mapped):
                raise document.mapping("flows").fault(f"flow {flow_id!r} must be a mapping", flow_id)
            if flow_id in sources:
                raise source.fault(f"flow {flow_id!r} stands in {sources[flow_id].path} already")
            sources[flow_id] = source
            reader = _FlowReader(flow_id, source, known)
            flows.append(reader.read())
            others += reader.others
            for item, intent in zip(source.mappings("nlu_trigger"), flows[-1].intents, strict=True):
                if intent in triggers:
                    raise item.fault(f"intent {intent!r} starts flow {triggers[intent]!r} already", "intent")
                triggers[intent] = flow_id
    for where, key, name in others:
        if name not in sources:
            raise where.fault(f"there is no flow {name!r}", key)
    return Flows(flows)


class _FlowReader:
    """Reads one flow; steps nested in a ``then`` are laid flat behind the step that they belong to."""

    def __init__(self, flow_id: str, source: Mapped, known: Known) -> None:
        self.id, self.source, self.known = flow_id, source, known
        self.steps: dict[str, Step] = {}
        self.reserved: set[str] = set()
        self.targets: list[tuple[Mapped, str, str]] = []
        self.others: list[tuple[Mapped, str, str]] = []

    def read(self) -> Flow:
        source = self.source.only("description", "if", "nlu_trigger", "persisted_slots", "steps")
        if not source.text("description").strip():
            raise source.fault("a flow needs a description", "description")
        steps = source.mappings("steps")
        if not steps:
            raise source.fault("a flow needs at least one step", "steps")
        self.sequence(steps, after=END, nested=False)
        for where, key, target in self.targets:
            if target != END and target not in self.steps:
                raise where.fault(f"there is no step {target!r} in flow {self.id!r}", key)
        return Flow(
            id=self.id,
            description=source.text("description"),
            folder=source.path.parent.name,
            steps=self.steps,
            intents=tuple(self.intent(item) for item in source.mappings("nlu_trigger")),
            guard=self.condition(source, "if") if "if" in source else None,
            persisted_slots=tuple(self.slot(source, "persisted_slots", str(name)) for name in source.get("persisted_slots", [])),
        )

    def intent(self, item: Mapped) -> str:
        inner = item.only("intent").get("intent")
        name = inner.only("name").text("name") if isinstance(inner, Mapped) else item.text("intent")
        if name not in self.known.intents:
            raise item.fault(f"intent {name!r} has no training examples", "intent")
        return name

    def sequence(self, steps: list[Mapped], *, after: str, nested: bool) -> str:
        """Read steps that follow one another; gives the id of the first."""
        ids = [self.reserve(source) for source in steps]
        for number, source in enumerate(steps):
            last = number == len(steps) - 1
            if nested and last and "next" not in source and "link" not in source:
                raise source.fault("the last step of a then must say what is next")
            self.step(source, ids[number], after if last else ids[number + 1])
        return ids[0]

    def reserve(self, source: Mapped) -> str:
        """Give a step its id: the one written, or one that survives edits elsewhere in the file."""
        kind = self.kind(source)
        step_id = source.text("id", f"{kind}_{source[kind]}" if isinstance(source[kind], str) else kind)
        if "id" not in source and step_id in self.reserved:
            step_id = f"{step_id}_{source.line}"
        if step_id in self.reserved or step_id == END:
            raise source.fault(f"step {step_id!r} stands in flow {self.id!r} already", "id")
        self.reserved.add(step_id)
        return step_id

    def kind(self, source: Mapped) -> str:
        kinds = [kind for kind in _STEP_KINDS if kind in source]
        if len(kinds) != 1:
            raise source.fault(f"a step is exactly one of {', '.join(_STEP_KINDS)}")
        return kinds[0]

    def step(self, source: Mapped, step_id: str, following: str) -> None:
        kind = self.kind(source)
        source.only("id", kind, *(("next",) if kind != "link" else ()), *(_COLLECT_FIELDS if kind == "collect" else ()))
        name = source.text(kind) if kind in ("collect", "action", "call", "link") else ""
        if kind == "noop" and (source["noop"] is not True or "next" not in source):
            raise source.fault("a step that does nothing is written noop: true, and says what is next", "noop")
        self.steps[step_id] = Step(step_id, kind, name, ())  # holds the place before nested steps
        self.refer(source, kind, name)
        self.steps[step_id] = Step(
            id=step_id,
            kind=kind,
            name=name,
            next=self.branches(source, following),
            utter=self.utter(source, name) if kind == "collect" else "",
            ask_before_filling=source.flag("ask_before_filling"),
            rejections=tuple(self.rejection(item) for item in source.mappings("rejections")),
            values=self.values(source) if kind == "set_slots" else (),
        )

    def refer(self, source: Mapped, kind: str, name: str) -> None:
        if kind == "collect":
            self.slot(source, "collect", name)
        if kind == "action" and name not in self.known.actions | self.known.responses:
            raise source.fault(f"there is neither an action nor a response {name!r}", "action")
        if kind in ("call", "link"):
            self.others.append((source, kind, name))

    def utter(self, source: Mapped, slot: str) -> str:
        name = source.text("utter", f"utter_ask_{slot}")
        if name not in self.known.responses | self.known.actions and f"action_ask_{slot}" not in self.known.actions:
            raise source.fault(f"there is no response {name!r} to ask for {slot!r}", "utter" if "utter" in source else "collect")
        return name

    def rejection(self, item: Mapped) -> Rejection:
        name = item.only("if", "utter").text("utter")
        if name not in self.known.responses:
            raise item.fault(f"there is no response {name!r}", "utter")
        return Rejection(self.condition(item, "if"), name)

    def values(self, source: Mapped) -> tuple[tuple[str, Any], ...]:
        pairs: list[tuple[str, Any]] = []
        for item in source.mappings("set_slots"):
            pairs += [(self.slot(item, name, name), value) for name, value in item.items()]
        return tuple(pairs)

    def slot(self, source: Mapped, key: str, name: str) -> str:
        if name not in self.known.slots:
            raise source.fault(f"slot {name!r} is declared in no domain.yml", key)
        return name

    def condition(self, source: Mapped, key: str) -> Condition:
        try:
            condition = parse_condition(source.text(key))
        except ConditionError as fault:
            raise source.fault(str(fault), key) from fault
        for space, name in condition.names:
            if space == "slots":
                self.slot(source, key, name)
        return condition

    def branches(self, source: Mapped, following: str) -> tuple[Branch, ...]:
        after = source.get("next", following)
        if isinstance(after, str):
            self.targets.append((source, "next", after))
            return (Branch(after),)
        items = source.mappings("next")
        if not items:
            raise source.fault("next names no step", "next")
        branches: list[Branch] = []
        for item in items:
            if branches and branches[-1].condition is None:
                raise item.fault("nothing can follow an else")
            if "else" in item:
                branches.append(Branch(self.target(item.only("else"), "else")))
            else:
                branches.append(Branch(self.target(item.only("if", "then"), "then"), self.condition(item, "if")))
        if branches[-1].condition is not None:
            branches.append(Branch(following))
        return tuple(branches)

    def target(self, item: Mapped, key: str) -> str:
        then = item.get(key)
        if isinstance(then, str):
            self.targets.append((item, key, then))
            return then
        steps = item.mappings(key)
        if not steps:
            raise item.fault(f"{key!r} names no step", key)
        return self.sequence(steps, after=END, nested=True)
