"""Where a transfer is, and calling a delayed one back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rasa_sdk.events import SlotSet

from handlers.wallet_action import Event, Turn, WalletAction
from wallet_service import Order

_SEEN = 10  # last transfers among which the one that is meant is looked for
_SHOWN = 3
_CHOSEN = "order "  # before an order's id in a slot that may hold a name or a sum as well


class FindRecallable(WalletAction):
    """See whether there is anything to call back."""

    def name(self) -> str:
        """Name the action."""
        return "action_find_recallable"

    async def act(self, turn: Turn) -> list[Event]:
        """Take the only one there is; when there is none, tell what became of the transfer that is meant, or of the last one."""
        waiting = await _recallable(turn)
        if not waiting:
            seen = await turn.wallet.transfers(turn.user_id, _SEEN, city=turn.city)
            meant = await _meant(turn, seen, turn.slot("recall_id")) or list(seen)
            turn.say("utter_nothing_to_recall", last=[_shown(order) for order in meant[:1]])
            return [SlotSet("recall_some", False)]
        only = [SlotSet("recall_id", f"{_CHOSEN}{waiting[0].id}")] if len(waiting) == 1 and not turn.slot("recall_id") else []
        return [SlotSet("recall_some", True), *only]


class AskRecallId(WalletAction):
    """List what may be called back."""

    def name(self) -> str:
        """Name the action."""
        return "action_ask_recall_id"

    async def act(self, turn: Turn) -> list[Event]:
        """Offer each as a button."""
        return _offered(turn, await _recallable(turn), missed=False)


class ValidateRecallId(WalletAction):
    """Find the one transfer that a button, a name or a sum means."""

    def name(self) -> str:
        """Name the action."""
        return "validate_recall_id"

    async def act(self, turn: Turn) -> list[Event]:
        """Keep it, or offer those that fit, else all of them."""
        waiting = await _recallable(turn)
        meant = await _meant(turn, waiting, turn.slot("recall_id"))
        if len(meant) == 1:
            return [SlotSet("recall_id", f"{_CHOSEN}{meant[0].id}")]
        return [SlotSet("recall_id", None), *_offered(turn, meant or waiting, missed=not meant)]


class AskRecallSure(WalletAction):
    """Show what would be called back, and ask."""

    def name(self) -> str:
        """Name the action."""
        return "action_ask_recall_sure"

    async def act(self, turn: Turn) -> list[Event]:
        """Read the order as the wallet has it now."""
        order = await turn.wallet.order(_chosen(turn), actor=turn.user_id)
        turn.say("utter_ask_recall_sure", order=_shown(order))
        return []


class Recall(WalletAction):
    """Call it back."""

    def name(self) -> str:
        """Name the action."""
        return "action_recall"

    async def act(self, turn: Turn) -> list[Event]:
        """The money is free again at once; one that has arrived meanwhile is refused."""
        order = await turn.wallet.recall(_chosen(turn), actor=turn.user_id, key=turn.key)
        balance = await turn.wallet.balance(turn.user_id, order.city)
        turn.say("utter_recalled", order=_shown(order), left=balance.available)
        return []


class ShowTransfers(WalletAction):
    """Tell where the last transfers are."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_transfers"

    async def act(self, turn: Turn) -> list[Event]:
        """Those that are meant, else the last few: of every wallet what is on its way, then those of the wallet in use."""
        last = await turn.wallet.transfers(turn.user_id, _SEEN, city=turn.city)
        seen = list({order.id: order for order in (*await _recallable(turn), *last)}.values())
        said = turn.slot("asked_transfer")
        meant = await _meant(turn, seen, said)
        items = [_shown(order) for order in (meant or seen)[:_SHOWN]]
        recall = [item for item in items if item["recallable"]][:1]  # one button, if any of them may be called back
        turn.say("utter_transfers", items=items, recall=recall, named=said is not None and bool(meant))
        return []


async def _recallable(turn: Turn) -> list[Order]:
    return [order for order in await turn.wallet.held_orders(turn.user_id) if order.recallable]


def _offered(turn: Turn, orders: Sequence[Order], *, missed: bool) -> list[Event]:
    """List orders to choose from, and remember in which order they stood."""
    turn.say("utter_recall_which", choices=[_shown(order) for order in orders], missed=missed)
    return [SlotSet("recall_shown", [order.id for order in orders])]


def _chosen(turn: Turn) -> int:
    return int(str(turn.slot("recall_id")).removeprefix(_CHOSEN))


async def _meant(turn: Turn, orders: Iterable[Order], said: Any) -> list[Order]:
    """Give the orders that a button, a place in the list, a sum (fen) or a name or phone means; all, if nothing was said."""
    if said is None:
        return list(orders)
    if isinstance(said, int):
        return [order for order in orders if order.amount == said]
    if not isinstance(said, str):
        return []
    if said.startswith(_CHOSEN):
        return [order for order in orders if order.id == int(said.removeprefix(_CHOSEN))]
    if re.fullmatch(r"-1|\d{1,2}", said):
        return [order for order in orders if order.id == _at(turn.slot("recall_shown") or [], int(said))]
    people = {(one.name_masked, one.phone_masked) for one in await turn.wallet.find_payees(turn.user_id, said, city=turn.city)}
    return [order for order in orders if (order.payee_name_masked, order.payee_phone_masked) in people]


def _at(shown: Sequence[int], place: int) -> int | None:
    """Give the id at a place of the list that was shown, counted from 1; -1 is the last."""
    return shown[-1] if shown and place == -1 else shown[place - 1] if 0 < place <= len(shown) else None


def _shown(order: Order) -> dict[str, Any]:
    """Give what is told of a transfer; what its payer may not know is masked already."""
    return {
        "id": order.id,
        "payee_name": order.payee_name_masked,
        "payee_phone": order.payee_phone_masked,
        "order_city": order.city,
        "order_amount": order.amount,
        "status": order.status,
        "at": (order.posted_at or order.created_at).isoformat(),
        "due_at": order.due_at.isoformat() if order.due_at else None,
        "recallable": order.recallable,
        "recalled": order.refusal == "recalled",
        "receipt_no": order.receipt_no,
    }
