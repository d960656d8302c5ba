"""One turn: lock, dedupe, understand, run, render, store. Knows no channel and no wallet."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import structlog

from bot.dialogue.commands import Command, Proceed, RunPattern, SetSlot
from bot.dialogue.masking import masked, may_hold_code
from bot.dialogue.runner import Runner
from bot.dialogue.stack import State
from bot.dialogue.store import Conversation, Event, Kept, Leave, Store
from bot.dialogue.turn import Turn
from bot.dialogue.understand import QUESTIONS, Thresholds, View, is_payload, press, understand
from bot.messages import TICKET, Button, Inbound, Outcome, Reply
from bot.metrics import SECONDS, TURNS

log = structlog.get_logger()

TEXT_LIMIT = 2000  # characters; beyond it nobody tells a wallet what to do
_QUESTION_LENGTH = 60  # characters of a question that are kept to be asked again of something else
_ATTEMPTS = 5
_DOORS_KEPT = 10_000
_LOG_IN_LASTS = 30 * 24 * 3600 * 1000  # milliseconds of silence after which a door no longer speaks for anybody
_TYPED = {  # what messengers send for their menus, and people type; each is a payload or a pattern
    "/start": "pattern_session_start",
    "/help": "/ask_help",
    "/log_in": "/log_in",
    "/balance": "/check_balance",
    "/transfer": "/transfer_money",
    "/history": "/check_history",
    "/human": "/ask_human",
    "/cancel": "/cancel",
}


ENDED = Leave(None, None, State(ended=True).to_json({}))  # where a door goes that speaks for nobody any more


class Understanding(Protocol):
    """What the engine needs of ``nlu``."""

    def parse(self, text: str, now: dt.datetime, names: Sequence[str] = (), expects: str | None = None) -> dict[str, Any]:
        """Parse one message; never raises."""
        ...

    def asked_of_other(self, question: str, text: str) -> str | None:
        """Ask a question that was just answered of the other thing that a message names, None if it names none."""
        ...


ReadPicture = Callable[[bytes], Awaitable[str | None]]


class Engine:
    """The assistant behind every door."""

    def __init__(
        self,
        *,
        store: Store,
        runner: Runner,
        interpreter: Understanding,
        thresholds: Thresholds,
        cities: Collection[str],
        read_picture: ReadPicture,
        heard: Callable[[], None],
        page_of: Callable[[str], str],
        clock: Callable[[], dt.datetime],
        timeout: dt.timedelta = dt.timedelta(hours=1),
    ) -> None:
        self.store, self.runner, self.interpreter, self.limits = store, runner, interpreter, thresholds
        self.cities, self.read_picture, self.heard, self.clock, self.timeout = cities, read_picture, heard, clock, timeout
        self.page_of = page_of  # gives the path that opens a one-time page, by its ticket
        self._last: dict[tuple[str, str], int] = {}  # where a door pointed last; a wrong hint only costs another look
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    async def handle(self, inbound: Inbound) -> Outcome:
        """Answer one message; the same channel, sender and message id always get the same answer."""
        with SECONDS.labels(inbound.channel).time():
            for _ in range(_ATTEMPTS):
                async with self._conversation(inbound) as conversation:
                    if conversation.outcome is not None:
                        TURNS.labels(inbound.channel, "repeated").inc()
                        return self._linked(conversation.outcome)
                    binding = await self._binding(inbound, conversation)
                    if conversation.person is not None and binding is None:
                        continue
                    outcome = await self._turn(inbound, conversation, binding)
                if outcome is not None:
                    return self._linked(outcome)
        raise RuntimeError("the conversation kept changing under this message")

    async def claim_pushes(self, channel: str, sender: str) -> tuple[Reply, ...]:
        """Take what waits for this end of the channel."""
        return await self.store.claim_pushes(channel, sender)

    async def resume(self, conversation_id: int) -> tuple[Reply, ...]:
        """Go on after a person handed the conversation back: put the open question again, if there is one."""
        async with self._lock(conversation_id):
            conversation = await self.store.get(conversation_id)
            turn = self._new_turn(f"resume-{conversation.version}", "", conversation)
            await self.runner.run(turn)
            turn.state.said = [reply.to_json() for reply in turn.replies]
            at = _ms(turn.now)
            kept = await self.store.change(conversation, turn.state.to_json(self.runner.slots), turn.events, at)
        return tuple(turn.replies) if kept else ()

    def _linked(self, outcome: Outcome) -> Outcome:
        """Put the links to one-time pages into replies that leave: what opens a page is kept nowhere."""
        replies = tuple(replace(reply, buttons=tuple(map(self._link, reply.buttons))) for reply in outcome.replies)
        return replace(outcome, replies=replies)

    def _link(self, button: Button) -> Button:
        return replace(button, url=self.page_of(button.url.removeprefix(TICKET))) if button.url.startswith(TICKET) else button

    # -- one turn ---------------------------------------------------------------------------------------------------------

    async def _binding(self, inbound: Inbound, conversation: Conversation) -> int | None:
        """Give the binding by which this door speaks for the conversation's person; without one the door goes away from it.

        It is asked anew with each message: a door is logged out from elsewhere, or is silent for too long.
        """
        if (person := conversation.person) is None:
            return None
        binding = await self.runner.people.binding(person, inbound.channel, inbound.sender)
        if binding is not None and _ms(self.clock()) - conversation.updated_at > _LOG_IN_LASTS:
            await self.runner.people.unbind(person, binding, f"{_key(inbound)}/expire")
            binding = None
        if binding is None:
            await self.store.leave(inbound.channel, inbound.sender, ENDED, _ms(self.clock()))
        return binding

    async def _turn(self, inbound: Inbound, conversation: Conversation, binding: int | None) -> Outcome | None:
        """Run one message; None when the conversation changed meanwhile and the message must be read anew."""
        if conversation.holder is not None:
            return await self._silent(inbound, conversation)
        turn = self._new_turn(_key(inbound), inbound.channel, conversation)
        turn.binding = binding
        if (city := inbound.metadata.get("city")) in self.cities:
            turn.state.session["city"] = city
        if turn.state.ended:
            turn.state.ended = False
            turn.state.frames = [self.runner.pattern(turn, "pattern_login_ended", {})]
            await self.runner.run(turn)
        await self._end_old_session(turn, conversation)
        view = View(turn.state, self.runner.flows, self.runner.slots)
        secret, text = view.secret_asked, _clean(inbound.text)
        coded = may_hold_code(text) and _code_waits(turn.state)
        commands, facts = await self._read(inbound, text, turn, view)
        if secret and coded and turn.state.door != _door(inbound):
            commands, facts = [Proceed()], {}  # what is confirmed here must have been shown here
            self.runner.show_again(turn)
        turn.state.door = _door(inbound)
        said = {"text": masked(text, everything=secret or coded), "message": inbound.kind, "message_id": inbound.message_id}
        turn.note("user", **said, **facts)
        self.runner.execute(turn, commands)
        await self.runner.run(turn)
        if turn.replies:
            turn.state.said = [reply.to_json() for reply in turn.replies]
        outcome = Outcome(tuple(turn.replies), forget_message=coded)
        return await self._keep(inbound, conversation, turn, outcome)

    def _new_turn(self, message_key: str, channel: str, conversation: Conversation) -> Turn:
        return Turn(
            conversation=conversation.id,
            message_key=message_key,
            channel=channel,
            state=State.from_json(conversation.state, self.runner.flows),
            person=conversation.person,
            now=self.clock(),
        )

    async def _end_old_session(self, turn: Turn, conversation: Conversation) -> None:
        """After a long silence, what was open is put away, and the person is told before the new message is answered."""
        if _ms(turn.now) - conversation.updated_at <= self.timeout.total_seconds() * 1000:
            return
        turn.state.forget()
        if turn.state.working(self.runner.flows) is not None:
            facts = self.runner.pattern(turn, "pattern_session_end", {})
            turn.state.frames = [facts]
            await self.runner.run(turn)

    async def _read(self, inbound: Inbound, text: str, turn: Turn, view: View) -> tuple[list[Command], dict[str, Any]]:
        """Turn a message of any kind into commands, with facts of the reading for the record."""
        if inbound.kind not in ("text", "press"):
            return [await self._picture(inbound)], {}
        if any(title == text and url for reply in turn.state.said for title, _, url in reply["buttons"]):
            return [RunPattern("pattern_repeat_bot_messages")], {}  # a link that this door cannot show, or shows by its title
        issued = turn.state.tokens.get(inbound.text) if inbound.kind == "press" or inbound.may_press else None
        if issued is None and inbound.kind == "press":
            return [_respond("button_unknown")], {}
        if issued is None:
            issued = _titled(turn, text)
        if issued is not None:
            return self._pressed(issued, turn, view), {"pressed": issued["title"]}
        if (typed := _TYPED.get(text.split("@")[0])) is not None:
            return ([RunPattern(typed)] if typed.startswith("pattern") else press(typed, view, self.limits)), {"typed": typed}
        if is_payload(text):
            return [RunPattern("pattern_cannot_handle")], {}
        if not text or len(text) > TEXT_LIMIT:
            return [_respond("unreadable_empty" if not text else "unreadable_too_long")], {}
        names = await self.runner.people.names(turn.person) if turn.person else ()
        text = self.interpreter.asked_of_other(turn.state.asked_about, text) or text
        parse = await asyncio.to_thread(self.interpreter.parse, text, turn.now, names, view.expects)
        turn.topic = parse["topic"]
        understood = parse["intent"]["confidence"] >= self.limits.accept
        if understood and turn.topic not in ("human", "small_talk", "other_out_of_scope"):
            turn.state.topic = turn.topic
        commands = understand(parse, view, self.limits)
        answered = any(isinstance(command, RunPattern) and command.pattern in QUESTIONS for command in commands)
        turn.state.asked_about = masked(text, everything=False)[:_QUESTION_LENGTH] if answered else ""
        reading = {"intent": parse["intent"]["name"], "confidence": parse["intent"]["confidence"], "topic": parse["topic"]}
        return commands, reading

    def _pressed(self, issued: dict[str, Any], turn: Turn, view: View) -> list[Command]:
        """Act on a button once; one that belongs to a step long past says so instead."""
        gone = issued["payload"].startswith("/SetSlots") and turn.state.frame(issued["frame"]) is None
        if issued["used"] or gone:
            return [_respond("button_used")]
        issued["used"] = True
        commands = press(issued["payload"], view, self.limits)
        elsewhere = [command for command in commands if isinstance(command, SetSlot) and command.name not in view.asked]
        return [_respond("button_used")] if elsewhere else commands

    async def _picture(self, inbound: Inbound) -> Command:
        if inbound.kind != "image" or not inbound.attachments:
            return _respond(f"unreadable_{inbound.kind}")
        found = await self.read_picture(inbound.attachments[0].data)
        return _respond("unreadable_image" if found is None else "unreadable_qr")

    async def _silent(self, inbound: Inbound, conversation: Conversation) -> Outcome | None:
        """Pass a message to the agent who holds the conversation, and say nothing."""
        text = _clean(inbound.text)[:TEXT_LIMIT]
        coded = may_hold_code(text) and _code_waits(State.from_json(conversation.state, self.runner.flows))
        text, outcome = masked(text, everything=coded), Outcome(forget_message=coded)
        said = {"text": text, "message": inbound.kind, "message_id": inbound.message_id}
        event = Event("user", said, _ms(self.clock()))
        door = (inbound.channel, inbound.sender)
        if not await self.store.keep_silent(conversation, *door, inbound.message_id, outcome, event):
            return None
        TURNS.labels(inbound.channel, "held").inc()
        self.heard()
        return outcome

    # -- keeping ----------------------------------------------------------------------------------------------------------

    async def _keep(self, inbound: Inbound, before: Conversation, turn: Turn, outcome: Outcome) -> Outcome | None:
        door = (inbound.channel, inbound.sender)
        changed = turn.person != before.person
        entering = changed and before.person is None
        state, leave = turn.state.to_json(self.runner.slots), None
        if changed and not entering:
            state, leave = State(session=turn.state.session).to_json(self.runner.slots), await self._elsewhere(turn)
        kept = Kept(state, turn.person if entering else before.person, outcome, turn.events, leave)
        if changed and turn.person is not None:  # before the log-in counts, or the next message would not find it
            label = inbound.metadata.get("device", "")
            await self.runner.people.bind(turn.person, *door, label, f"{turn.message_key}/bind")
        if not await self.store.keep(before, *door, inbound.message_id, kept, _ms(turn.now)):
            return None
        if changed and before.person is not None and turn.binding is not None:
            await self.runner.people.unbind(before.person, turn.binding, f"{turn.message_key}/unbind")
        TURNS.labels(inbound.channel, "misunderstood" if turn.state.misses else "answered").inc()
        self.heard()
        if entering and turn.person is not None:
            await self._join(door, before.id, turn.person)
        elif leave is not None and not await self.store.doors_of(before.id):
            await self.runner.handoffs.leave(before.id)  # nobody is there any more to be served
        return outcome

    async def _join(self, door: tuple[str, str], conversation_id: int, person: int) -> None:
        """After a log-in, go on in the person's own conversation when there is one, taking along what is open here."""
        for _ in range(_ATTEMPTS):
            others = await self.store.latest_of(person, besides=conversation_id)
            if others is None:
                return
            source, target = await self.store.get(conversation_id), await self.store.get(others)
            if source.holder is not None:
                return  # an agent talks here: the door stays
            await self.runner.handoffs.follow(conversation_id, others)
            here, there = State.from_json(source.state, self.runner.flows), State.from_json(target.state, self.runner.flows)
            there.take_over(here)
            states = (State().to_json(self.runner.slots), there.to_json(self.runner.slots))
            if await self.store.move(source, target, door, states, _ms(self.clock())):
                return

    async def _elsewhere(self, turn: Turn) -> Leave:
        """Say where this door goes after a log-out or another person's log-in; the old conversation stays its person's."""
        theirs = await self.store.latest_of(turn.person, besides=turn.conversation) if turn.person else None
        clean = State(session={"city": turn.state.session.get("city")})
        return Leave(theirs, turn.person, clean.to_json(self.runner.slots))

    @asynccontextmanager
    async def _conversation(self, inbound: Inbound) -> AsyncIterator[Conversation]:
        """Load the conversation of a door under its lock, starting one for a new door."""
        door = (inbound.channel, inbound.sender)
        while True:
            conversation_id = self._last.pop(door, None) or await self.store.find(*door)
            if conversation_id is None:
                await self.store.open(*door, State().to_json(self.runner.slots), _ms(self.clock()))
                continue
            async with self._lock(conversation_id):
                conversation = await self.store.load(*door, inbound.message_id)
                if conversation is not None and conversation.id == conversation_id:
                    self._last[door] = conversation_id
                    if len(self._last) > _DOORS_KEPT:
                        del self._last[next(iter(self._last))]
                    yield conversation
                    return

    @asynccontextmanager
    async def _lock(self, conversation_id: int) -> AsyncIterator[None]:
        """Hold a conversation in this process; the version check of the store holds it against other processes."""
        lock, users = self._locks.get(conversation_id, (asyncio.Lock(), 0))
        self._locks[conversation_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(conversation_id)
            if users > 1:
                self._locks[conversation_id] = (lock, users - 1)


def _key(inbound: Inbound) -> str:
    """Name a message among all messages of all doors: part of the key of every wallet call that it leads to."""
    return hashlib.sha256(f"{inbound.channel}\0{inbound.sender}\0{inbound.message_id}".encode()).hexdigest()[:32]


def _door(inbound: Inbound) -> str:
    return f"{inbound.channel}/{inbound.sender}"


def _code_waits(state: State) -> bool:
    """Tell whether a code may be on its way: digits then are kept out of every record."""
    return state.waits_for("order_id") or state.waits_for("login_id")


def _clean(text: str) -> str:
    """Drop control characters, which no person types and no record should hold."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t").strip()


def _titled(turn: Turn, text: str) -> dict[str, Any] | None:
    """Find the button just offered whose title was typed, as people do where buttons cannot be pressed."""
    offered = {button[1] for reply in turn.state.said for button in reply["buttons"]}
    return next(
        (
            turn.state.tokens[token]
            for token in offered
            if token in turn.state.tokens and turn.state.tokens[token]["title"] == text
        ),
        None,
    )


def _respond(reply: str) -> Command:
    return RunPattern("pattern_respond", {"intent": reply})


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)
