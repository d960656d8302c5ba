"""What patterns.yml can have done to the conversation itself: the engine's own actions, by name.

Each gives True when it is the person's turn to speak.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from bot.dialogue.stack import Frame
from bot.dialogue.turn import Turn
from bot.messages import Reply

if TYPE_CHECKING:
    from bot.dialogue.runner import Runner


async def listen(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Wait for the person, with nothing more to say."""
    return True


async def cancel_flow(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Drop the flow at work, with all that it called; what it had interrupted is then offered."""
    state = turn.state
    root = state.working(runner.flows)
    if root is None:
        return False
    state.unwind(root, including=True)
    state.forget_flow(root.flow)
    if runner.flows[frame.flow].is_pattern:
        state.frames.append(frame)
        turn.offer_resume = not frame.context.get("go_on")
    else:
        runner.offer_next(turn)
    return False


async def correct_slots(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Change slots of the flow at work and take it back to the earliest question concerned."""
    state, corrections = turn.state, frame.context.get("corrections", {})
    chain = [seen for seen in state.chain(frame, runner.flows) if seen is not frame]
    owners = {name: owner for name in corrections for owner in chain if name in runner.flows[owner.flow].collects()}
    back: list[Frame] = []
    for name, owner in owners.items():
        value = corrections[name]
        owner.slots[name] = value
        owner.checked = [checked for checked in owner.checked if checked != name]
        flow = runner.flows[owner.flow]
        steps = [step.id for step in flow.steps.values() if step.kind == "collect" and step.name == name]
        earliest = min(steps, key=flow.position)
        if flow.position(earliest) < flow.position(owner.step):  # a question still to come is not gone back to
            owner.step = earliest
            back.append(owner)
    if back:
        lowest = min(back, key=state.frames.index)
        state.unwind(lowest, including=False)
        state.frames.append(frame)
    frame.context["changes"] = [
        {
            "name": runner.locale.word("slot_names", name),
            "value": "" if value is None or isinstance(value, dict) else runner.show(name, value),
        }
        for name, value in corrections.items()
    ]
    frame.context["changed"] = bool(corrections)
    frame.context["correctable"] = [
        {"slot": name, "name": runner.locale.word("slot_names", name)}
        for name in dict.fromkeys(name for seen in chain for name in runner.flows[seen.flow].collects())
        if not runner.slots[name].sensitive and any(seen.slots.get(name) is not None for seen in chain)
    ]
    return False


async def repeat(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Say the last words again, with their buttons."""
    for reply in turn.state.said:
        again = Reply.from_json(reply)
        kept = [
            (button.title, button.url or turn.state.tokens[button.payload]["payload"])
            for button in again.buttons
            if button.url or button.payload in turn.state.tokens
        ]
        runner.add(turn, "repeat", again.text, kept, again.image)
    return False


async def restart(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Clear the table."""
    turn.state.frames = [frame]
    turn.state.forget()
    return False


async def search(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Answer a question from the facts of the conversation's city, or say whose answer it is."""
    key, city = frame.context["faq"], frame.context.get("about") or runner.city(turn)
    spoken, foreign = runner.locale.answer(key, city, {"city_name": runner.locale.word("city_names", city)})
    if foreign:
        runner.say(turn, "utter_faq_of_another_city", frame, {"other_city": runner.locale.word("city_names", foreign)})
    buttons, action = list(spoken.buttons), frame.context.get("action")
    if action and action["payload"] not in (payload for _, payload in buttons):
        buttons.append((runner.locale.word("flow_names", action["flow"]), action["payload"]))
    runner.add(turn, key, spoken.text, buttons, spoken.image)
    return False


async def already_so(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Put what was told once more, and is so already, into words."""
    frame.context["same"] = [
        {"name": runner.locale.word("slot_names", name), "value": runner.show(name, value)}
        for name, value in frame.context["told"].items()
    ]
    return False


async def respond(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Say the reply that is named after the intent."""
    runner.say(turn, f"utter_{frame.context['intent']}", frame)
    return False


async def hand_off(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Put the conversation into the queue for a person, with what was being done."""
    working = turn.state.working(runner.flows)
    shown = {}
    if working is not None:
        filled = {
            name: working.slots.get(name) for name in runner.flows[working.flow].collects() if not runner.slots[name].sensitive
        }
        shown = {
            runner.locale.word("slot_names", name): runner.show(name, value)
            for name, value in filled.items()
            if value is not None
        }
    context = {"flow": frame.context["flow_name"], "slots": shown, "person": turn.person}
    reason = str(frame.context.get("intent") or frame.context.get("reason") or "asked")
    place = await runner.handoffs.request(
        turn.conversation, topic=turn.state.topic or "human", city=runner.city(turn), reason=reason, context=context
    )
    frame.context["position"] = place.position
    return False


async def leave_queue(runner: Runner, turn: Turn, frame: Frame) -> bool:
    """Take the conversation out of the queue."""
    frame.context["left"] = await runner.handoffs.leave(turn.conversation)
    return False


BUILTIN: Mapping[str, Callable[[Runner, Turn, Frame], Awaitable[bool]]] = {
    "action_listen": listen,
    "action_cancel_flow": cancel_flow,
    "action_correct_slots": correct_slots,
    "action_repeat": repeat,
    "action_restart": restart,
    "action_search": search,
    "action_already_so": already_so,
    "action_respond": respond,
    "action_hand_off": hand_off,
    "action_leave_queue": leave_queue,
}
