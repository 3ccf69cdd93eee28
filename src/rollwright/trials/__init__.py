"""The registry of trials: every strategy's returns that somebody looked at, in chains that only grow."""
