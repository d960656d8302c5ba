"""What the bot can do: one folder a capability, with its flow, its slots and its actions."""
