"""The one confirmation."""
