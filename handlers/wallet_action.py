"""The base of every action: opens the way to the wallet, knows who acts, and turns a refusal into its reply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

from rasa_sdk import Action, Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher

from wallet_service import Wallet, WalletError, errors, from_environment

Event = dict[str, Any]

_in_use: ContextVar[Wallet] = ContextVar("wallet in use")


@contextmanager
def using(wallet: Wallet) -> Iterator[None]:
    """Let actions run in this process on a wallet that is open already; without it they open one from the environment."""
    token = _in_use.set(wallet)
    try:
        yield
    finally:
        _in_use.reset(token)


class Turn:
    """What an action sees of the turn: slots, the person, the city, the key of its wallet calls, and a way to reply."""

    def __init__(self, wallet: Wallet, tracker: Tracker, dispatcher: CollectingDispatcher) -> None:
        self.wallet = wallet
        self._slots: Mapping[str, Any] = tracker.slots
        self._conversation = str(tracker.sender_id)
        self._dispatcher = dispatcher

    @property
    def key(self) -> str:
        """Give the idempotency key of this very step of this very message."""
        return str(self._slots["turn_key"])

    @property
    def conversation(self) -> str:
        """Give the conversation's id."""
        return self._conversation

    @property
    def city(self) -> str:
        """Give the city whose wallet is in use."""
        return str(self._slots["city"])

    @property
    def user_id(self) -> int:
        """Give the wallet user who speaks, as signed by the engine; raises ``not_logged_in`` when nobody is."""
        return self.wallet.verify_actor(self._slots.get("actor") or "", self._conversation)

    def slot(self, name: str) -> Any:
        """Give a slot's value, None when it has none."""
        return self._slots.get(name)

    def say(self, reply: str, **values: Any) -> None:
        """Reply with a name and values; ``locales`` puts them into words."""
        self._dispatcher.utter_message(response=reply, **values)


class WalletAction(Action, ABC):
    """An action on the wallet: slots in, one wallet call, slots and a reply out.

    A refusal with code ``x`` becomes ``utter_refused_x`` with its facts as values; the slots in ``forgets`` that its code names
    (or ``*``, for every code that is not named) are then emptied, so that the flow asks for them again.
    """

    forgets: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @abstractmethod
    async def act(self, turn: Turn) -> list[Event]:
        """Do it; whatever it raises as a :class:`~wallet_service.WalletError` is told to the person."""

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[Event]:
        """Run under rasa-sdk."""
        wallet = _in_use.get(None) or await from_environment()
        turn = Turn(wallet, tracker, dispatcher)
        try:
            return await self.act(turn)
        except errors.ServiceUnavailable:
            raise  # the engine asks again with the same key, and knows whether an order was under way
        except WalletError as refusal:
            turn.say(f"utter_refused_{refusal.code}", **refusal.facts)
            return [SlotSet(slot, None) for slot in self.forgets.get(refusal.code, self.forgets.get("*", ()))]
