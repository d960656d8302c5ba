"""Which city."""
