"""Money to another person: who is meant, and the proposal."""

from __future__ import annotations

from typing import ClassVar

from rasa_sdk.events import SlotSet

from handlers.wallet_action import Event, Turn, WalletAction
from wallet_service import Fen, Transfer, errors

_WRONG_AMOUNT = (
    "invalid_amount",
    "amount_not_positive",
    "amount_too_large",
    "insufficient_funds",
    "single_limit_exceeded",
    "daily_limit_exceeded",
    "yearly_limit_exceeded",
)
_WRONG_PAYEE = ("payee_not_found", "payee_unavailable", "self_transfer")


class ValidatePayee(WalletAction):
    """Turn a name, a phone or a wallet number into exactly one wallet."""

    def name(self) -> str:
        """Name the action."""
        return "validate_payee"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the one match; ask on when there is none or more than one."""
        payee = turn.slot("payee")
        if isinstance(payee, dict):
            oneself = payee["problem"] == "oneself"
            turn.say("utter_payee_oneself" if oneself else "utter_payee_several", said=payee["text"])
            return [SlotSet("payee", None)]
        said = str(payee).strip()
        matches = await turn.wallet.find_payees(turn.user_id, said, city=turn.city)
        if len(matches) == 1:
            match = matches[0]
            label = said if match.known and not any(character.isdigit() for character in said) else match.name_masked
            return [
                SlotSet("payee", label or match.phone_masked),
                SlotSet("payee_id", match.wallet_id),
                SlotSet("payee_known", match.known),
                SlotSet("payee_surname", None),
                SlotSet("surname_wanted", None),
            ]
        if matches:
            choices = [{"id": match.wallet_id, "name": match.name_masked, "phone": match.phone_masked} for match in matches]
            turn.say("utter_payee_which", said=said, choices=choices)
        elif any(character.isdigit() for character in said):
            turn.say("utter_payee_no_wallet")
        else:
            turn.say("utter_payee_unknown", said=said)
        return [SlotSet("payee", None)]


class ValidateAmount(WalletAction):
    """Take only an exact amount in whole fen; never guess what was meant."""

    def name(self) -> str:
        """Name the action."""
        return "validate_amount"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep it, or say what is wrong with it."""
        amount = turn.slot("amount")
        if isinstance(amount, int):
            return [SlotSet("amount", amount)]
        if isinstance(amount, dict):
            turn.say(f"utter_amount_{amount['problem']}", said=amount["text"])
        else:
            turn.say("utter_amount_vague", said=str(amount))
        return [SlotSet("amount", None)]


class ValidateDelay(WalletAction):
    """Take only a time of arrival that the wallet offers."""

    def name(self) -> str:
        """Name the action."""
        return "validate_delay"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep the seconds; anything else is asked for, with what there is to choose from."""
        delay = turn.slot("delay")
        return [SlotSet("delay", delay if delay in turn.wallet.profile(turn.city).arrival.delays else None)]


class AskDelay(WalletAction):
    """Offer the times of arrival."""

    def name(self) -> str:
        """Name the action."""
        return "action_ask_delay"

    async def act(self, turn: Turn) -> list[Event]:
        """Read them from the city's profile."""
        turn.say("utter_delay_which", delays=list(turn.wallet.profile(turn.city).arrival.delays))
        return []


class ProposeTransfer(WalletAction):
    """Propose the transfer that the slots describe; the code is asked for by authorize_order."""

    forgets: ClassVar = {
        "*": ("order_id",),
        "invalid_note": ("note", "order_id"),
        "surname_wrong": ("payee_surname", "order_id"),
        "invalid_delay": ("delay", "order_id"),
        **dict.fromkeys(_WRONG_AMOUNT, ("amount", "order_id")),
        **dict.fromkeys(_WRONG_PAYEE, ("payee", "order_id")),
    }

    def name(self) -> str:
        """Name the action."""
        return "action_propose_transfer"

    async def act(self, turn: Turn) -> list[Event]:
        """Propose it, in place of the order that a correction made void; a stranger's family name may have to be asked first."""
        hints = turn.slot("hints") or []
        transfer = Transfer(
            payer=turn.user_id,
            payee=turn.slot("payee_id"),
            amount=Fen(turn.slot("amount")),
            city=turn.city,
            note=turn.slot("note"),
            surname=turn.slot("payee_surname"),
            hints=tuple(hints),
            delay=turn.slot("delay"),
        )
        try:
            order = await turn.wallet.propose(transfer, actor=turn.user_id, key=turn.key, replaces=turn.slot("order_id"))
        except errors.SurnameNeeded:
            return [SlotSet("surname_wanted", True), SlotSet("order_id", None)]
        return [SlotSet("order_id", order.id), SlotSet("hints_judged", hints)]
