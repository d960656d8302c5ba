"""bot/desk."""
