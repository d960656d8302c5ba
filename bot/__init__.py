"""The running assistant: doors, conversation, agent desk, command line."""
