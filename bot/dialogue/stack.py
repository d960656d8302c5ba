"""The dialogue stack: which flow, which step, what was interrupted, and the slots that live and end with each flow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.dialogue.domain import Slot
from bot.dialogue.flows import END, Flows

TOKENS_KEPT = 60  # buttons that a conversation still knows; older ones answer that they are old
FLOWS_KEPT = 3  # ended flows that a message may lean on


@dataclass(slots=True)
class Frame:
    """One flow in progress: where it is, who called it, and what it knows."""

    id: int
    flow: str
    step: str
    caller: int | None = None
    slots: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)  # collected slots whose validator agreed
    asked: list[str] = field(default_factory=list)  # steps whose question was put
    started: bool = False


@dataclass(slots=True)
class State:
    """All that a conversation needs to answer the next message."""

    frames: list[Frame] = field(default_factory=list)
    session: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[dict[str, Any]] = field(default_factory=list)
    misses: int = 0
    serial: int = 0
    question: str = ""  # the slot that the last words asked for: only then a plain yes or no is its answer
    door: str = ""  # the end of a channel that spoke last
    ended: bool = False  # the log-in of this door was ended, and nobody was told here yet
    topic: str = ""  # of the last message that was about the wallet: where a person is asked for, it tells which
    ended_flows: list[dict[str, Any]] = field(default_factory=list)  # the newest first, each with its slots: 「再转一次」
    asked_about: str = ""  # the question that was answered last: 「那提现呢」 asks it again

    @staticmethod
    def from_json(data: Mapping[str, Any], flows: Flows) -> State:
        """Rebuild a stored state; a flow that the files no longer have is dropped, one without its step begins anew."""
        known = Frame.__slots__
        frames = [Frame(**{name: value for name, value in frame.items() if name in known}) for frame in data.get("frames", [])]
        kept: list[Frame] = []
        for frame in frames:
            if frame.flow in flows and (frame.caller is None or any(other.id == frame.caller for other in kept)):
                if frame.step != END and frame.step not in flows[frame.flow].steps:
                    frame.step = flows[frame.flow].first
                kept.append(frame)
        return State(**{**{name: value for name, value in data.items() if name in State.__slots__}, "frames": kept})

    def to_json(self, slots: Mapping[str, Slot]) -> dict[str, Any]:
        """Give what is stored: everything but the values of sensitive slots, and only the newest buttons."""
        data = asdict(self)
        for frame in data["frames"]:
            frame["slots"] = {name: value for name, value in frame["slots"].items() if not slots[name].sensitive}
        data["tokens"] = dict(list(self.tokens.items())[-TOKENS_KEPT:])
        return data

    @property
    def top(self) -> Frame | None:
        """Give the frame that is running."""
        return self.frames[-1] if self.frames else None

    def push(self, flow: str, flows: Flows, *, caller: Frame | None = None, context: Mapping[str, Any] | None = None) -> Frame:
        """Put a flow on top, at its first step."""
        self.serial += 1
        frame = Frame(self.serial, flow, flows[flow].first, caller.id if caller else None, context=dict(context or {}))
        self.frames.append(frame)
        return frame

    def frame(self, frame_id: int | None) -> Frame | None:
        """Find a frame by its id."""
        return next((frame for frame in self.frames if frame.id == frame_id), None)

    def chain(self, frame: Frame, flows: Flows) -> Iterator[Frame]:
        """Walk from a frame to what it can see: a called flow sees its callers, a pattern sees the flow that it repairs."""
        current: Frame | None = frame
        while current is not None:
            yield current
            if current.caller is not None:
                current = self.frame(current.caller)
            elif flows[current.flow].is_pattern:
                place = self.frames.index(current)
                current = self.frames[place - 1] if place else None
            else:
                current = None

    def visible(self, frame: Frame | None, flows: Flows) -> dict[str, Any]:
        """Give the slots that a frame can read; nearer frames hide farther ones."""
        values = dict(self.session)
        if frame is not None:
            for seen in reversed(list(self.chain(frame, flows))):
                values.update(seen.slots)
        return values

    def assign(self, frame: Frame, slot: Slot, value: Any, flows: Flows) -> None:
        """Set a slot where it belongs: in the session, or in the nearest frame whose capability declares it."""
        if slot.session:
            self.session[slot.name] = value
            return
        chain = list(self.chain(frame, flows))
        owner = next((seen for seen in chain if flows[seen.flow].folder in slot.folders), frame)
        owner.slots[slot.name] = value

    def working(self, flows: Flows) -> Frame | None:
        """Give the flow at work: the nearest that is begun, below the patterns on top, at the root of its calls."""
        for frame in reversed(self.frames):
            if frame.started and not flows[frame.flow].is_pattern:
                root = frame
                while root.caller is not None and (caller := self.frame(root.caller)) is not None:
                    root = caller
                return root
        return None

    def waiting(self, flows: Flows) -> list[Frame]:
        """Give the wishes that wait their turn, the next one first."""
        return [frame for frame in reversed(self.frames) if not frame.started and not flows[frame.flow].is_pattern]

    def remember(self, frame: Frame, names: Collection[str]) -> None:
        """Keep what a flow that ended was told, for the message that leaves it out next time."""
        slots = {name: frame.slots[name] for name in names if frame.slots.get(name) is not None}
        self.forget_flow(frame.flow)
        checked = [name for name in slots if name in frame.checked]
        self.ended_flows = [{"flow": frame.flow, "slots": slots, "checked": checked}, *self.ended_flows][:FLOWS_KEPT]

    def forget_flow(self, flow: str) -> None:
        """Forget what a flow was told: it was dropped since, and nobody means it any more."""
        self.ended_flows = [ended for ended in self.ended_flows if ended["flow"] != flow]

    def forget(self) -> None:
        """Forget everything that was only kept to be referred to."""
        self.ended_flows, self.asked_about = [], ""

    def take_over(self, other: State) -> None:
        """Put everything open in another conversation on top of this one, with new frame ids where both use the same."""
        shift = self.serial
        for frame in other.frames:
            frame.id += shift
            frame.caller = frame.caller + shift if frame.caller is not None else None
        for token in other.tokens.values():
            token["frame"] = token["frame"] + shift if token["frame"] is not None else None
        self.frames += other.frames
        self.door = other.door if other.frames else self.door
        self.tokens |= other.tokens
        self.session |= other.session
        self.question = other.question or self.question
        self.ended_flows, self.asked_about = other.ended_flows or self.ended_flows, other.asked_about
        self.said, self.misses, self.serial = other.said, other.misses, self.serial + other.serial

    def waits_for(self, name: str) -> bool:
        """Tell whether any flow, interrupted or not, holds a value for a slot."""
        return any(frame.slots.get(name) is not None for frame in self.frames)

    def unwind(self, frame: Frame, *, including: bool) -> None:
        """Drop everything above a frame, and the frame too when it is over itself."""
        place = self.frames.index(frame)
        del self.frames[place if including else place + 1 :]
