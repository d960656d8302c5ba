"""How much is there."""
