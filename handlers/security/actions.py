"""Second factors are set up on one-time pages; a chat only gives the link."""

from __future__ import annotations

from rasa_sdk.events import SlotSet

from handlers.wallet_action import Event, Turn, WalletAction


class SecondFactors(WalletAction):
    """Look up what the person has set up."""

    def name(self) -> str:
        """Name the action."""
        return "action_second_factors"

    async def act(self, turn: Turn) -> list[Event]:
        """Note it for the flow."""
        factors = await turn.wallet.second_factors(turn.user_id)
        return [SlotSet("has_password", "password" in factors), SlotSet("has_authenticator", "authenticator" in factors)]


class SecurityPage(WalletAction):
    """Give the link to the one-time page that the flow has chosen."""

    def name(self) -> str:
        """Name the action."""
        return "action_security_page"

    async def act(self, turn: Turn) -> list[Event]:
        """Make it; a page that makes no sense for the person is refused here."""
        ticket = await turn.wallet.ticket(turn.user_id, turn.slot("page"), key=turn.key)
        turn.say("utter_security_page", ticket=ticket.id)
        return []
