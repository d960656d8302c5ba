"""The one confirmation of every movement of money."""

from __future__ import annotations

from typing import ClassVar

from rasa_sdk.events import SlotSet

from handlers.identify.actions import read_code
from handlers.wallet_action import Event, Turn, WalletAction


class ShowOrder(WalletAction):
    """Show the card: payee, amount, fee, and where the code went."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_order"

    async def act(self, turn: Turn) -> list[Event]:
        """Read the order as the wallet keeps it, not as the slots have it."""
        order = await turn.wallet.order(turn.slot("order_id"), actor=turn.user_id)
        if order.status != "proposed":
            turn.say("utter_refused_order_not_open", status=order.status)
            return [SlotSet("order_status", order.status)]
        person = await turn.wallet.person(turn.user_id)
        turn.say(
            "utter_order_card",
            payee_name=order.payee_name_masked,
            payee_phone=order.payee_phone_masked,
            payee_city=order.payee_city,
            order_city=order.city,
            order_amount=order.amount,
            fee=order.fee,
            order_note=order.note,
            own_phone=person.phone_masked,
            expires_at=order.expires_at.isoformat(),
        )
        return [SlotSet("order_status", order.status)]


class ValidateCode(WalletAction):
    """Take six digits, however they are spaced."""

    def name(self) -> str:
        """Name the action."""
        return "validate_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the digits; anything else costs no try."""
        return read_code(turn, "code")


class Authorize(WalletAction):
    """Hand the code to the wallet, which posts the order or says why not."""

    forgets: ClassVar = {"wrong_code": ("code",), "*": ("order_status",)}

    def name(self) -> str:
        """Name the action."""
        return "action_authorize"

    async def act(self, turn: Turn) -> list[Event]:
        """Post it."""
        order = await turn.wallet.authorize(turn.slot("order_id"), turn.slot("code"), actor=turn.user_id, key=turn.key)
        balance = await turn.wallet.balance(turn.user_id, order.city)
        turn.say(
            "utter_order_posted",
            payee_name=order.payee_name_masked,
            payee_phone=order.payee_phone_masked,
            order_city=order.city,
            order_amount=order.amount,
            fee=order.fee,
            receipt_no=order.receipt_no,
            left=balance.available,
        )
        return [SlotSet("order_status", order.status)]


class CancelOrder(WalletAction):
    """Void the order that waits for its code, when the person drops what it belongs to."""

    forgets: ClassVar = dict.fromkeys(("order_not_found", "order_not_open"), ("order_id",))

    def name(self) -> str:
        """Name the action."""
        return "action_cancel_order"

    async def act(self, turn: Turn) -> list[Event]:
        """Cancel it."""
        await turn.wallet.cancel(turn.slot("order_id"), actor=turn.user_id, key=turn.key)
        return [SlotSet("order_id", None)]


class ResendCode(WalletAction):
    """Send a new code for the order that waits."""

    def name(self) -> str:
        """Name the action."""
        return "action_resend_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Send it."""
        order = await turn.wallet.resend_code(turn.slot("order_id"), actor=turn.user_id, key=turn.key)
        turn.say("utter_code_resent", expires_at=order.expires_at.isoformat())
        return []


class ResendLoginCode(WalletAction):
    """Send a new code for the log-in that waits."""

    forgets: ClassVar = {"challenge_not_found": ("login_id",)}

    def name(self) -> str:
        """Name the action."""
        return "action_resend_login_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Send it to the same phone."""
        challenge = await turn.wallet.resend_login_code(turn.slot("login_id"), key=turn.key)
        turn.say("utter_code_resent", expires_at=challenge.expires_at.isoformat())
        return []
