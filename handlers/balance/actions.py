"""How much is there."""

from __future__ import annotations

from handlers.wallet_action import Event, Turn, WalletAction


class ShowBalance(WalletAction):
    """Tell the balance of the wallet in use."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_balance"

    async def act(self, turn: Turn) -> list[Event]:
        """Read it."""
        balance = await turn.wallet.balance(turn.user_id, turn.city)
        turn.say("utter_balance", available=balance.available, held=balance.held, frozen=balance.status == "frozen")
        return []
