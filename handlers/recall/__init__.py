"""What became of the money that was sent: where a transfer is, and calling a delayed one back."""
