"""What /metrics tells of the conversations: counts and times, nothing of what was said."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TURNS = Counter("zhanggui_turns", "Messages taken, by channel and by what became of them", ["channel", "result"])
SECONDS = Histogram("zhanggui_turn_seconds", "Time from a message to its stored answer", ["channel"])
NOTICES = Counter("zhanggui_notices", "Notices by kind, way out and what became of them", ["kind", "way", "result"])
