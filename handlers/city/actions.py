"""Which city's wallet is in use."""

from __future__ import annotations

from typing import ClassVar

from rasa_sdk.events import SlotSet

from handlers.wallet_action import Event, Turn, WalletAction


class ValidateNewCity(WalletAction):
    """Take only a city that has a wallet of its own."""

    forgets: ClassVar = {"unknown_city": ("new_city",)}

    def name(self) -> str:
        """Name the action."""
        return "validate_new_city"

    async def act(self, turn: Turn) -> list[Event]:
        """Look its profile up; the wallet refuses a city that it does not know."""
        return [SlotSet("new_city", turn.wallet.profile(turn.slot("new_city")).city)]


class SwitchCity(WalletAction):
    """Use another city's wallet and facts from now on."""

    def name(self) -> str:
        """Name the action."""
        return "action_switch_city"

    async def act(self, turn: Turn) -> list[Event]:
        """Switch; somebody logged in without a wallet there is told so."""
        city = turn.slot("new_city")
        missing = bool(turn.slot("logged_in")) and city not in (await turn.wallet.person(turn.user_id)).cities
        turn.say("utter_city_switched", city=city, missing=missing)
        return [SlotSet("city", city)]
