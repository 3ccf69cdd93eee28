"""Serve campaigns day by day: open a serving, run its days, ask what it did."""
