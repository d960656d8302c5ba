"""Who is speaking: log in by phone and code, open a wallet, log out."""

from __future__ import annotations

import re
from typing import ClassVar

from rasa_sdk.events import SlotSet

from handlers.wallet_action import Event, Turn, WalletAction

_DEAD = dict.fromkeys(("code_expired", "login_locked", "challenge_not_found"), ("login_id", "login_code"))


class ValidatePhone(WalletAction):
    """Take a mainland mobile number in any spelling."""

    def name(self) -> str:
        """Name the action."""
        return "validate_phone"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the digits."""
        digits = re.sub(r"[\s+-]", "", str(turn.slot("phone"))).removeprefix("86")
        if not re.fullmatch(r"1[3-9]\d{9}", digits):
            turn.say("utter_phone_unreadable")
            return [SlotSet("phone", None)]
        return [SlotSet("phone", digits)]


class SendLoginCode(WalletAction):
    """Send a log-in code to the phone."""

    def name(self) -> str:
        """Name the action."""
        return "action_send_login_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Start a log-in; the code travels outside the chat."""
        challenge = await turn.wallet.start_login(turn.slot("phone"), key=turn.key, door=turn.slot("door"))
        turn.say("utter_login_code_sent", phone_masked=challenge.phone_masked, expires_at=challenge.expires_at.isoformat())
        return [SlotSet("login_id", challenge.id)]


class ValidateLoginCode(WalletAction):
    """Take six digits, however they are spaced."""

    def name(self) -> str:
        """Name the action."""
        return "validate_login_code"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the digits; anything else costs no try."""
        return read_code(turn, "login_code")


class LogIn(WalletAction):
    """Prove the phone by its code."""

    forgets: ClassVar = {**_DEAD, "wrong_code": ("login_code",)}

    def name(self) -> str:
        """Name the action."""
        return "action_log_in"

    async def act(self, turn: Turn) -> list[Event]:
        """Log in, or note that the phone is proven and has no wallet yet."""
        login = await turn.wallet.finish_login(turn.slot("login_id"), turn.slot("login_code"), key=turn.key)
        if login.user_id is None:
            return [SlotSet("newcomer", True)]
        turn.say("utter_logged_in", name=login.name)
        return [SlotSet("actor", turn.wallet.sign_actor(login.user_id, turn.conversation))]


class OpenAccount(WalletAction):
    """Open a first wallet for a proven phone."""

    def name(self) -> str:
        """Name the action."""
        return "action_open_account"

    async def act(self, turn: Turn) -> list[Event]:
        """Open it in the conversation's city and log in."""
        person = await turn.wallet.open_account(turn.slot("login_id"), city=turn.city, key=turn.key)
        turn.say("utter_account_opened")
        return [SlotSet("actor", turn.wallet.sign_actor(person.id, turn.conversation))]


class OpenWallet(WalletAction):
    """Open a wallet in one more city."""

    def name(self) -> str:
        """Name the action."""
        return "action_open_wallet"

    async def act(self, turn: Turn) -> list[Event]:
        """Open it, unless the person has one there."""
        person = await turn.wallet.person(turn.user_id)
        if turn.city in person.cities:
            turn.say("utter_wallet_there_already")
            return []
        await turn.wallet.open_wallet(turn.user_id, turn.city, key=turn.key)
        turn.say("utter_wallet_opened")
        return []


class LogOut(WalletAction):
    """End the log-in of this chat."""

    def name(self) -> str:
        """Name the action."""
        return "action_log_out"

    async def act(self, turn: Turn) -> list[Event]:
        """Nothing in the wallet changes: the chat forgets the person."""
        turn.say("utter_logged_out")
        return [SlotSet("actor", None)]


def read_code(turn: Turn, slot: str) -> list[Event]:
    """Keep six digits as the code in a slot; say what is expected otherwise."""
    digits = re.sub(r"\D", "", str(turn.slot(slot)))
    if len(digits) != 6:
        turn.say("utter_code_shape")
        return [SlotSet(slot, None)]
    return [SlotSet(slot, digits)]
