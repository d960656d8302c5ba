"""Runs the dialogue stack: carries out commands, walks the steps of flows, and collects what is to be said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from bot.dialogue.actions import ActionResult, Actions, make_tracker
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
from bot.dialogue.domain import Slot
from bot.dialogue.flows import END, Flow, Flows, Step
from bot.dialogue.masking import masked
from bot.dialogue.repair import BUILTIN
from bot.dialogue.stack import Frame, State
from bot.dialogue.turn import Handoffs, People, Turn
from bot.messages import TICKET, Button, Reply
from locales import Locale

log = structlog.get_logger()

_STEPS_PER_TURN = 200
_REPAIRS = frozenset({"pattern_cancel_flow", "pattern_correction", "pattern_already_so"})  # of the flow at work
_RETRIES = (0.05, 0.2)  # seconds between tries of an action that broke off


def _rank(command: Command) -> int:
    """Order commands: values first, then patterns on top of them; new flows are pushed last and run first."""
    return 1 if isinstance(command, CorrectSlots | RunPattern) else 0


class Runner:
    """Everything that a stack needs to run, built once and shared by all conversations."""

    def __init__(
        self,
        *,
        flows: Flows,
        slots: Mapping[str, Slot],
        actions: Actions,
        locale: Locale,
        people: People,
        handoffs: Handoffs,
        default_city: str,
        new_token: Callable[[], str],
    ) -> None:
        self.flows, self.slots, self.actions, self.locale = flows, slots, actions, locale
        self.people, self.handoffs, self.default_city, self.new_token = people, handoffs, default_city, new_token

    # -- commands ---------------------------------------------------------------------------------------------------------

    def execute(self, turn: Turn, commands: Sequence[Command]) -> None:
        """Carry out commands on the stack; several wishes run in the order in which they were made."""
        state = turn.state
        if state.top is not None:
            state.top.started = True  # a wish that waited until the last words were said has its turn now
        before, working = set(map(id, state.frames)), state.working(self.flows)
        if not any(isinstance(command, RunPattern) and command.pattern == "pattern_cannot_handle" for command in commands):
            state.misses = 0
        for command in sorted(commands, key=_rank):
            match command:
                case SetSlot(name, value):
                    self._set(turn, name, value)
                case ResumeFlow(flow):
                    self._bring_up(state, flow)
                case Proceed():
                    self._leave_patterns(state)
                case CorrectSlots(values):
                    self.pattern(turn, "pattern_correction", {"corrections": values})
                case RunPattern(pattern, context):
                    self.pattern(turn, pattern, context)
                case Amend(waiting, values):
                    self._amend(turn, waiting, values)
                case LeaveOut(rest):
                    self.say(turn, "utter_too_many_wishes", None, {"rest": rest})
            turn.note("command", name=type(command).__name__, of=getattr(command, "flow", getattr(command, "pattern", "")))
        for start in reversed([command for command in commands if isinstance(command, StartFlow)]):
            self._start(turn, start)
        self._queue(turn, [command for command in commands if isinstance(command, Later)], before, working)
        begun = [frame for frame in state.frames if id(frame) not in before and not self.flows[frame.flow].is_pattern]
        for heard in (command for command in commands if isinstance(command, Hear)):
            for frame in begun or filter(None, [state.working(self.flows)]):
                self._hear(frame, heard)

    def _queue(self, turn: Turn, later: Sequence[Later], before: Collection[int], working: Frame | None) -> None:
        """Put wishes that wait their turn below what this message begins, or below the flow at work that it only carries on."""
        state = turn.state
        new = [place for place, frame in enumerate(state.frames) if id(frame) not in before]
        repairs = not new or state.frames[new[0]].flow in _REPAIRS
        place = state.frames.index(working) if repairs and working in state.frames else (new or [len(state.frames)])[0]
        above, state.frames = state.frames[place:], state.frames[:place]
        for wish in reversed(later):
            if isinstance(wish.command, StartFlow):
                self._start(turn, wish.command)
            else:
                self.pattern(turn, wish.command.pattern, wish.command.context)
            state.frames[-1].context["session"] = wish.session
        waiting, state.frames = state.waiting(self.flows), state.frames + above
        begun = [frame for frame in above if frame.caller is None and not self.flows[frame.flow].is_pattern]
        dropped = any(frame.context.get("go_on") for frame in above)
        wishes = [*([] if dropped else begun[-1:]), *waiting[: len(later)]]
        slow = turn.person is None or any(self.flows[frame.flow].collects() for frame in wishes[:-1])
        if later and len(wishes) > 1 and slow:
            self.say(turn, "utter_one_by_one", None, {"wishes": [self.wish(frame) for frame in wishes]})

    def _start(self, turn: Turn, command: StartFlow) -> None:
        guard = self.flows[command.flow].guard
        if guard is not None and not guard.holds({"slots": self._session(turn), "context": {}}):
            self.pattern(turn, "pattern_not_offered", {"wanted": self.locale.word("flow_names", command.flow)})
            return
        frame = turn.state.push(command.flow, self.flows)
        for name, value in command.slots.items():
            turn.state.assign(frame, self.slots[name], value, self.flows)
        frame.checked = list(command.recalled)

    def _hear(self, frame: Frame, command: Hear) -> None:
        """Gather wordings of fraud in a flow, if it wants to know of them."""
        for slot in self.slots.values():
            if slot.gathers and self.flows[frame.flow].folder in slot.folders:
                frame.slots[slot.name] = sorted({*(frame.slots.get(slot.name) or ()), *command.hints})

    def _amend(self, turn: Turn, frame_id: int, values: Mapping[str, Any]) -> None:
        """Change or drop a wish that waits its turn, and say which one."""
        frame = turn.state.frame(frame_id)
        if frame is None:
            return
        if values:
            frame.slots |= values
            frame.checked = [name for name in frame.checked if name not in values]
            self.say(turn, "utter_wish_amended", None, {"wish": self.wish(frame)})
        else:
            self.say(turn, "utter_wish_dropped", None, {"wish": self.wish(frame)})
            turn.state.frames.remove(frame)
        self._leave_patterns(turn.state)

    def wish(self, frame: Frame) -> dict[str, Any]:
        """Give what a frame is about as words can show it: the flow's name, and what was told of it."""
        flow = self.flows[frame.flow]
        told = {name: frame.slots.get(name) for name in flow.collects() if name not in flow.presets()}
        shown = [
            self.show(name, value)
            for name, value in told.items()
            if value is not None and not isinstance(value, dict) and not self.slots[name].sensitive
        ]
        return {"name": self.locale.word("flow_names", flow.id), "told": shown}

    def show(self, name: str, value: Any) -> str:
        """Write a slot's value as a person reads it, long numbers shortened."""
        return masked(self.locale.show_slot(name, value), everything=False)

    def pattern(self, turn: Turn, pattern: str, context: Mapping[str, Any]) -> Frame:
        """Put a repair pattern on the stack, with the facts that its steps and words may use."""
        state = turn.state
        if pattern == "pattern_cannot_handle":
            state.misses += 1
        working = state.working(self.flows)
        name = self.locale.word("flow_names", working.flow) if working else None
        named = state.top is not None and (state.top.flow == "pattern_continue_interrupted" or not state.top.started)
        facts: dict[str, Any] = {
            "flow": working.flow if working else None,
            "flow_name": name,
            "back": None if named else name,
            "misses": state.misses,
            "topic": turn.topic,
            "candidates": [],
            "begun": True,
            "wish": None,
            "person": turn.person is not None,
            "ordered": turn.state.waits_for("order_id"),
        }
        facts |= context
        facts |= {"topic_name": self.locale.names["topic_names"].get(facts["topic"], "")}
        facts["candidates"] = [self._titled(candidate, turn) for candidate in facts["candidates"]]
        return state.push(pattern, self.flows, context=facts)

    def _titled(self, candidate: Mapping[str, str], turn: Turn) -> dict[str, str]:
        if "flow" in candidate:
            title = self.locale.word("flow_names", candidate["flow"])
        else:
            title = self.locale.faq_title(candidate["faq"], self.city(turn))
        return {**candidate, "title": title}

    def _set(self, turn: Turn, name: str, value: Any) -> None:
        state, slot = turn.state, self.slots[name]
        if slot.session:
            state.session[name] = value
            return
        if state.top is not None and name not in self.flows[state.top.flow].collects():
            self._leave_patterns(state)
        if state.top is not None:
            state.assign(state.top, slot, value, self.flows)
            for frame in state.chain(state.top, self.flows):
                if name in frame.checked:
                    frame.checked.remove(name)
            shown = masked(value, everything=False) if isinstance(value, str) else value
            turn.note("slot", name=name, value=None if slot.sensitive else shown)

    def _leave_patterns(self, state: State) -> None:
        """Drop the patterns on top: the flow at work goes on without them."""
        while state.top is not None and self.flows[state.top.flow].is_pattern and len(state.frames) > 1:
            state.frames.pop()

    def _bring_up(self, state: State, flow: str) -> None:
        """Move an interrupted flow, with all that it has called, to the top."""
        self._leave_patterns(state)
        places = [place for place, frame in enumerate(state.frames) if frame.flow == flow]
        start = max(places, key=lambda place: (state.frames[place].started, place))
        end = start + 1
        while end < len(state.frames) and state.frames[end].caller is not None:
            end += 1
        state.frames = state.frames[:start] + state.frames[end:] + state.frames[start:end]

    # -- running ----------------------------------------------------------------------------------------------------------

    async def run(self, turn: Turn) -> None:
        """Walk the stack until it needs the person or is empty; a failing action becomes an apology, never a lost turn."""
        turn.state.question = ""
        for _ in range(_STEPS_PER_TURN):
            frame = turn.state.top
            if frame is None:
                return
            frame.started = True
            turn.state.session |= frame.context.pop("session", {})
            try:
                listening = await self._advance(turn, frame)
            except Exception as fault:
                if frame.flow == "pattern_internal_error":
                    raise
                log.error("step failed", flow=frame.flow, step=frame.step, fault=type(fault).__name__)
                turn.note("fault", flow=frame.flow, step=frame.step, fault=type(fault).__name__)
                self._give_up(turn)
                continue
            if listening:
                return
        raise RuntimeError(f"flow {turn.state.frames[-1].flow} runs in a circle")

    def show_again(self, turn: Turn) -> None:
        """Take the flow on top back to its beginning, so that this door sees what it is asked to confirm."""
        if turn.state.top is not None:
            turn.state.top.step, turn.state.top.asked = self.flows[turn.state.top.flow].first, []

    def _give_up(self, turn: Turn) -> None:
        root = turn.state.working(self.flows)
        facts = self.pattern(turn, "pattern_internal_error", {})
        turn.state.frames.pop()
        if root is not None:
            turn.state.unwind(root, including=True)
        else:
            turn.state.frames.clear()
        turn.offer_resume = bool(turn.state.frames) and not turn.state.frames[-1].started
        turn.state.frames.append(facts)

    async def _advance(self, turn: Turn, frame: Frame) -> bool:
        """Do one step; True when it is the person's turn to speak."""
        flow = self.flows[frame.flow]
        if frame.step == END:
            self._finish(turn, frame, flow)
            return False
        step = flow.steps[frame.step]
        match step.kind:
            case "collect":
                return await self._collect(turn, frame, step)
            case "action":
                return await self._act(turn, frame, step)
            case "call":
                self._go_on(turn, frame, step)
                turn.state.push(step.name, self.flows, caller=frame)
            case "link":
                turn.state.unwind(frame, including=True)
                if self.flows[step.name].is_pattern:
                    self.pattern(turn, step.name, {})
                else:
                    turn.state.push(step.name, self.flows)
            case _:
                for name, value in step.values:
                    turn.state.assign(frame, self.slots[name], value, self.flows)
                    frame.checked = [checked for checked in frame.checked if checked != name]
                self._go_on(turn, frame, step)
        return False

    def _go_on(self, turn: Turn, frame: Frame, step: Step) -> None:
        values = {"slots": self.readable(turn, frame), "context": frame.context}
        for branch in step.next:
            if branch.condition is None or branch.condition.holds(values):
                frame.step = branch.target
                return

    def _finish(self, turn: Turn, frame: Frame, flow: Flow) -> None:
        """Take an ended flow off the stack and see to what lies below: a caller goes on, an interrupted flow is offered."""
        state = turn.state
        kept = {name: frame.slots[name] for name in flow.persisted_slots if name in frame.slots}
        state.unwind(frame, including=True)
        turn.note("flow", ended=flow.id)
        if (caller := state.frame(frame.caller)) is not None:
            caller.slots |= kept
            for waiting in (other for other in state.frames if other.flow == flow.id):
                waiting.step = flow.first  # what it asks may be settled now: who logged in above is logged in below
            return
        if flow.is_pattern:
            if turn.offer_resume:
                turn.offer_resume = False
                self.offer_next(turn)
            return
        if remembered := [slot.name for slot in self.slots.values() if flow.id in slot.remember]:
            state.remember(frame, remembered)
        if state.top is None:
            self.pattern(turn, "pattern_completed", {"ended": flow.id, "asked": bool(frame.asked)})
        elif state.top.started:
            self.offer_next(turn)

    def offer_next(self, turn: Turn) -> None:
        """Offer to go on with the flow below: one that was interrupted, or a wish that waits after another was dropped."""
        below = turn.state.top
        if below is not None and not self.flows[below.flow].is_pattern:
            begun, below.started = below.started, True
            self.pattern(turn, "pattern_continue_interrupted", {"begun": begun, "wish": self.wish(below)})

    async def _collect(self, turn: Turn, frame: Frame, step: Step) -> bool:
        values = turn.state.visible(frame, self.flows)
        first = step.ask_before_filling and step.id not in frame.asked
        if values.get(step.name) is None or first:
            frame.slots[step.name] = None
            await self._ask(turn, frame, step)
            turn.state.question = step.name
            return True
        if step.name not in frame.checked:
            said = len(turn.replies)
            if not await self._accept(turn, frame, step):
                if len(turn.replies) == said:
                    await self._ask(turn, frame, step)
                elif step.id not in frame.asked:
                    frame.asked.append(step.id)
                turn.state.question = step.name
                return True
            frame.checked.append(step.name)
        self._go_on(turn, frame, step)
        return False

    async def _accept(self, turn: Turn, frame: Frame, step: Step) -> bool:
        """Let the slot's validator and the step's rejections judge a value; a rejected one is taken away."""
        slot, validator = self.slots[step.name], f"validate_{step.name}"
        if validator in self.actions.names:
            result = await self._call(turn, frame, step, validator)
            value = result.value_of(step.name)
            self._apply(turn, frame, result)
            if value is None:
                turn.state.assign(frame, slot, None, self.flows)
                return False
        for rejection in step.rejections:
            if rejection.condition.holds({"slots": self.readable(turn, frame), "context": frame.context}):
                self.say(turn, rejection.utter, frame)
                turn.state.assign(frame, slot, None, self.flows)
                return False
        return True

    async def _ask(self, turn: Turn, frame: Frame, step: Step) -> None:
        asking = f"action_ask_{step.name}"
        if asking in self.actions.names:
            self._apply(turn, frame, await self._call(turn, frame, step, asking))
        else:
            self.say(turn, step.utter, frame)
        if step.id not in frame.asked:
            frame.asked.append(step.id)

    async def _act(self, turn: Turn, frame: Frame, step: Step) -> bool:
        if step.name in BUILTIN:
            listening = await BUILTIN[step.name](self, turn, frame)
        else:
            listening = False
            if step.name in self.actions.names:
                self._apply(turn, frame, await self._call(turn, frame, step, step.name))
            else:
                self.say(turn, step.name, frame)
        if frame in turn.state.frames:
            self._go_on(turn, frame, step)
            if listening and frame.step == END:
                turn.state.unwind(frame, including=True)
        return listening

    async def _call(self, turn: Turn, frame: Frame, step: Step, action: str) -> ActionResult:
        place = f"{frame.id}/{step.id}/{action}"
        turn.calls[place] += 1
        key = f"{turn.conversation}/{turn.message_key}/{place}/{turn.calls[place]}"
        slots = self.readable(turn, frame)
        slots |= {"turn_key": key, "actor": self.people.sign(turn.person, turn.conversation) if turn.person else None}
        slots |= {"door": turn.state.door, "binding": turn.binding}
        turn.note("action", name=action)
        tracker = make_tracker(turn.conversation, slots, turn.channel)
        for pause in _RETRIES:
            try:
                return await self.actions.run(action, tracker)
            except Exception as fault:  # an unknown result: the same key asks again and moves nothing twice
                log.warning("action failed, trying again", action=action, fault=type(fault).__name__)
                await asyncio.sleep(pause)
        return await self.actions.run(action, tracker)

    def _apply(self, turn: Turn, frame: Frame, result: ActionResult) -> None:
        """Set the slots and say the replies of an action; a signed ``actor`` slot is how a log-in tells who is here."""
        for name, value in result.slots:
            if name == "actor":
                turn.person = self.people.verify(value, turn.conversation) if value else None
            elif name in self.slots:
                turn.state.assign(frame, self.slots[name], value, self.flows)
        for reply, values in result.replies:
            self.say(turn, reply, frame, values)

    # -- words ------------------------------------------------------------------------------------------------------------

    def city(self, turn: Turn) -> str:
        """Give the city of the conversation."""
        return str(turn.state.session.get("city") or self.default_city)

    def readable(self, turn: Turn, frame: Frame) -> dict[str, Any]:
        """Give all slots that a frame's actions and conditions read."""
        return turn.state.visible(frame, self.flows) | self._session(turn)

    def _session(self, turn: Turn) -> dict[str, Any]:
        return turn.state.session | {"city": self.city(turn), "logged_in": turn.person is not None}

    def say(self, turn: Turn, name: str, frame: Frame | None = None, values: Mapping[str, Any] | None = None) -> None:
        """Put a reply into words, with the slots and facts in sight as variables."""
        scope: dict[str, Any] = {"city_name": self.locale.word("city_names", self.city(turn))}
        if frame is not None:
            known = self.readable(turn, frame) | frame.context
            scope |= {key: value for key, value in known.items() if value is not None}
        spoken = self.locale.say(name, scope | dict(values or {}), channel=turn.channel, variant=turn.state.serial)
        self.add(turn, name, spoken.text, spoken.buttons, spoken.image)

    def add(self, turn: Turn, name: str, text: str, buttons: Sequence[tuple[str, str]], image: str | None) -> None:
        """Add a reply whose buttons carry opaque tokens instead of the commands behind them; links are made when it leaves."""
        issued = []
        for title, payload in buttons:
            if payload.startswith(TICKET):
                issued.append(Button(title, url=payload))
                continue
            token = self.new_token()
            top = turn.state.top
            turn.state.tokens[token] = {"title": title, "payload": payload, "frame": top.id if top else None, "used": False}
            issued.append(Button(title, token))
        turn.replies.append(Reply(text, tuple(issued), image))
        turn.note("bot", reply=name, text=text, buttons=[title for title, _ in buttons])
