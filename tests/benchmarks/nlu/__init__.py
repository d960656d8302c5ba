"""How well messages are understood, and how fast, beside the peer that the field knows."""
