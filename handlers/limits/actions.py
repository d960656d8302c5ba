"""What may be paid out."""

from __future__ import annotations

from dataclasses import asdict

from handlers.wallet_action import Event, Turn, WalletAction
from wallet_service import Fen


class ShowLimits(WalletAction):
    """Tell a person's own figures; for a sum that was named, whether it may be paid."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_limits"

    async def act(self, turn: Turn) -> list[Event]:
        """Ask the wallet; a sum that does not fit is told as the refusal that it would meet."""
        city, amount = turn.slot("limits_city") or turn.city, turn.slot("limits_amount")
        if isinstance(amount, int):
            preview = await turn.wallet.affords(turn.user_id, Fen(amount), city)
            if preview.refusal is not None:
                turn.say(f"utter_refused_{preview.refusal}", **preview.facts)
                return []
            turn.say("utter_limits_fit", sums=[amount], total=preview.total, fee=preview.fee, second=preview.second)
            return []
        figures = asdict(await turn.wallet.allowance(turn.user_id, city))
        resets = {name: figures[name].isoformat() for name in ("day_resets_at", "year_resets_at")}
        turn.say("utter_limits", figures={**figures, **resets})
        return []


class ShowLimitRules(WalletAction):
    """Tell the limits of every class of wallets."""

    def name(self) -> str:
        """Name the action."""
        return "action_show_limit_rules"

    async def act(self, turn: Turn) -> list[Event]:
        """Read them from the city's profile."""
        profile = turn.wallet.profile(turn.slot("limits_city") or turn.city)
        classes = [
            {"level": level, "balance": one.balance.fen, "single": one.single.fen, "day": one.day.fen, "year": one.year.fen}
            for level, one in sorted(profile.limits.items(), reverse=True)
        ]
        static, alone = profile.static_code.fen, profile.factors.code.fen
        turn.say("utter_limit_rules", of_city=profile.city, classes=classes, static=static, alone=alone)
        return []
