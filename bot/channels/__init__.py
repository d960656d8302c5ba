"""The doors: each turns its channel into Inbound and Outcome, and nothing more."""
