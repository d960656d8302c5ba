"""wallet_service."""
