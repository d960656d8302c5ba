"""The one confirmation of every movement of money."""

from __future__ import annotations

from typing import ClassVar

from rasa_sdk.events import SlotSet

from handlers.identify.actions import read_code
from handlers.wallet_action import Event, Turn, WalletAction
from wallet_service import errors

PAGE = "page"  # what a button answers where a code is asked for: the password's page instead


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
            return [SlotSet("order_status", order.status), SlotSet("second", None)]
        person = await turn.wallet.person(turn.user_id)
        turn.say(
            "utter_order_card",
            payee_name=order.payee_name_masked,
            payee_phone=order.payee_phone_masked,
            payee_city=order.payee_city,
            order_city=order.city,
            order_amount=order.amount,
            fee=order.fee,
            delay=order.delay,
            warnings=list(order.warnings),
            order_note=order.note,
            own_phone=person.phone_masked,
            expires_at=order.expires_at.isoformat(),
        )
        second = await _second_asked(turn) if order.second == "needed" else None
        return [SlotSet("order_status", order.status), SlotSet("second", second)]


async def _second_asked(turn: Turn) -> str:
    """Name the factor to ask for: the authenticator, which is answered here, before the password, which has a page."""
    return "authenticator" if "authenticator" in await turn.wallet.second_factors(turn.user_id) else "password"


class AskSecondCode(WalletAction):
    """Ask for the authenticator's code; who has a password too may choose its page."""

    def name(self) -> str:
        """Name the action."""
        return "action_ask_second_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Offer the page only where it leads somewhere."""
        has_password = "password" in await turn.wallet.second_factors(turn.user_id)
        turn.say("utter_ask_second_code", pages=["password"] if has_password else [])
        return []


class ValidateSecondCode(WalletAction):
    """Take six digits or a recovery code, or the wish to enter the password instead."""

    def name(self) -> str:
        """Name the action."""
        return "validate_second_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep it as it is; the wallet knows its spellings."""
        typed = str(turn.slot("second_code"))
        return [SlotSet("second_code", typed), *([SlotSet("second", "password")] if typed == PAGE else [])]


class ProveSecond(WalletAction):
    """Hand the authenticator's code, or a recovery code, to the wallet."""

    forgets: ClassVar = {"wrong_code": ("second_code",), "*": ("order_status", "second")}

    def name(self) -> str:
        """Name the action."""
        return "action_prove_second"

    async def act(self, turn: Turn) -> list[Event]:
        """Prove it; then the order's own code is asked for."""
        order_id = turn.slot("order_id")
        await turn.wallet.prove_second(order_id, turn.slot("second_code"), actor=turn.user_id, key=turn.key)
        turn.say("utter_second_proven")
        return [SlotSet("second", None)]


class PasswordPage(WalletAction):
    """Give the link to the page that takes the payment password for this order."""

    forgets: ClassVar = {"*": ("order_status",)}

    def name(self) -> str:
        """Name the action."""
        return "action_password_page"

    async def act(self, turn: Turn) -> list[Event]:
        """Make it."""
        await _show_page(turn, turn.key)
        return []


async def _show_page(turn: Turn, key: str) -> None:
    ticket = await turn.wallet.ticket(turn.user_id, "enter_password", key=key, order_id=turn.slot("order_id"))
    turn.say("utter_password_page", ticket=ticket.id)


class WhereCode(WalletAction):
    """Say that a code confirms, and where it went."""

    def name(self) -> str:
        """Name the action."""
        return "action_where_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Read the phone that it went to."""
        person = await turn.wallet.person(turn.user_id)
        turn.say("utter_where_code", own_phone=person.phone_masked)
        return []


class ValidateCode(WalletAction):
    """Take six digits, however they are spaced, or the wish for another link to the password's page."""

    forgets: ClassVar = {"*": ("code",)}

    def name(self) -> str:
        """Name the action."""
        return "validate_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the digits; anything else costs no try."""
        if turn.slot("code") != PAGE:
            return read_code(turn, "code")
        await _show_page(turn, turn.key)
        return [SlotSet("code", None)]


class Authorize(WalletAction):
    """Hand the code to the wallet, which posts the order, holds its money until it is due, or says why not."""

    forgets: ClassVar = {"wrong_code": ("code",), "second_factor_missing": ("code",), "*": ("order_status",)}

    def name(self) -> str:
        """Name the action."""
        return "action_authorize"

    async def act(self, turn: Turn) -> list[Event]:
        """Tell what came of it: posted, on its way and recallable until it is due, or waiting for a channel outside."""
        try:
            order = await turn.wallet.authorize(turn.slot("order_id"), turn.slot("code"), actor=turn.user_id, key=turn.key)
        except errors.SecondFactorMissing:
            if turn.slot("second"):  # it was asked for before
                raise
            return await self._ask_second(turn)
        balance = await turn.wallet.balance(turn.user_id, order.city)
        turn.say(
            "utter_order_posted" if order.status == "posted" else "utter_order_held",
            payee_name=order.payee_name_masked,
            payee_phone=order.payee_phone_masked,
            order_city=order.city,
            order_amount=order.amount,
            fee=order.fee,
            receipt_no=order.receipt_no,
            due_at=order.due_at.isoformat() if order.recallable and order.due_at else None,
            left=balance.available,
        )
        return [SlotSet("order_status", order.status)]

    async def _ask_second(self, turn: Turn) -> list[Event]:
        """Ask for the factor that nothing asked for when the order was shown: other payments of the day came between."""
        second = await _second_asked(turn)
        if second == "password":
            await _show_page(turn, f"{turn.key}/page")  # this step's own key stands for the authorisation
        return [SlotSet("code", None), SlotSet("second", second)]


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
