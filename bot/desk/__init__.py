"""The agent desk: the queue, who holds which conversation, and its pages."""
