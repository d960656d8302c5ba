"""Money to another person."""
