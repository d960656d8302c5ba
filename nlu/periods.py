"""Stub."""
def find_periods(*a, **k):
    return []
