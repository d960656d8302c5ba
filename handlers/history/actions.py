"""What happened before."""

from __future__ import annotations

from datetime import date

from handlers.wallet_action import Event, Turn, WalletAction
from wallet_service import Period

_PAGE = 5  # movements a message; a phone shows no more without scrolling


class ShowHistory(WalletAction):
    """List movements, newest first."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_history"

    async def act(self, turn: Turn) -> list[Event]:
        """Read one page, with what is on its way above the first; one more than is shown tells whether there are older ones."""
        said = turn.slot("period")
        if said and "problem" in said:
            turn.say(f"utter_history_{said['problem']}_period", said=said["text"])
            return []
        period = Period(date.fromisoformat(said["start"]), date.fromisoformat(said["end"])) if said else None
        found = await turn.wallet.history(turn.user_id, period, city=turn.city, limit=_PAGE + 1, before=turn.slot("before"))
        items = [
            {"kind": item.kind, "amount": item.amount, "who": item.counterparty, "note": item.note, "at": item.at.isoformat()}
            for item in found[:_PAGE]
        ]
        held = () if turn.slot("before") else await turn.wallet.held_orders(turn.user_id, period, city=turn.city)
        waiting = [
            {
                "who": order.payee_name_masked or order.payee_phone_masked,
                "amount": order.amount,
                "due_at": order.due_at.isoformat() if order.recallable and order.due_at else None,
            }
            for order in held
        ]
        older = {"before": found[_PAGE - 1].id, "period": said} if len(found) > _PAGE else None
        turn.say("utter_history", items=items, waiting=waiting, older=[older] if older else [], period=said or {})
        return []
