"""The conversation engine: flows, stack, repair; knows no channel and no wallet."""
